"""Every chapter runs from top to bottom at the smoke budget, each in its own process.

    python .ci/check_chapters.py [--keep] [--no-skips [--may-skip TEXT]] [CHAPTER ...]

The longest come first, so that none is left running alone at the end. Says how long each took, and what a
chapter left out for want of weights or data: a line of its output that begins with SKIPPED. --keep writes
the seconds to data/runs/chapters.csv; with --no-skips, a chapter that left something out fails, unless the
line has the TEXT of --may-skip in it."""
import math
import os
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT/'data'/'runs'/'chapters.csv'
WORKERS = 2
SKIPPED = re.compile(r"^\W*(SKIPPED\b.*?)\W*$", re.MULTILINE)

# nbdev_test, but that what cells print and display is shown
TEST = '''
import re, sys
from execnb.shell import CaptureShell
from nbdev.test import nbdev_test
run_all = CaptureShell.run_all
def show(cell):
    for out in getattr(cell, "outputs", None) or []:
        kinds = [kind for kind in out.get("data", {}) if kind.startswith("text/")]
        texts = [out.get("text", ""), *(out["data"][kind] for kind in kinds)]
        for text in texts: print(re.sub("<[^>]*>", "\\n", "".join(text))) # a line for each cell of a table
CaptureShell.run_all = lambda self, nb, **how: run_all(self, nb, postproc=show, **how)
nbdev_test.__wrapped__(path=sys.argv[1]) # as it is on the command line, whose own parsing needs a script
'''

def skips(output):
    "What the output of a chapter says was left out"
    return SKIPPED.findall(output)

def run(nb, no_skips=False, may_skip=()):
    "Test one notebook: whether it passed, and the seconds it took"
    env = dict(os.environ, IRSDE_BUDGET='smoke', OMP_NUM_THREADS='1', MPLBACKEND='agg')
    start = time.perf_counter()
    command = [sys.executable, '-c', TEST, nb]
    res = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)
    seconds = time.perf_counter() - start
    ran, skipped = res.returncode == 0 and 'Success.' in res.stdout, list(dict.fromkeys(skips(res.stdout)))
    wrong = [skip for skip in skipped if no_skips and not any(text in skip for text in may_skip)]
    ok = ran and not wrong
    lines = [f"{'PASS' if ok else 'FAIL'}: {nb.name} ({seconds:.0f} s)", *(f'  {skip}' for skip in skipped)]
    print(*lines, *([] if ran else [res.stdout, res.stderr]), sep='\n', flush=True)
    return ok, seconds

def longest_first(nbs, took):
    "Chapters by the seconds they took, and those of which it is not known before them"
    return sorted(nbs, key=lambda nb: (-took.get(nb.stem, math.inf), nb.name))

def main(names, **skipping):
    "Whether all passed, and the seconds that each took"
    nbs = [ROOT/'nbs'/name for name in names] or longest_first((ROOT/'nbs').glob('[!_.]*.ipynb'), kept())
    with ThreadPoolExecutor(WORKERS) as pool: results = list(pool.map(partial(run, **skipping), nbs))
    took = {nb.stem: round(seconds) for nb, (_, seconds) in zip(nbs, results)}
    print('\nSeconds per chapter')
    for name in sorted(took, key=lambda name: -took[name]): print(f'{took[name]:6}  {name}.ipynb')
    return all(ok for ok, _ in results), took

def kept(path=KEPT):
    "The seconds that chapters took, as they are kept"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return {name: int(seconds) for name, seconds in (line.split(',') for line in lines)}

def write(seconds, path=KEPT):
    "Write the seconds of these chapters, beside those of others that stand there"
    rows = kept(path) | seconds
    text = ''.join(f'{name},{rows[name]}\n' for name in sorted(rows))
    path.write_text(f'chapter,seconds\n{text}')

if __name__ == '__main__':
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('chapters', nargs='*', metavar='CHAPTER',
                        help='as 23_metrics.ipynb; all if none is given')
    parser.add_argument('--keep', action='store_true', help='write the seconds to data/runs/chapters.csv')
    parser.add_argument('--no-skips', action='store_true', help='fail where something was left out')
    parser.add_argument('--may-skip', action='append', default=[], metavar='TEXT', help='but for such a line')
    args = parser.parse_args()
    names = [Path(name).name for name in args.chapters]
    ok, seconds = main(names, no_skips=args.no_skips, may_skip=args.may_skip)
    if args.keep: write(seconds)
    sys.exit(not ok)
