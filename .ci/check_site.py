"""The site can be built, shown without Quarto: the processing of every page runs; the configuration, the
sidebar, titles, links, cross-references and pictures hold together; every figure has a text for those who
cannot see it; the reference says each signature once and describes what it names; a solution shows nothing
until it is opened; tables have one row of heads and nothing cut; the pages speak of the subject, not of the
work on it; KaTeX can set every formula, and no LaTeX stands outside one."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import unquote

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).parents[1]
CITED = re.compile(r'(?<![\w.])@([a-z]+\d{4}\w*)')
LABEL = re.compile(r'\{[^{}\n]*?#([\w:.-]+)[^{}\n]*\}') # {#eq-name}, {#sec-name .class}
OPTION = re.compile(r'^#\|\s*([\w-]+)\s*:\s*(.*?)\s*$', re.MULTILINE) # Quarto's of a code cell
WORK = re.compile(r"""\b(our[ ]notes | we[ ]had[ ]aimed | we[ ]aimed | the[ ]demand[ ](is|was) | we[ ]nearly
    | measured[ ]elsewhere | made[ ]elsewhere | measurement[ ]made | once[ ]they[ ]exist | honestly)\b""",
    re.IGNORECASE | re.VERBOSE)
SIGNATURE = re.compile(r'^(?:async )?(?:def|class) (\w+)', re.MULTILINE)
FENCED = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)
RAW_LATEX = re.compile(r'\\[A-Za-z]{2,}|\$')
HOME = 'index.ipynb'
PROCESS = """
from nbdev.quarto import proc_nbs, refresh_quarto_yml
if __name__ == "__main__":
    refresh_quarto_yml()
    proc_nbs(n_workers=2)
