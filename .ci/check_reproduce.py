"""The budget paper from the command to a row of scores, for every task, a hundred thousand times shorter.

The pictures are samples in the layout of the papers' sets, the networks the papers' kinds at their smallest.
Usage: check_reproduce.py [--shrink N] [TASK...]"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from irsde.sources import WHOLE, make_samples
from irsde.tasks import IRSDE_TASKS

TASKS = [task for task in WHOLE if task != 'deraining-light']
NETWORKS = dict.fromkeys(IRSDE_TASKS, 'unet') | { # A latent's rows name the whole of it
    'shadow-removal': 'nafnet', 'stereo-super-resolution': 'stereonafnet',
    'nonhomogeneous-dehazing': 'latentmodel', 'bokeh': 'latentmodel'}

def made(task, folder, shrink):
    "What the command says and leaves; a text that says what is wrong, or none"
    data, out = make_samples(folder/'data', 'paper', size=64, tasks=[task]), folder/'out'
    words = ['reproduce', task, '--budget', 'paper', '--shrink', shrink, '--data', data, '--out', out]
    words += ['--cpu', '--set', 'batch=2', '--set', 'crop=32', '--arms', 'published']
    command = [Path(sys.executable).parent/'irsde', *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: return f'exit {done.returncode}: {done.stderr.strip()[-400:]}'
    rows = pd.read_csv(out/'scores.csv')
    lines, rows = len(rows), rows[rows['method'] != 'input']
    if rows['psnr'].isna().any() or not rows['budget'].str.startswith('paper').all():
        return f'odd rows: {rows}'
    if {*rows['prediction']} != {'noise'} or {*rows['loss']} != {'likelihood'}:
        return 'not the published method'
    if not rows['network'].str.startswith(NETWORKS[task]).all():
        return f'not a {NETWORKS[task]}: {rows["network"].iloc[0]}'
    if len(done.stdout.strip().splitlines()) < lines + 1: return f'not a table: {done.stdout}'
    return ''

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tasks', nargs='*', default=TASKS)
    parser.add_argument('--shrink', type=int, default=100_000)
    asked, faults = parser.parse_args(), {}
    for task in asked.tasks:
        with tempfile.TemporaryDirectory() as folder: faults[task] = made(task, Path(folder), asked.shrink)
    for task, fault in faults.items(): print(f'{task}: {fault or "from the command to its rows"}')
    sys.exit(any(faults.values()))

if __name__ == '__main__': main()
