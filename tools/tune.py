"""Score solvers, numbers of calls and ensembles on pictures that training held back, for the defaults in
chapter 27.

    python tools/tune.py --data FOLDER [--pools] [TASK ...]

Four pictures a task at most, squares of 256, from `about["held_out"]` of the weights that ship: never the
test pictures. Writes data/runs/tune.csv; rows of the tasks named are made anew. --pools asks instead how
far a NAFNet's channel attention should see, in sides of the training squares, 0 being the whole picture,
with each task's own setting on degradations as in training and squares of 320, the shorter side of most
photographs: data/runs/tune-pool.csv."""
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import pandas as pd

from irsde.evaluate import FromClean, evaluate, held_back
from irsde.restore import Restorer
from irsde.tasks import TASKS

ROOT = Path(__file__).parents[1]
KEPT, POOLS = ROOT/"data/runs/tune.csv", ROOT/"data/runs/tune-pool.csv"
SHARES = (0.5, 1, 2, 0) # of a training square's side; 0: the whole picture
WAYS = [ # solver, steps, copies
    ("exp-ode-2", 1, 1), ("exp-ode-2", 2, 1), ("exp-ode-2", 3, 1), ("exp-ode-2", 5, 1),
    ("posterior", 3, 1), ("posterior", 5, 1), ("posterior", 10, 1),
    ("exp-ode-2", 1, 2), ("exp-ode-2", 2, 2), ("posterior", 3, 2)] # these ask about the mirror image too
MEASURED = {"deraining": "rain-streaks", "deblurring": "blur-kernels.npz", "inpainting": "masks/thin",
            "dehazing": "haze-depth"} # in FOLDER/train
SCORES = ["input psnr", "psnr", "ssim", "lpips"]


def score(restorer: Restorer, cases: FromClean, **how) -> pd.Series:
    "Means of the scores"
    return evaluate(restorer, cases, **how).iloc[-1][SCORES].astype(float).round(4)


def tuned(task: str, train: Path) -> pd.DataFrame:
    "Rows of one task: solvers, calls and copies"
    restorer = Restorer.from_pretrained(task, "cpu")
    clean = held_back(restorer, train/"clean")
    cases = FromClean(task, clean, seed=1, measured=train/MEASURED[task] if task in MEASURED else None)
    hows = [{"solver": solver, "steps": steps, "ensemble": ensemble} for solver, steps, ensemble in WAYS]
    about = {"task": task, "n_images": len(clean)}
    return pd.DataFrame(about | how | dict(score(restorer, cases, **how)) for how in hows)


def pooled(task: str, train: Path) -> pd.DataFrame:
    "Rows of one task: windows of the channel attention"
    restorer = Restorer.from_pretrained(task, "cpu")
    crop = restorer.about["recipe"]["crop"] or TASKS[task].budget("quick").crop
    cases = FromClean(task, held_back(restorer, train/"clean", 320), seed=1)
    def row(share: float) -> dict:
        means = score(Restorer.from_pretrained(task, "cpu", pool=int(share * crop)), cases)
        return {"task": task, "n_images": len(cases), "crop": crop, "pool": share, **means}
    return pd.DataFrame(map(row, SHARES))


def with_rows(known: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    "The table with the rows of the tasks in `made` replaced; they come last"
    others = known[~known["task"].isin(made["task"])]
    return pd.concat([others, made]) if len(others) else made


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER",
                        help="holds train/, with what the recipes call $DATA/train")
    parser.add_argument("--pools", action="store_true", help="windows of the channel attention instead")
    parser.add_argument("tasks", nargs="*", default=[*TASKS], metavar="TASK", help="all if none is named")
    args = parser.parse_args()
    for task in args.tasks:
        if task not in TASKS: parser.error(f"unknown task {task!r}: known are {', '.join(TASKS)}")
    kept, rows_of = (POOLS, pooled) if args.pools else (KEPT, tuned)
    known = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=["task"])
    for task in args.tasks:
        made = rows_of(task, args.data/"train")
        known = with_rows(known, made)
        known.to_csv(kept, index=False)
        print(made.to_string(index=False))


if __name__ == "__main__": main()
