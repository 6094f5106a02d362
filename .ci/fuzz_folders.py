"""Random folders for .ci/fuzz.py, restored and degraded in an instant by a stub.

Every file is accounted for, in the table or in the count of what was left out; inputs stay as they are;
results are whole, nothing lies beside them, nothing is written over; a second call has nothing to do."""
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from fuzz_tools import DAMAGE, Wrong, chance, demand, pick
from PIL import Image

from irsde import IRSDE, Restorer, ThetaSchedule, images
from irsde.folders import degrade_files, restore_files

STEMS = ['a', 'A', 'b', 'photo 1', 'frame.0001', '-rf', '--out', 'caf\u00e9', 'cafe\u0301', '雨',
         'two\nlines', 'x-std', '🌧', 'a-std', "it's", 'a"b', '50%', '{}', '[1]', 'a*', '~', '#1', 'con',
         '$HOME', os.fsdecode(b'caf\xe9'), 'é' * 40, '.hidden', 'Thumbs',
         ' lead', 'trail ', 'l' * 60, 'a.png']
ENDINGS = ['.png', '.png', '.jpg', '.JPG', '.jpeg', '.tif', '.webp', '.bmp', '.txt', '.gif', '.mp4', '',
           '.png.part']
FOLDERS = ['', '', '', 'sub', 'sub/deep', 'Süd', '.git', 'x.png', os.fsdecode(b'r\xe9p')]
RECORD = '.irsde.jsonl'

def image_bytes(rng, ending):
    "A small picture's file, of a kind that the ending fits, or another"
    h, w = (int(n) for n in rng.integers(1, 13, 2))
    mode = pick(rng, ['L', 'RGB', 'RGB', 'RGBA'])
    kind = Image.registered_extensions().get(ending.lower(), 'PNG')
    if kind in ('JPEG', 'BMP') and mode == 'RGBA': mode = 'RGB'
    pixels = rng.integers(0, 256, (h, w, {'L': 1, 'RGB': 3, 'RGBA': 4}[mode]), np.uint8)
    from fuzz_pictures import as_pillow, saved
    if kind not in ('PNG', 'JPEG', 'TIFF', 'WEBP', 'BMP', 'GIF'): kind = 'PNG'
    return saved(as_pillow(pixels), kind)

@dataclass
class How:
    "The options of a call"
    recursive: bool
    degrades: bool
    samples: int
    format: str | None

def how_of(rng):
    "Some options"
    form = pick(rng, ['png', 'tif', 'webp', '.PNG']) if chance(rng, 0.3) else None
    return How(chance(rng, 0.5), chance(rng, 0.3), 2 if chance(rng, 0.2) else 1, form)

def make_tree(rng, root):
    "Files of all kinds; which of the pictures are sound"
    sound = {}
    for _ in range(int(rng.integers(1, 14))):
        place = root/pick(rng, FOLDERS)/(pick(rng, STEMS) + (ending := pick(rng, ENDINGS)))
        try: place.parent.mkdir(parents=True, exist_ok=True)
        except OSError: continue # a file is called so
        if os.path.lexists(place): continue
        data = image_bytes(rng, ending)
        if fine := chance(rng, 0.7): place.write_bytes(data)
        elif chance(rng, 0.3): place.write_bytes(b'')
        elif chance(rng, 0.2): place.mkdir()
        elif chance(rng, 0.2): place.symlink_to(pick(rng, ['nowhere', *sound] if sound else ['nowhere']))
        else: place.write_bytes(DAMAGE[pick(rng, DAMAGE)](rng, data))
        if fine: sound[place] = Image.open(place).size[::-1]
    return sound

def state_of(root):
    "What a tree holds: path -> bytes, where a link leads to, or None for a folder"
    found = {}
    for place in sorted(root.rglob('*')):
        if place.is_symlink(): found[place] = os.readlink(place)
        else: found[place] = None if place.is_dir() else (place.read_bytes(), place.stat().st_mtime_ns)
    return found

def expected(root, recursive):
    "What a reader of folders finds: pictures, other files, folders that are left out"
    pictures, others, folders = [], [], []
    for place in sorted(root.iterdir()):
        if place.name.startswith('.'): continue
        named = place.suffix.lower() in images.ENDINGS
        if place.is_dir():
            if not recursive: folders.append(place)
            else: pictures, others, folders = (
                    old + new for old, new in zip((pictures, others, folders), expected(place, True)))
        elif named: pictures.append(place)
        else: others.append(place)
    return pictures, others, folders

