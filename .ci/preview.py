"""Write all chapters as HTML into _preview/, without Quarto: `make preview`, then open _preview/index.html.

nbdev processes the notebooks as for the site. Pandoc, which Quarto is built on, turns them into pages of the same structure and classes,
with the same themes (Bootswatch's cosmo and darkly) and the site's own nbs/styles.css; KaTeX sets the formulas. So what is seen here is close
to the site: search, the lightbox and the theme's switch are Quarto's alone. `?dark` or `?light` behind an address chooses; else the system's choice holds.
"""
import base64, html, re, shutil, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nbformat, pypandoc, yaml
from check_site import OPTION, ROOT, listed, modules, process
from finish_site import finish

OUT = ROOT/'_preview'
DISPLAY = re.compile(r'\$\$((?:(?!\$\$).)+?)\$\$\s*\{#(eq-[\w-]+)\}', re.DOTALL)
REFERENCE = re.compile(r'(?<![\w.@/#-])@((?:fig|eq|sec|tbl)-[\w-]*\w)')
NAMES = {'fig': 'figure', 'eq': 'eq.', 'sec': 'section', 'tbl': 'table'}
WORDS = {'callout-note': 'Note', 'callout-warning': 'Warning', 'callout-tip': 'Tip', 'callout-important': 'Important', 'callout-caution': 'Caution'}

# Quarto's callouts, from its documentation: a box with a head, folded if collapse="true"
CALLOUTS = '''
function Div(el)
  for _, class in ipairs(el.classes) do
    if class:match("^callout%-") then
      local title = WORDS[class] or class
      if #el.content > 0 and el.content[1].t == "Header" then
        title = pandoc.write(pandoc.Pandoc({pandoc.Plain(el.content[1].content)}), "html", {html_math_method = "katex"})
        el.content:remove(1) end
      local open, close = '<div class="callout-header"><div class="callout-title-container">' .. title .. '</div></div>', ''
      if el.attributes.collapse == "true" then
        open, close = '<details><summary class="callout-header">' .. title .. '</summary>', '</details>' end
      el.attributes.collapse = nil
      el.classes = {"callout", "callout-style-default", class, "callout-titled"}
      el.content:insert(1, pandoc.RawBlock("html", open .. '<div class="callout-body-container callout-body">'))
      el.content:insert(pandoc.RawBlock("html", "</div>" .. close))
      return el
    end
  end
end'''

# What Quarto's own style sheet says, in short: what stands where, sizes, callouts
STYLE = '''
body { font-size: 17px; overflow-wrap: break-word; padding-top: 58px } h1.title { font-size: 2rem; margin-top: 1rem }
#quarto-header { position: fixed; inset: 0 0 auto 0; height: 58px; z-index: 10; display: flex; align-items: center; padding: 0 1rem; background: #1b4f8a } #quarto-header a { color: #fff; font-size: 1.25rem; text-decoration: none }
h2 { border-bottom: 1px solid #8884; padding-bottom: .5rem; margin-top: 2rem; font-size: 1.65rem } h3 { font-size: 1.35rem; margin-top: 1.5rem } h4 { font-size: 1.15rem }
main.content { max-width: 850px; margin: 0 auto; padding: 0 1rem } .sidebar { font-size: .9rem } .sidebar ul { list-style: none; padding-left: .8rem } .sidebar a { text-decoration: none; color: inherit } .sidebar .active { font-weight: 600 }
.description { color: #5a6570; margin-bottom: 1rem } .quarto-dark .description { color: #adb5bd } img { max-width: 100%; height: auto }
code { font-size: .875em; color: #7d12ba; background: #f8f9fa } pre { background: #f3f4f699; padding: .4rem .6rem; margin: 0 0 .6rem; font-size: .875em } pre code { background: none; color: inherit; font-size: inherit } pre.sourceCode { overflow-x: auto } div.sourceCode { overflow: visible }
.quarto-dark pre { background: #2b2b2b } .quarto-dark code { background: #fff } .quarto-dark pre code { background: none }
figcaption { font-size: .9rem } figure { margin: 0 0 1rem } .quarto-figure-center { text-align: center } .table { font-size: .875em; width: auto; max-width: 100% } table p { margin: 0 } .caption-top caption { caption-side: top }
.callout { border: 1px solid #8886; border-left: 5px solid #0d6efd; border-radius: 4px; margin: 1.25rem 0 } .callout-warning { border-left-color: #e8a317 } .callout-tip { border-left-color: #198754 } .callout-header { padding: .4rem .8rem; font-weight: 600; background: #8882 } .callout-body { padding: .5rem .8rem }
.page-navigation { display: flex; justify-content: space-between; gap: 1rem; margin: 3rem 0 1rem } .nav-footer { border-top: 1px solid #8884; padding: 1rem; text-align: center; font-size: .85rem }
@media (min-width: 1200px) { body { display: block } #quarto-sidebar, #TOC { position: fixed; top: 58px; bottom: 0; overflow-y: auto; padding: 1rem } #quarto-sidebar { left: 0; width: 290px; border-right: 1px solid #8884 } #TOC { right: 0; width: 240px; font-size: .85rem } main.content { margin-left: 310px; max-width: min(850px, calc(100vw - 570px)) } }
@media (max-width: 1199px) { #TOC { display: none } #quarto-sidebar { padding: .5rem 1rem } }
'''

