"""Haze of ten densities for each scene of SOTS whose depth was solved from its pair, as the data set itself was made.

    python .ci/haze_pairs.py DATA OUT

DATA holds train/pairs/dehazing/gt and train/haze-depth (depth maps that have the scenes' names). Writes OUT/lq/1400_1.png and so on,
beta from 0.6 to 1.8 in white air, and OUT/gt/1400.png. The recipes of the dehazing weights call OUT $HAZE.
"""
import sys
from pathlib import Path

import torch

from irsde.data import read_image, write_image
from irsde.degrade import Haze, load_depths

if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    data, out = map(Path, sys.argv[1:])
    for path in sorted((data/'train/pairs/dehazing/gt').iterdir()):
        scene = path.stem.partition('_')[0]
        clean, depth = read_image(path), load_depths(data/'train/haze-depth', scene)
        if len(depth) != 1: sys.exit(f'{len(depth)} depth maps for scene {scene}: one was expected')
        (out/'lq').mkdir(parents=True, exist_ok=True), (out/'gt').mkdir(exist_ok=True)
        write_image(out/f'gt/{scene}.png', clean)
        for i, beta in enumerate(torch.linspace(0.6, 1.8, 10).tolist(), 1):
            write_image(out/f'lq/{scene}_{i}.png', Haze(beta=beta, airlight=1.0, depth=depth)(clean[None])[0])
