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

from irsde import _HOME

ROOT = Path(__file__).parents[1]
ALLOWED = { # module -> the modules of irsde that it may import beside `checks`, all of them above it
    'checks': [], 'toy': [], 'schedule': [], 'unet': [], 'features': [], 'metrics': ['features'],
    'plots': [], 'sliders': [],
    'png': [], 'formats': ['png'],
    'exif': ['formats'], 'paths': ['formats'], 'metadata': ['png', 'formats', 'exif'],
    'images': ['formats', 'paths', 'metadata'],
    'masks': ['images'], 'names': [],
    'nafnet': ['unet'], 'sde': ['schedule'],
    'oracle': ['sde'], 'sampling': ['sde'], 'losses': ['sde'], 'likelihood': ['sde'],
    'predict': ['sde', 'losses'], 'pieces': [], 'latent': ['unet', 'pieces', 'sde'],
    'cameras': ['predict', 'latent', 'unet', 'nafnet'],
    'degrade': ['images'], 'views': ['degrade'], 'scenes': ['degrade', 'views'], 'pictures': ['images'],
        'subsets': ['images'],
    'knownsets': ['images', 'names', 'subsets', 'cameras'], 'eyes': ['images', 'names', 'pictures'],
    'data': ['images', 'names', 'pictures', 'eyes', 'cameras', 'scenes'],
    'bridges': ['schedule', 'sde', 'sampling'],
    'ledger': ['images'],
    'compare': ['images', 'ledger'],
    'results': ['ledger', 'compare', 'plots', 'predict'],
    'budgets': [],
    'tasks': ['schedule', 'sde', 'bridges', 'degrade', 'scenes', 'budgets'],
    'tiling': ['predict'],
    'material': ['images', 'names', 'degrade', 'scenes', 'subsets', 'data', 'tasks'],
    'training': ['predict', 'cameras'], 'states': ['images'], 'validation': [], 'progress': [],
    'foreign': [],
    'official': ['foreign', 'schedule', 'sde', 'unet', 'nafnet', 'latent', 'cameras'],
    'checkpoint': ['foreign', 'official', 'images', 'schedule', 'sde', 'predict', 'bridges', 'unet',
        'nafnet', 'latent', 'cameras'],
    'evaluate': ['images', 'masks', 'names', 'cameras', 'scenes', 'data', 'metrics', 'tasks'],
    'noise': [], 'jobs': ['images', 'masks', 'eyes', 'sde', 'sampling', 'latent', 'tasks', 'tiling',
        'noise', 'cameras'],
    'shipped': ['images', 'tasks'],
    'restore': ['images', 'masks', 'eyes', 'schedule', 'sde', 'sampling', 'predict', 'latent', 'tasks',
                'checkpoint', 'tiling', 'noise', 'jobs', 'shipped', 'cameras'],
    'ceilings': ['images', 'ledger', 'metrics', 'latent', 'results', 'jobs', 'evaluate'],
    'runs': ['images', 'ledger', 'predict', 'training', 'states', 'progress', 'checkpoint'],
    'stages': ['latent', 'metrics', 'training', 'states', 'validation', 'checkpoint', 'runs'],
    'outputs': ['images', 'paths', 'masks'], 'work': ['images', 'paths', 'eyes', 'jobs', 'outputs'],
    'folders': ['images', 'paths', 'masks', 'degrade', 'scenes', 'data', 'outputs', 'restore', 'work',
        'cameras'],
    'scoring': ['images', 'names', 'plots', 'data', 'features', 'metrics', 'tasks', 'subsets', 'ledger',
        'compare', 'results', 'evaluate', 'restore'],
    'options': [],
    'recipes': ['options', 'images', 'names', 'plots', 'unet', 'nafnet', 'cameras', 'sde', 'degrade',
        'data', 'metrics', 'results', 'predict', 'tasks', 'material', 'training', 'validation', 'states',
        'checkpoint', 'evaluate', 'restore', 'runs', 'stages', 'scoring'],
    'sources': ['images', 'views', 'scenes', 'data', 'cameras', 'evaluate'],
    'studies': ['options', 'tasks', 'recipes', 'sources'],
    'planning': ['images', 'schedule', 'sde', 'cameras', 'data', 'metrics', 'validation', 'states',
        'checkpoint', 'evaluate', 'ledger', 'results', 'options', 'recipes', 'sources', 'studies'],
    'reproduce': ['images', 'ceilings', 'subsets', 'knownsets', 'metrics', 'tasks', 'ledger', 'compare',
        'results', 'states', 'evaluate', 'restore', 'scoring', 'recipes', 'sources', 'studies', 'planning'],
    'trainings': ['plots', 'compare', 'tasks', 'studies', 'planning'],
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
    for name in parts['Six tasks'] + parts['Four more tasks'] + parts['Results']:
        if any(map(directive.search, code_of(nbs/name))):
            yield f'{name} exports code: a study notebook may not'

def exports_of(codes):
    "What a notebook exports, as (module, name), the module itself first, with None for its name"
    directive = re.compile(r'^#\s*\|\s*(default_exp|exports?|exporti)\b[ \t]*(\w*)', re.MULTILINE)
    own = next((found[1] for found in directive.findall('\n'.join(codes)) if found[0] == 'default_exp'), None)
    if own: yield own, None
    for code in codes:
        for kind, target in directive.findall(code):
            if kind != 'default_exp': yield from ((target or own, name) for name in defined(ast.parse(code)))

def defined(tree):
    "Names that the top level of a cell defines: functions, classes, variables"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)): yield node.name
        targets = getattr(node, 'targets', [getattr(node, 'target', None)])
        yield from (target.id for target in targets if isinstance(target, ast.Name))

def names_used(tree):
    "(module, name) of what code uses of irsde; name is None where it imports a module and no name of it"
    called = {} # what code calls a module -> the module; '' is the package
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name, alias in [(a.name, a.asname) for a in node.names if a.name.split('.')[0] == 'irsde']:
                called |= {'irsde': ''} if alias is None else {}
                called[alias or name] = name[6:]
                if name != 'irsde': yield name[6:], None
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'irsde':
            for alias in node.names:
                if node.module == 'irsde': called[alias.asname or alias.name] = alias.name
                yield at_home(node.module[6:], alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in called:
            yield at_home(called[ast.unparse(node.value)], node.attr)

def at_home(module, name):
    "(module, name), the package's own names looked up where they live; (name, None) for a module"
    return (module, name) if module else (_HOME[name], name) if name in _HOME else (name, None)

def early_uses(nbs, parts):
    """Modules and names that a chapter uses before the reader has met them

    Those of the parts FREE may be used anywhere. A chapter may export into the module of an earlier one:
    then the module is known, and the name is not."""
    order = [name for part in parts.values() for name in part if name != 'index.ipynb']
    aside = {name for part in FREE for name in parts[part]}
    place, codes = {}, {name: code_of(nbs/name) for name in order}
    for name in order:
        for what in exports_of(codes[name]): place.setdefault(what, name) # where a growing table began
    for k, nb in enumerate(order):
        if nb in aside: continue
        used = {what for code in codes[nb] for what in names_used(ast.parse(plain(code)))}
        for module, name in sorted(used, key=str):
            home = place.get((module, name), place.get((module, None)))
            if home is None or home in aside or order.index(home) <= k: continue
            yield f'{nb} uses {module}{f".{name}" if name else ""}, which {home} introduces'

def plain(code):
    "Code without the lines that are for IPython"
    return re.sub(r'^(\s*)[%!].*', r'\1pass', code, flags=re.MULTILINE)

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