class Chapter:
    "A processed notebook, and what others may refer to in it"
    def __init__(self, path):
        self.source, self.nb = path.name, nbformat.read(path, as_version=4)
        self.meta = next((yaml.safe_load(o.source.strip().strip('-')) for o in self.nb.cells if o.cell_type == 'raw'), {})
        self.file, self.title = self.meta['output-file'], str(self.meta['title'])
        self.nb.cells = [o for o in self.nb.cells if o.cell_type != 'raw']
        self.numbers = {}
        for cell in self.nb.cells:
            options = dict(OPTION.findall(cell.source)) if cell.cell_type == 'code' else {}
            labels = [options['label']] if 'label' in options else [m[2] for m in DISPLAY.finditer(cell.source)] if cell.cell_type == 'markdown' else []
            for label in labels: self.numbers[label] = 1 + sum(o.startswith(label.split('-')[0] + '-') for o in self.numbers)

    def refer(self, text):
        "Numbers of equations, and of what is referred to"
        text = DISPLAY.sub(lambda m: f'\n\n::: {{#{m[2]}}}\n$${m[1].strip()} \\tag{{{self.numbers[m[2]]}}}$$\n:::\n\n', text)
        return REFERENCE.sub(lambda m: f"[{NAMES[m[1].split('-')[0]]} {self.numbers.get(m[1], '?')}](#{m[1]})", text)

    def markdown(self, folder):
        "The page for Pandoc; its pictures go into `folder`"
        self.folder, parts = folder, []
        for i, cell in enumerate(self.nb.cells): parts.append(self.refer(cell.source) if cell.cell_type == 'markdown' else self.code(i, cell))
        return '\n\n'.join(parts)

    def code(self, i, cell):
        "A cell of code as Quarto's options have it"
        o = {k: str(yaml.safe_load(v)) if v.startswith('"') else v for k, v in OPTION.findall(cell.source)}
        if o.get('include') == 'false': return ''
        source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE).strip('\n')
        parts = [raw(f'<div class="cell {o.get("classes", "")}">')]
        if source and o.get('echo') != 'false':
            block = f'``````` {{.python .cell-code}}\n{source}\n```````'
            if 'code-fold' in o and o['code-fold'] != 'false':
                opened = ' open' if o['code-fold'] == 'show' else ''
                block = raw(f'<details class="code-fold"{opened}><summary>{html.escape(o.get("code-summary", "Code"))}</summary>') + '\n\n' + block + '\n\n' + raw('</details>')
            parts.append(block)
        shown = [] if o.get('output') == 'false' else [self.output(f'{i}-{j}', out, o) for j, out in enumerate(cell.outputs)]
        body = '\n\n'.join(filter(None, shown))
        caption = o.get('tbl-cap' if o.get('label', '').startswith('tbl-') else 'fig-cap')
        if body and (caption or 'label' in o):
            kind = 'tbl' if o.get('label', '').startswith('tbl-') else 'fig'
            number = f"{NAMES[kind].capitalize()} {self.numbers[o['label']]}: " if 'label' in o else ''
            words = f'\n\n{raw(f"""<figcaption class="quarto-float-caption quarto-float-{kind}">""")}\n\n{number}{self.refer(caption or "")}\n\n{raw("</figcaption>")}\n\n'
            opening = raw(f'<div id="{o.get("label", f"c{i}")}" class="quarto-float quarto-figure quarto-figure-center"><figure class="quarto-float quarto-float-{kind} figure">')
            body = f"{opening}{words if kind == 'tbl' else ''}\n\n{body}\n\n{words if kind == 'fig' else ''}{raw('</figure></div>')}"
        return '\n\n'.join([*parts, body, raw('</div>')])

    def output(self, name, out, o):
        "One output: the richest that a page can show"
        data = out.get('data', {})
        picture = next((k for k in ('image/svg+xml', 'image/png', 'image/jpeg') if k in data), None)
        if out.output_type == 'stream': return raw(f'<div class="cell-output cell-output-{out.name}"><pre><code>{html.escape(out.text)}</code></pre></div>')
        if 'text/html' in data:
            table = re.sub(r'<table(?: border="1")?((?: id="[^"]*")?)(?: class="[^"]*")?', r'<table\1 class="caption-top table table-sm table-striped small"', data['text/html'])
            return raw(f'<div class="cell-output cell-output-display">{table}</div>')
        if picture:
            path = self.folder/f'{Path(self.file).stem}-{name}.{picture.partition("/")[2].partition("+")[0]}'
            path.write_bytes(data[picture].encode() if 'svg' in picture else base64.b64decode(data[picture]))
            size = ''.join(f' {k}="{v}"' for k, v in out.get('metadata', {}).get(picture, {}).items() if k in ('width', 'height'))
            return raw(f'<div class="cell-output cell-output-display"><p><img src="{self.folder.name}/{path.name}"{size} class="img-fluid figure-img" alt="{html.escape(o.get("fig-alt", ""))}"></p></div>')
        if 'text/markdown' in data and o.get('output') == 'asis': return self.refer(data['text/markdown'])
        if 'text/markdown' in data: return f"::: {{.cell-output .cell-output-display .cell-output-markdown}}\n{self.refer(data['text/markdown'])}\n:::"
        if 'text/plain' in data: return raw(f'<div class="cell-output cell-output-display"><pre><code>{html.escape(data["text/plain"])}</code></pre></div>')
        return ''

