"""Write all chapters as HTML into _preview/, without Quarto: `make preview`, then open _preview/index.html.

nbdev processes the notebooks as for the site; nbconvert turns them into pages; KaTeX, if npm can install it, sets the formulas.
Front matter, Quarto's cell options (echo, output, code-fold, fig-cap, label), numbered figures and equations, references to
them and citations are shown as the site shows them; search and themes to choose from are the site's alone.
"""
import html, json, re, shutil, subprocess, sys, tempfile
from pathlib import Path
import nbformat, yaml
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from check_site import LABEL, OPTION, ROOT, listed, process

OUT = ROOT/'_preview'
DISPLAY = re.compile(r'\$\$((?:(?!\$\$).)+?)\$\$\s*\{#(eq-[\w-]+)\}', re.DOTALL)
REFERENCE = re.compile(r'(?<![\w.@/-])@((?:fig|eq|sec|tbl)-[\w-]*\w)')
CITATION = re.compile(r'\[([^\]\[]*(?<![\w.])@[a-z]+\d{4}[^\]\[]*)\](?!\()') # [after @key1999, section 3; @other2000]
NAMES = {'fig': 'figure', 'eq': 'eq.', 'sec': 'section', 'tbl': 'table'}

TEMPLATE = '''{%- extends 'basic/index.html.j2' -%}
{% block codecell %}{% set o = cell.metadata.preview %}
<div class="cell"{% if o.label %} id="{{ o.label }}"{% endif %}>{{ super() }}
{% if o.caption %}<p class="caption">{% if o.number %}<b>Figure {{ o.number }}.</b> {% endif %}{{ o.caption }}</p>{% endif %}</div>
{% endblock codecell %}
{% block input_group %}{% set o = cell.metadata.preview %}{% if o.echo %}
{% if o.fold %}<details{% if o.fold == 'show' %} open{% endif %}><summary>{{ o.summary }}</summary>{{ super() }}</details>{% else %}{{ super() }}{% endif %}
{% endif %}{% endblock input_group %}
{% block in_prompt %}{% endblock %}{% block output_area_prompt %}{% endblock %}'''

STYLE = '''
:root { --ink: #222; --paper: #fff; --soft: #f5f6f8; --line: #d8dce2; --link: #1a5fb4; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --ink: #dcdfe4; --paper: #16181d; --soft: #20242b; --line: #3a404a; --link: #8ab4f8 } }
* { box-sizing: border-box }
body { margin: 0; font: 17px/1.6 system-ui, sans-serif; color: var(--ink); background: var(--paper); overflow-wrap: break-word }
a { color: var(--link) } a.anchor-link { display: none }
nav { border-bottom: 1px solid var(--line); padding: .6rem 1rem; font-size: 15px }
nav ul { list-style: none; padding-left: .8rem; margin: .2rem 0 } nav a { text-decoration: none } nav .here { font-weight: bold }
main { max-width: 52rem; margin: 0 auto; padding: 1rem }
.lead { color: color-mix(in srgb, var(--ink) 75%, transparent); font-size: 1.1em }
h1, h2, h3, h4 { line-height: 1.25 }
pre, code { font: 14px/1.45 ui-monospace, monospace } p code, li code, td code { overflow-wrap: anywhere }
.highlight, .output_area pre, .text_cell pre { background: var(--soft); border-radius: 6px; padding: .6rem .8rem; overflow-x: auto; margin: .6rem 0 } .highlight pre { margin: 0 }
.output_area { overflow-x: auto; margin: .4rem 0 } .output_area img, .output_area svg { max-width: 100%; height: auto; background: #fff }
table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto; max-width: 100% } td, th { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left }
.caption { font-size: 15px; color: color-mix(in srgb, var(--ink) 75%, transparent); margin-top: 0 }
.katex-display { overflow-x: auto; overflow-y: hidden; padding: .2rem 0 } img { max-width: 100% } blockquote { border-left: 3px solid var(--line); margin-left: 0; padding-left: 1rem }
.turn { display: flex; justify-content: space-between; gap: 1rem; border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 1rem }
@media (min-width: 1100px) { nav { position: fixed; inset: 0 auto 0 0; width: 17rem; overflow-y: auto; border: 0; border-right: 1px solid var(--line) } body { padding-left: 17rem } }
'''

