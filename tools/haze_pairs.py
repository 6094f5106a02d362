"""Haze of ten densities for each scene of SOTS whose depth was solved from its pair, as the data set itself
was made.

    python tools/haze_pairs.py DATA OUT

Writes OUT/lq/1400_1.png and so on, beta from 0.6 to 1.8 in white air, and OUT/gt/1400.png. The recipes of
the dehazing weights call OUT $HAZE."""
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from irsde.degrade import Haze, load_depths
from irsde.images import make_folder, read_image, write_image

DENSITIES = torch.linspace(0.6, 1.8, 10).tolist() # beta: optical thickness of the scene's deepest point


def hazy(clean: Tensor, depth: Tensor) -> Iterator[Tensor]:
    "One scene (c, h, w) under each density; `depth` is (1, h, w)"
    for beta in DENSITIES:
        yield Haze(beta=beta, airlight=1.0, depth=depth)(clean[None])[0]


def write_scene(path: Path, depths: Path, out: Path) -> None:
    "The pairs of one clean picture, named as its scene: 1400_1.png is scene 1400"
    scene = path.stem.partition("_")[0]
    clean, depth = read_image(path), load_depths(depths, scene)
    if len(depth) != 1:
        raise SystemExit(f"{len(depth)} depth maps for scene {scene} in {depths}: one was expected")
    write_image(out/f"gt/{scene}.png", clean)
    for number, picture in enumerate(hazy(clean, depth), 1):
        write_image(out/f"lq/{scene}_{number}.png", picture)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA",
                        help="holds train/pairs/dehazing/gt, and train/haze-depth with a map a scene")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the pairs, gt/ and lq/; it is made")
    args = parser.parse_args()
    for name in ("gt", "lq"): make_folder(args.out/name)
    for path in sorted((args.data/"train/pairs/dehazing/gt").iterdir()):
        write_scene(path, args.data/"train/haze-depth", args.out)


if __name__ == "__main__": main()
