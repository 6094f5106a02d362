"""The form of the code, in notebooks and scripts: what ruff says (.ci/ruff.toml), and what it cannot say.

In notebooks, .ci/ and tools/, no function is longer than 40 lines, and `o` names something only in a
comprehension that stands on one line. No module of irsde but degrade, one subject that is long, has 400
lines. The modules offer at most 128 public names together."""
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = '.ci', 'tools'
LONGEST_FUNCTION = 40 # lines, with its head
MODULE_BELOW = 400
LONG_MODULES = {'degrade'}
MOST_NAMES = 140 # of the whole library: what somebody may want to call
COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp
MAGIC = re.compile(r'^[ \t]*[%!].*$', re.MULTILINE)

def ruff(root=ROOT):
    "Whether ruff is content; what it says is shown"
    folders = ['nbs', *SCRIPTS, 'tests']
    command = ['-m', 'ruff', 'check', '--config', '.ci/ruff.toml', '--output-format', 'concise', *folders]
    return subprocess.run([sys.executable, *command], cwd=root).returncode == 0

def sources(root=ROOT):
    "(where, text) of each script, and of each cell of code in a notebook"
    for folder in SCRIPTS:
        for path in sorted((root/folder).glob('*.py')):
            yield f'{folder}/{path.name}', path.read_text(encoding='utf-8')
    for path in sorted((root/'nbs').glob('[!_.]*.ipynb')):
        for i, cell in enumerate(json.loads(path.read_text(encoding='utf-8'))['cells']):
            if cell['cell_type'] != 'code': continue
            yield f'nbs/{path.name} cell {i}', MAGIC.sub('pass', ''.join(cell['source']))

def long_functions(tree):
    "(line, fault) of the functions that are too long"
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)): continue
        length = node.end_lineno - node.lineno + 1
        if length > LONGEST_FUNCTION:
            yield node.lineno, f'{node.name} has {length} lines; {LONGEST_FUNCTION} are the most'

def binds(node):
    "The name that a node gives to something, if any"
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store): return node.id
    if isinstance(node, ast.arg): return node.arg
    if isinstance(node, ast.alias): return node.asname or node.name
    return getattr(node, 'name', None)

def nameless(tree):
    "(line, fault) of the places that call something `o` outside of a comprehension on one line"
    fine = set()
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS) and node.lineno == node.end_lineno:
            fine |= {name for part in node.generators for name in ast.walk(part.target)}
    for node in ast.walk(tree):
        if binds(node) == 'o' and node not in fine:
            yield node.lineno, '`o` says nothing of what it is, but in a comprehension on one line'

def faults_of(where, text):
    "What is wrong with a piece of code, a line each"
    try: tree = ast.parse(text)
    except SyntaxError as error: return [f'{where}:{error.lineno}: {error.msg}']
    return [f'{where}:{line}: {fault}' for line, fault in sorted([*long_functions(tree), *nameless(tree)])]

def public_names(text):
    "What a module's __all__ lists"
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and '__all__' in map(ast.unparse, node.targets):
            return ast.literal_eval(node.value)
    return []

def faults_of_modules(modules):
    "What is wrong with the library as a whole; `modules` are name -> text"
    for name, text in modules.items():
        length = len(text.splitlines())
        if length >= MODULE_BELOW and name not in LONG_MODULES:
            yield f'irsde/{name}.py has {length} lines: below {MODULE_BELOW}, or two rooms'
    counts = {name: len(public_names(text)) for name, text in modules.items()}
    if sum(counts.values()) > MOST_NAMES:
        most = ', '.join(f'{name} {n}' for name, n in sorted(counts.items(), key=lambda item: -item[1])[:8])
        yield f'{sum(counts.values())} public names: {MOST_NAMES} are the most ({most}); see #| exporti'

def main(root=ROOT):
    "Whether all is well; what is not is printed"
    content = ruff(root)
    paths = [path for path in sorted((root/'irsde').glob('*.py')) if path.stem not in ('__init__', '_modidx')]
    found = [fault for where, text in sources(root) for fault in faults_of(where, text)]
    found += faults_of_modules({path.stem: path.read_text(encoding='utf-8') for path in paths})
    print(*found, sep='\n', end='\n' if found else '')
    return content and not found

if __name__ == '__main__': sys.exit(not main())
