"""The site can be built, shown without Quarto: the processing of every page runs; the configuration, the sidebar, titles, links,
cross-references and pictures hold together; every figure has a text for those who cannot see it; the reference says each signature once
and describes what it names; a solution shows nothing until it is opened; tables have one row of heads and nothing cut; the pages speak of the
subject, not of the work on it; KaTeX can set every formula, and no LaTeX stands outside one."""
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
WORK = re.compile(r"\b(our notes|we had aimed|we aimed|the demand (is|was)|we nearly|measured elsewhere|made elsewhere|measurement made|once they exist|honestly)\b", re.IGNORECASE)
SIGNATURE = re.compile(r'^(?:async )?(?:def|class) (\w+)', re.MULTILINE)
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
        self.cells = nb.cells
        self.figures = [dict(OPTION.findall(c.source)) for c in nb.cells if c.cell_type == 'code'
                        if 'fig-cap' in c.source or any(k.startswith('image/') for o in c.outputs for k in o.get('data', {}))]
        outputs = [o.data for c in nb.cells if c.cell_type == 'code' for o in c.outputs if 'data' in o]
        self.texts = [o.source for o in nb.cells if o.cell_type == 'markdown']
        for data in outputs: # Quarto shows the first of these that an output has
            shown = next((o for o in ('text/html', 'text/markdown', 'text/latex') if o in data), None)
            if shown and shown != 'text/html': self.texts.append(data[shown])

    @cached_property
    def open(self): # names whose source stands open as part of the library
        shown = [o for o in self.code if 'classes: library' in o]
        return {m for text in shown for m in SIGNATURE.findall(text)}
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
    res = subprocess.run([sys.executable, '-c', f"if __name__ == '__main__': {code}"], cwd=tmp, text=True, capture_output=True,
                         env=dict(os.environ, PYTHONPATH=str(ROOT/'.ci')))
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

def check_config_of_pages(config):
    "What the site needs of _quarto.yml beside its lists: each of these has failed a reader once"
    html, website = config['format']['html'], config['website']
    if html.get('html-math-method') != 'katex':
        yield '_quarto.yml: html-math-method must be the plain word katex; as an object, Quarto does not keep require.js from KaTeX, and no formula is set'
    if not html.get('respect-user-color-scheme'): yield '_quarto.yml: respect-user-color-scheme must be true'
    themes = [o for o in (t for theme in html['theme'].values() for t in (theme if isinstance(theme, list) else [theme])) if o.endswith('.scss')]
    files = [website.get('favicon'), website.get('open-graph', {}).get('image'), website.get('twitter-card', {}).get('image'), html['css'], *themes, '404.qmd']
    for name in files:
        if not name or not (ROOT/'nbs'/name).is_file(): yield f'_quarto.yml: needs nbs/{name}, which does not exist'

def check_sidebar(sidebar, pages):
    "The sidebar calls each page by its number and title"
    for entry in (e for part in sidebar for e in part['contents']):
        page = pages[entry['href']]
        if entry['text'] != (wanted := 'Home' if entry['href'] == 'index.ipynb' else page.meta['title']): yield f"sidebar.yml: {entry['href']} is called {entry['text']!r}, its title is {wanted!r}"

def check_reference(page):
    "What the page says of functions: see .ci/site_pages.py"
    for text in page.texts:
        if 'Call self as a function' in text: yield f'"Call self as a function." in: {text.strip()[:80]}'
        for block in re.findall(r'^```.*?^```', text, re.MULTILINE | re.DOTALL):
            if re.search(r'\]\(https?://', block) and 'python' in block[:12]: yield f'a Markdown link within a signature: {block[:80]}'
        if ' .api}' not in text: continue
        heading, _, entry = text.partition('.api}')
        names = heading.partition(' {#')[0].strip('# ').replace('\\', '').split(', ')
        said = entry.rpartition('```')[2] if '```' in entry else re.sub(r'\[source\]\(.*|\[\]\{.*', '', entry)
        if not said.strip() and not set(names) <= page.open: yield f'{", ".join(names)}: no docstring; give it one, or make it a helper (#| exporti)'
    told = [m for text in page.texts if ' .api}' in text for m in SIGNATURE.findall(text)]
    for name in sorted({o for o in told if told.count(o) > 1 or o in page.open}): yield f'the signature of {name} stands twice'

def check_outputs(page):
    "Solutions that spoil themselves, and tables out of form"
    for cell in page.cells:
        if cell.cell_type != 'code': continue
        options = dict(OPTION.findall(cell.source))
        if options.get('code-summary', '').strip('"').startswith('Solution') and cell.outputs and options.get('output') != 'false':
            yield f'a solution shows its result below the fold: give it "#| output: false": {cell.source[:80]!r}'
        label = options.get('label', '').partition('-')[0]
        if label in ('fig', 'tbl') and (len(cell.outputs) > 1 or f'{label}-cap' not in options):
            yield f"{options['label']}: has {len(cell.outputs)} outputs and {'a' if f'{label}-cap' in options else 'no'} {label}-cap; what bears a number is one thing with a caption"
        for html in (o.data['text/html'] for o in cell.outputs if 'text/html' in o.get('data', {})):
            for row in re.findall(r'<tr>(.*?)</tr>', html.partition('</thead>')[0], re.DOTALL):
                if '"index_name' in row and 'col_heading' not in row: yield f'a table gives the name of its index a row of its own: {re.sub("<[^>]*>| +", " ", row).split()}'
            for text in re.findall(r'<td[^>]*>([^<]*)</td>', html):
                if len(text) == 50 and text.endswith('...'): yield f'pandas has cut a cell: {text}'

