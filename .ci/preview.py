"""Write all chapters as HTML into _preview/, without Quarto: `make preview`, then open _preview/index.html.

nbdev processes the notebooks as for the site. Pandoc, which Quarto is built on, turns them into pages of
the same structure and classes, with the same themes (Bootswatch's cosmo and darkly) and the site's own
nbs/styles.css; KaTeX sets the formulas. So what is seen here is close to the site: search, the lightbox and
the theme's switch are Quarto's alone. `?dark` or `?light` behind an address chooses; else the system's
choice holds.

preview.html is the page, preview.css what Quarto's own style sheet says, callouts.lua its callouts.
"""
import base64
import html
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

import nbformat
import pypandoc
import yaml
from check_site import OPTION, ROOT, contents_of, listed, modules, process, read_yaml
from finish_site import finish

HERE = Path(__file__).parent
OUT = ROOT/'_preview'
DISPLAY = re.compile(r'\$\$((?:(?!\$\$).)+?)\$\$\s*\{#(eq-[\w-]+)\}', re.DOTALL)
REFERENCE = re.compile(r'(?<![\w.@/#-])@((?:fig|eq|sec|tbl)-[\w-]*\w)')
TABLE = re.compile(r'<table(?: border="1")?((?: id="[^"]*")?)(?: class="[^"]*")?')
STYLED = r'<table\1 class="caption-top table table-sm table-striped small"'
NAMES = {'fig': 'figure', 'eq': 'eq.', 'sec': 'section', 'tbl': 'table'}
PICTURES = 'image/svg+xml', 'image/png', 'image/jpeg'

def raw(text):
    "HTML that Pandoc is to leave alone"
    return f'```````{{=html}}\n{text}\n```````'

def shown(kind, body):
    "The box of an output of a kind of Quarto's"
    return raw(f'<div class="cell-output cell-output-{kind}">{body}</div>')

def listing(text):
    "Text as it stands"
    return f'<pre><code>{html.escape(text)}</code></pre>'

def options_of(cell):
    "Quarto's options of a cell of code"
    found = OPTION.findall(cell.source)
    return {name: str(yaml.safe_load(value)) if value.startswith('"') else value for name, value in found}

def kind_of(label):
    "Of which numbered things a label is one"
    return label.partition('-')[0]

def folded(block, options):
    "A block of code as the page shows it: below a line to open it, if the options say so"
    if options.get('code-fold', 'false') == 'false': return block
    opened = ' open' if options['code-fold'] == 'show' else ''
    summary = html.escape(options.get('code-summary', 'Code'))
    head = raw(f'<details class="code-fold"{opened}><summary>{summary}</summary>')
    return f"{head}\n\n{block}\n\n{raw('</details>')}"

