"Which module of irsde may import which, and which packages, held by reading the source."
import ast
import json
import re
import sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ALLOWED = { # module -> the modules of irsde that it may import beside `checks`, all of them above it
    'checks': [], 'toy': [], 'schedule': [], 'unet': [], 'features': [], 'metrics': ['features'],
    'plots': [], 'sliders': [],
    'png': [], 'formats': ['png'],
    'exif': ['formats'], 'paths': ['formats'], 'metadata': ['png', 'formats', 'exif'],
    'images': ['formats', 'paths', 'metadata'],
    'masks': ['images'], 'names': [],
    'nafnet': ['unet'],
    'sde': ['schedule'],
    'degrade': ['images'], 'pictures': ['images'], 'subsets': ['images'],
    'data': ['images', 'names', 'pictures'],
    'oracle': ['sde'], 'sampling': ['sde'], 'losses': ['sde'], 'likelihood': ['sde'],
    'predict': ['sde', 'losses'],
    'bridges': ['sde', 'sampling'],
    'ledger': ['images'],
    'compare': ['images', 'ledger'],
    'results': ['ledger', 'compare', 'plots', 'predict'],
    'budgets': [],
    'tasks': ['schedule', 'sde', 'degrade', 'budgets'],
    'knownsets': ['images', 'names', 'subsets', 'data'],
    'tiling': ['predict'],
    'material': ['images', 'names', 'degrade', 'subsets', 'data', 'tasks'],
    'training': ['predict'], 'states': ['images'], 'validation': [], 'progress': [],
    'official': ['images', 'schedule', 'sde', 'unet', 'nafnet'],
    'checkpoint': ['official', 'images', 'schedule', 'sde', 'predict', 'unet', 'nafnet'],
    'evaluate': ['images', 'masks', 'names', 'degrade', 'data', 'metrics', 'tasks'],
    'noise': [], 'jobs': ['images', 'sampling', 'tiling', 'noise'],
    'restore': ['images', 'masks', 'schedule', 'sde', 'sampling', 'predict', 'tasks', 'checkpoint', 'tiling',
                'noise', 'jobs'],
    'runs': ['images', 'ledger', 'predict', 'training', 'states', 'progress', 'checkpoint'],
    'outputs': ['images', 'paths', 'masks'],
    'folders': ['images', 'paths', 'masks', 'data', 'outputs', 'restore'],
    'scoring': ['images', 'names', 'plots', 'data', 'features', 'metrics', 'tasks', 'subsets', 'ledger',
        'compare', 'results', 'evaluate', 'restore'],
    'options': [],
    'recipes': ['options', 'images', 'names', 'plots', 'unet', 'nafnet', 'sde', 'degrade', 'data',
        'metrics', 'results', 'predict', 'tasks', 'material', 'training', 'validation', 'states',
        'checkpoint', 'evaluate', 'restore', 'runs', 'scoring'],
    'sources': ['images', 'degrade', 'data', 'evaluate'],
    'studies': ['options', 'tasks', 'recipes', 'sources'],
    'planning': ['images', 'schedule', 'sde', 'data', 'metrics', 'validation', 'states', 'checkpoint',
        'evaluate', 'ledger', 'results', 'options', 'recipes', 'sources', 'studies'],
    'reproduce': ['images', 'subsets', 'knownsets', 'metrics', 'tasks', 'ledger', 'compare', 'results',
        'states', 'evaluate', 'restore', 'scoring', 'recipes', 'sources', 'studies', 'planning'],
    'trainings': ['compare', 'studies', 'planning'],
    'shell': ['progress'],
    'cli': ['shell', 'images', 'degrade', 'knownsets', 'results', 'sampling', 'tasks', 'checkpoint',
            'restore', 'runs', 'evaluate', 'folders', 'recipes',
            'reproduce'], # inside its commands only, for speed
}

FREE = ('Tools', 'Inside the library') # parts beside the road: read when needed, used anywhere

def declared():
    "The top-level packages that settings.ini's requirements bring in themselves"
    config = ConfigParser()
    config.read(ROOT/'settings.ini', encoding='utf-8')
    wanted = {canonicalize_name(Requirement(text).name) for text in config['DEFAULT']['requirements'].split()}
    found = packages_distributions().items()
    return {top for top,names in found if wanted & set(map(canonicalize_name, names))}

def imported(node):
    "Dotted names that an import statement of irsde asks for, relative ones made absolute"
    if isinstance(node, ast.Import): return [alias.name for alias in node.names]
    base = '.'.join(filter(None, ['irsde' if node.level else '', node.module]))
    return [f'{base}.{alias.name}' for alias in node.names] if base == 'irsde' else [base]

