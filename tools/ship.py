"""Make the weights that ship of a training run, and record its learning curve and recipe.

    python tools/ship.py RUN --data FOLDER [--name deraining]

Writes irsde/weights/NAME.safetensors (float16), data/runs/curve-NAME.csv and data/runs/recipe-NAME.json, and
of a run in a latent data/runs/autoencoder-NAME.csv. A run that began from the weights that ship (--init NAME,
or --init RUN/model.safetensors where RUN made them) follows theirs: what was recorded of them gets a number,
recipe-NAME-1.json and so on. Any other name than a task's, as deraining-cnn, is for comparison only: its
weights go to data/weights/, outside the package."""
import csv
import json
import os
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import torch

from irsde import checkpoint
from irsde.runs import FIRST, read_config
from irsde.tasks import TASKS

ROOT = Path(__file__).parents[1]
BEFORE = "RUN-BEFORE/model.safetensors" # what a recipe calls the weights that it began from, once others ship


def masked(value, names: dict):
    "The same values, with names in place of this machine's folders: {folder: '$DATA'}"
    if isinstance(value, str):
        for folder, name in names.items(): value = value.replace(str(folder), name)
        return value
    if isinstance(value, dict): return {key: masked(inner, names) for key, inner in value.items()}
    return [masked(inner, names) for inner in value] if isinstance(value, list) else value


def thinned(rows: list[dict], every: int = 50) -> list[dict]:
    "Rows of a log: validations, if there were any, and every so many steps"
    return [row for row in rows if row.get("val_psnr") or int(row["step"]) % every == 0]


def before(about: dict) -> dict:
    "What a run's file says of itself, as the weights that ship say it"
    recipe = about["recipe"]
    return about | {"recipe": recipe | {"init": BEFORE}} if recipe.get("init") else about


def shipped(name: str, root: Path = ROOT, apart: bool = False) -> Path:
    "Where the weights of this name are, or will be; `apart`: outside the package"
    return root/("irsde/weights" if name in TASKS and not apart else "data/weights")/f"{name}.safetensors"


def follows(init: str | None, name: str, names: dict, about: dict, root: Path = ROOT) -> bool:
    """Whether a run began from the weights that ship, or is the run that they were made of.

    `init` is what it began from: a task's name, or the file of the run that made the weights that ship;
    `about` is what its own file says, masked by `names`."""
    if init is None or init in TASKS: return init == name
    ours = root/f"irsde/weights/{name}.safetensors"
    if not ours.is_file(): return False
    began = masked(checkpoint.load(init)[2], names)
    told = checkpoint.load(ours)[2], before(began), before(about)
    recipe, *others = (each["recipe"] | {"stopped": None} for each in told)
    return recipe in others


def earlier(name: str, about: dict, root: Path = ROOT) -> list[dict]:
    """The recipes of the runs before this one, which began from the weights that ship now.

    The curve and the recipe recorded of those get a number, unless this very run ships already."""
    old = checkpoint.load(root/f"irsde/weights/{name}.safetensors")[2]
    if old["recipe"] == about["recipe"]: return old["before"]
    number = len(old.get("before", [])) + 1
    for kind, suffix in (("curve", "csv"), ("recipe", "json")):
        path = root/f"data/runs/{kind}-{name}.{suffix}"
        os.replace(path, path.with_stem(f"{path.stem}-{number}"))
    return [*old.get("before", []), old["recipe"]]


def mark_stopped(about: dict, config: dict, allowed: bool) -> None:
    "Write into both how many steps a run did that was stopped early; a ValueError unless that is allowed"
    done, planned = about.get("step"), config["settings"]["iterations"]
    if done == planned: return
    if not allowed: raise ValueError(f"{done} of {planned} steps are done: finish the run, or say --stopped")
    about["recipe"]["stopped"] = config["about"]["recipe"]["stopped"] = done


def as_record(about: dict, scale: int = 1) -> dict:
    """What a file says, with the task's own way to restore as its record has it by now.

    `scale` is the side of a pixel that the network sees, in pixels of the picture: above 1 in a latent."""
    task, recipe, told = TASKS[about["task"]], about["recipe"], {}
    if "solver" in about: told |= {key: getattr(task, key) for key in ("solver", "steps", "ensemble")}
    crop = recipe["crop"] or task.budget(recipe["budget"]).crop
    if "pool" in about: told["pool"] = task.pool * crop // scale
    return about | told


def chain(about: dict, config: dict, name: str) -> None:
    "Say in both that the run began from weights that will have been the ones before"
    about["recipe"]["init"] = config["about"]["recipe"]["init"] = BEFORE
    for made in config["made"]:
        made["command"] = made["command"].replace(f"--init {name} ", f"--init {BEFORE} ")


def keep_curve(log: Path, path: Path) -> None:
    "Write a thinner copy of a log"
    with open(log, newline="") as file: rows = list(csv.DictReader(file))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(thinned(rows))


def record(run: Path, config: dict, name: str, root: Path = ROOT) -> None:
    "Write the curve and the recipe of a run to data/runs, and its autoencoder's curve if it has one"
    keep_curve(run/"log.csv", root/f"data/runs/curve-{name}.csv")
    if (run/FIRST).is_dir(): keep_curve(run/FIRST/"log.csv", root/f"data/runs/{FIRST}-{name}.csv")
    for made in config["made"]: made["command"] = re.sub(r"^\S+", "irsde", made["command"])
    (root/f"data/runs/recipe-{name}.json").write_text(json.dumps(config, indent=1) + "\n")


def ship(run: Path, names: dict, name: str | None, stopped: bool, seen: list[str],
         apart: bool = False) -> Path:
    """The file of the weights that ship, made of a run.

    `names` says what to call this machine's folders; `seen` are pictures that this run held out and those
    before it did not. A ValueError if the run was not finished and `stopped` does not allow that."""
    model, sde, about = checkpoint.load(run/"model.safetensors")
    config = read_config(run)
    init = config["about"]["recipe"].get("init")
    own = {init: BEFORE} if init and init not in TASKS else {}
    name = name or about["task"]
    about, config = masked(about, names), masked(config, {**own, run: "RUN", **names})
    about["held_out"] = [picture for picture in about.get("held_out", []) if picture not in seen]
    mark_stopped(about, config, stopped)
    about = as_record(about, model.autoencoder.scale if hasattr(model, "autoencoder") else 1)
    if follows(init, name, names, about):
        chain(about, config, name)
        about["before"] = earlier(name, about)
    path = shipped(name, apart=apart)
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, model, sde, dtype=torch.float16, **about)
    record(run, config, name)
    return path


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN",
                        help="folder with config.json, log.csv and model.safetensors")
    parser.add_argument("--data", required=True, metavar="FOLDER",
                        help="what the recipe's paths begin with, $DATA")
    parser.add_argument("--name", help="the task's if left out")
    parser.add_argument("--also", nargs=2, action="append", default=[], metavar=("FOLDER", "NAME"),
                        help="another folder, and what to call it")
    parser.add_argument("--stopped", action="store_true",
                        help="the run was stopped before its last step, and is to be shipped as it is")
    parser.add_argument("--seen", action="append", default=[], metavar="PICTURE",
                        help="held out by this run, but not by the runs before it")
    parser.add_argument("--apart", action="store_true",
                        help="for the book only: to data/weights/, whatever the name")
    args = parser.parse_args()
    names = {args.data: "$DATA", **dict(args.also)}
    try: path = ship(args.run, names, args.name, args.stopped, args.seen, args.apart)
    except (OSError, ValueError) as error: parser.error(str(error))
    print(path, path.stat().st_size)


if __name__ == "__main__": main()
