"""The site can be built, shown without Quarto: nbdev's own processing of every page runs; the configuration, the sidebar,
titles, links, cross-references and pictures hold together; every figure has a text for those who cannot see it; KaTeX can set every formula, and no LaTeX stands outside one."""
import json, os, re, shutil, subprocess, sys, tempfile
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote
import nbformat, yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).parents[1]
CITED = re.compile(r'(?<![\w.])@([a-z]+\d{4}\w*)')
LABEL = re.compile(r'\{[^{}\n]*?#([\w:.-]+)[^{}\n]*\}') # {#eq-name}, {#sec-name .class}
OPTION = re.compile(r'^#\|\s*([\w-]+)\s*:\s*(.*?)\s*$', re.MULTILINE) # Quarto's of a code cell
RAW_LATEX = re.compile(r'\\[A-Za-z]{2,}|\$')
# Pandoc's rules, which Quarto follows: no space inside the dollars, no digit after them, no blank line between them
MARKDOWN = MarkdownIt('commonmark').enable('table').disable('text_join').use(
    dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False, double_inline=True)

def flat(tokens):
    for token in tokens: yield token; yield from flat(token.children or [])

def anchor(title):
    "The id that Pandoc gives a heading"
    return re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', title.lower()).strip()))

class Page:
    "One processed notebook, read as Quarto would read it"
    def __init__(self, path):
        self.name, nb = path.name, nbformat.read(path, as_version=4)
        self.meta = next((yaml.safe_load(o.source.strip().strip('-')) for o in nb.cells if o.cell_type == 'raw'), {})
        self.code = [o.source for o in nb.cells if o.cell_type == 'code']
        self.figures = [dict(OPTION.findall(c.source)) for c in nb.cells if c.cell_type == 'code'
                        if 'fig-cap' in c.source or any(k.startswith('image/') for o in c.outputs for k in o.get('data', {}))]
        outputs = [o.data for c in nb.cells if c.cell_type == 'code' for o in c.outputs if 'data' in o]
        self.texts = [o.source for o in nb.cells if o.cell_type == 'markdown']
        for data in outputs: # Quarto shows the first of these that an output has
            shown = next((o for o in ('text/html', 'text/markdown', 'text/latex') if o in data), None)
            if shown and shown != 'text/html': self.texts.append(data[shown])

    @cached_property
    def tokens(self): return [o for text in self.texts for o in flat(MARKDOWN.parse(LABEL.sub('', text)))]
    @property
    def formulas(self): return [dict(tex=o.content, display=o.type != 'math_inline') for o in self.tokens if o.type.startswith('math_')]
    @property
    def stray(self): # an escaped dollar comes as a text_special of its own
        texts = [''.join(o.content for o in t.children if o.type.startswith('text') and (o.type, o.content) != ('text_special', '$'))
                 for t in self.tokens if t.type == 'inline']
        return [(m[0], text) for text in texts for m in [RAW_LATEX.search(text)] if m]
    @property
    def anchors(self):
        heads = [''.join(p.content for p in b.children) for a,b in zip(self.tokens, self.tokens[1:]) if a.type == 'heading_open']
        labels = [m for text in self.texts for m in LABEL.findall(text)] + re.findall(r'#\|\s*label:\s*(\S+)', '\n'.join(self.code))
        return {*map(anchor, heads), *labels, *re.findall(r'id="([^"]+)"', '\n'.join(self.texts))}
    @property
    def links(self):
        html = ' '.join(o.content for o in self.tokens if o.type.startswith('html_'))
        return [o.attrs.get('href') or o.attrs.get('src') for o in self.tokens if o.type in ('link_open', 'image')] + \
            re.findall(r'(?:href|src)="([^"]+)"', html)
    @property
    def citations(self): return {m for text in self.texts for m in CITED.findall(text)}
    @property
    def references(self):
        plain = ' '.join(o.content for o in self.tokens if o.type == 'text')
        return re.findall(r'(?<![\w.])@((?:sec|fig|eq|tbl|lst|thm)-[\w-]*\w)', plain)

def process(tmp):
    "Have nbdev process every page into `tmp/_proc`, and say whether it could"
    for name in ('settings.ini', '_quarto.yml'): shutil.copy(ROOT/name, tmp)
    for name in ('nbs', 'irsde'): shutil.copytree(ROOT/name, tmp/name, symlinks=True, ignore=shutil.ignore_patterns('.*', '__pycache__'))
    code = 'from nbdev.quarto import refresh_quarto_yml, proc_nbs; refresh_quarto_yml(); proc_nbs(n_workers=2)'
    res = subprocess.run([sys.executable, '-c', f"if __name__ == '__main__': {code}"], cwd=tmp, text=True, capture_output=True)
    if res.returncode: print(res.stdout, res.stderr, sep='\n')
    return res.returncode == 0

def listed(contents):
    "Every page that a sidebar's contents name"
    for item in contents:
        if isinstance(item, str): yield item
        else: yield from ([item['href']] if 'href' in item else []) + list(listed(item.get('contents', [])))

