"""What nbdev does to a notebook to make a page of it, where the book wants it otherwise.

`procs` in settings.ini names these:

    Opening       the chapter's number before its title; badge, download and running time in one line
    Reference     what a page says of the functions that it exports
    PublicLinks   a name in the text links to its entry only if it has one
    UniqueTables  two tables of one page with the same heads keep their anchors and colours apart
    WidePictures  a wide row of drawings or photographs is marked: a telephone scrolls it, unshrunk

nbdev's own processors for the second (`skip_procs` in settings.ini) run the chapter's code to ask the
functions for their signatures. They describe a function without a docstring as "Call self as a function.",
set links inside signatures, read stars in a docstring as emphasis, leave out the comments of a dataclass's
fields, and show a signature above the source that repeats it.
"""
import ast
import csv
import importlib
import inspect
import json
import re
import textwrap
from functools import cache
from pathlib import Path

from execnb.nbio import mk_cell
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import Processor

ROOT = Path(__file__).parents[1]
EXPORTS = {'export', 'exports', 'exporti'}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SHOW_DOC = re.compile(r'^show_doc\(([\w.]+)\)', re.MULTILINE)
TITLE = re.compile(r"^title: ['\"]?", re.MULTILINE)
ENTRY = re.compile(r'^#\|\s*(exports?(\s+\w+)?|open)\s*$', re.MULTILINE)
BADGE = re.compile(r'\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*/nbs/([^)/]+\.ipynb))\)')
AUTO_LINK = re.compile(r'\[(`[^`\]]+`)\]\((https?://[^)#\s]+/(\w+)\.html#([\w.]+))\)')

def module_of(nb):
    "The module of irsde that a notebook exports, or None"
    found = [cell.directives_['default_exp'][0] for cell in nb.cells if 'default_exp' in cell.directives_]
    return importlib.import_module(f'irsde.{found[0]}') if found else None

def named_module(cell):
    "The module that an exported cell names, as `#| exports sampling` does, or None"
    named = [name for kind in EXPORTS & set(cell.directives_) for name in cell.directives_[kind]]
    return importlib.import_module(f'irsde.{named[0]}') if named else None

def symbol(module, name):
    "What a dotted name means in a module; click's commands are taken for the function in them"
    for part in name.split('.'): module = getattr(module, part)
    return getattr(module, 'callback', None) or module

def defined(source):
    "Names of the functions and classes of a cell; one with overloads counts once"
    return list(dict.fromkeys(o.name for o in ast.parse(source).body if isinstance(o, DEFINITIONS)))

def cells_of(notebook):
    "(type, source) of the cells of a notebook's file"
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    return [(o['cell_type'], ''.join(o['source'])) for o in cells]

def in_code(text):
    "A text for Markdown to show as it stands, but for its `code`"
    return re.sub(r'(`[^`]*`)|([\\*_^~<>$@|\[\]])', lambda m: m[1] or '\\' + m[2], text)

def description(thing):
    "The docstring of a thing's own, its lines joined, ready for Markdown, with links"
    text = textwrap.dedent(inspect.cleandoc(thing.__doc__)) if getattr(thing, '__doc__', None) else ''
    return NbdevLookup().linkify(in_code(text))

def fields(cls):
    "The head of a dataclass, with the comments of its fields"
    source = textwrap.dedent(inspect.getsource(cls))
    node = ast.parse(source).body[0]
    last = max(o.end_lineno for o in node.body if isinstance(o, ast.AnnAssign))
    doc = node.body[0] if ast.get_docstring(node) is not None else None
    skipped = range(doc.lineno, doc.end_lineno + 1) if doc else ()
    return '\n'.join(line for i, line in enumerate(source.splitlines()[:last], 1) if i not in skipped)

def head(function):
    "How a function is called, as it is written, up to its docstring or its first line"
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    lines, body = source.splitlines(), node.body[0]
    if body.lineno == node.lineno: return lines[node.lineno - 1][:body.col_offset].rstrip()
    return '\n'.join(lines[node.lineno - 1:body.lineno - 1])

