"""Write irsde/weights/README.md, the model card, from the weights themselves and data/runs/scores.csv. --check only compares."""
import json
import re
import sys
from pathlib import Path

import pandas as pd

from irsde.checkpoint import describe, load
from irsde.evaluate import train_commands, usual
from irsde.tasks import TASKS
from irsde.training import curves_of

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT/'irsde'/'weights'

INTRO = """<!-- Made by .ci/make_card.py from the files beside it and data/runs/scores.csv: edit that. -->
# The weights that ship

One small network for each task, {count} files, {size:.1f} MB together, float16. `Restorer.from_pretrained("deraining")` and
`irsde restore --task deraining` load them; `irsde info FILE` says what a file is. They are meant to show the method at work on a
laptop and to be trained on from (`irsde train --init deraining ...`), not to set records.

**Terms.** The code is Apache 2.0. The weights were trained on pictures that were released for research (see below); most of these sets
are non-commercial, and for some no licence is stated. Use the weights for research and teaching only, and ask the sets' owners for
anything else. No training picture is in this repository.
"""

LIMITS = """
## Limits

- Trained for half an hour to seven and a half hours each on one CPU core, at {steps} steps, against 700,000 on GPUs in the papers. Expect the papers' ranking
  of methods, not their decibels.
- Inpainting and deblurring are the least successful of the six. Under thin strokes the first is level with the smooth filling that it starts
  from, under large holes in faces ahead of it (PSNR / LPIPS of that alone: {filling}), on photographs of other things no better. The second
  gains one to two decibels on camera shakes of 3 to 45 pixels (chapter 22) and nothing on longer ones.
- The SDE has no clear lead over a plain network of the same size, trained by regression (method CNN-baseline in
  `data/runs/scores.csv`): at this budget it buys a choice between PSNR and LPIPS, and samples.
- Deraining: streaks as in Rain100H and Rain100L. Not drops on a lens, not the veil of far rain, not snow.
- Deblurring: camera shake and short motion. A scene whose things move in several directions is hardly helped.
- Denoising: Gaussian noise, equally strong everywhere, up to a standard deviation of 75/255. Not JPEG's artefacts, not a camera's
  raw noise after its processing.
- Super-resolution: 4 times, of pictures shrunk by bicubic interpolation without further blur, noise or compression.
- Inpainting: large holes are harder than thin ones: little is known of their middle. Faces make a third of
  its training pictures: it may put a likeness of one where there was another. Do not use it to identify anybody.
- Dehazing: trained on indoor depths and white airlight; `$HAZE` above is the folder that `.ci/haze_pairs.py $DATA $HAZE` makes, rooms under ten
  densities of haze. Outdoor haze, coloured light and night are outside of what it has seen. Of several trainings this one was chosen with
  the ten test pictures in sight, so its number on them is a little flattered.
- What is restored is a guess that looks right. It is no evidence of what was there; `--samples` shows where the guesses differ.
"""

def numbers(scores, task, about):
    "Rows of the table: each test set, input and default setting"
    mine = scores[scores['task'] == task]
    for name, rows in mine.groupby('test_set', sort=False):
        given = rows[rows['method'] == 'input'].iloc[-1]
        copies = about.get('ensemble', 1)
        ours = usual(rows, about['solver'], about['steps'], copies)
        if ours.empty: continue
        o = ours.iloc[-1]
        yield (f"| {task} | {name} | {o.n_images:.0f} | {given.psnr:.2f} / {given.ssim:.3f} / {given.lpips:.3f} | "
               f"{o.psnr:.2f} / {o.ssim:.3f} / {o.lpips:.3f} | {o.solver}, {o.steps:.0f}{f' × {copies} copies' * (copies > 1)} | {o.protocol} |")

def card():
    "The text"
    files = {task: WEIGHTS/f'{task}.safetensors' for task in TASKS if (WEIGHTS/f'{task}.safetensors').is_file()}
    kept = ROOT/'data'/'runs'/'scores.csv'
    scores = pd.read_csv(kept) if kept.is_file() else pd.DataFrame(columns=['task'])
    parts = [INTRO.format(count=len(files), size=sum(o.stat().st_size for o in files.values()) / 1e6)]
    about, steps = {task: load(path)[2] for task, path in files.items()}, {}
    parts += ['## Numbers\n', 'PSNR in dB / SSIM / LPIPS (AlexNet), mean over n pictures; the sets are subsets, their numbers are not the full sets\'.',
              'Every row stands in `data/runs/scores.csv`, with the others.\n',
              '| task | pictures | n | input | restored | solver, calls | protocol |', '|---|---|---|---|---|---|---|']
    for task in files: parts += numbers(scores, task, about[task])
    parts += ['\n## How each was made\n', 'Configuration, library version and machine of each run are in `data/runs/recipe-TASK.json`, its learning curve in',
              '`data/runs/curve-TASK.csv`. `$DATA` is a folder of research pictures that cannot be passed on here: 321 of BSDS500, centre crops of',
              'the 100 validation pictures of DIV2K, 56 faces of CelebA-HQ (together 477 clean pictures, none of which is in a test set), 100',
              'measured rain layers, 87 blur kernels, 30 depth maps solved from SOTS pairs, 540 masks, and pairs of REDS (40) and SOTS (15).',
              'Any folder of clean pictures will do in its place; the numbers will differ a little.\n']
    for task, path in files.items():
        facts = describe(path)
        parts += [f"### {task}\n", f"{path.stat().st_size / 1e6:.2f} MB, {facts['parameters']:,} parameters: `{facts['network']}`, predicts: {facts['prediction']}; `{facts['sde']}`."]
        for curve in curves_of(ROOT/'data'/'runs', task):
            if not curve.is_file(): continue
            recipe, log = json.loads(curve.with_name(curve.name.replace('curve', 'recipe', 1)).with_suffix('.json').read_text()), pd.read_csv(curve)
            made, done = recipe['made'][-1], recipe['about']['recipe'].get('stopped') or recipe['settings']['iterations']
            steps[task] = steps.get(task, 0) + done
            parts.append(f"{done:,} steps of {recipe['settings']['batch']} squares, running mean of the weights; {log['seconds'].iloc[-1] / 60:.0f} minutes on one core of a {made['device'].upper()} that had other work, {made['precision']}, torch {made['torch']}, {made['date']}.\n")
        parts.append(f"```sh\n{train_commands(about[task])}\n```\n")
    filling = ', '.join(f'{o.psnr:.2f} / {o.lpips:.3f} on {o.test_set}' for o in pd.read_csv(ROOT/'data'/'runs'/'inpainting-filling.csv').itertuples())
    parts.append(LIMITS.format(filling=filling, steps=f"{min(steps.values()):,} to {max(steps.values()):,}") if steps else '')
    return re.sub(r'\n{3,}', '\n\n', '\n'.join(parts)).strip() + '\n'

if __name__ == '__main__':
    path = WEIGHTS/'README.md'
    if '--check' in sys.argv[1:]:
        if not path.exists() or path.read_text(encoding='utf-8') != card():
            sys.exit('irsde/weights/README.md is not what the weights and data/runs/scores.csv say')
    else: path.write_text(card(), encoding='utf-8')
