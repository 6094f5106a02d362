"Which module of irsde may import which, and which packages, held by reading the source."
import ast, json, re, sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ALLOWED = { # module -> the modules of irsde that it may import; all else comes from packages outside
    'schedule': [], 'unet': [], 'nafnet': [], 'degrade': [], 'metrics': [], 'plots': [],
    'sde': ['schedule'],
    'oracle': ['sde'], 'sampling': ['sde'], 'losses': ['sde'], 'predict': ['sde'],
    'data': ['degrade'],
    'tasks': ['schedule', 'sde', 'degrade'],
    'checkpoint': ['schedule', 'sde', 'predict', 'unet', 'nafnet'],
    'training': ['checkpoint'],
    'restore': ['sampling', 'checkpoint', 'tasks'],
    'evaluate': ['degrade', 'data', 'metrics', 'plots', 'tasks', 'restore'],
}
ALLOWED['cli'] = [*ALLOWED] # but inside its commands only, so that `irsde --help` is quick

def declared():
    "The top-level packages that settings.ini's requirements bring in themselves"
    config = ConfigParser()
    config.read(ROOT/'settings.ini', encoding='utf-8')
    wanted = {canonicalize_name(Requirement(o).name) for o in config['DEFAULT']['requirements'].split()}
    return {top for top,dists in packages_distributions().items() if wanted & set(map(canonicalize_name, dists))}

def imported(node):
    "Dotted names that an import statement of irsde asks for, relative ones made absolute"
    if isinstance(node, ast.Import): return [o.name for o in node.names]
    base = '.'.join(filter(None, ['irsde' if node.level else '', node.module]))
    return [f'{base}.{o.name}' for o in node.names] if base == 'irsde' else [base]

def violations(path, packages):
    "What `path`, a module of irsde, imports and may not; `packages` are those that users have"
    module, tree = path.stem, ast.parse(path.read_text(encoding='utf-8'))
    if module not in ALLOWED:
        yield f'{path.name} is not in the table: add it to ALLOWED in .ci/check_imports.py'
        return
    nodes = [o for o in ast.walk(tree) if isinstance(o, (ast.Import, ast.ImportFrom))]
    for node in nodes:
        for name in imported(node):
            top,_,rest = name.partition('.')
            other = rest.split('.')[0]
            where = f'{path.name}: imports {name}'
            if top not in packages | sys.stdlib_module_names | {'irsde'}: yield f'{where}, which is not among the requirements in settings.ini'
            if top == 'irsde' and other in ALLOWED:
                if other not in ALLOWED[module]: yield f'{where}, but {module} may import {ALLOWED[module] or "no other module"}'
                elif module == 'cli' and node in tree.body: yield f'{where} on loading; import it inside the command'

def study_exports(nbs):
    "Study notebooks (20 and up) read the library; they add nothing to it"
    directive = re.compile(r'^#\s*\|\s*(default_exp|exports?|exporti)\b', re.MULTILINE)
    for nb in sorted(nbs.glob('[2-9][0-9]_*.ipynb')):
        cells = json.loads(nb.read_text(encoding='utf-8'))['cells']
        if any(o['cell_type'] == 'code' and directive.search(''.join(o['source'])) for o in cells):
            yield f'{nb.name} exports code: a study notebook may not'

if __name__ == '__main__':
    packages = declared()
    modules = sorted(o for o in (ROOT/'irsde').glob('*.py') if o.stem not in ('__init__', '_modidx'))
    found = [v for m in modules for v in violations(m, packages)] + list(study_exports(ROOT/'nbs'))
    print(*found, sep='\n', end='\n' if found else '')
    print(f'{len(modules)} modules read')
    sys.exit(bool(found) or not modules)
