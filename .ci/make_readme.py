"""Write README.md from nbs/index.ipynb, so that GitHub and the site open on the same page. --check only compares."""
import base64, html, re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
NOTE = '<!-- Made from nbs/index.ipynb by `make readme`: edit that. -->\n'
HIDDEN = re.compile(r'^#\|\s*(hide|include:\s*false)\b', re.MULTILINE)
SILENT = re.compile(r'^#\|\s*echo:\s*false\b', re.MULTILINE)
OPTION = re.compile(r'^#\|\s*([\w-]+):\s*"?(.*?)"?\s*$', re.MULTILINE)
RELATIVE = re.compile(r'(\]\(|(?:src|href)=")(?![a-z]+:|#|/)') # in nbs/; in the README, relative to the top
CALLOUT = re.compile(r'^::: *\{\.callout-(\w+)[^}]*\}\n+#+ (.*?)\n(.*?)\n:::$', re.MULTILINE | re.DOTALL)
FENCE = re.compile(r'^:::.*\n?', re.MULTILINE)

def picture_of(cell):
    "The kind of picture that a cell shows, and its output; None if it shows none"
    return next(((k, o) for o in cell.get('outputs', []) for k in o.get('data', {}) if k.startswith('image/')), None)

def as_github(text):
    "Quarto's callouts as GitHub's, and its other fences away"
    def alert(m): return f'> [!{m[1].upper()}]\n> **{m[2]}.** ' + m[3].strip().replace('\n', '\n> ')
    return FENCE.sub('', CALLOUT.sub(alert, text))

def as_image(cell, path, root):
    "The picture of a cell as a file, and the line that shows it at its own size with its caption"
    kind, output = picture_of(cell)
    options = dict(OPTION.findall(cell.source))
    missing = [o for o in ('label', 'fig-cap', 'fig-alt') if not options.get(o)]
    if missing: sys.exit(f'nbs/index.ipynb: a cell shows a picture without a "#| {missing[0]}: ..." line: {cell.source[:60]!r}')
    name = f"{options['label'].removeprefix('fig-')}.{'jpg' if kind == 'image/jpeg' else 'png'}"
    width = output.get('metadata', {}).get(kind, {}).get('width')
    sized = f' width="{width}"' if width else ''
    line = f'<img src="{path}/{name}" alt="{html.escape(options["fig-alt"])}"{sized}>\n\n*{options["fig-cap"]}*'
    return root/path/name, base64.b64decode(output.data[kind]), line

def made(root=ROOT):
    "Path -> content of README.md and of the pictures that its outputs hold"
    nb = nbformat.read(root/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [o for o in nb.cells if not HIDDEN.search(o.source)]
    nb.metadata.language_info = {'name': 'python'}
    pictures = {}
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            cell.source = RELATIVE.sub(r'\1nbs/', as_github(cell.source))
            continue
        if picture_of(cell):
            path, data, line = as_image(cell, 'nbs/images', root)
            pictures[path] = data
            cell.outputs = [nbformat.v4.new_output('display_data', {'text/markdown': line})]
        elif cell.outputs and 'text/markdown' in cell.outputs[-1].get('data', {}): # a table with links
            cell.outputs[-1].data['text/markdown'] = RELATIVE.sub(r'\1nbs/', cell.outputs[-1].data['text/markdown'])
        if SILENT.search(cell.source): cell.metadata['transient'] = nbformat.from_dict({'remove_source': True}) # nbconvert's word for: output only
        cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.MULTILINE) # directives to Quarto
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r'\n```\s+```python\n', '\n\n', re.sub(r'\n{3,}', '\n\n', text)) # code that follows code is one block
    return {root/'README.md': (NOTE + text.strip() + '\n').encode(), **pictures}

if __name__ == '__main__':
    if '--check' in sys.argv[1:]:
        stale = [p for p,data in made().items() if not p.exists() or p.read_bytes() != data]
        for path in stale: print(f'{path.relative_to(ROOT)} is not what nbs/index.ipynb says')
        sys.exit(bool(stale))
    for path,data in made().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
