"""What Quarto does not put into a built site: the notebooks to download, and llms.txt, the book's contents for machines (llmstxt.org).

    python .ci/finish_site.py FOLDER
"""
import json, re, shutil, sys
from pathlib import Path
import yaml

ROOT = Path(__file__).parents[1]

def opening(notebook):
    "Title and description of a chapter"
    first = ''.join(json.loads(notebook.read_text(encoding='utf-8'))['cells'][0]['source'])
    return re.search(r'^# (.*)', first)[1], ' '.join(re.findall(r'^> (.*)', first, re.MULTILINE))

def page_name(notebook): return f"{re.sub(r'^[0-9]+_', '', notebook.stem)}.html" # As nbdev names it

def llms(nbs=ROOT/'nbs'):
    "The text of llms.txt"
    site = yaml.safe_load((nbs/'nbdev.yml').read_text(encoding='utf-8'))['website']
    parts = yaml.safe_load((nbs/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    lines = [f"# {site['title']}", '', f"> {site['description']}", '',
             'Chapters are Jupyter notebooks; `irsde/*.py` is exported from them. Install with `pip install git+' + site['repo-url'] + '`,',
             'then `irsde restore photos --task deraining --out restored`, or `Restorer.from_pretrained("deraining")(picture)` in Python.']
    for part in parts:
        lines += ['', f"## {part['section']}", '']
        for entry in part['contents']:
            notebook = nbs/entry['href']
            lines.append(f"- [{entry['text']}]({site['site-url']}/{page_name(notebook)}): {opening(notebook)[1]}")
    return '\n'.join(lines) + '\n'

def finish(folder, nbs=ROOT/'nbs'):
    "Add both to a built site"
    (folder/'notebooks').mkdir(exist_ok=True)
    for notebook in nbs.glob('[!_.]*.ipynb'): shutil.copy(notebook, folder/'notebooks')
    (folder/'llms.txt').write_text(llms(nbs), encoding='utf-8')

if __name__ == '__main__':
    if len(sys.argv) != 2 or not (Path(sys.argv[1])/'index.html').is_file(): sys.exit(__doc__ + '\nFOLDER holds the built site: it has an index.html.')
    finish(Path(sys.argv[1]))