def signature(thing, name):
    "How a thing is called, with the comments of its parameters, as one block of code"
    if inspect.isclass(thing):
        dataclass = '__dataclass_fields__' in vars(thing)
        if dataclass and any(thing.__annotations__): text = fields(thing)
        elif '__init__' in vars(thing):
            text = re.sub(r'^def __init__\(self(, (?=\S)|,|)', f'class {name}(', head(thing.__init__))
        else: text = f'class {name}({", ".join(base.__name__ for base in thing.__bases__)})'
    else: text = head(inspect.unwrap(thing))
    return f'```python\n{text.replace("`", "")}\n```'

def heading(names, module, level=3):
    "One heading for the names of a cell, an anchor for each, and the way to their source"
    config, (_, line) = get_config(), inspect.getsourcelines(symbol(module, names[0]))
    address = f'{config.git_url}/blob/{config.branch}/{module.__name__.replace(".", "/")}.py#L{line}'
    parts = [f'{"#" * level} {in_code(", ".join(names))} {{#{names[0].lower()} .api}}',
             f'[source]({address}){{.source-link target="_blank"}}',
             ''.join(f'[]{{#{o.lower()}}}' for o in names[1:])]
    return '\n\n'.join(filter(None, parts))

def folded(cell, summary):
    "The cell, its source behind a line to click on"
    cell.source = f'#| code-fold: true\n#| code-summary: "{summary}"\n{cell.source}'
    return cell

def few(names):
    "Some names, told in at most a line"
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')

def shown_open(cell):
    "Whether the source of an exported cell is shown: `exports`, or `exporti` with `open` for what is private"
    return 'exports' in cell.directives_ or 'open' in cell.directives_

class Reference(Processor):
    "Entries for what the notebook exports, each with its signature once"
    def begin(self):
        self.module = module_of(self.nb)
        shown = [o.source for o in self.nb.cells if o.cell_type == 'code' and shown_open(o)]
        self.open = {name for source in shown for name in defined(source)}
        self.nb.cells = [new for cell in self.nb.cells for new in self.replaced(cell)]

    def replaced(self, cell):
        "The cells that the page has for one of the notebook"
        if cell.cell_type != 'code' or not cell.get('source'): return [cell]
        asked = SHOW_DOC.search(cell.source)
        if 'default_exp' in cell.directives_: return []
        if asked: return [] if getattr(cell, 'has_sd', False) else [mk_cell(self.entry(asked[1]), 'markdown')]
        kind = next(iter(EXPORTS & set(cell.directives_)), None)
        return [cell] if kind is None else self.exported(cell, 'exports' if shown_open(cell) else kind)

    def exported(self, cell, kind):
        "An exported cell as its kind wants: exports open, export by its signature, exporti behind a fold"
        names, module = defined(cell.source), named_module(cell) or self.module
        statements = ast.parse(cell.source).body
        assigned = [t for o in statements if isinstance(o, ast.Assign) for t in o.targets]
        assigned += [o.target for o in statements if isinstance(o, ast.AnnAssign)] # PRESETS: dict = ...
        constants = [o.id for o in assigned if isinstance(o, ast.Name)]
        if not names + constants: return [] # imports
        if kind == 'exporti': return [folded(cell, f'Helpers: {few(names or constants)}')]
        if kind == 'exports':
            cell.source = f'#| classes: library\n{cell.source}'
            return ([mk_cell(heading(names, module), 'markdown')] if names else []) + [cell]
        if not names: return [folded(cell, f'Source: {few(constants)}')]
        entries = [mk_cell(self.entry(name, module), 'markdown') for name in names]
        return [*entries, folded(cell, f'Source of {few(names)}')]

    def entry(self, name, module=None):
        "Heading, signature unless it stands on the page already, docstring"
        module = module or self.module
        thing = symbol(module, name)
        stands = '.' in name and name.split('.')[0] in self.open
        parts = [heading([name], module, 4 if '.' in name else 3),
                 '' if stands else signature(thing, name), description(thing)]
        return '\n\n'.join(filter(None, parts))