def katex():
    "The folder of KaTeX, or None if npm cannot bring it"
    here = ROOT/'.ci'
    if not (here/'node_modules'/'katex').is_dir() and shutil.which('npm'):
        subprocess.run(['npm', 'install', '--prefix', here, '--no-package-lock', '--no-audit', '--no-fund', '--silent'], capture_output=True)
    found = here/'node_modules'/'katex'/'dist'
    return found if found.is_dir() else None

def sources():
    "Citation key -> (short, full): of references.bib"
    path = ROOT/'nbs'/'references.bib'
    if not path.is_file(): return {}
    found = {}
    for entry in re.split(r'^@', path.read_text(encoding='utf-8'), flags=re.MULTILINE)[1:]:
        key = re.match(r'\w+\{([^,]+),', entry)[1]
        value = {k.lower(): re.sub(r'[{}]', '', v) for k, v in re.findall(r'(\w+)\s*=\s*\{((?:[^{}]|\{[^{}]*\})*)\}', entry)}
        people = [o.split(',')[0].split()[-1] if ',' not in o else o.split(',')[0] for o in value['author'].split(' and ')]
        short = f"{people[0]} et al." if len(people) > 2 else ' and '.join(people)
        link = value.get('url') or (f"https://arxiv.org/abs/{value['eprint']}" if 'eprint' in value else None)
        full = f"{value['author'].replace(' and ', ', ')} ({value['year']}): {value['title']}. {value.get('booktitle') or value.get('journal') or ''}"
        found[key] = f"{short} {value['year']}", html.escape(full) + (f' <a href="{link}">{link}</a>' if link else '')
    return found

class Chapter:
    "A processed notebook, and what others may refer to in it"
    def __init__(self, path):
        self.source, self.nb = path.name, nbformat.read(path, as_version=4)
        self.meta = next((yaml.safe_load(o.source.strip().strip('-')) for o in self.nb.cells if o.cell_type == 'raw'), {})
        self.file, self.title = self.meta['output-file'], self.meta['title']
        self.nb.cells = [o for o in self.nb.cells if o.cell_type != 'raw']
        self.numbers, self.cited = {}, []
        for cell in self.nb.cells:
            options = dict(OPTION.findall(cell.source)) if cell.cell_type == 'code' else {}
            labels = [options['label']] if 'label' in options else [m[2] for m in DISPLAY.finditer(cell.source)] if cell.cell_type == 'markdown' else []
            for label in labels:
                kind = label.split('-')[0]
                self.numbers[label] = 1 + sum(o.startswith(kind + '-') for o in self.numbers)

    def refer(self, text): # Numbers of figures and equations, and citations
        text = REFERENCE.sub(lambda m: f"[{NAMES[m[1].split('-')[0]]} {self.numbers.get(m[1], '?')}](#{m[1]})", text)
        def cite(m):
            def one(key):
                if key[1] not in self.cited: self.cited.append(key[1])
                return f'[{self.bib[key[1]][0]}](#ref-{key[1]})' if key[1] in self.bib else f'?{key[1]}'
            return '(' + re.sub(r'@(\w+)', one, m[1]) + ')'
        return CITATION.sub(cite, text)

    def body(self, links, bib):
        "The page's content"
        self.bib = bib
        for cell in self.nb.cells:
            if cell.cell_type == 'markdown':
                text = DISPLAY.sub(lambda m: f'\n\n<div id="{m[2]}">\n$${html.escape(m[1], quote=False)} \\tag{{{self.numbers[m[2]]}}}$$\n</div>\n\n', cell.source)
                text = LABEL.sub('', re.sub(r'^(#+ .*?)\s*\{#([\w-]+)[^}]*\}\s*$', r'<a id="\2"></a>\n\n\1', text, flags=re.MULTILINE))
                cell.source = self.refer(text)
                continue
            o = dict(OPTION.findall(cell.source))
            fold = {'true': 'hidden', 'show': 'show'}.get(o.get('code-fold'))
            caption = self.refer(o.get('fig-cap', '').strip('"'))
            caption = re.sub(r'\[([^\]]+)\]\(([^)]+)\)', r'<a href="\2">\1</a>', html.escape(caption, quote=False))
            cell.metadata['preview'] = nbformat.from_dict(dict(echo=o.get('echo') != 'false' and o.get('include') != 'false', fold=fold,
                summary=html.escape(o.get('code-summary', 'Code').strip('"')), caption=caption, label=o.get('label'), number=self.numbers.get(o.get('label'))))
            cell.source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE)
            if not cell.source.strip(): cell.metadata['preview']['echo'] = False
            if o.get('include') == 'false': cell.outputs = []
            alt = o.get('fig-alt', '').strip('"') or re.sub(r'<[^>]*>', '', caption) or 'figure'
            for output in cell.outputs:
                if 'data' in output and any(k.startswith('image/') for k in output.data):
                    for kind in [k for k in output.data if k.startswith('image/')]: output.setdefault('metadata', {}).setdefault(kind, {})['alt'] = alt
        site = yaml.safe_load((ROOT/'nbs'/'nbdev.yml').read_text(encoding='utf-8'))['website']['site-url'] + '/'
        exporter = HTMLExporter(raw_template=TEMPLATE, exclude_input_prompt=True, exclude_output_prompt=True)
        body, _ = exporter.from_notebook_node(self.nb)
        body = body.replace(f'href="{site}', 'href="')
        for name, page in links.items(): body = re.sub(rf'href="(?:nbs/)?{re.escape(name)}(?=["#])', f'href="{page}', body)
        if self.cited: body += '<h2>References</h2>' + ''.join(f'<p id="ref-{o}">{bib[o][1]}</p>' for o in self.cited if o in bib)
        return body

