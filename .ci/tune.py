"""Score solvers, numbers of calls and ensembles on pictures that training held back, for the defaults in chapter 12: data/runs/tune.csv.

    python .ci/tune.py --data FOLDER [TASK ...]

FOLDER holds train/, with what the recipes call $DATA/train. Four pictures a task at most, squares of 256, from `about["held_out"]`
of the weights that ship: never the test pictures. Rows of the tasks named are made anew.
"""
import argparse
from pathlib import Path

import pandas as pd

from irsde.evaluate import FromClean, evaluate, held_back
from irsde.restore import Restorer
from irsde.tasks import TASKS

ROOT = Path(__file__).parents[1]
KEPT = ROOT/'data'/'runs'/'tune.csv'
WAYS = [*(('exp-ode-2', n, 1) for n in (1, 2, 3, 5)), *(('posterior', n, 1) for n in (3, 5, 10)),
        *(('exp-ode-2', n, 2) for n in (1, 2)), ('posterior', 3, 2)] # solver, steps, copies: the last three ask about the mirror image too
MEASURED = {'deraining': 'rain-streaks', 'deblurring': 'blur-kernels.npz', 'inpainting': 'masks/thin', 'dehazing': 'haze-depth'}

def tune(task, train):
    "Rows of one task"
    restorer = Restorer.from_pretrained(task, 'cpu')
    clean = held_back(restorer, train/'clean')
    cases = FromClean(task, clean, seed=1, measured=train/MEASURED[task] if task in MEASURED else None)
    rows = [{'task': task, 'n_images': len(clean), 'solver': solver, 'steps': steps, 'ensemble': ensemble,
             **evaluate(restorer, cases, solver=solver, steps=steps, ensemble=ensemble).iloc[-1][['input psnr', 'psnr', 'ssim', 'lpips']].astype(float).round(4)}
            for solver, steps, ensemble in WAYS]
    return pd.DataFrame(rows)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', required=True, type=Path)
    parser.add_argument('tasks', nargs='*', default=[*TASKS])
    args = parser.parse_args()
    known = pd.read_csv(KEPT) if KEPT.exists() else pd.DataFrame(columns=['task'])
    for task in args.tasks:
        made = tune(task, args.data/'train')
        known = pd.concat([known[known['task'] != task], made])
        known.to_csv(KEPT, index=False)
        print(made.to_string(index=False))