def raw(text): return f'```````{{=html}}\n{text}\n```````'

def converted(chapter, folder, tools):
    "Contents and body of a page"
    args = ['--standalone', '--toc', '--toc-depth=3', '--section-divs', '--katex', '--citeproc', f'--bibliography={ROOT/"nbs"/"references.bib"}', '-M', 'link-citations=true',
            '-M', 'reference-section-title=References', '-M', f'title={chapter.title}', f'--template={tools/"page.html"}', f'--lua-filter={tools/"callouts.lua"}', '--syntax-highlighting=pygments']
    text = pypandoc.convert_text(chapter.markdown(folder), 'html5', format='markdown', extra_args=args)
    return text.split('<!--body-->')

def contents(items, chapters, here):
    "The book's parts as lists"
    parts = []
    for item in items:
        if 'section' in item: parts.append(f'<li>{html.escape(item["section"])}<ul>{contents(item["contents"], chapters, here)}</ul></li>')
        else:
            page = chapters[item if isinstance(item, str) else item['href']]
            text = page.title if isinstance(item, str) else item['text']
            parts.append(f'<li><a href="{page.file}"{" class=active" if page is here else ""}>{html.escape(text)}</a></li>')
    return ''.join(parts)

def page_of(chapter, toc, body, chapters, sidebar, order):
    "A whole page"
    i = order.index(chapter.source) if chapter.source in order else None
    turn = ['<span></span>' if i is None or not 0 <= j < len(order) else f'<a href="{chapters[order[j]].file}">{mark.format(html.escape(chapters[order[j]].title))}</a>'
            for j, mark in (((i or 0) - 1, '← {}'), ((i or 0) + 1, '{} →'))]
    return f'''<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(chapter.title)} – irsde</title>
<link rel="icon" href="images/favicon.svg"><link rel="stylesheet" href="katex/katex.min.css">
<link rel="stylesheet" href="cosmo.css" id="light"><link rel="stylesheet" href="darkly.css" id="dark"><link rel="stylesheet" href="preview.css"><link rel="stylesheet" href="styles.css">
<script defer src="katex/katex.min.js"></script>
<script>
const dark = location.search === "?dark" || location.search !== "?light" && matchMedia("(prefers-color-scheme: dark)").matches;
document.getElementById(dark ? "light" : "dark").disabled = true;
addEventListener("DOMContentLoaded", () => {{
  document.body.classList.add(dark ? "quarto-dark" : "quarto-light");
  for (const o of document.querySelectorAll(".math")) katex.render(o.textContent, o, {{displayMode: o.classList.contains("display"), throwOnError: false}});
  if (innerWidth >= 1200) document.querySelector("#quarto-sidebar details").open = true; }});
</script></head>
<body class="nav-sidebar docked nav-fixed"><header id="quarto-header"><a href="index.html">irsde</a></header>
<nav id="quarto-sidebar" class="sidebar"><details><summary>The book</summary><ul>{contents(sidebar, chapters, chapter)}</ul></details></nav>
<nav id="TOC" class="sidebar"><b>On this page</b>{toc}</nav>
<main class="content" id="quarto-document-content"><header id="title-block-header"><h1 class="title">{html.escape(chapter.title)}</h1><div class="description">{html.escape(chapter.meta.get('description', ''))}</div></header>
{body}
<nav class="page-navigation">{''.join(turn)}</nav></main><footer class="nav-footer">irsde</footer></body></html>'''