def imports(tree):
    "The import statements of a module that run; not those for type checkers only"
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    guarded = {node for b in branches if 'TYPE_CHECKING' in ast.dump(b.test) for node in ast.walk(b)}
    every = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [node for node in every if node not in guarded]

def violations(path, packages):
    "What `path`, a module of irsde, imports and may not; `packages` are those that users have"
    module, tree = path.stem, ast.parse(path.read_text(encoding='utf-8'))
    if module not in ALLOWED:
        yield f'{path.name} is not in the table: add it to ALLOWED in .ci/check_imports.py'
        return
    allowed = ['checks', *ALLOWED[module]]
    for node in imports(tree):
        for name in imported(node):
            top,_,rest = name.partition('.')
            other = rest.split('.')[0]
            where = f'{path.name}: imports {name}'
            if top not in packages | sys.stdlib_module_names | {'irsde'}:
                yield f'{where}, which is not among the requirements in settings.ini'
            if top == 'irsde' and other in ALLOWED:
                if other not in allowed: yield f'{where}; {module} may import {", ".join(allowed)}'
                elif module == 'cli' and other != 'shell' and node in tree.body: # that one is quick
                    yield f'{where} on loading; import it inside the command'

def parts_of(nbs):
    "The parts of the book with their notebooks, in the order of the sidebar"
    parts = {}
    for line in (nbs/'sidebar.yml').read_text(encoding='utf-8').splitlines():
        if found := re.search(r'section: (.*)', line): names = parts.setdefault(found[1].strip(), [])
        if found := re.search(r'href: (\w+\.ipynb)', line): names.append(found[1])
    return parts

def code_of(nb):
    "The source of a notebook's code cells"
    cells = json.loads(nb.read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']

def study_exports(nbs, parts):
    "Tasks and results read the library; they add nothing to it"
    directive = re.compile(r'^#\s*\|\s*(default_exp|exports?|exporti)\b', re.MULTILINE)
    for name in parts['Six tasks'] + parts['Results']:
        if any(map(directive.search, code_of(nbs/name))):
            yield f'{name} exports code: a study notebook may not'

def asked_for(line):
    "Modules of irsde that a line of code imports, or imports names of"
    if found := re.match(r'\s*from irsde import (.+)', line):
        return [name.split(' as ')[0].strip(' ()') for name in found[1].split(',')]
    return re.findall(r'\birsde\.(\w+)', line) if re.match(r'\s*(from|import) irsde', line) else []

def early_uses(nbs, parts):
    "Modules that a chapter uses before the reader has met them; those of the parts FREE may be used anywhere"
    default = re.compile(r'^#\s*\|\s*default_exp (\w+)', re.MULTILINE)
    order = [name for part in parts.values() for name in part if name != 'index.ipynb']
    codes = {name: code_of(nbs/name) for name in order}
    module = {name: found[1] for name in order if (found := default.search('\n'.join(codes[name])))}
    place = {module[name]: k for k, name in enumerate(order) if name in module}
    aside = [name for part in FREE for name in parts[part]]
    free = {module.get(name) for name in aside} | {'__init__'}
    for k, name in enumerate(order):
        if name in aside: continue
        lines = [line for code in codes[name] for line in code.splitlines()]
        for other in sorted({found for line in lines for found in asked_for(line)} - free):
            if place.get(other, -1) > k: yield f'{name} uses {other}, which {order[place[other]]} introduces'

def circles(allowed):
    "What the table allows and should not: each row may name earlier ones only"
    seen = set()
    for module, others in allowed.items():
        for other in sorted({*others} - seen): yield f'{module} may import {other}, which stands below it'
        seen.add(module)

if __name__ == '__main__':
    packages = declared()
    modules = sorted(p for p in (ROOT/'irsde').glob('*.py') if p.stem not in ('__init__', '_modidx'))
    found = [v for m in modules for v in violations(m, packages)]
    nbs = ROOT/'nbs'
    parts = parts_of(nbs)
    found += [*study_exports(nbs, parts), *early_uses(nbs, parts), *circles(ALLOWED)]
    gone = sorted({*ALLOWED} - {m.stem for m in modules})
    found += [f'{name} is in the table, and there is no such module' for name in gone]
    print(*found, sep='\n', end='\n' if found else '')
    print(f'{len(modules)} modules read')
    sys.exit(bool(found) or not modules)
