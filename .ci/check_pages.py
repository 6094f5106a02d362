"""Pages that teach show pictures: at least one for forty lines of open code, and no line of it too long to
read.

    python .ci/check_pages.py [--list] [--clear]

Open is what a page shows unfolded: not hidden, not behind a fold, and of exported code only what says
`exports` or `open`. The browser's check measures the other half of the rule, that no four screens go by
without a picture (look.js). --list shows the counts of all chapters, also of
those not held to the rule; --clear empties outputs that hold raw marks of Quarto."""
import json
import re
import sys
from pathlib import Path

from check_imports import parts_of

ROOT = Path(__file__).parents[1]
TAUGHT = ('Start here', 'The mathematics', 'Networks', # held to show pictures
          'Six tasks', 'Four more tasks', 'Results')
NARROW = TAUGHT[:3] # held to short lines as well
LINES_A_PICTURE = 40
LONGEST = 100
FOLDED = re.compile(r'^#\|\s*(hide|echo:\s*false|code-fold:\s*true)\b', re.MULTILINE)
EXPORTED = re.compile(r'^#\|\s*(export|exporti|default_exp)\b', re.MULTILINE)
OPEN = re.compile(r'^#\|\s*(open\s*$|exports\b)', re.MULTILINE)
DRAWN = re.compile(r'<(svg|img|canvas)\b')
ODD = re.compile(r'\{target=')

def code_cells(path):
    "(source, outputs) of a notebook's code cells"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [(''.join(cell['source']), cell['outputs']) for cell in cells if cell['cell_type'] == 'code']

def open_lines(source):
    "The lines of a cell that a reader sees"
    if FOLDED.search(source) or EXPORTED.search(source) and not OPEN.search(source): return []
    return [line for line in source.splitlines() if not line.startswith('#|')]

def pictures(outputs):
    "How many pictures the outputs of a cell are"
    shown = [output.get('data', {}) for output in outputs]
    return sum(any(kind.startswith('image/') for kind in data)
               or bool(DRAWN.search(''.join(data.get('text/html', '')))) for data in shown)

def counts(path):
    "Lines of open code and pictures of a chapter, and the lines that are too long"
    cells = code_cells(path)
    lines = [line for source, _ in cells for line in open_lines(source)]
    return len(lines), sum(pictures(outputs) for _, outputs in cells), [o for o in lines if len(o) > LONGEST]

def faults(path, narrow):
    "What keeps a page from being read with pleasure"
    lines, drawn, long = counts(path)
    if drawn * LINES_A_PICTURE < lines:
        yield (f'{path.name}: {drawn} pictures for {lines} lines of open code, one for {LINES_A_PICTURE} is '
               'wanted: draw what a section says, or fold what is not its subject')
    for line in long if narrow else ():
        yield f'{path.name}: {len(line)} characters, {LONGEST} are shown: {line.strip()[:60]}'

def leftovers(path):
    "Marks of Quarto in an output, which nobody sees rendered elsewhere"
    if any(ODD.search(json.dumps(outputs)) for _, outputs in code_cells(path)):
        yield f'{path.name}: an output has a raw {{target=...}}: `check_pages.py --clear` empties it'

def clear(path):
    "Empty the outputs of show_doc, of which the site makes its own"
    text = path.read_text(encoding='utf-8')
    nb = json.loads(text)
    for cell in nb['cells']:
        if cell['cell_type'] == 'code' and ODD.search(json.dumps(cell['outputs'])): cell['outputs'] = []
    new = json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n'
    if new != text: path.write_text(new, encoding='utf-8')

if __name__ == '__main__':
    nbs = ROOT/'nbs'
    parts = parts_of(nbs)
    if '--clear' in sys.argv:
        for path in nbs.glob('[!_.]*.ipynb'): clear(path)
    if '--list' in sys.argv:
        for part, names in parts.items():
            print(part)
            for name in names:
                lines, drawn, long = counts(nbs/name)
                print(f'  {name:34} {lines:5} open lines {drawn:4} pictures {len(long):4} long lines')
    taught = {nbs/name: part in NARROW for part in TAUGHT for name in parts[part]}
    found = [fault for path, narrow in taught.items() for fault in faults(path, narrow)]
    found += [fault for path in sorted(nbs.glob('[!_.]*.ipynb')) for fault in leftovers(path)]
    print(*found, sep='\n', end='\n' if found else '')
    print(f'{len(taught)} chapters held to a picture for {LINES_A_PICTURE} open lines')
    sys.exit(bool(found))
