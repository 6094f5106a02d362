"""The wheel, built from the sdist, carries everything of the library and nothing else, and works in a fresh
environment without development tools.

The environment gets the runtime dependencies that this one already has, by link, instead of several GB from
the network; pip then resolves the wheel's requirements against them. With --download, pip fetches them."""
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HEAVY = ['matplotlib', 'pandas', 'lpips', 'skimage', 'torchvision'] # not for the mathematics
DEV = ['nbdev', 'fastcore', 'execnb', 'IPython', 'jupyterlab', 'jupytext', 'build']
FACTS = '''import irsde, importlib.metadata as m
print(irsde.__file__, m.version("irsde"), m.metadata("irsde")["Requires-Python"], irsde.__version__)'''

def settings():
    "settings.ini"
    config = ConfigParser()
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return config['DEFAULT']

def git_files(*paths):
    "Files that git tracks, or would if added"
    command = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', *paths]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split('\0')
    return [name for name in names if name and (ROOT/name).exists()]

def build(tmp):
    "Build in a copy, where no earlier build can lend it files; the wheel"
    for name in git_files():
        (tmp/'src'/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT/name, tmp/'src'/name, follow_symlinks=False)
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', tmp/'dist', tmp/'src']
    res = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if res.returncode: sys.exit(f'the wheel could not be built:\n{res.stdout}')
    return next((tmp/'dist').glob('*.whl'))

def closure(requirements, extras=(), seen=None):
    "Names of the distributions that `requirements` bring in, here and now"
    seen = {} if seen is None else seen
    for req in map(Requirement, requirements):
        if req.marker and not any(req.marker.evaluate({'extra': extra}) for extra in extras or ['']): continue
        wanted = {'', *req.extras}
        if wanted <= seen.get(req.name, set()): continue
        seen[req.name] = seen.get(req.name, set()) | wanted
        closure(distribution(req.name).requires or [], seen[req.name], seen)
    return seen

def link(names, site):
    "Put the distributions `names` into the folder `site`"
    for dist in map(distribution, names):
        for top in {file.parts[0] for file in dist.files} - {'..', '__pycache__'}:
            if not (site/top).exists(): (site/top).symlink_to(dist.locate_file(top))

def install(wheel, env, download):
    "A fresh environment with the wheel in it; its Python"
    venv.create(env, symlinks=True)
    site = next(env.glob('lib/python*/site-packages'))
    if not download: link(closure(settings()['requirements'].split()), site)
    source = [] if download else ['--no-index']
    python = env/'bin'/'python'
    command = ['-m', 'pip', '--python', python, 'install', '--quiet', *source, wheel]
    subprocess.run([sys.executable, *command], check=True)
    return python

class Installed:
    "The wheel in its environment, seen from the folder `away`"
    def __init__(self, wheel, python, away):
        self.wheel, self.python, self.away = wheel, python, away

    def call(self, *command):
        "Exit status and what a command says"
        env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        res = subprocess.run(command, cwd=self.away, env=env, text=True, capture_output=True)
        return res.returncode, (res.stdout if res.returncode == 0 else res.stderr).strip()

    def run(self, code): return self.call(self.python, '-c', code)

    def faults(self):
        "What is wrong, a line each; nothing more is asked of a package that cannot be imported"
        yield from self.contents()
        code, out = self.run(FACTS)
        if code: yield f'import irsde fails: {out}'
        else: yield from [*self.told(out), *self.imports(), *self.commands()]

    def contents(self):
        "Files that are missing or too many"
        names = set(zipfile.ZipFile(self.wheel).namelist())
        for name in sorted(set(git_files('irsde')) - names): yield f'{name} is not in the wheel'
        tops = {name.partition('/')[0] for name in names} - {'irsde'}
        for top in sorted(tops):
            if not top.endswith('.dist-info'): yield f'{top} is in the wheel, and is no part of the library'

    def told(self, out):
        "Place and versions"
        cfg = settings()
        file, *versions = out.split()
        if str(self.away.parent) not in file: yield f'irsde was imported from {file}, not from the wheel'
        if versions != [cfg['version'], f">={cfg['min_python']}", cfg['version']]:
            yield f'the wheel says version, Python, __version__: {versions}'

    def imports(self):
        "Modules, and what they bring with them"
        find = f'from importlib.util import find_spec; print(*[o for o in {DEV} if find_spec(o)])'
        if present := self.run(find)[1]: yield f"not a user's environment, it has {present}"
        modules = sorted(f'irsde.{Path(name).stem}' for name in git_files('irsde') if name.endswith('.py'))
        code, out = self.run(f'import importlib\nfor name in {modules}: importlib.import_module(name)')
        if code: yield f'a module cannot be imported:\n{out}'
        for module in 'irsde', 'irsde.cli', 'irsde.sde':
            names = HEAVY if module == 'irsde.sde' else [*HEAVY, 'torch']
            code, found = self.run(f'import sys, {module}; print(*[o for o in {names} if o in sys.modules])')
            if found and not code: yield f'import {module} pulls in {found}' # one that fails is told above

    def commands(self):
        "The command line"
        for arg, expect in ('--version', settings()['version']), ('--help', 'Usage: irsde'):
            code, out = self.call(self.python.parent/'irsde', arg)
            if code or expect not in out: yield f'irsde {arg} gives exit {code} and: {out}'

def main(download=False):
    "Whether all is well; what is not is printed"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        (tmp/'away').mkdir()
        wheel = build(tmp)
        found = list(Installed(wheel, install(wheel, tmp/'env', download), tmp/'away').faults())
    print(*found, sep='\n', end='\n' if found else '')
    return not found

if __name__ == '__main__': sys.exit(not main('--download' in sys.argv[1:]))
