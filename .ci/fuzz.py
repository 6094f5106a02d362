"""Random cases, thousands of them: other people's pictures, masks, folders, checkpoints, tables and names.

A case is a function of its kind and its number alone. One that fails is a line with the command that makes
it again (`python .ci/fuzz.py pictures --only 17`), and its files are kept in out/fuzz/. The cases run in a
process of their own: a crash or a hang of a decoder is the failure of one case. `make fuzz` runs them all.
"""
import argparse
import importlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT/'out'/'fuzz'
CASES = dict(pictures=6000, masks=4000, folders=400, checkpoints=2000, tables=1500, names=5000) # of each kind
LIMIT = 60 # seconds without a word, for a case that never ends; a start takes some of them

@dataclass
class Tally:
    "What became of the cases of a kind"
    kind: str
    ends: Counter = field(default_factory=Counter)
    seconds: float = 0.0

    def row(self):
        "A line of the summary"
        counts = [self.ends.total(), *(self.ends[end] for end in ('right', 'refused', 'failed'))]
        return f'{self.kind:<12}' + ''.join(f'{n:>9}' for n in counts) + f'{self.seconds:>9.0f}'

# ---- one case

def case_of(kind):
    "The function (random numbers, empty folder) -> 'right' or 'refused' of a kind; it raises what is wrong"
    return importlib.import_module(f'fuzz_{kind}').case

def where(error):
    "What went wrong, and the last line of the library that it went through"
    from fuzz_tools import Wrong
    text = ' '.join(str(error).split())
    if isinstance(error, Wrong): return text[:600]
    frames = traceback.extract_tb(error.__traceback__)
    last = ([frame for frame in frames if f'{os.sep}irsde{os.sep}' in frame.filename] or frames)[-1]
    return f'{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {text}'[:600]

def outcome(kind, seed, kept=KEPT):
    "How a case ends, and what is wrong; its files are in `kept` then"
    from fuzz_tools import random_for
    folder = Path(kept)/f'{kind}-{seed}'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            end, text = case_of(kind)(random_for(kind, seed), folder), ''
    except Exception as error: return 'failed', where(error)
    shutil.rmtree(folder)
    return end, text

# ---- many

def work(kind, seeds):
    "Run cases, and write a line of JSON about each on what was stdout"
    lines = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1) # what a decoder says is no line of ours
    case_of(kind)
    for seed in seeds:
        start = time.perf_counter()
        said = [seed, *outcome(kind, seed), time.perf_counter() - start]
        print(json.dumps(said), file=lines, flush=True)

class Worker:
    "A process that works through the cases of a kind from a number on"
    def __init__(self, kind, first, last):
        words = [sys.executable, __file__, kind, '--work', str(first), str(last)]
        self.errors = tempfile.TemporaryFile('w+')
        pipes = dict(stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.process = subprocess.Popen(words, cwd=ROOT, **pipes)

    def line(self):
        "What became of the next case; None and why, if nobody says"
        if not select.select([self.process.stdout], [], [], LIMIT)[0]:
            self.process.kill()
            return None, f'it did not end in {LIMIT} s'
        if line := self.process.stdout.readline(): return json.loads(line), ''
        code = self.process.wait()
        self.errors.seek(0)
        said = ' '.join(self.errors.read()[-300:].split())
        return None, f'its process died with {code}: {said}'

    def stop(self):
        "End it"
        self.process.kill()
        self.process.wait()

def run_kind(kind, first, n, until):
    "Run cases of a kind, say which fail, and count"
    tally, seed, last, start = Tally(kind), first, first + n, time.perf_counter()
    worker = Worker(kind, seed, last)
    while seed < last and time.monotonic() < until:
        said, why = worker.line()
        _, end, text, _ = said or (seed, 'failed', why, 0)
        tally.ends[end] += 1
        again = f'python .ci/fuzz.py {kind} --only {seed}'
        if text: print(f'FAILED  {again}\n        {text}', flush=True)
        seed += 1
        if said is None and seed < last: worker = Worker(kind, seed, last)
        if said is None and tally.ends.total() == tally.ends['failed'] > 3: break # nothing works at all
    worker.stop()
    tally.seconds = time.perf_counter() - start
    return tally

def options():
    "What was asked for"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kinds', nargs='*', help=f'some of {", ".join(CASES)}; all if left out')
    parser.add_argument('--n', type=int, help='cases of each kind')
    parser.add_argument('--seed', type=int, default=0, help='number of the first case')
    parser.add_argument('--minutes', type=float, help='stop after these, shared among the kinds')
    parser.add_argument('--only', type=int, help='make this one case again')
    parser.add_argument('--work', type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.kinds = asked.kinds or [*CASES]
    if unknown := [kind for kind in asked.kinds if kind not in CASES]:
        parser.error(f'no kind is called {", ".join(unknown)}: there are {", ".join(CASES)}')
    return asked

def main():
    asked, tallies = options(), []
    if asked.work: return work(asked.kinds[0], range(*asked.work))
    if asked.only is not None:
        end, text = outcome(asked.kinds[0], asked.only)
        print(end, text, f'(its files: {KEPT}/{asked.kinds[0]}-{asked.only})' if text else '')
        sys.exit(bool(text))
    for kind in asked.kinds:
        share = asked.minutes * 60 / len(asked.kinds) if asked.minutes else float('inf')
        until = time.monotonic() + share
        n = asked.n or (10**9 if asked.minutes else CASES[kind])
        tallies.append(run_kind(kind, asked.seed, n, until))
    names = 'cases', 'right', 'refused', 'failed', 'seconds'
    head = f'{"":<12}' + ''.join(f'{name:>9}' for name in names)
    print(head, *(tally.row() for tally in tallies), sep='\n')
    sys.exit(any(tally.ends['failed'] for tally in tallies))

if __name__ == '__main__': main()