def check_words(page):
    "Sentences about the work in place of the subject"
    for text in page.texts:
        for m in WORK.finditer(text): yield f'"{m[0]}" speaks of the work, not of the subject: {text[max(0, m.start() - 40):m.end() + 40]!r}'

def check_page(page, pages, site):
    "Titles, links and references of one page; `pages` maps both the notebook's name and the name of its HTML to a page"
    for key in ('title', 'description'):
        if not page.meta.get(key): yield f'no {key}: a chapter opens with "# Title" and "> one sentence"'
    for url in page.links:
        url = url.removeprefix(site)
        if re.match(r'[a-z]+:', url): continue
        target, _, fragment = unquote(url).lstrip('/').removeprefix('notebooks/').partition('#')
        other = pages.get(target, None) if target else page
        if other is None and not (ROOT/'nbs'/target).exists(): yield f'link to {url}, which does not exist'
        elif other and fragment and fragment.lower() not in {o.lower() for o in other.anchors}: yield f'link to {url}: no such heading there'
    for name in page.references:
        if name not in page.anchors: yield f'reference @{name}, which this page does not define'
    for figure in page.figures:
        cap, alt = (figure.get(o, '').strip('"') for o in ('fig-cap', 'fig-alt'))
        if not 60 <= len(alt) <= 300 or alt == cap:
            yield f'figure {figure.get("label", cap[:60])}: fig-alt has {len(alt)} characters; say in 60 to 300 what the caption does not and the eye sees'
    for token in page.tokens:
        if token.type == 'text' and '](' in token.content: yield f'a link that is not one: {token.content.strip()[:100]}'
    for found, text in page.stray: yield f'"{found}" outside a formula, in: {text.strip()[:120]}'

def check_citations(pages):
    "Each cited work is in references.bib, and each entry there is cited"
    keys = re.findall(r'^@\w+\{(\w+),', (ROOT/'nbs'/'references.bib').read_text(encoding='utf-8'), re.MULTILINE)
    for name in sorted({o for o in keys if keys.count(o) > 1}): yield f'references.bib: has {name} twice'
    for page in pages:
        for name in sorted(page.citations - set(keys)): yield f'{page.name}: cites @{name}, which references.bib does not have'
    for name in sorted(set(keys) - {o for page in pages for o in page.citations}): yield f'references.bib: nobody cites {name}'

def modules():
    "The folder that npm put KaTeX and the themes of `make preview` in, or None if it could not"
    here = ROOT/'.ci'
    wanted = json.loads((here/'package.json').read_text(encoding='utf-8'))['dependencies']
    def there(name):
        facts = here/'node_modules'/name/'package.json'
        return facts.is_file() and json.loads(facts.read_text(encoding='utf-8'))['version'] == wanted[name]
    if not all(map(there, wanted)) and shutil.which('npm'):
        command = ['npm', 'install', '--prefix', here, '--no-package-lock', '--no-audit', '--no-fund', '--silent']
        res = subprocess.run(command, capture_output=True, text=True)
        if res.returncode: print(f'npm could not install {", ".join(wanted)}: {res.stderr.strip()[-300:]}')
    return here/'node_modules' if all(map(there, wanted)) else None

def check_formulas(pages):
    "Have KaTeX set every formula"
    formulas = [(page, f) for page in pages for f in page.formulas]
    def skip(why): # in continuous integration, nothing is left out
        if os.environ.get('CI'): return [f'formulas: not checked, {why}']
        print(f'SKIPPED: the {len(formulas)} formulas were not parsed, {why}')
        return []
    if not shutil.which('node') or modules() is None: return skip('as they need node, and npm to install KaTeX')
    res = subprocess.run(['node', ROOT/'.ci'/'check_math.mjs'], input=json.dumps([f for _,f in formulas]), capture_output=True, text=True)
    if res.returncode: return [f'formulas: node failed: {res.stderr}']
    print(f'{len(formulas)} formulas parsed')
    return [f'{formulas[i][0].name}: {error}\n    {formulas[i][1]["tex"].strip()}' for i,error in json.loads(res.stdout)]

def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return False
        pages = [Page(o) for o in sorted((tmp/'_proc').glob('*.ipynb'))]
        found = list(check_configuration(tmp)) + list(check_config_of_pages(yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))))
    site = yaml.safe_load((ROOT/'nbs'/'nbdev.yml').read_text())['website']['site-url'] + '/'
    names = {name: o for o in pages for name in (o.name, o.meta.get('output-file'))}
    found += check_sidebar(yaml.safe_load((ROOT/'nbs'/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents'], names)
    for check in (check_reference, check_outputs, check_words): found += [f'{o.name}: {problem}' for o in pages for problem in check(o)]
    found += [f'{o.name}: {problem}' for o in pages for problem in check_page(o, names, site)] + [*check_citations(pages)] + check_formulas(pages)
    print(f'{len(pages)} pages read', *found, sep='\n')
    return pages and not found

if __name__ == '__main__': sys.exit(not main())