class PublicLinks(Processor):
    "Names that have no entry lose the link that nbdev gives them"
    def cell(self, cell):
        if cell.cell_type == 'markdown' and cell.source: cell.source = AUTO_LINK.sub(self.kept, cell.source)
        for output in cell.get('outputs', []):
            text = output.get('data', {}).get('text/markdown')
            if text is not None: output['data']['text/markdown'] = AUTO_LINK.sub(self.kept, ''.join(text))

    def kept(self, match): return match[0] if match[4] in entries(match[3]) else match[1]

@cache
def entries(page):
    "Anchors of the entries that a module's page has"
    source = next((o for o in (ROOT/'nbs').glob('[0-9]*.ipynb') if o.stem.partition('_')[2] == page), None)
    if source is None: return set()
    code = [text for kind, text in cells_of(source) if kind == 'code']
    names = {o for text in code if ENTRY.search(text) for o in defined(text)}
    return {o.lower() for o in names | {m for text in code for m in SHOW_DOC.findall(text)}}

class UniqueTables(Processor):
    "A styled table bears an id made of its heads; a second one of the same heads gets a number behind it"
    def begin(self): self.seen = {}

    def cell(self, cell):
        for output in cell.get('outputs', []):
            html = ''.join(output.get('data', {}).get('text/html', ''))
            found = re.search(r'<table id="(T_[0-9a-f]+)"', html)
            if not found: continue
            n = self.seen[found[1]] = self.seen.get(found[1], 0) + 1
            if n > 1: output['data']['text/html'] = re.sub(rf'\b{found[1]}(?=["_ ])', f'{found[1]}n{n}', html)

WIDE = 600 # Pixels as shown, from which on labels are too small once a telephone has shrunk the picture
ROW = {'image/png': 2.3, 'image/jpeg': 3.2} # Times as wide as high: two drawings, four photographs. Three of
                                            # these are better seen at once

def is_wide(output):
    "Whether an output is a picture both wide and low"
    return any(fact.get('width', 0) >= max(WIDE, ROW[kind] * fact.get('height', WIDE))
               for kind, fact in output.get('metadata', {}).items() if kind in ROW)

class WidePictures(Processor):
    "Cells that show a wide row of drawings or photographs get the class `wide` (nbs/styles.css)"
    def cell(self, cell):
        if not any(map(is_wide, cell.get('outputs', []))): return
        classes = re.compile(r'^(#\|\s*classes:.*)', re.MULTILINE)
        cell.source, found = classes.subn(r'\1 wide', cell.source, count=1)
        if not found: cell.source = f'#| classes: wide\n{cell.source}'

def seconds_to_run():
    "Chapter -> seconds, as .ci/check_chapters.py --keep measured them"
    with open(ROOT/'data'/'runs'/'chapters.csv', encoding='utf-8') as f:
        return {o['chapter']: float(o['seconds']) for o in csv.DictReader(f)}

class Opening(Processor):
    "Number, badge, download and running time of a chapter"
    def begin(self):
        path = Path(self.nb.path_)
        number = re.match(r'\d\d[a-z]*(?=_)', path.name)
        for cell in self.nb.cells:
            if cell.cell_type == 'raw' and number:
                cell.source = TITLE.sub(rf'\g<0>{number[0]} ', cell.source, count=1)
            if cell.cell_type == 'markdown' and cell.source: cell.source = BADGE.sub(self.line, cell.source)

    def line(self, match):
        name = match[2]
        seconds = seconds_to_run().get(Path(name).stem)
        time = '' if seconds is None else f' {max(5, 5 * round(seconds / 5))} seconds to run'
        badge = '![Open in Colab](images/colab.svg){fig-alt="Open in Colab" .nolightbox}'
        return (f'::: {{.opening}}\n[{badge}]({match[1]}) '
                f'[Download the notebook](notebooks/{name}){{download="{name}"}}{time}\n:::')
