"""Restore a folder, kill it at a random moment, go on: fifty times, and no picture is torn or missing.

`irsde restore` runs as a user runs it, on small pictures of many formats. After each kill every file that
bears a result's name must be equal to that of an undisturbed run, to the bit; in the end all are there, and
nothing beside them. `make kill` runs it, in some minutes: most of the time PyTorch is being imported."""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ENDINGS = '.png', '.jpg', '.tif', '.webp', '.bmp', '.jpeg'
SIGNALS = [signal.SIGKILL] * 8 + [signal.SIGTERM, signal.SIGINT]
RECORD = '.irsde.jsonl' # of what made a folder's results
PATIENCE = 120 # seconds, for a start on a busy machine

def make_pictures(root, n):
    "Small pictures of many formats, some of them in a subfolder"
    rng = np.random.default_rng(0)
    for k in range(n):
        folder = root/['', '', 'sub', 'sub/deep'][k // len(ENDINGS) % 4]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*rng.integers(16, 100, 2), 3), np.uint8)
        if k % 5 == 4: pixels = pixels[..., 0]
        Image.fromarray(pixels).save(folder/f'{k:03}{ENDINGS[k % len(ENDINGS)]}')

def command(root, out, *words):
    "What is typed: two samples of each picture, so that each has a map too"
    return [Path(sys.executable).with_name('irsde'), 'restore', root, '--out', out, '--task', 'deraining',
            '--steps', '1', '--samples', '2', '--recursive', '--device', 'cpu', *words]

def held(out):
    "Name -> bytes of all that lies in a folder, the record apart"
    return {place.relative_to(out).as_posix(): place.read_bytes() for place in sorted(out.rglob('*'))
            if place.is_file() and place.name != RECORD}

def is_part(name):
    "Is it a file that was being written?"
    return Path(name).name.startswith('.')

def faults_of(out, wanted):
    "What is wrong with the results that are there: not equal to those of an undisturbed run"
    return [f'{name} is {"not whole" if name in wanted else "none of the results"}'
            for name, data in held(out).items() if not is_part(name) and data != wanted.get(name)]

def newest(out):
    "When the last result was put in its place"
    return max((place.stat().st_mtime_ns for place in out.rglob('[!.]*.*')), default=0) if out.exists() else 0

def disturbed(words, out, moment, how):
    """Start a command, and send a signal `moment` seconds after its first result; whether it came in time,
    and what was said on stderr"""
    before, start = newest(out), time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and newest(out) == before and time.monotonic() < start + PATIENCE:
        time.sleep(0.002)
    try: _, said = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        return True, process.communicate()[1]
    if process.returncode: sys.exit(f'irsde restore failed: {said[-2000:]}')
    return False, said

class Trial:
    "A folder that is restored again and again, and what was found"
    def __init__(self, folder, n, seed):
        self.root, self.out, self.draw = folder/'in', folder/'out', random.Random(seed)
        self.parts = set() # what earlier kills left
        make_pictures(self.root, n)
        done = subprocess.run(command(self.root, folder/'wanted'), capture_output=True, text=True)
        if done.returncode: sys.exit(f'irsde restore failed: {done.stderr[-2000:]}')
        self.wanted, self.counts, self.faults = held(folder/'wanted'), Counter(), []
        if len(self.wanted) != 2 * n: sys.exit(f'{n} pictures gave {len(self.wanted)} files, not two each')

    def kill(self):
        "One start, which a signal ends, if it comes in time"
        how = self.draw.choice(SIGNALS)
        words = ['--overwrite'] if self.counts['kills'] % 3 == 2 else []
        early, said = disturbed(command(self.root, self.out, *words), self.out, self.draw.uniform(0, 1), how)
        self.faults += faults_of(self.out, self.wanted)
        if not early: return self.finish('a run that no signal reached')
        self.counts.update({'kills': 1, how.name: 1})
        parts = {name for name in held(self.out) if is_part(name)}
        for name in parts: os.utime(self.out/name, (time.time() - 86400,) * 2) # somebody goes on the next day
        self.counts['in the middle of a file'] += bool(parts - self.parts)
        self.parts = parts
        if how == signal.SIGINT and 'Traceback' in said: self.faults.append(f'Ctrl-C said: {said[-500:]}')

    def finish(self, what):
        "After a whole run all results are there, and nothing else; the next one begins anew"
        self.counts['whole runs'] += 1
        there = held(self.out)
        missing = [name for name in self.wanted if name not in there]
        stray = [name for name in there if name not in self.wanted]
        if missing: self.faults.append(f'after {what}, {len(missing)} are missing: {missing[:3]}')
        if stray: self.faults.append(f'after {what}, {len(stray)} lie about: {stray[:3]}')
        shutil.rmtree(self.out)

    def end(self):
        "A run to the end"
        subprocess.run(command(self.root, self.out), capture_output=True, check=True)
        self.faults += faults_of(self.out, self.wanted)
        self.finish('the last run')

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--times', type=int, default=50)
    parser.add_argument('--pictures', type=int, default=48)
    parser.add_argument('--seed', type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name), asked.pictures, asked.seed)
        while trial.counts['kills'] < asked.times and not trial.faults: trial.kill()
        if not trial.faults: trial.end()
    print(*(f'{n:>4} {what}' for what, n in trial.counts.items()), sep='\n')
    print(*trial.faults or ['All results are whole, none is missing, nothing is left over.'], sep='\n')
    sys.exit(bool(trial.faults))

if __name__ == '__main__': main()
