"irsde/ is exactly what the notebooks export. Works on a copy; names the modules that differ."
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent

def sources(lib):
    "Name -> text of a folder's modules"
    return {path.name: path.read_text(encoding='utf-8') for path in lib.glob('*.py')}

def exported(root=ROOT):
    "Name -> text of every module that the notebooks of `root` give, `__init__.py` included"
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(root/'settings.ini', tmp)
        shutil.copytree(root/'nbs', Path(tmp)/'nbs', symlinks=True)
        (Path(tmp)/'irsde').mkdir()
        shutil.copy(root/'irsde'/'__init__.py', Path(tmp)/'irsde') # ours but for its version line
        subprocess.run([TOOLS/'nbdev_export'], cwd=tmp, check=True)
        return sources(Path(tmp)/'irsde')

def differences(root=ROOT):
    "What is wrong with the modules, a line each"
    want, have = exported(root), sources(root/'irsde')
    for name in sorted(want.keys() | have.keys()):
        if name not in have: yield f'irsde/{name} is missing: its notebook was not exported'
        elif name not in want: yield f'irsde/{name} comes from no notebook'
        elif want[name] != have[name]: yield f'irsde/{name} differs from its notebook'

if __name__ == '__main__':
    found = list(differences())
    print(*found, sep='\n', end='\n' if found else '')
    sys.exit(bool(found))
