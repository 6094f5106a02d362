"Every notebook is as nbdev_clean leaves it. Works on a copy; names those that are not."
import filecmp, shutil, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent

def unclean(root=ROOT):
    "The notebooks that nbdev_clean would change"
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(root/'settings.ini', tmp)
        (Path(tmp)/'nbs').mkdir()
        copies = {nb: Path(shutil.copy(nb, Path(tmp)/'nbs')) for nb in sorted((root/'nbs').glob('*.ipynb'))}
        subprocess.run([TOOLS/'nbdev_clean'], cwd=tmp, check=True)
        return [nb.name for nb,copy in copies.items() if not filecmp.cmp(nb, copy, shallow=False)]

if __name__ == '__main__':
    names = unclean()
    for name in names: print(f'nbs/{name} is not clean: it carries metadata or counters that change from run to run')
    sys.exit(bool(names))