def colours(style):
    "Pandoc's rules for highlighted code in one of its styles"
    page = pypandoc.convert_text('``` python\nx\n```', 'html5', format='markdown', extra_args=['-s', '-M', 'title=x', f'--syntax-highlighting={style}'])
    return '\n'.join(re.findall(r'^ *code span\..*$', page, re.MULTILINE) if style != 'pygments' else [page.partition('/* CSS for syntax highlighting */')[2].partition('</style>')[0]])

def theme(path):
    "A style sheet without the fonts that it would fetch"
    return re.sub(r'@import url\([^)]*\);?', '', path.read_text(encoding='utf-8'))

def build(out=OUT):
    "All pages; the number of them"
    found = modules()
    if found is None: sys.exit('The preview needs KaTeX and Bootswatch, which npm brings; is npm on the PATH?')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if not process(tmp): return 0
        chapters = {o.name: Chapter(o) for o in sorted((tmp/'_proc').glob('*.ipynb'))}
        shutil.rmtree(out, ignore_errors=True)
        (out/'files').mkdir(parents=True)
        (tmp/'page.html').write_text('$toc$<!--body-->$body$')
        (tmp/'callouts.lua').write_text('local WORDS = {' + ', '.join(f'["{k}"] = "{v}"' for k, v in WORDS.items()) + '}' + CALLOUTS)
        with ThreadPoolExecutor(2) as pool: parts = dict(zip(chapters, pool.map(lambda o: converted(o, out/'files', tmp), chapters.values())))
    shutil.copytree(found/'katex'/'dist', out/'katex', ignore=shutil.ignore_patterns('*.mjs', 'README*'))
    shutil.copytree(ROOT/'nbs'/'images', out/'images')
    finish(out)
    shutil.copy(ROOT/'nbs'/'styles.css', out)
    (out/'preview.css').write_text(STYLE + colours('pygments') + colours('breezedark').replace('code span.', '.quarto-dark code span.'))
    for name in ('cosmo', 'darkly'): (out/f'{name}.css').write_text(theme(found/'bootswatch'/'dist'/name/'bootstrap.min.css'), encoding='utf-8')
    config = yaml.safe_load((ROOT/'nbs'/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    site = yaml.safe_load((ROOT/'nbs'/'nbdev.yml').read_text(encoding='utf-8'))['website']['site-url'] + '/'
    order = list(listed(config))
    for name, chapter in chapters.items():
        toc, body = parts[name]
        body = body.replace(f'href="{site}', 'href="')
        for other, page in chapters.items(): body = re.sub(rf'href="(?:nbs/)?{re.escape(other)}(?=["#])', f'href="{page.file}', body)
        (out/chapter.file).write_text(page_of(chapter, toc, body, chapters, config, order), encoding='utf-8')
    return len(chapters)

if __name__ == '__main__':
    n = build()
    if n: print(f"{n} pages: open {OUT.name}/index.html")
    sys.exit(not n)
