"""Write irsde/weights/README.md, the model card, from the weights themselves and from data/runs.

    python tools/make_card.py [--check]
"""
import json
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from irsde.checkpoint import describe, load
from irsde.plots import curves_of
from irsde.recipes import train_commands
from irsde.results import usual
from irsde.tasks import TASKS

ROOT = Path(__file__).parents[1]
WEIGHTS, RUNS = ROOT/"irsde"/"weights", ROOT/"data"/"runs"

INTRO = """<!-- Made by tools/make_card.py from the files beside it and data/runs/scores.csv: edit that. -->
# The weights that ship

One small network for each task, {count} files, {size:.1f} MB together, float16.
`Restorer.from_pretrained("deraining")` and `irsde restore --task deraining` load them; `irsde info FILE`
says what a file is. They are meant to show the method at work on a laptop and to be trained on from
(`irsde train --init deraining ...`), not to set records.

**Terms.** The code is Apache 2.0. The weights were trained on pictures that were released for research (see
below); most of these sets are non-commercial, and for some no licence is stated. Use the weights for
research and teaching only, and ask the sets' owners for anything else. No training picture is in this
repository.
"""

NUMBERS = """## Numbers

PSNR in dB / SSIM / LPIPS (AlexNet), mean over n pictures; the sets are subsets, their numbers are not the
full sets'. Every row stands in `data/runs/scores.csv`, with the others.

| task | pictures | n | input | restored | solver, calls | protocol |
|---|---|---|---|---|---|---|"""

MADE = """
## How each was made

Configuration, library version and machine of each run are in `data/runs/recipe-TASK.json`, its learning
curve in `data/runs/curve-TASK.csv`. `$DATA` is a folder of research pictures that cannot be passed on here:
321 of BSDS500, centre crops of the 100 validation pictures of DIV2K, 56 faces of CelebA-HQ (together 477
clean pictures, none of which is in a test set), 100 measured rain layers, 87 blur kernels, 30 depth maps
solved from SOTS pairs, 540 masks, and pairs of REDS (40) and SOTS (15). Any folder of clean pictures will
do in its place; the numbers will differ a little.
"""

LIMITS = """
## Limits

- Trained for half an hour to seven and a half hours each on one CPU core, at {steps} steps, against 700,000
  on GPUs in the papers. Expect the papers' ranking of methods, not their decibels.
- Inpainting and deblurring are the least successful of the six. Under thin strokes the first is no better
  than the smooth filling that it starts from, under large holes in faces a little ahead of it (PSNR / LPIPS
  of that alone: {filling}), on photographs of other things no better. The second gains one to two decibels on
  camera shakes of 3 to 45 pixels (chapter 36) and nothing on longer ones.
- The SDE has shown no lead over a plain network of the same size, trained by regression for as many steps
  (method CNN-baseline in `data/runs/scores.csv`; chapters 35 and 50): at this budget it buys a choice
  between PSNR and LPIPS, and samples.
- The test pictures are few and show fewer scenes: nine on both sets of rain, which are the same, three
  places of deblurring, three houses of dehazing.
- Deraining: streaks as in Rain100H and Rain100L. Not drops on a lens, not the veil of far rain, not snow.
- Deblurring: camera shake and short motion. A scene whose things move in several directions is hardly
  helped.
- Denoising: Gaussian noise, equally strong everywhere, up to a standard deviation of 75/255. Not JPEG's
  artefacts, not a camera's raw noise after its processing.
- Super-resolution: 4 times, of pictures shrunk by bicubic interpolation without further blur, noise or
  compression.
- Inpainting: large holes are harder than thin ones: little is known of their middle. Faces make a third of
  its training pictures: it may put a likeness of one where there was another. Do not use it to identify
  anybody.
- Dehazing: trained on indoor depths and white airlight; `$HAZE` above is the folder that
  `python tools/haze_pairs.py $DATA $HAZE` makes, rooms under ten densities of haze. Outdoor haze, coloured
  light and night are outside of what it has seen. Of several trainings this one was chosen with the ten
  test pictures in sight, so its number on them is a little flattered.
- Shadow removal: trained on made shadows only. On real pairs PSNR rises while SSIM and LPIPS get worse: a
  shadow that is lifted in part keeps its outline and gets blotches (chapter 41).
- Nonhomogeneous dehazing: works in a latent, trained on made haze only. What thick haze has hidden is
  guessed, smoothly; eight real pairs, six of them of 256 pixels, are all that it was scored on (chapter 42).
- What is restored is a guess that looks right. It is no evidence of what was there; `--samples` shows where
  the guesses differ."""