class Chapter:
    "A processed notebook, and what others may refer to in it"
    def __init__(self, path):
        self.source, nb = path.name, nbformat.read(path, as_version=4)
        heads = [cell.source for cell in nb.cells if cell.cell_type == 'raw']
        self.meta = yaml.safe_load(heads[0].strip().strip('-')) if heads else {}
        self.file, self.title = self.meta['output-file'], str(self.meta['title'])
        self.cells = [cell for cell in nb.cells if cell.cell_type != 'raw']
        self.numbers = {}
        for label in (label for cell in self.cells for label in self.labels(cell)):
            self.numbers[label] = 1 + sum(kind_of(known) == kind_of(label) for known in self.numbers)

    def labels(self, cell):
        "What is numbered in a cell"
        if cell.cell_type == 'markdown': return [found[2] for found in DISPLAY.finditer(cell.source)]
        options = dict(OPTION.findall(cell.source)) if cell.cell_type == 'code' else {}
        return [options['label']] if 'label' in options else []

    def refer(self, text):
        "Numbers of equations, and of what is referred to"
        def equation(found):
            formula = f'{found[1].strip()} \\tag{{{self.numbers[found[2]]}}}'
            return f'\n\n::: {{#{found[2]}}}\n$${formula}$$\n:::\n\n'
        def link(found): return f"[{NAMES[kind_of(found[1])]} {self.numbers.get(found[1], '?')}](#{found[1]})"
        return REFERENCE.sub(link, DISPLAY.sub(equation, text))

    def markdown(self, folder):
        "The page for Pandoc; its pictures go into `folder`"
        self.folder = folder
        parts = [self.refer(cell.source) if cell.cell_type == 'markdown' else self.code(i, cell)
                 for i, cell in enumerate(self.cells)]
        return '\n\n'.join(parts)

    def code(self, i, cell):
        "A cell of code as Quarto's options have it"
        options = options_of(cell)
        if options.get('include') == 'false': return ''
        source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE).strip('\n')
        parts = [raw(f'<div class="cell {options.get("classes", "")}">')]
        if source and options.get('echo') != 'false':
            parts.append(folded(f'``````` {{.python .cell-code}}\n{source}\n```````', options))
        outputs = [] if options.get('output') == 'false' else cell.outputs
        seen = [self.output(f'{i}-{j}', out, options) for j, out in enumerate(outputs)]
        body = self.captioned('\n\n'.join(filter(None, seen)), options, i)
        return '\n\n'.join([*parts, body, raw('</div>')])

    def captioned(self, body, options, i):
        "The outputs of cell `i`, with number and caption if they have them"
        label = options.get('label', '')
        kind = 'tbl' if kind_of(label) == 'tbl' else 'fig'
        caption = options.get(f'{kind}-cap', '')
        if not body or not (caption or label): return body
        number = f'{NAMES[kind].capitalize()} {self.numbers[label]}: ' if label else ''
        head = raw(f'<figcaption class="quarto-float-caption quarto-float-{kind}">')
        words = f"\n\n{head}\n\n{number}{self.refer(caption)}\n\n{raw('</figcaption>')}\n\n"
        opening = raw(f'<div id="{label or f"c{i}"}" class="quarto-float quarto-figure quarto-figure-center">'
                      f'<figure class="quarto-float quarto-float-{kind} figure">')
        above, below = (words, '') if kind == 'tbl' else ('', words)
        return f"{opening}{above}\n\n{body}\n\n{below}{raw('</figure></div>')}"

    def output(self, name, out, options):
        "One output: the richest that a page can show"
        data = out.get('data', {})
        picture = next((kind for kind in PICTURES if kind in data), None)
        if out.output_type == 'stream': return shown(out.name, listing(out.text))
        if 'text/html' in data: return shown('display', TABLE.sub(STYLED, data['text/html']))
        if picture: return self.picture(name, picture, out, options)
        if 'text/markdown' in data:
            text = self.refer(data['text/markdown'])
            boxed = f'::: {{.cell-output .cell-output-display .cell-output-markdown}}\n{text}\n:::'
            return text if options.get('output') == 'asis' else boxed
        return shown('display', listing(data['text/plain'])) if 'text/plain' in data else ''

    def picture(self, name, kind, out, options):
        "A picture: a file of its own, shown at the size that the output says"
        path = self.folder/f'{Path(self.file).stem}-{name}.{kind.partition("/")[2].partition("+")[0]}'
        path.write_bytes(out.data[kind].encode() if 'svg' in kind else base64.b64decode(out.data[kind]))
        facts = out.get('metadata', {}).get(kind, {})
        size = ''.join(f' {side}="{facts[side]}"' for side in facts if side in ('width', 'height'))
        place, alt = f'{self.folder.name}/{path.name}', html.escape(options.get('fig-alt', ''))
        return shown('display', f'<p><img src="{place}"{size} class="img-fluid figure-img" alt="{alt}"></p>')

def converted(chapter, folder, template):
    "Contents and body of a page"
    meta = {'link-citations': 'true', 'reference-section-title': 'References', 'title': chapter.title}
    args = ['--standalone', '--toc', '--toc-depth=3', '--section-divs', '--katex', '--citeproc',
            f'--bibliography={ROOT/"nbs"/"references.bib"}', f'--template={template}',
            f'--lua-filter={HERE/"callouts.lua"}', '--syntax-highlighting=pygments',
            *(part for name, value in meta.items() for part in ('-M', f'{name}={value}'))]
    text = pypandoc.convert_text(chapter.markdown(folder), 'html5', format='markdown', extra_args=args)
    return text.split('<!--body-->')

