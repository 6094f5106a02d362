"""Random names of two sides for .ci/fuzz.py: pairs as they were made or a ValueError, never others.

The order of a folder changes nothing, nor how an accent is stored; two different words never pair because
they have one number."""
from unicodedata import normalize

from fuzz_tools import Wrong, chance, demand, pick

from irsde.names import pair_names

WORDS = ['cat', 'tree', 'café', 'Zürich', 'naïve', 'žluťoučký', 'мост', 'дождь', '雨', '東京', 'が', '한국', 
         'ελιά', 'עץ', 'ไทย', 'हिन्दी', 'frame', 'IMG', 'baby', 'bird', 'butterfly', 'box',
         'mix', 'ß', 'İzmir', 'œuvre', '🌧', 'a', 'B', 'x', 'rainbow', 'blurb', 'highway', 'targets', 'inputs']
ROLES = [('{}_lq', '{}_gt'), ('rain-{}', 'norain-{}'), ('{}x4', '{}'), ('{}_x2', '{}'), ('{}', '{}'),
         ('lq/{}', 'gt/{}'), ('LR_{}', 'HR_{}'), ('{} blur', '{} sharp'), ('{}.noisy', '{}.clean'),
         ('{}_LRBI_x4', '{}_HR_x4'), ('{}_hazy', '{}'), ('{}', '{}_clear'), ('{}_SRF_4_LR', '{}_SRF_4_HR'),
         ('input/{}', 'target/{}')]

def word(rng):
    "A name: a word or two, a number or none, something between"
    parts = [pick(rng, WORDS) for _ in range(int(rng.integers(1, 3)))]
    number = str(int(rng.integers(0, 30))).zfill(pick(rng, [1, 3]))
    if chance(rng, 0.6): parts.insert(int(rng.integers(len(parts) + 1)), number)
    return pick(rng, ['_', '-', ' ', '.', '']).join(parts)

def paired(*sides, **how):
    "The partners, None if they are refused"
    try: return pair_names(*sides, **how)
    except ValueError as error:
        demand(str(error), 'refused without a word')
        return None

def check_alike(found, other, what):
    "Was the same found, or both times nothing?"
    if found != other: raise Wrong(f'{what}: {found} and {other}')

def sides_of(rng):
    "Names of both sides in one order, and the pattern between them"
    names = list(dict.fromkeys(word(rng) for _ in range(int(rng.integers(1, 8)))))
    lq, gt = pick(rng, ROLES)
    return [lq.format(name) for name in names], [gt.format(name) for name in names], lq, gt

def strangers(rng):
    "Two words that differ, with one number: they are no pair"
    one, other = rng.choice(WORDS, 2, replace=False).tolist()
    number, (lq, gt) = int(rng.integers(100)), pick(rng, ROLES)
    pattern = pick(rng, ['{0}_{1}', '{1}_{0}', '{0}-{1}', '{0} {1}', '{1}{0}'])
    names = [side.format(pattern.format(name, number)) for side, name in ((lq, one), (gt, other))]
    found = paired([names[0]], [names[1]])
    demand(found is None, f'{names[0]!r} was paired with {names[1]!r}')
    return 'refused'

def case(rng, folder):
    "A set of pairs, mixed up and spelled anew; or two names that are no pair"
    if chance(rng, 0.3): return strangers(rng)
    degraded, clean, lq, gt = sides_of(rng)
    order, other = rng.permutation(len(clean)).tolist(), rng.permutation(len(clean)).tolist()
    mixed, known = [clean[j] for j in order], [order.index(i) for i in range(len(degraded))]
    found = paired(degraded, mixed)
    said = f'{degraded} and {mixed}'
    if found is not None: check_alike(found, known, f'other pairs than were made, of {said}')
    again = paired([degraded[i] for i in other], mixed)
    check_alike(again, found and [found[i] for i in other], f'another order, other pairs, of {said}')
    for form in ('NFD', 'NFC'):
        again = paired([normalize(form, name) for name in degraded], mixed)
        check_alike(again, found, f'the degraded names in {form} pair in another way: {said}')
    if gt == '{}' and '/' not in lq:
        again = paired(degraded, mixed, pattern=lq)
        check_alike(again, known, f'pattern={lq!r} pairs in another way: {said}')
    elif found is not None: demand(len(found) == len(degraded), f'{found} of {said}')
    return 'refused' if found is None else 'right'
