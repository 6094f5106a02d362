"What the kinds of cases of .ci/fuzz.py share: randomness, damage, and what may be refused."
import struct
import zlib

import numpy as np


class Wrong(Exception):
    "What a case found wrong with the library"

def random_for(kind, seed):
    "The random numbers of a case: a function of its kind and its number alone"
    return np.random.default_rng([zlib.crc32(kind.encode()), seed])

def pick(rng, options):
    "One of some options"
    options = list(options)
    return options[int(rng.integers(len(options)))]

def chance(rng, share):
    "Whether something is to be done that is done in this share of the cases"
    return bool(rng.random() < share)

def attempt(name, call, *args, **options):
    "(what a call returned, None), or (None, what it was refused with), which must name the file"
    try: return call(*args, **options), None
    except (OSError, ValueError) as error:
        if str(name) in str(error): return None, str(error)
        raise Wrong(f'refused without naming {name}: {type(error).__name__}: {error}') from error

def demand(true, what):
    "Raise Wrong unless it is true"
    if not true: raise Wrong(what)

# ---- damage of any file

def flipped(rng, data, start=0):
    "A few bits are not what they were"
    found = bytearray(data)
    for place in rng.integers(start, len(data), int(rng.integers(1, 4))):
        found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)

def cut(rng, data):
    "The end is missing"
    return data[:int(rng.integers(len(data)))]

def inserted(rng, data):
    "Some bytes too many"
    place = int(rng.integers(len(data)))
    return data[:place] + rng.bytes(int(rng.integers(1, 20))) + data[place:]

def dropped(rng, data):
    "Some bytes too few, not at the end"
    place, n = int(rng.integers(len(data))), int(rng.integers(1, 20))
    return data[:place] + data[place + n:]

def zeroed(rng, data):
    "A block that was never written, as after a power cut"
    start = int(rng.integers(len(data)))
    end = min(len(data), start + int(rng.integers(1, 1 + len(data))))
    return data[:start] + bytes(end - start) + data[end:]

DAMAGE = {'flipped': flipped, 'cut': cut, 'inserted': inserted, 'dropped': dropped, 'zeroed': zeroed}

def png_chunks(data):
    "(start, length, kind) of the pieces of a PNG"
    place = 8
    while place + 8 <= len(data):
        n, kind = struct.unpack('>I4s', data[place:place + 8])
        yield place, n, kind
        place += 12 + n
