"""The wheel, built from the sdist, carries everything, and works in a fresh environment without development tools.

The environment gets the runtime dependencies that this one already has, by link, instead of several GB from the network;
pip then resolves the wheel's requirements against them. With --download, pip fetches them."""
import os, shutil, subprocess, sys, tempfile, venv, zipfile
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HEAVY = ['matplotlib', 'pandas', 'lpips', 'skimage', 'torchvision'] # not for the mathematics
DEV = ['nbdev', 'fastcore', 'execnb', 'IPython', 'jupyterlab', 'jupytext', 'build']

def settings():
    config = ConfigParser()
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return config['DEFAULT']

def git_files(*paths):
    "Files that git tracks, or would if added"
    out = subprocess.check_output(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', *paths], cwd=ROOT, text=True)
    return [o for o in out.split('\0') if o and (ROOT/o).exists()]

def build(tmp):
    "Build in a copy, where no earlier build can lend it files"
    for name in git_files():
        (tmp/'src'/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT/name, tmp/'src'/name, follow_symlinks=False)
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', tmp/'dist', tmp/'src']
    res = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if res.returncode: sys.exit(f'the wheel could not be built:\n{res.stdout}')
    return next((tmp/'dist').glob('*.whl'))

def closure(requirements, extras=(''), seen=None):
    "Names of the distributions that `requirements` bring in, here and now"
    seen = {} if seen is None else seen
    for req in map(Requirement, requirements):
        if req.marker and not any(req.marker.evaluate({'extra': o}) for o in extras or ['']): continue
        wanted = {'', *req.extras}
        if wanted <= seen.get(req.name, set()): continue
        seen[req.name] = seen.get(req.name, set()) | wanted
        closure(distribution(req.name).requires or [], seen[req.name], seen)
    return seen

def link(names, site):
    "Put the distributions `names` into the folder `site`"
    for dist in map(distribution, names):
        for top in {o.parts[0] for o in dist.files} - {'..', '__pycache__'}:
            if not (site/top).exists(): (site/top).symlink_to(dist.locate_file(top))

def install(wheel, env, download):
    "A fresh environment with the wheel in it; its Python"
    venv.create(env, symlinks=True)
    site = next(env.glob('lib/python*/site-packages'))
    if not download: link(closure(settings()['requirements'].split()), site)
    source = [] if download else ['--no-index']
    subprocess.run([sys.executable, '-m', 'pip', '--python', env/'bin'/'python', 'install', '--quiet', *source, wheel], check=True)
    return env/'bin'/'python'

def check(wheel, python, away):
    "Yield what is wrong with the installed wheel, seen from the folder `away`"
    cfg = settings()
    def call(*command):
        env = {k:v for k,v in os.environ.items() if k != 'PYTHONPATH'}
        res = subprocess.run(command, cwd=away, env=env, text=True, capture_output=True)
        return res.returncode, (res.stdout if res.returncode == 0 else res.stderr).strip()
    def loaded(module, names):
        code, out = call(python, '-c', f'import sys, {module}; print(*[o for o in {names} if o in sys.modules])')
        return '' if code else out # one that fails is reported above

    missing = set(git_files('irsde')) - set(zipfile.ZipFile(wheel).namelist())
    for name in sorted(missing): yield f'{name} is not in the wheel'

    facts = 'import irsde, importlib.metadata as m; print(irsde.__file__, m.version("irsde"), m.metadata("irsde")["Requires-Python"], irsde.__version__)'
    code, out = call(python, '-c', facts)
    if code: yield f'import irsde fails: {out}'; return
    file, *versions = out.split()
    if str(away.parent) not in file: yield f'irsde was imported from {file}, not from the wheel'
    if versions != [cfg['version'], f">={cfg['min_python']}", cfg['version']]: yield f'the wheel says version, Python, __version__: {versions}'

    find = f'from importlib.util import find_spec; print(*[o for o in {DEV} if find_spec(o)])'
    present = call(python, '-c', find)[1]
    if present: yield f'not a user\'s environment, it has {present}'
    modules = sorted('irsde.' + Path(o).stem for o in git_files('irsde') if o.endswith('.py'))
    code, out = call(python, '-c', f'import importlib\nfor o in {modules}: importlib.import_module(o)')
    if code: yield f'a module cannot be imported:\n{out}'
    for module, names in ('sde', HEAVY), ('cli', HEAVY + ['torch']):
        found = loaded(f'irsde.{module}', names)
        if found: yield f'import irsde.{module} pulls in {found}'
    for arg, expect in ('--version', cfg['version']), ('--help', 'Usage: irsde'):
        code, out = call(python.parent/'irsde', arg)
        if code or expect not in out: yield f'irsde {arg} gives exit {code} and: {out}'

def main(download=False):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        (tmp/'away').mkdir()
        wheel = build(tmp)
        found = list(check(wheel, install(wheel, tmp/'env', download), tmp/'away'))
    print(*found, sep='\n', end='\n' if found else '')
    return not found

if __name__ == '__main__': sys.exit(not main('--download' in sys.argv[1:]))
