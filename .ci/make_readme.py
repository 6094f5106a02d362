"""Write README.md from nbs/index.ipynb, so that GitHub and the site open on the same page. --check only compares."""
import re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
NOTE = '<!-- Made from nbs/index.ipynb by `make readme`: edit that. -->\n'
HIDDEN = re.compile(r'^#\|\s*(hide|include:\s*false)\b', re.MULTILINE)
SILENT = re.compile(r'^#\|\s*echo:\s*false\b', re.MULTILINE)
ALT = re.compile(r'^#\|\s*fig-alt:\s*"(.*)"', re.MULTILINE)
RELATIVE = re.compile(r'(\]\(|(?:src|href)=")(?![a-z]+:|#|/)') # in nbs/; in the README, relative to the top

def made(root=ROOT):
    "Path -> content of README.md and of the pictures that its outputs hold"
    nb = nbformat.read(root/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [o for o in nb.cells if not HIDDEN.search(o.source)]
    nb.metadata.language_info = {'name': 'python'}
    shown = [c for c in nb.cells if c.cell_type == 'code' and any(k.startswith('image/') for o in c.outputs for k in o.get('data', {}))]
    for cell in shown:
        if not ALT.search(cell.source): sys.exit(f'nbs/index.ipynb: a cell shows a picture without a "#| fig-alt: ..." line: {cell.source[:60]!r}')
    alts = iter([ALT.search(c.source)[1] for c in shown])
    for cell in nb.cells:
        if cell.cell_type == 'markdown': cell.source = RELATIVE.sub(r'\1nbs/', cell.source)
        else:
            if SILENT.search(cell.source): cell.metadata['transient'] = nbformat.from_dict({'remove_source': True}) # nbconvert's word for: output only
            cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.MULTILINE) # directives to Quarto
    for output in (o for c in nb.cells if c.cell_type == 'code' for o in c.outputs): # tables with links
        if 'text/markdown' in output.get('data', {}): output.data['text/markdown'] = RELATIVE.sub(r'\1nbs/', output.data['text/markdown'])
    text, resources = MarkdownExporter().from_notebook_node(nb, {'unique_key': 'index', 'output_files_dir': 'nbs/images'})
    text = re.sub(r'\n```\s+```python\n', '\n\n', re.sub(r'\n{3,}', '\n\n', text)) # code that follows code is one block
    text = re.sub(r'!\[(?:png|jpeg)\]', lambda _: f'![{next(alts)}]', text)
    pictures = {root/name: data for name,data in resources['outputs'].items()}
    return {root/'README.md': (NOTE + text.strip() + '\n').encode(), **pictures}

if __name__ == '__main__':
    if '--check' in sys.argv[1:]:
        stale = [p for p,data in made().items() if not p.exists() or p.read_bytes() != data]
        for path in stale: print(f'{path.relative_to(ROOT)} is not what nbs/index.ipynb says')
        sys.exit(bool(stale))
    for path,data in made().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