def alike(paths):
    "Do two of them differ in their ending, in capitals or in the way accents are stored at most?"
    def plain(path):
        stem = unicodedata.normalize('NFC', str(path.with_suffix(''))).casefold()
        return stem.removesuffix('-std').removesuffix('.png')
    return max(Counter(map(plain, paths)).values(), default=0) > 1

class Stub:
    "A model that knows at once that there is nothing to take away"
    def __call__(self, x, mu, t): return torch.zeros_like(x)

def restorer():
    "A restorer that takes an instant"
    return Restorer(Stub(), IRSDE(ThetaSchedule(), 10 / 255), {'task': 'deraining', 'steps': 1}, device='cpu')

def check_left_out(root, recursive, others, folders):
    "Is what was left out counted?"
    said = images.left_out(root, recursive=recursive)
    counts = {word: int(n) for n, word in re.findall(r'(\d+) (file|subfolder)', said)}
    wanted = {word: len(found) for word, found in (('file', others), ('subfolder', folders)) if found}
    demand(counts == wanted, f'left out are {wanted}, left_out says {said!r}')

def check_row(row, sound):
    "Did a sound picture become a whole one of its size, or is there an error?"
    path, error = row['file'], row['error']
    if not row['out']:
        demand(error, f'{path!r} has neither a result nor an error')
        demand(path not in sound, f'{path!r} is sound, yet: {error}')
        return
    demand(not error, f'{path!r} has a result and an error: {error}')
    found = images.read(row['out']).values
    if path not in sound: return
    demand(found.shape[1:] == sound[path], f'{path!r}: {sound[path]} became {found.shape[1:]}')

def check_out(out, rows, extra):
    "Are the results there, and nothing else?"
    there = {str(place) for place in out.rglob('*') if not place.is_dir()} if out.exists() else set()
    known = [row['out'] for row in rows if row['out']]
    demand(len(known) == len(set(known)), f'results were written over one another: {known}')
    stray = {one for one in there - set(known) if not extra(one)}
    demand(not stray, f'in the output folder lie {stray}')
    demand(set(known) <= there, f'results that are not there: {set(known) - there}')

def run(root, out, how):
    "The rows of a call, or why all was refused"
    def halved(clean, generator): return clean / 2
    try:
        if how.degrades: table = degrade_files(root, out, halved, alpha='drop', recursive=how.recursive)
        else: table = restore_files(root, out, restorer(), recursive=how.recursive, samples=how.samples,
                                    format=how.format)
    except ValueError as error:
        demand(str(error), 'refused without a word')
        return None, str(error)
    return table.to_dict('records'), ''

def case(rng, folder):
    "A tree, restored or degraded, twice"
    root, out = folder/pick(rng, ['in', 'my pictures', '-in', 'ín']), folder/'out'
    root.mkdir()
    sound, how, before = make_tree(rng, root), how_of(rng), state_of(root)
    pictures, others, folders = expected(root, how.recursive)
    check_left_out(root, how.recursive, others, folders)
    rows, why = run(root, out, how)
    demand(state_of(root) == before, 'an input was changed')
    if rows is None:
        fits = how.degrades or how.format or not all(path.suffix == '.gif' for path in pictures)
        demand(alike(pictures) or not fits or not pictures, f'{len(pictures)} pictures were refused: {why}')
        demand(not out.exists() or not any(out.iterdir()), 'refused, yet something was written')
        return 'refused'
    missing = {str(path) for path in pictures} ^ {row['file'] for row in rows}
    demand(not missing and len(rows) == len(pictures), f'not accounted for: {missing}')
    unfit = '.none' if how.degrades or how.format else '.gif' # which is read and not written
    known = {str(path): size for path, size in sound.items() if path.suffix != unfit}
    for row in rows: check_row(row, known)
    check_out(out, rows, lambda name: name.endswith(RECORD) or how.samples > 1 and 'std' in name)
    if not how.degrades: check_again(root, out, how, rows)
    return 'right'

def check_again(root, out, how, rows):
    "The same call once more: nothing to do but what failed"
    before = state_of(out)
    again, why = run(root, out, how)
    if again is None: raise Wrong(f'the same call again is refused: {why}')
    for old, new in zip(rows, again):
        wanted = 'skipped' if old['status'] == 'restored' else 'failed'
        what = f'{old["file"]!r} was {old["status"]}, then {new["status"]} {new["error"]}'
        demand(new['status'] == wanted, what)
    changed = [place for place, held in state_of(out).items() if before.get(place, 0) != held]
    changed = [place for place in changed if place.name != RECORD]
    demand(not changed, f'the same call again changed {changed}')