class Book:
    "The chapters in their order"
    def __init__(self, chapters):
        self.chapters, self.sidebar = chapters, contents_of(ROOT/'nbs')
        self.order = list(listed(self.sidebar))
        self.site = read_yaml(ROOT/'nbs'/'nbdev.yml')['website']['site-url'] + '/'

    def contents(self, items, here):
        "The book's parts as lists"
        return ''.join(self.entry(item, here) for item in items)

    def entry(self, item, here):
        "A part, or a chapter in it"
        if 'section' in item:
            return f'<li>{html.escape(item["section"])}<ul>{self.contents(item["contents"], here)}</ul></li>'
        page = self.chapters[item if isinstance(item, str) else item['href']]
        text = page.title if isinstance(item, str) else item['text']
        active = ' class=active' if page is here else ''
        return f'<li><a href="{page.file}"{active}>{html.escape(text)}</a></li>'

    def turn(self, chapter):
        "The way to the chapters before and after"
        def link(step, mark):
            at = self.order.index(chapter.source) + step if chapter.source in self.order else -1
            if not 0 <= at < len(self.order): return '<span></span>'
            page = self.chapters[self.order[at]]
            return f'<a href="{page.file}">{mark.format(html.escape(page.title))}</a>'
        return link(-1, '← {}') + link(1, '{} →')

    def linked(self, body):
        "A body with links to pages in place of links to notebooks"
        body = body.replace(f'href="{self.site}', 'href="')
        for name, page in self.chapters.items():
            body = re.sub(rf'href="(?:nbs/)?{re.escape(name)}(?=["#])', f'href="{page.file}', body)
        return body

    def page(self, chapter, toc, body):
        "A whole page"
        return Template((HERE/'preview.html').read_text(encoding='utf-8')).substitute(
            title=html.escape(chapter.title), description=html.escape(chapter.meta.get('description', '')),
            sidebar=self.contents(self.sidebar, chapter), toc=toc, body=self.linked(body),
            turn=self.turn(chapter))

def colours(style):
    "Pandoc's rules for highlighted code in one of its styles"
    args = ['-s', '-M', 'title=x', f'--syntax-highlighting={style}']
    page = pypandoc.convert_text('``` python\nx\n```', 'html5', format='markdown', extra_args=args)
    if style != 'pygments': return '\n'.join(re.findall(r'^ *code span\..*$', page, re.MULTILINE))
    return page.partition('/* CSS for syntax highlighting */')[2].partition('</style>')[0]

def write_styles(out, found):
    "The style sheets, themes without the fonts that they would fetch"
    dark = colours('breezedark').replace('code span.', '.quarto-dark code span.')
    style = (HERE/'preview.css').read_text(encoding='utf-8')
    (out/'preview.css').write_text(f"{style}\n{colours('pygments')}{dark}")
    shutil.copy(ROOT/'nbs'/'styles.css', out)
    for name in ('cosmo', 'darkly'):
        text = (found/'bootswatch'/'dist'/name/'bootstrap.min.css').read_text(encoding='utf-8')
        (out/f'{name}.css').write_text(re.sub(r'@import url\([^)]*\);?', '', text), encoding='utf-8')

def build(out=OUT):
    "All pages; the number of them"
    found = modules()
    if found is None: sys.exit('The preview needs KaTeX and Bootswatch from npm; is npm on the PATH?')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return 0
        chapters = {path.name: Chapter(path) for path in sorted((tmp/'_proc').glob('*.ipynb'))}
        shutil.rmtree(out, ignore_errors=True)
        (out/'files').mkdir(parents=True)
        (tmp/'page.html').write_text('$toc$<!--body-->$body$')
        def convert(chapter): return converted(chapter, out/'files', tmp/'page.html')
        with ThreadPoolExecutor(2) as pool: parts = list(pool.map(convert, chapters.values()))
    shutil.copytree(found/'katex'/'dist', out/'katex', ignore=shutil.ignore_patterns('*.mjs', 'README*'))
    shutil.copytree(ROOT/'nbs'/'images', out/'images')
    finish(out)
    write_styles(out, found)
    book = Book(chapters)
    for chapter, (toc, body) in zip(chapters.values(), parts):
        (out/chapter.file).write_text(book.page(chapter, toc, body), encoding='utf-8')
    return len(chapters)

if __name__ == '__main__':
    count = build()
    if count: print(f'{count} pages: open {OUT.name}/index.html')
    sys.exit(not count)