"""
# Pandoc's rules, and Quarto's: no space inside the dollars, no digit after them, no blank line between
MARKDOWN = MarkdownIt('commonmark').enable('table').disable('text_join').use(
    dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False,
    double_inline=True)

def flat(tokens):
    "Tokens with those inside them"
    for token in tokens:
        yield token
        yield from flat(token.children or [])

def anchor(title):
    "The id that Pandoc gives a heading"
    return re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', title.lower()).strip()))

def plain(token):
    "The words of a paragraph, without formulas and escaped dollars (each a text_special of its own)"
    parts = [part for part in token.children if part.type.startswith('text')]
    return ''.join(part.content for part in parts if (part.type, part.content) != ('text_special', '$'))

def shows_figure(cell):
    "Whether a cell of code shows a picture"
    kinds = [kind for output in cell.outputs for kind in output.get('data', {})]
    return 'fig-cap' in cell.source or any(kind.startswith('image/') for kind in kinds)

class Page:
    "One processed notebook, read as Quarto would read it"
    def __init__(self, path):
        self.name, nb = path.name, nbformat.read(path, as_version=4)
        self.cells = nb.cells
        raw = [cell.source for cell in nb.cells if cell.cell_type == 'raw']
        self.meta = yaml.safe_load(raw[0].strip().strip('-')) if raw else {}
        coded = [cell for cell in nb.cells if cell.cell_type == 'code']
        self.code = [cell.source for cell in coded]
        self.figures = [dict(OPTION.findall(cell.source)) for cell in coded if shows_figure(cell)]
        self.texts = [cell.source for cell in nb.cells if cell.cell_type == 'markdown']
        for data in (output.data for cell in coded for output in cell.outputs if 'data' in output):
            shown = [kind for kind in ('text/html', 'text/markdown', 'text/latex') if kind in data]
            if shown and shown[0] != 'text/html': self.texts.append(data[shown[0]]) # the first, as in Quarto

    @cached_property
    def open(self):
        "Names whose source stands open as part of the library"
        shown = [text for text in self.code if 'classes: library' in text]
        return {name for text in shown for name in SIGNATURE.findall(text)}

    @cached_property
    def tokens(self):
        return [token for text in self.texts for token in flat(MARKDOWN.parse(LABEL.sub('', text)))]

    @property
    def formulas(self):
        found = [token for token in self.tokens if token.type.startswith('math_')]
        return [dict(tex=token.content, display=token.type != 'math_inline') for token in found]

    @property
    def stray(self):
        "LaTeX outside of formulas, and where it stands"
        texts = [plain(token) for token in self.tokens if token.type == 'inline']
        return [(found[0], text) for text in texts if (found := RAW_LATEX.search(text))]

    @property
    def anchors(self):
        heads = [inner.children for o, inner in zip(self.tokens, self.tokens[1:]) if o.type == 'heading_open']
        titles = [''.join(part.content for part in head) for head in heads]
        labels = [label for text in self.texts for label in LABEL.findall(text)]
        labels += re.findall(r'#\|\s*label:\s*(\S+)', '\n'.join(self.code))
        return {*map(anchor, titles), *labels, *re.findall(r'id="([^"]+)"', '\n'.join(self.texts))}

    @property
    def links(self):
        html = ' '.join(token.content for token in self.tokens if token.type.startswith('html_'))
        found = [token.attrs for token in self.tokens if token.type in ('link_open', 'image')]
        urls = [attrs.get('href') or attrs.get('src') for attrs in found]
        return urls + re.findall(r'(?:href|src)="([^"]+)"', html)

    @property
    def citations(self): return {key for text in self.texts for key in CITED.findall(text)}

    @property
    def references(self):
        words = ' '.join(token.content for token in self.tokens if token.type == 'text')
        return re.findall(r'(?<![\w.])@((?:sec|fig|eq|tbl|lst|thm)-[\w-]*\w)', words)

def process(tmp):
    "Have nbdev process every page into `tmp/_proc`, and say whether it could"
    for name in ('settings.ini', '_quarto.yml'): shutil.copy(ROOT/name, tmp)
    hidden = shutil.ignore_patterns('.*', '__pycache__')
    for name in ('nbs', 'irsde'): shutil.copytree(ROOT/name, tmp/name, symlinks=True, ignore=hidden)
    command = [sys.executable, '-c', PROCESS]
    env = dict(os.environ, PYTHONPATH=str(ROOT/'.ci'))
    res = subprocess.run(command, cwd=tmp, env=env, text=True, capture_output=True)
    if res.returncode: print(res.stdout, res.stderr, sep='\n')
    return res.returncode == 0

def listed(contents):
    "Every page that a sidebar's contents name"
    for item in contents:
        if isinstance(item, str): yield item
        else: yield from ([item['href']] if 'href' in item else []) + list(listed(item.get('contents', [])))

def read_yaml(path):
    "The content of a YAML file"
    return yaml.safe_load(path.read_text(encoding='utf-8'))

def contents_of(nbs):
    "The contents of the sidebar"
    return read_yaml(nbs/'sidebar.yml')['website']['sidebar']['contents']

def check_configuration(tmp):
    "The lists of files, in the folder where nbdev has processed them"
    config, entries = read_yaml(tmp/'nbs'/'_quarto.yml'), list(listed(contents_of(tmp/'nbs')))
    if not (ROOT/'nbs'/'_quarto.yml').is_symlink():
        yield 'nbs/_quarto.yml: is no longer a link to ../_quarto.yml'
    if config['metadata-files'] != ['nbdev.yml', 'sidebar.yml']:
        yield '_quarto.yml: metadata-files must be [nbdev.yml, sidebar.yml]'
    if (tmp/'nbs'/'nbdev.yml').read_text() != (ROOT/'nbs'/'nbdev.yml').read_text():
        yield 'nbs/nbdev.yml: out of step with settings.ini'
    if not (ROOT/'nbs'/config['format']['html']['css']).exists(): yield '_quarto.yml: its css is not in nbs/'
    pages = {path.name for path in (ROOT/'nbs').glob('[!_.]*.ipynb')}
    for name in sorted(set(entries) - pages): yield f'sidebar.yml: lists {name}, which does not exist'
    for name in sorted(pages - set(entries)): yield f'sidebar.yml: does not list {name}'
    for name in sorted({o for o in entries if entries.count(o) > 1}): yield f'sidebar.yml: lists {name} twice'

def check_config_of_pages(config):
    "What the site needs of _quarto.yml beside its lists: each of these has failed a reader once"
    html, website = config['format']['html'], config['website']
    if html.get('html-math-method') != 'katex':
        yield ('_quarto.yml: html-math-method must be the plain word katex; as an object, Quarto does not '
               'keep require.js from KaTeX, and no formula is set')
    if not html.get('respect-user-color-scheme'): yield '_quarto.yml: respect-user-color-scheme must be true'
    themes = [theme if isinstance(theme, list) else [theme] for theme in html['theme'].values()]
    cards = [website.get(card, {}).get('image') for card in ('open-graph', 'twitter-card')]
    styles = [name for theme in themes for name in theme if name.endswith('.scss')]
    for name in [website.get('favicon'), *cards, html['css'], *styles, '404.qmd']:
        if not name or not (ROOT/'nbs'/name).is_file():
            yield f'_quarto.yml: needs nbs/{name}, which does not exist'

def check_sidebar(sidebar, pages):
    "The sidebar calls each page by its number and title"
    for entry in (entry for part in sidebar for entry in part['contents']):
        name, text = entry['href'], entry['text']
        wanted = 'Home' if name == HOME else pages[name].meta['title']
        if text != wanted: yield f'sidebar.yml: {name} is called {text!r}, its title is {wanted!r}'

def check_entry(text, is_open):
    "The entry of names in the reference; those whose source is open need no word more"
    heading, _, entry = text.partition('.api}')
    names = heading.partition(' {#')[0].strip('# ').replace('\\', '').split(', ')
    said = entry.rpartition('```')[2] if '```' in entry else re.sub(r'\[source\]\(.*|\[\]\{.*', '', entry)
    if not said.strip() and not set(names) <= is_open:
        yield f'{", ".join(names)}: no docstring; give it one, or make it a helper (#| exporti)'

def check_reference(page):
    "What the page says of functions: see .ci/site_pages.py"
    for text in page.texts:
        if 'Call self as a function' in text: yield f'"Call self as a function." in: {text.strip()[:80]}'
        for block in FENCED.findall(text):
            if re.search(r'\]\(https?://', block) and 'python' in block[:12]:
                yield f'a Markdown link within a signature: {block[:80]}'
        if ' .api}' in text: yield from check_entry(text, page.open)
    told = [name for text in page.texts if ' .api}' in text for name in SIGNATURE.findall(text)]
    for name in sorted({o for o in told if told.count(o) > 1 or o in page.open}):
        yield f'the signature of {name} stands twice'

def check_table(html):
    "A table's head and cells"
    for row in re.findall(r'<tr>(.*?)</tr>', html.partition('</thead>')[0], re.DOTALL):
        if '"index_name' in row and 'col_heading' not in row:
            words = re.sub('<[^>]*>| +', ' ', row).split()
            yield f'a table gives the name of its index a row of its own: {words}'
    for text in re.findall(r'<td[^>]*>([^<]*)</td>', html):
        if len(text) == 50 and text.endswith('...'): yield f'pandas has cut a cell: {text}'

def check_outputs(page):
    "Solutions that spoil themselves, and tables out of form"
    for cell in page.cells:
        if cell.cell_type != 'code': continue
        options = dict(OPTION.findall(cell.source))
        solution = options.get('code-summary', '').strip('"').startswith('Solution')
        if solution and cell.outputs and options.get('output') != 'false':
            yield f'a solution shows its result: give it "#| output: false": {cell.source[:80]!r}'
        kind, count = options.get('label', '').partition('-')[0], len(cell.outputs)
        captioned = f'{kind}-cap' in options
        if kind in ('fig', 'tbl') and (count > 1 or not captioned):
            yield (f"{options['label']}: has {count} outputs and {'a' if captioned else 'no'} {kind}-cap; "
                   'what bears a number is one thing with a caption')
        for output in cell.outputs: yield from check_table(output.get('data', {}).get('text/html', ''))

def check_words(page):
    "Sentences about the work in place of the subject"
    for text in page.texts:
        for found in WORK.finditer(text):
            around = text[max(0, found.start() - 40):found.end() + 40]
            yield f'"{found[0]}" speaks of the work, not of the subject: {around!r}'

def check_links(page, pages, site):
    "Links to pages, headings and files; `pages` maps a notebook's name and the name of its HTML to a page"
    for url in (link.removeprefix(site) for link in page.links):
        if re.match(r'[a-z]+:', url): continue
        target, _, fragment = unquote(url).lstrip('/').removeprefix('notebooks/').partition('#')
        other = pages.get(target, None) if target else page
        if other is None and not (ROOT/'nbs'/target).exists(): yield f'link to {url}, which does not exist'
        elif other and fragment and fragment.lower() not in map(str.lower, other.anchors):
            yield f'link to {url}: no such heading there'

def check_page(page):
    "Titles, references and texts of figures"
    for key in ('title', 'description'):
        if not page.meta.get(key): yield f'no {key}: a chapter opens with "# Title" and "> one sentence"'
    for name in page.references:
        if name not in page.anchors: yield f'reference @{name}, which this page does not define'
    for figure in page.figures:
        cap, alt = (figure.get(name, '').strip('"') for name in ('fig-cap', 'fig-alt'))
        if not 60 <= len(alt) <= 300 or alt == cap:
            yield (f'figure {figure.get("label", cap[:60])}: fig-alt has {len(alt)} characters; '
                   'say in 60 to 300 what the caption does not and the eye sees')
    for token in page.tokens:
        if token.type == 'text' and '](' in token.content:
            yield f'a link that is not one: {token.content.strip()[:100]}'
    for found, text in page.stray: yield f'"{found}" outside a formula, in: {text.strip()[:120]}'

def check_citations(pages):
    "Each cited work is in references.bib, and each entry there is cited"
    text = (ROOT/'nbs'/'references.bib').read_text(encoding='utf-8')
    keys = re.findall(r'^@\w+\{(\w+),', text, re.MULTILINE)
    for name in sorted({o for o in keys if keys.count(o) > 1}): yield f'references.bib: has {name} twice'
    for page in pages:
        for name in sorted(page.citations - set(keys)):
            yield f'{page.name}: cites @{name}, which references.bib does not have'
    for name in sorted(set(keys).difference(*(page.citations for page in pages))):
        yield f'references.bib: nobody cites {name}'

def modules():
    "The folder that npm put KaTeX, pyright and the themes of `make preview` in, or None if it could not"
    here = ROOT/'.ci'
    wanted = json.loads((here/'package.json').read_text(encoding='utf-8'))['dependencies']
    def there(name):
        facts = here/'node_modules'/name/'package.json'
        return facts.is_file() and json.loads(facts.read_text(encoding='utf-8'))['version'] == wanted[name]
    if not all(map(there, wanted)) and shutil.which('npm'):
        options = '--no-package-lock --no-audit --no-fund --silent'.split()
        res = subprocess.run(['npm', 'install', '--prefix', here, *options], capture_output=True, text=True)
        if res.returncode: print(f'npm could not install {", ".join(wanted)}: {res.stderr.strip()[-300:]}')
    return here/'node_modules' if all(map(there, wanted)) else None

def check_formulas(pages):
    "Have KaTeX set every formula"
    formulas = [(page, f) for page in pages for f in page.formulas]
    def skip(why): # in continuous integration, nothing is left out
        if os.environ.get('CI'): return [f'formulas: not checked, {why}']
        print(f'SKIPPED: the {len(formulas)} formulas were not parsed, {why}')
        return []
    if not shutil.which('node') or modules() is None:
        return skip('as they need node, and npm to install KaTeX')
    text = json.dumps([formula for _, formula in formulas])
    res = subprocess.run(['node', ROOT/'.ci'/'check_math.mjs'], input=text, capture_output=True, text=True)
    if res.returncode: return [f'formulas: node failed: {res.stderr}']
    print(f'{len(formulas)} formulas parsed')
    faults = [(*formulas[i], error) for i, error in json.loads(res.stdout)]
    return [f'{page.name}: {error}\n    {formula["tex"].strip()}' for page, formula, error in faults]

def main():
    "Whether all is well; what is not is printed"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return False
        pages = [Page(path) for path in sorted((tmp/'_proc').glob('*.ipynb'))]
        found = [*check_configuration(tmp), *check_config_of_pages(read_yaml(ROOT/'_quarto.yml'))]
    site = read_yaml(ROOT/'nbs'/'nbdev.yml')['website']['site-url'] + '/'
    names = {name: page for page in pages for name in (page.name, page.meta.get('output-file'))}
    found += check_sidebar(contents_of(ROOT/'nbs'), names)
    linked = partial(check_links, pages=names, site=site)
    for check in (check_reference, check_outputs, check_words, linked, check_page):
        found += [f'{page.name}: {problem}' for page in pages for problem in check(page)]
    found += [*check_citations(pages), *check_formulas(pages)]
    print(f'{len(pages)} pages read', *found, sep='\n')
    return pages and not found

if __name__ == '__main__': sys.exit(not main())
