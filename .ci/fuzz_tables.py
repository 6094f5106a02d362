"Random damage of a table of runs for .ci/fuzz.py: rows are added and the old ones stand, or nothing is done."
from unittest import mock

import pandas as pd
from fuzz_tools import DAMAGE, attempt, chance, demand, pick

from irsde import ledger, results

TASKS = ['deraining', 'denoising', 'inpainting']

def row(rng, method='irsde'):
    "A run"
    names = ['set5', 'a, b', 'rain "heavy"', '雨', 'x' * 50]
    made = dict(task=pick(rng, TASKS), test_set=pick(rng, names), method=method,
                n_images=int(rng.integers(1, 100)), protocol=pick(rng, ['rgb', 'y, cropped']),
                psnr=float(rng.normal(30, 3)))
    if chance(rng, 0.5):
        made.update(solver='posterior', steps=int(rng.integers(1, 100)), seed=int(rng.integers(9)))
    return made

def other_text(rng, text):
    "A table as other programs save it, or as people change it"
    lines = text.split('\n')
    names = lines[0].split(',')
    frame = [line.split(',') for line in lines]
    changes = {
        'semicolons': lambda: text.replace(',', ';').encode(),
        'tabs': lambda: text.replace(',', '\t').encode(),
        'a BOM': lambda: b'\xef\xbb\xbf' + text.encode(),
        'CRLF': lambda: text.replace('\n', '\r\n').encode(),
        'no last end': lambda: text.rstrip('\n').encode(), 'blank lines': lambda: (text + '\n\n').encode(),
        'UTF-16': lambda: text.encode('utf-16'),
        'Latin-1': lambda: text.replace('雨', 'caf').encode() + b'caf\xe9\n',
        'a column less': lambda: '\n'.join(','.join(cells[:-1]) for cells in frame).encode(),
        'a column more': lambda: '\n'.join(','.join([*cells, 'x']) for cells in frame).encode(),
        'another name': lambda: text.replace(pick(rng, names), 'other', 1).encode(),
        'an open quote': lambda: text.rstrip('\n').encode() + b',"open\n', 'empty': lambda: b'',
        'a half row': lambda: text.rstrip('\n')[:-int(rng.integers(1, 30))].encode(),
        'spaces': lambda: b' \n\n',
        'NULs': lambda: text.encode() + bytes(20), 'its own': lambda: b'name,score\nme,3\n'}
    return changes[pick(rng, changes)]()

def damaged(rng, data, text):
    "Bytes of a table as somebody may have it"
    if chance(rng, 0.6): return other_text(rng, text)
    return DAMAGE[pick(rng, DAMAGE)](rng, data)

def rows_of(path):
    "What pandas reads: a row's values as text"
    return pd.read_csv(path, dtype=str, keep_default_na=False).values.tolist()

def check_added(path, before, old, data):
    "The old rows stand, and there are new ones"
    new = rows_of(path)
    demand(new[:len(old)] == old, f'{len(old)} old rows, others now: {new[:len(old)]} of {old}'[:500])
    demand(1 <= len(new) - len(old) <= 2, f'{len(old)} rows became {len(new)}')
    added = new[len(old):]
    demand(all(line[3] in ('irsde', 'input') for line in added), f'the new rows are torn: {added}')
    demand(list(pd.read_csv(path)) == ledger.RUN_COLUMNS, 'its columns are others now')

def case(rng, folder):
    "A table made, damaged perhaps, and written to"
    path = folder/'runs.csv'
    with mock.patch.object(ledger, 'this_commit', lambda: 'abc1234'):
        ledger.record(path, [row(rng) for _ in range(int(rng.integers(1, 5)))])
        good = path.read_bytes()
        data = damaged(rng, good, good.decode()) if chance(rng, 0.8) else good
        path.write_bytes(data)
        try: old = rows_of(path)
        except Exception: old = None # no table at all
        if chance(rng, 0.5):
            done, why = attempt(path.name, lambda: [ledger.record(path, row(rng))])
        else:
            run = row(rng)
            names = 'task', 'test_set', 'n_images', 'protocol', 'psnr'
            given = {'method': 'input', **{name: run[name] for name in names}}
            done, why = attempt(path.name, lambda: [results.keep_rows(path, run, given)])
    demand([one.name for one in folder.iterdir()] == [path.name], 'something lies beside the table')
    if done is None:
        demand(path.read_bytes() == data, f'refused, yet the file is another: {why}')
        demand(data != good, f'refused, though nothing is wrong with it: {why}')
        return 'refused'
    demand(old is not None or not data.strip(), 'written to what pandas cannot read')
    check_added(path, data, old or [], data)
    return 'right'