def check_configuration(tmp):
    config, sidebar = (yaml.safe_load((tmp/'nbs'/o).read_text(encoding='utf-8')) for o in ('_quarto.yml', 'sidebar.yml'))
    if not (ROOT/'nbs'/'_quarto.yml').is_symlink(): yield 'nbs/_quarto.yml: is no longer a link to ../_quarto.yml'
    if config['metadata-files'] != ['nbdev.yml', 'sidebar.yml']: yield '_quarto.yml: metadata-files must be [nbdev.yml, sidebar.yml]'
    if (tmp/'nbs'/'nbdev.yml').read_text() != (ROOT/'nbs'/'nbdev.yml').read_text(): yield 'nbs/nbdev.yml: out of step with settings.ini'
    if not (ROOT/'nbs'/config['format']['html']['css']).exists(): yield '_quarto.yml: its css is not in nbs/'
    pages, entries = {o.name for o in (ROOT/'nbs').glob('[!_.]*.ipynb')}, list(listed(sidebar['website']['sidebar']['contents']))
    for name in sorted(set(entries) - pages): yield f'sidebar.yml: lists {name}, which does not exist'
    for name in sorted(pages - set(entries)): yield f'sidebar.yml: does not list {name}'
    for name in sorted({o for o in entries if entries.count(o) > 1}): yield f'sidebar.yml: lists {name} twice'

def check_page(page, pages, site):
    "Titles, links and references of one page; `pages` maps both the notebook's name and the name of its HTML to a page"
    for key in ('title', 'description'):
        if not page.meta.get(key): yield f'no {key}: a chapter opens with "# Title" and "> one sentence"'
    for url in page.links:
        url = url.removeprefix(site)
        if re.match(r'[a-z]+:', url): continue
        target, _, fragment = unquote(url).lstrip('/').partition('#')
        other = pages.get(target, None) if target else page
        if other is None and not (ROOT/'nbs'/target).exists(): yield f'link to {url}, which does not exist'
        elif other and fragment and fragment.lower() not in {o.lower() for o in other.anchors}: yield f'link to {url}: no such heading there'
    for name in page.references:
        if name not in page.anchors: yield f'reference @{name}, which this page does not define'
    for figure in page.figures:
        cap, alt = (figure.get(o, '').strip('"') for o in ('fig-cap', 'fig-alt'))
        if not 60 <= len(alt) <= 300 or alt == cap:
            yield f'figure {figure.get("label", cap[:60])}: fig-alt has {len(alt)} characters; say in 60 to 300 what the caption does not and the eye sees'
    for found, text in page.stray: yield f'"{found}" outside a formula, in: {text.strip()[:120]}'

def check_citations(pages):
    "Each cited work is in references.bib, and each entry there is cited"
    keys = re.findall(r'^@\w+\{(\w+),', (ROOT/'nbs'/'references.bib').read_text(encoding='utf-8'), re.MULTILINE)
    for name in sorted({o for o in keys if keys.count(o) > 1}): yield f'references.bib: has {name} twice'
    for page in pages:
        for name in sorted(page.citations - set(keys)): yield f'{page.name}: cites @{name}, which references.bib does not have'
    for name in sorted(set(keys) - {o for page in pages for o in page.citations}): yield f'references.bib: nobody cites {name}'

def check_formulas(pages):
    "Have KaTeX set every formula"
    formulas = [(page, f) for page in pages for f in page.formulas]
    tools = [shutil.which('node'), shutil.which('npm')]
    here = ROOT/'.ci'
    def skip(why): # in continuous integration, nothing is left out
        if os.environ.get('CI'): return [f'formulas: not checked, {why}']
        print(f'SKIPPED: the {len(formulas)} formulas were not parsed, {why}')
        return []
    if not all(tools): return skip('as node and npm are not both on the PATH')
    res = subprocess.run([tools[1], 'install', '--prefix', here, '--no-package-lock', '--no-audit', '--no-fund', '--silent'], capture_output=True, text=True)
    if res.returncode: return skip(f'as npm could not install KaTeX: {res.stderr.strip()[-300:]}')
    res = subprocess.run([tools[0], here/'check_math.mjs'], input=json.dumps([f for _,f in formulas]), capture_output=True, text=True)
    if res.returncode: return [f'formulas: node failed: {res.stderr}']
    print(f'{len(formulas)} formulas parsed')
    return [f'{formulas[i][0].name}: {error}\n    {formulas[i][1]["tex"].strip()}' for i,error in json.loads(res.stdout)]

def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return False
        pages = [Page(o) for o in sorted((tmp/'_proc').glob('*.ipynb'))]
        found = list(check_configuration(tmp))
    site = yaml.safe_load((ROOT/'nbs'/'nbdev.yml').read_text())['website']['site-url'] + '/'
    names = {name: o for o in pages for name in (o.name, o.meta.get('output-file'))}
    found += [f'{o.name}: {problem}' for o in pages for problem in check_page(o, names, site)] + [*check_citations(pages)] + check_formulas(pages)
    print(f'{len(pages)} pages read', *found, sep='\n')
    return pages and not found

if __name__ == '__main__': sys.exit(not main())
