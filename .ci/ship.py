"""Make the weights that ship of a training run, and keep its learning curve and recipe.

    python .ci/ship.py RUN --data FOLDER [--name deraining]

FOLDER is what the recipe's paths begin with; it is written as $DATA. Writes irsde/weights/NAME.safetensors (float16),
data/runs/curve-NAME.csv and data/runs/recipe-NAME.json. A name with a dash, as in deraining-cnn, is for comparison only: its
weights go to data/weights/, outside the package.
"""
import argparse
import csv
import json
from pathlib import Path

import torch

from irsde import checkpoint
from irsde.training import read_config

ROOT = Path(__file__).parents[1]

def masked(value, folder):
    "The same values, with the folder written as $DATA"
    if isinstance(value, str): return value.replace(str(folder), '$DATA')
    if isinstance(value, dict): return {k: masked(o, folder) for k, o in value.items()}
    return [masked(o, folder) for o in value] if isinstance(value, list) else value

def thinned(rows, every=50):
    "Rows of a log: validations, and every so many steps"
    return [o for o in rows if o['val_psnr'] or int(o['step']) % every == 0]

def keep(run, config, name):
    "The curve and the recipe of a run"
    with open(run/'log.csv', newline='') as file: rows = list(csv.DictReader(file))
    with open(ROOT/f'data/runs/curve-{name}.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0], lineterminator='\n')
        writer.writeheader()
        writer.writerows(thinned(rows))
    for made in config['made']: made['command'] = f"irsde {made['command'].partition('irsde ')[2]}"
    (ROOT/f'data/runs/recipe-{name}.json').write_text(json.dumps(config, indent=1) + '\n')

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path)
    parser.add_argument('--data', required=True)
    parser.add_argument('--name')
    parser.add_argument('--first', type=Path, help='the run that this one began from (--init): its curve and recipe are kept too')
    args = parser.parse_args()
    model, sde, about = checkpoint.load(args.run/'model.safetensors')
    name, config = args.name or about['task'], masked(read_config(args.run), args.data)
    about = masked(about, args.data)
    about.setdefault('pool', 2 * config['about']['recipe']['crop'] if config['about']['recipe']['crop'] else 128)
    if args.first:
        first = masked(read_config(args.first), args.data)
        about['before'], about['recipe']['init'] = [first['about']['recipe']], 'RUN-BEFORE/model.safetensors'
        config['about']['recipe']['init'] = about['recipe']['init']
    folder = ROOT/('data/weights' if '-cnn' in name else 'irsde/weights')
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint.save(folder/f'{name}.safetensors', model, sde, dtype=torch.float16, **about)
    keep(args.run, config, name)
    if args.first: keep(args.first, first, f'{name}-before')
    print(path, path.stat().st_size)
