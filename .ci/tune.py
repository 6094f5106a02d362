"""Score solvers, numbers of calls and ensembles on pictures that training held back, for the defaults in chapter 12: data/runs/tune.csv.

    python .ci/tune.py --data FOLDER [--pools] [TASK ...]

--pools asks instead how far a NAFNet's channel attention should see, in sides of the training squares, 0 being the whole picture, with
each task's own setting on degradations as in training and squares of 320, the shorter side of most photographs: data/runs/tune-pool.csv.
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
KEPT, POOLS = ROOT/'data'/'runs'/'tune.csv', ROOT/'data'/'runs'/'tune-pool.csv'
SHARES = (0.5, 1, 2, 0)
WAYS = [*(('exp-ode-2', n, 1) for n in (1, 2, 3, 5)), *(('posterior', n, 1) for n in (3, 5, 10)),
        *(('exp-ode-2', n, 2) for n in (1, 2)), ('posterior', 3, 2)] # solver, steps, copies: the last three ask about the mirror image too
MEASURED = {'deraining': 'rain-streaks', 'deblurring': 'blur-kernels.npz', 'inpainting': 'masks/thin', 'dehazing': 'haze-depth'}

def score(restorer, cases, **how):
    "Means of the scores"
    return evaluate(restorer, cases, **how).iloc[-1][['input psnr', 'psnr', 'ssim', 'lpips']].astype(float).round(4)

def tune(task, train):
    "Rows of one task: solvers, calls and copies"
    restorer = Restorer.from_pretrained(task, 'cpu')
    clean = held_back(restorer, train/'clean')
    cases = FromClean(task, clean, seed=1, measured=train/MEASURED[task] if task in MEASURED else None)
    return pd.DataFrame({'task': task, 'n_images': len(clean), 'solver': solver, 'steps': steps, 'ensemble': ensemble,
                         **score(restorer, cases, solver=solver, steps=steps, ensemble=ensemble)} for solver, steps, ensemble in WAYS)

def pools(task, train):
    "Rows of one task: windows of the channel attention"
    restorer = Restorer.from_pretrained(task, 'cpu')
    crop = restorer.about['recipe']['crop'] or TASKS[task].budget('quick').crop
    cases = FromClean(task, held_back(restorer, train/'clean', 320), seed=1)
    return pd.DataFrame({'task': task, 'n_images': len(cases), 'crop': crop, 'pool': share,
                         **score(Restorer.from_pretrained(task, 'cpu', pool=int(share * crop)), cases)} for share in SHARES)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', required=True, type=Path)
    parser.add_argument('--pools', action='store_true', help='windows of the channel attention instead')
    parser.add_argument('tasks', nargs='*', default=[*TASKS])
    args = parser.parse_args()
    kept, rows_of = (POOLS, pools) if args.pools else (KEPT, tune)
    known = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=['task'])
    for task in args.tasks:
        made = rows_of(task, args.data/'train')
        known = pd.concat([known[known['task'] != task], made])
        known.to_csv(kept, index=False)
        print(made.to_string(index=False))
