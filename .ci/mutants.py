"""Change one line of the library at a time and see whether the unit tests notice: `make mutants`.

Each row of .ci/mutants.csv is a change that a tired person might make: a module, the text that stands there
once, what stands in its place, and the files of tests that should fail. A survivor shows a hole in
the tests; one whose text is not found, or found twice, is out of date, which fails too.
"""
import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT/'.ci'/'mutants.csv'
LIMIT = 240 # seconds, for a mutant that never ends

@dataclass(frozen=True)
class Mutant:
    "A change of one place"
    module: str
    before: str
    after: str
    tests: str

    def __str__(self): return f'{self.module}: {self.before!r} -> {self.after!r}'

    def apply(self, package):
        "Make the change in a copy of the package; what is wrong with the row, if it cannot be made"
        path = package/f'{self.module}.py'
        text = path.read_text(encoding='utf-8')
        found = text.count(self.before)
        if found != 1: return f'its text stands {found} times in {path.name}, not once'
        if self.before == self.after: return 'it changes nothing'
        path.write_text(text.replace(self.before, self.after), encoding='utf-8')
        return None

def table(path):
    "The mutants of a CSV"
    with open(path, newline='', encoding='utf-8') as file:
        return [Mutant(**row) for row in csv.DictReader(file)]

def copy_of_library(folder):
    "The package and its tests alone, so that nothing else is imported in their place"
    for name in ('irsde', 'tests'):
        left_out = shutil.ignore_patterns('__pycache__', 'weights', 'test_tools.py')
        shutil.copytree(ROOT/name, folder/name, ignore=left_out)
    (folder/'irsde'/'weights').symlink_to(ROOT/'irsde'/'weights')

def tests_pass(folder, tests):
    "Whether a file of tests passes in a copy; None where it does not come to an end"
    files = [f'tests/{name}' for name in tests.split()]
    command = [sys.executable, '-m', 'pytest', '-x', '-q', '-p', 'no:cacheprovider', *files]
    try: done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired: return None
    return done.returncode == 0

def fate(mutant):
    "killed, SURVIVED or STALE"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_of_library(folder)
        problem = mutant.apply(folder/'irsde')
        if problem: return f'STALE ({problem})'
        return 'SURVIVED' if tests_pass(folder, mutant.tests) else 'killed'

def healthy(mutants):
    "Files of tests that fail without any change, where no mutant could show a thing"
    with tempfile.TemporaryDirectory() as name:
        copy_of_library(Path(name))
        files = sorted({one for m in mutants for one in m.tests.split()})
        with ThreadPoolExecutor(2) as pool:
            passed = list(pool.map(lambda file: tests_pass(Path(name), file), files))
        return [file for file, ok in zip(files, passed) if not ok]

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('words', nargs='*', help='only mutants whose module or text holds one of these')
    parser.add_argument('--table', type=Path, default=TABLE)
    asked = parser.parse_args()
    mutants = [m for m in table(asked.table) if not asked.words or any(w in str(m) for w in asked.words)]
    if failing := healthy(mutants): sys.exit(f'these tests fail as it is: {", ".join(failing)}')
    bad = 0
    with ThreadPoolExecutor(2) as pool:
        for mutant, end in zip(mutants, pool.map(fate, mutants)):
            print(f'{end}: {mutant}', flush=True)
            bad += end != 'killed'
    print(f'{len(mutants)} mutants, {bad} not killed')
    sys.exit(bool(bad) or not mutants)

if __name__ == '__main__': main()
