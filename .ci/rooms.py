"""Score four ways of lifting haze on rooms that a training has not seen, for dehazing's default in chapter 12: data/runs/tune-rooms.csv.

    python .ci/rooms.py DATA HAZE OUT

HAZE is what .ci/haze_pairs.py makes of DATA. The weights that ship have seen all of its rooms, so a network is trained for this alone: from
the weights for deraining, 2,200 steps (half an hour on one core), without every third room and its depth map. It then restores these, in
three densities each. OUT takes the pictures and the run, and goes on where a run there was stopped.
"""
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from irsde.evaluate import FromPairs, evaluate
from irsde.restore import Restorer

ROOT = Path(__file__).parents[1]
DENSITIES = (2, 5, 8) # Of ten

def parted(data, haze, out):
    "Pairs to train on and to score, and the depth maps to train on, as folders of `out`"
    scenes = sorted(o.stem for o in (haze/'gt').iterdir())
    held = scenes[1::3]
    for name in ('train/lq', 'train/gt', 'test/lq', 'test/gt', 'depth'): (out/name).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        part = out/('test' if scene in held else 'train')
        shutil.copy(haze/f'gt/{scene}.png', part/'gt')
        for i in DENSITIES if scene in held else range(1, 11): shutil.copy(haze/f'lq/{scene}_{i}.png', part/'lq')
    for path in (data/'train/haze-depth').iterdir():
        if path.stem not in held: shutil.copy(path, out/'depth')

def train(data, out):
    "The network's file"
    run = out/'run'
    how = ['--resume'] if (run/'config.json').is_file() else [
        '--task', 'dehazing', '--init', 'deraining', '--clean', f'{data}/train/clean/*', '--pairs', out/'train/lq', out/'train/gt', '--measured', out/'depth',
        '--measured-share', '0.8', '--crop', '256', '--batch', '2', '--lr', '0.001', '--times', 'start', '--upright', '--iters', '2200']
    subprocess.run(['irsde', 'train', '--out', run, '--cpu', '--precision', 'bf16', '--compile', *how], check=True)
    return run/'model.safetensors'

if __name__ == '__main__':
    if len(sys.argv) != 4: sys.exit(__doc__)
    data, haze, out = map(Path, sys.argv[1:])
    parted(data, haze, out)
    restorer, cases = Restorer.from_pretrained(train(data, out), 'cpu'), FromPairs('dehazing', out/'test/lq', out/'test/gt')
    rows = [{'n_images': len(cases), 'solver': 'exp-ode-2', 'steps': steps, 'ensemble': ensemble,
             **evaluate(restorer, cases, solver='exp-ode-2', steps=steps, ensemble=ensemble).iloc[-1][['input psnr', 'psnr', 'ssim', 'lpips']].astype(float).round(4)}
            for steps, ensemble in ((1, 1), (2, 1), (1, 2), (2, 2))]
    pd.DataFrame(rows).to_csv(ROOT/'data/runs/tune-rooms.csv', index=False)
    print(pd.DataFrame(rows).to_string(index=False))
