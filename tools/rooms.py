"""Score four ways of lifting haze on rooms that a training has not seen: dehazing's default in chapter 27.

    python tools/rooms.py DATA HAZE OUT

The weights that ship have seen all rooms of HAZE, so a network is trained for this alone: from the weights
for deraining, 2,200 steps (half an hour on one core), without every third room and its depth map. It then
restores these, in three densities each. Writes data/runs/tune-rooms.csv."""
import shutil
import subprocess
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import pandas as pd

from irsde.evaluate import FromPairs, evaluate
from irsde.restore import Restorer

ROOT = Path(__file__).parents[1]
ALL_DENSITIES, SCORED = range(1, 11), (2, 5, 8)
WAYS = ((1, 1), (2, 1), (1, 2), (2, 2)) # steps, copies
SOLVER = "exp-ode-2"
SCORES = ["input psnr", "psnr", "ssim", "lpips"]
HOW = """--task dehazing --init deraining --measured-share 0.8 --crop 256 --batch 2 --lr 0.001
         --times start --upright --iters 2200""".split() # of `irsde train`, beside its pictures


def held_out(scenes: list[str]) -> list[str]:
    "The rooms that the training does not see: every third"
    return sorted(scenes)[1::3]


def part(data: Path, haze: Path, out: Path) -> None:
    "Copy pairs to train on, pairs to score, and the depth maps to train on into folders of `out`"
    scenes = [path.stem for path in (haze/"gt").iterdir()]
    held = held_out(scenes)
    for name in ("train/lq", "train/gt", "test/lq", "test/gt", "depth"):
        (out/name).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        folder = out/("test" if scene in held else "train")
        shutil.copy(haze/f"gt/{scene}.png", folder/"gt")
        for number in SCORED if scene in held else ALL_DENSITIES:
            shutil.copy(haze/f"lq/{scene}_{number}.png", folder/"lq")
    for path in (data/"train/haze-depth").iterdir():
        if path.stem not in held: shutil.copy(path, out/"depth")


def train_command(data: Path, out: Path) -> list[str]:
    "What to run to train, or to go on with a run that was stopped"
    run = out/"run"
    begin = ["irsde", "train", "--out", str(run), "--cpu", "--precision", "bf16", "--compile"]
    if (run/"config.json").is_file(): return [*begin, "--resume"]
    pictures = ["--clean", f"{data}/train/clean/*", "--pairs", f"{out}/train/lq", f"{out}/train/gt"]
    return [*begin, *HOW, *pictures, "--measured", f"{out}/depth"]


def scored(restorer: Restorer, cases: FromPairs) -> pd.DataFrame:
    "A row for each way: the means over the pictures"
    def row(steps: int, ensemble: int) -> dict:
        means = evaluate(restorer, cases, solver=SOLVER, steps=steps, ensemble=ensemble).iloc[-1][SCORES]
        return {"n_images": len(cases), "solver": SOLVER, "steps": steps, "ensemble": ensemble,
                **means.astype(float).round(4)}
    return pd.DataFrame([row(*way) for way in WAYS])


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="holds train/clean and train/haze-depth")
    parser.add_argument("haze", type=Path, metavar="HAZE", help="what tools/haze_pairs.py makes of DATA")
    parser.add_argument("out", type=Path, metavar="OUT",
                        help="takes the pictures and the run, or has a run to go on with")
    args = parser.parse_args()
    part(args.data, args.haze, args.out)
    subprocess.run(train_command(args.data, args.out), check=True)
    restorer = Restorer.from_pretrained(args.out/"run/model.safetensors", "cpu")
    rows = scored(restorer, FromPairs("dehazing", args.out/"test/lq", args.out/"test/gt"))
    rows.to_csv(ROOT/"data/runs/tune-rooms.csv", index=False)
    print(rows.to_string(index=False))


if __name__ == "__main__": main()