def three(row) -> str:
    "PSNR, SSIM and LPIPS of a row of scores"
    return f"{row.psnr:.2f} / {row.ssim:.3f} / {row.lpips:.3f}"


def rows_of(scores: pd.DataFrame, task: str, about: dict) -> Iterator[str]:
    "Rows of the table: each test set, its input and what the weights' own setting makes of it"
    copies = about.get("ensemble", 1)
    mine = scores[scores["task"] == task]
    for name, rows in mine.groupby("test_set", sort=False):
        ours = usual(rows, about["solver"], about["steps"], copies)
        if ours.empty: continue
        given, best = rows[rows["method"] == "input"].iloc[-1], ours.iloc[-1]
        calls = f"{best.solver}, {best.steps:.0f}" + (f" × {copies} copies" if copies > 1 else "")
        cells = task, name, f"{best.n_images:.0f}", three(given), three(best), calls, best.protocol
        yield f"| {' | '.join(cells)} |"


def first_of(curve: Path) -> str:
    "The beginning of a sentence, of the autoencoder that was trained before; nothing where there is none"
    path = curve.with_name(curve.name.replace("curve", "autoencoder", 1))
    if not path.is_file(): return ""
    last = pd.read_csv(path).iloc[-1]
    return f"An autoencoder, {last.step:,.0f} steps in {last.seconds / 60:.0f} minutes; then in its latent "


def run_of(curve: Path) -> tuple[int, str]:
    "The steps of one run, and a sentence about it"
    recipe = json.loads((curve.parent/f"{curve.stem.replace('curve', 'recipe', 1)}.json").read_text())
    made, settings = recipe["made"][-1], recipe["settings"]
    steps = recipe["about"]["recipe"].get("stopped") or settings["iterations"]
    minutes = pd.read_csv(curve)["seconds"].iloc[-1] / 60
    return steps, first_of(curve) + (
        f"{steps:,} steps of {settings['batch']} squares, running mean of the weights; "
        f"{minutes:.0f} minutes on one core of a {made['device'].upper()} that had other work, "
        f"{made['precision']}, torch {made['torch']}, {made['date']}.\n")


def section(task: str, path: Path, runs: list[tuple[int, str]], about: dict) -> list[str]:
    "How one file was made"
    facts = describe(path)
    size = f"{path.stat().st_size / 1e6:.2f} MB, {facts['parameters']:,} parameters"
    network = f"`{facts['network']}`, predicts: {facts['prediction']}; `{facts['sde']}`"
    return [f"### {task}\n", f"{size}: {network}.", *(words for _, words in runs),
            f"```sh\n{train_commands(about)}\n```\n"]


def limits(totals: list[int], filling: pd.DataFrame) -> str:
    "What the weights cannot do; `totals` are the steps that each was trained for"
    alone = ", ".join(f"{row.psnr:.2f} / {row.lpips:.3f} on {row.test_set}" for row in filling.itertuples())
    return LIMITS.format(filling=alone, steps=f"{min(totals):,} to {max(totals):,}")


def card(weights: Path = WEIGHTS, runs: Path = RUNS) -> str:
    "The text"
    files = {task: weights/f"{task}.safetensors" for task in TASKS}
    files = {task: path for task, path in files.items() if path.is_file()}
    abouts = {task: load(path)[2] for task, path in files.items()}
    done = {task: [run_of(curve) for curve in curves_of(runs, task) if curve.is_file()] for task in files}
    kept = runs/"scores.csv"
    scores = pd.read_csv(kept) if kept.is_file() else pd.DataFrame(columns=["task"])
    size = sum(path.stat().st_size for path in files.values()) / 1e6
    parts = [INTRO.format(count=len(files), size=size), NUMBERS]
    for task in files: parts += rows_of(scores, task, abouts[task])
    parts.append(MADE)
    for task, path in files.items(): parts += section(task, path, done[task], abouts[task])
    totals = [sum(steps for steps, _ in made) for made in done.values() if made]
    if totals: parts.append(limits(totals, pd.read_csv(runs/"inpainting-filling.csv")))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def stale(path: Path, text: str) -> str:
    "What is wrong with the card at `path`, which should hold `text`; nothing if it does"
    if path.is_file() and path.read_text(encoding="utf-8") == text: return ""
    return f"{path.name} of {path.parent.name}/ is not what the weights and data/runs say"


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, with status 1 if they differ")
    path, text = WEIGHTS/"README.md", card()
    if not parser.parse_args().check: path.write_text(text, encoding="utf-8")
    elif wrong := stale(path, text): raise SystemExit(wrong)


if __name__ == "__main__": main()
