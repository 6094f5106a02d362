"""Every notebook is as nbdev_clean leaves it, and no output names a folder of the machine that ran it or is a
widget. Works on a copy; names those that are not."""
import filecmp
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
MACHINE = re.compile(r'site-packages|ipykernel_\d|(?<![\w.])/(?:tmp|home|root|Users|work)/')

def unclean(root=ROOT):
    "The notebooks that nbdev_clean would change"
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(root/'settings.ini', tmp)
        (Path(tmp)/'nbs').mkdir()
        copies = {nb: Path(shutil.copy(nb, Path(tmp)/'nbs')) for nb in sorted((root/'nbs').glob('*.ipynb'))}
        subprocess.run([TOOLS/'nbdev_clean'], cwd=tmp, check=True)
        return [nb.name for nb, copy in copies.items() if not filecmp.cmp(nb, copy, shallow=False)]

def outputs(nb):
    "The outputs of a notebook, read as JSON"
    return [output for cell in nb['cells'] for output in cell.get('outputs', ())]

def machine_paths(nb):
    "Lines of the outputs that name a folder of this machine"
    for output in outputs(nb):
        kinds = [output.get('text', []), output.get('traceback', [])]
        kinds += [text for kind, text in output.get('data', {}).items() if kind.startswith('text/')]
        for text in kinds:
            yield from (line for line in ''.join(text).splitlines() if MACHINE.search(line))

def has_widgets(nb):
    "Whether a notebook holds widgets, which the site shows as an error"
    kinds = [kind for output in outputs(nb) for kind in output.get('data', {})]
    return 'widgets' in nb['metadata'] or any('widget-view' in kind for kind in kinds)

def faults(root=ROOT):
    "What is wrong with the notebooks, a line each"
    for name in unclean(root):
        yield f'nbs/{name} is not clean: it carries metadata or counters that change from run to run'
    for path in sorted((root/'nbs').glob('*.ipynb')):
        nb = json.loads(path.read_text(encoding='utf-8'))
        for line in machine_paths(nb):
            yield f'nbs/{path.name}: an output names a folder of a machine: {line.strip()[:120]}'
        if has_widgets(nb):
            yield (f'nbs/{path.name}: an output is a widget: run it with '
                   '`jupyter nbconvert --to notebook --execute --inplace`, which shows none')

if __name__ == '__main__':
    found = list(faults())
    for fault in found: print(fault)
    sys.exit(bool(found))
