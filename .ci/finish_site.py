"""Add to a built site what Quarto does not put there: the notebooks to download, and llms.txt, the book's
contents for machines (llmstxt.org).

    python .ci/finish_site.py FOLDER
"""
import json
import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HEAD = """# {title}

> {description}

Chapters are Jupyter notebooks; `irsde/*.py` is exported from them. Install with `pip install git+{repo}`,
then `irsde restore photos --task deraining --out restored`, or
`Restorer.from_pretrained("deraining")(picture)` in Python."""

def opening(notebook):
    "Title and description of a chapter"
    first = ''.join(json.loads(notebook.read_text(encoding='utf-8'))['cells'][0]['source'])
    return re.search(r'^# (.*)', first)[1], ' '.join(re.findall(r'^> (.*)', first, re.MULTILINE))

def page_name(notebook):
    "The file of its page, as nbdev names it"
    return f"{re.sub(r'^[0-9]+[a-z]*_', '', notebook.stem)}.html"

def llms(nbs=ROOT/'nbs'):
    "The text of llms.txt"
    def website(name): return yaml.safe_load((nbs/name).read_text(encoding='utf-8'))['website']
    site = website('nbdev.yml')
    lines = [HEAD.format(repo=site['repo-url'], **site).rstrip()]
    for part in website('sidebar.yml')['sidebar']['contents']:
        lines += ['', f"## {part['section']}", '']
        for entry in part['contents']:
            notebook = nbs/entry['href']
            url = f"{site['site-url']}/{page_name(notebook)}"
            lines.append(f"- [{entry['text']}]({url}): {opening(notebook)[1]}")
    return '\n'.join(lines) + '\n'

def finish(folder, nbs=ROOT/'nbs'):
    "Add both to a built site"
    (folder/'notebooks').mkdir(exist_ok=True)
    for notebook in nbs.glob('[!_.]*.ipynb'): shutil.copy(notebook, folder/'notebooks')
    (folder/'llms.txt').write_text(llms(nbs), encoding='utf-8')

if __name__ == '__main__':
    if len(sys.argv) != 2 or not (Path(sys.argv[1])/'index.html').is_file():
        sys.exit(__doc__ + '\nFOLDER holds the built site: it has an index.html.')
    finish(Path(sys.argv[1]))