def contents(items, chapters, here):
    "The book's parts as lists"
    parts = []
    for item in items:
        if isinstance(item, str):
            page = chapters[item]
            parts.append(f'<li><a href="{page.file}"{" class=here" if page is here else ""}>{html.escape(page.title)}</a></li>')
        else: parts.append(f"<li>{html.escape(item['section'])}<ul>{contents(item['contents'], chapters, here)}</ul></li>")
    return ''.join(parts)

def page_of(chapter, body, chapters, sidebar, order, math):
    "A whole page"
    i = order.index(chapter.source)
    turn = [f'<a href="{chapters[order[j]].file}">{mark.format(html.escape(chapters[order[j]].title))}</a>' if 0 <= j < len(order) else '<span></span>'
            for j, mark in ((i - 1, '← {}'), (i + 1, '{} →'))]
    base = 'katex' if math else 'https://cdn.jsdelivr.net/npm/katex@0.19.1/dist'
    delimiters = [dict(left='$$', right='$$', display=True), dict(left='\\begin{equation}', right='\\end{equation}', display=True), dict(left='$', right='$', display=False)]
    return f'''<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(chapter.title)} – irsde</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{base}/katex.min.css"><link rel="stylesheet" href="style.css">
<script defer src="{base}/katex.min.js"></script><script defer src="{base}/contrib/auto-render.min.js"></script>
<script>addEventListener("DOMContentLoaded", () => renderMathInElement(document.body, {{delimiters: {json.dumps(delimiters)}}}));
addEventListener("DOMContentLoaded", () => {{ if (innerWidth >= 1100) document.querySelector("nav details").open = true }})</script></head>
<body><nav><details><summary>irsde, the book</summary><ul>{contents(sidebar, chapters, chapter)}</ul></details></nav>
<main><h1>{html.escape(chapter.title)}</h1><p class="lead">{html.escape(chapter.meta.get('description', ''))}</p>
{body}
<div class="turn">{''.join(turn)}</div></main></body></html>'''

def build(out=OUT):
    "All pages; the number of them"
    math = katex()
    if math is None: print('KaTeX could not be installed (npm is needed): the pages fetch it from the network when they are opened')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return 0
        chapters = {o.name: Chapter(o) for o in sorted((tmp/'_proc').glob('*.ipynb'))}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if math: shutil.copytree(math, out/'katex', ignore=shutil.ignore_patterns('*.mjs', 'README*'))
    if (ROOT/'nbs'/'images').is_dir(): shutil.copytree(ROOT/'nbs'/'images', out/'images')
    colours = HtmlFormatter(style='default').get_style_defs('.highlight') + '\n@media (prefers-color-scheme: dark) {' + HtmlFormatter(style='monokai').get_style_defs('.highlight') + '}'
    (out/'style.css').write_text(colours + STYLE)
    sidebar = yaml.safe_load((ROOT/'nbs'/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    order, links, bib = list(listed(sidebar)), {name: o.file for name, o in chapters.items()}, sources()
    for name in order: (out/chapters[name].file).write_text(page_of(chapters[name], chapters[name].body(links, bib), chapters, sidebar, order, math), encoding='utf-8')
    return len(order)

if __name__ == '__main__':
    n = build()
    if n: print(f"{n} pages: open {OUT.name}/index.html")
    sys.exit(not n)
