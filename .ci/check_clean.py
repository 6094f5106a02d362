"Every notebook is as nbdev_clean leaves it, no output names a folder of the machine that ran it or is a widget. Works on a copy; names those that are not."
import filecmp, json, re, shutil, subprocess, sys, tempfile
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
        return [nb.name for nb,copy in copies.items() if not filecmp.cmp(nb, copy, shallow=False)]

def machine_paths(nb):
    "Lines of the outputs of notebook `nb` that name a folder of this machine"
    for cell in json.loads(nb.read_text(encoding='utf-8'))['cells']:
        for output in cell.get('outputs', ()):
            kinds = [output.get('text', []), output.get('traceback', [])]
            kinds += [v for k,v in output.get('data', {}).items() if k.startswith('text/')]
            for text in kinds:
                yield from (line for line in ''.join(text).splitlines() if MACHINE.search(line))

def widgets(nb):
    "Whether notebook `nb` holds widgets, which the site shows as an error"
    nb = json.loads(nb.read_text(encoding='utf-8'))
    return 'widgets' in nb['metadata'] or any('widget-view' in k for c in nb['cells'] for o in c.get('outputs', ()) for k in o.get('data', {}))

if __name__ == '__main__':
    names = unclean()
    for name in names: print(f'nbs/{name} is not clean: it carries metadata or counters that change from run to run')
    found = [(nb.name, line) for nb in sorted((ROOT/'nbs').glob('*.ipynb')) for line in machine_paths(nb)]
    for name, line in found: print(f'nbs/{name}: an output names a folder of the machine that ran it: {line.strip()[:120]}')
    alive = [nb.name for nb in sorted((ROOT/'nbs').glob('*.ipynb')) if widgets(nb)]
    for name in alive: print(f'nbs/{name}: an output is a widget: run it with `jupyter nbconvert --to notebook --execute --inplace`, which shows none')
    sys.exit(bool(names or found or alive))
