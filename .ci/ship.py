"""Make the weights that ship of a training run, and keep its learning curve and recipe.

    python .ci/ship.py RUN --data FOLDER [--name deraining]

FOLDER is what the recipe's paths begin with; it is written as $DATA. Writes irsde/weights/NAME.safetensors (float16),
data/runs/curve-NAME.csv and data/runs/recipe-NAME.json. A run that began from the weights that ship (--init NAME, or
--init RUN/model.safetensors where RUN made them) follows theirs: what was kept of them gets a number, recipe-NAME-1.json
and so on. Any other name than a task's, as deraining-cnn, is for comparison only: its weights go to data/weights/, outside
the package.
"""
import argparse
import csv
import json
import os
import re
from pathlib import Path

import torch

from irsde import checkpoint
from irsde.tasks import TASKS
from irsde.training import read_config

ROOT = Path(__file__).parents[1]

def masked(value, names):
    "The same values, with names in place of this machine's folders: {folder: '$DATA'}"
    if isinstance(value, str):
        for folder, name in names.items(): value = value.replace(str(folder), name)
        return value
    if isinstance(value, dict): return {k: masked(o, names) for k, o in value.items()}
    return [masked(o, names) for o in value] if isinstance(value, list) else value

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
    for made in config['made']: made['command'] = re.sub(r'^\S+', 'irsde', made['command'])
    (ROOT/f'data/runs/recipe-{name}.json').write_text(json.dumps(config, indent=1) + '\n')

def follows(init, name, names, about):
    "Whether a run began from the weights that ship, by the task's name or by the file of the run that they were made of; or is that run"
    if init is None or init == name: return init == name
    shipped = ROOT/f'irsde/weights/{name}.safetensors'
    if not shipped.is_file(): return False
    ships = {k: o for k, o in checkpoint.load(shipped)[2]['recipe'].items() if k != 'stopped'}
    return ships in (before(masked(checkpoint.load(init)[2], names))['recipe'], before(about)['recipe'])

def before(about):
    "What a run's file says of itself, as the weights that ship say it"
    recipe = about['recipe']
    return about | {'recipe': recipe | {'init': 'RUN-BEFORE/model.safetensors'}} if recipe.get('init') else about

def earlier(name, about):
    "Make what is kept of the weights that ship now, from which this run began, the run before it; the recipes of all runs so far"
    old = checkpoint.load(ROOT/f'irsde/weights/{name}.safetensors')[2]
    if old['recipe'] == about['recipe']: return old['before'] # this very run ships already
    number = len(old.get('before', [])) + 1
    for kind, suffix in (('curve', 'csv'), ('recipe', 'json')):
        os.replace(ROOT/f'data/runs/{kind}-{name}.{suffix}', ROOT/f'data/runs/{kind}-{name}-{number}.{suffix}')
    return [*old.get('before', []), old['recipe']]

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path)
    parser.add_argument('--data', required=True)
    parser.add_argument('--name')
    parser.add_argument('--also', nargs=2, action='append', default=[], metavar=('FOLDER', 'NAME'), help='another folder, and what to call it')
    parser.add_argument('--stopped', action='store_true', help='the run was stopped before its last step, and is to be shipped as it is')
    parser.add_argument('--seen', action='append', default=[], metavar='PICTURE', help='held out by this run, but not by the runs before it')
    args = parser.parse_args()
    model, sde, about = checkpoint.load(args.run/'model.safetensors')
    config, init = read_config(args.run), read_config(args.run)['about']['recipe'].get('init')
    names = {args.data: '$DATA', **dict(args.also)}
    name, config = args.name or about['task'], masked(config, {**({init: 'RUN-BEFORE/model.safetensors'} if init and init not in TASKS else {}), args.run: 'RUN', **names})
    about = masked(about, names)
    about['held_out'] = [o for o in about.get('held_out', []) if o not in args.seen]
    if about.get('step') != config['settings']['iterations']:
        if not args.stopped: parser.error(f"{args.run} has done {about.get('step')} of {config['settings']['iterations']} steps: finish it first, or say --stopped")
        about['recipe']['stopped'] = config['about']['recipe']['stopped'] = about['step']
    record, recipe = TASKS[about['task']], about['recipe']
    if 'solver' in about: about |= {k: getattr(record, k) for k in ('solver', 'steps', 'ensemble')} # as the record has them by now
    if 'pool' in about: about['pool'] = record.pool * (recipe['crop'] or record.budget(recipe['budget']).crop)
    if follows(init, name, names, about):
        about['recipe']['init'] = config['about']['recipe']['init'] = 'RUN-BEFORE/model.safetensors'
        for made in config['made']: made['command'] = made['command'].replace(f'--init {name} ', '--init RUN-BEFORE/model.safetensors ') # which is no longer what ships
        about['before'] = earlier(name, about)
    folder = ROOT/('irsde/weights' if name in TASKS else 'data/weights')
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint.save(folder/f'{name}.safetensors', model, sde, dtype=torch.float16, **about)
    keep(args.run, config, name)
    print(path, path.stat().st_size)
