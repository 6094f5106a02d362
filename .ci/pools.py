"""Score how far a NAFNet's channel attention should see, on pictures that training held back: data/runs/tune-pool.csv.

    python .ci/pools.py --data FOLDER [TASK ...]

FOLDER holds train/, with what the recipes call $DATA/train. Four pictures a task at most, their middles, degraded as in training,
each task with its weights' own setting. A window is given in sides of the training squares; 0 is the whole picture. Rows of the tasks named are made anew.
"""
import argparse
from pathlib import Path

import pandas as pd

from irsde.evaluate import FromClean, evaluate, held_back
from irsde.restore import Restorer
from irsde.tasks import TASKS

ROOT = Path(__file__).parents[1]
KEPT = ROOT/'data'/'runs'/'tune-pool.csv'
SIDE = 320 # the shorter side of most photographs there
SHARES = (0.5, 1, 2, 0)

def pools(task, train):
    "Rows of one task"
    rows = []
    for share in SHARES:
        crop = Restorer.from_pretrained(task, 'cpu').about['recipe']['crop'] or TASKS[task].budget('quick').crop
        restorer = Restorer.from_pretrained(task, 'cpu', pool=int(share * crop))
        cases = FromClean(task, held_back(restorer, train/'clean', SIDE), seed=1)
        rows.append({'task': task, 'n_images': len(cases), 'crop': crop, 'pool': share,
                     **evaluate(restorer, cases).iloc[-1][['input psnr', 'psnr', 'ssim', 'lpips']].astype(float).round(4)})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', required=True, type=Path)
    parser.add_argument('tasks', nargs='*', default=[*TASKS])
    args = parser.parse_args()
    known = pd.read_csv(KEPT) if KEPT.exists() else pd.DataFrame(columns=['task'])
    for task in args.tasks:
        known = pd.concat([known[known['task'] != task], pools(task, args.data/'train')])
        known.to_csv(KEPT, index=False)
