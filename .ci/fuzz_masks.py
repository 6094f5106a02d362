"""Random masks for .ci/fuzz.py, whose kept pixels are known: understood or refused, never the opposite."""
import numpy as np
import torch
from fuzz_tools import DAMAGE, Wrong, attempt, chance, demand, pick
from PIL import Image

from irsde.masks import as_mask


def truth_of(rng):
    "(h, w) bool in blocks of 8, or pixel by pixel: what is to be kept"
    if chance(rng, 0.05): return np.full(rng.integers(1, 40, 2), chance(rng, 0.5))
    h, w = (int(n) for n in rng.integers(1, 9, 2))
    keep = rng.random((h, w)) < pick(rng, [0.3, 0.7, 0.9])
    if chance(rng, 0.5):
        keep = np.ones((8, 8), bool)
        y, x = (int(n) for n in rng.integers(0, 7, 2))
        keep[y:y + int(rng.integers(1, 5)), x:x + int(rng.integers(1, 5))] = False
    return keep.repeat(8, 0).repeat(8, 1)

# Each makes a mask of `keep`, in memory or as a file of the path without its ending: mask, sure
# (it is plain black and white, and must be understood), share of the pixels that may differ

def levels(rng, keep, low, high, dtype):
    "Two numbers"
    return np.where(keep, high, low).astype(dtype)

def grey_file(rng, keep, stem):
    "0 and 255, 8 bits, of many formats"
    ending = pick(rng, ['.png', '.bmp', '.tif', '.webp', '.PNG'])
    image = Image.fromarray(levels(rng, keep, 0, 255, 'uint8'))
    if chance(rng, 0.4): image = image.convert('RGB')
    image.save(path := stem.with_suffix(ending), **(dict(lossless=True) if ending == '.webp' else {}))
    return path, True, 0

def ones_file(rng, keep, stem):
    "0 and 1, as masks of segmentation are"
    Image.fromarray(levels(rng, keep, 0, 1, 'uint8')).save(path := stem.with_suffix('.png'))
    return path, True, 0

def bits_file(rng, keep, stem):
    "One bit"
    image = Image.fromarray(levels(rng, keep, 0, 255, 'uint8')).convert('1')
    image.save(path := stem.with_suffix(pick(rng, ['.png', '.tif', '.bmp'])))
    return path, True, 0

def deep_file(rng, keep, stem):
    "0 and 65535, or 0 and 1, in 16 bits"
    high = pick(rng, [65535, 65535, 1])
    Image.fromarray(levels(rng, keep, 0, high, 'uint16')).save(path := stem.with_suffix('.png'))
    return path, high > 1, 0

def palette_file(rng, keep, stem):
    "A palette whose colours are black and white, in either order"
    white = int(rng.integers(2))
    image = Image.fromarray(np.where(keep, white, 1 - white).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255] if white else [255, 255, 255, 0, 0, 0])
    image.save(path := stem.with_suffix(pick(rng, ['.png', '.bmp'])))
    return path, True, 0

def alpha_file(rng, keep, stem):
    "One colour, opaque where it is kept"
    pixels = np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (*keep.shape, 3))
    cover = levels(rng, keep, 0, 255, 'uint8')[..., None]
    Image.fromarray(np.concatenate([pixels, cover], -1)).save(path := stem.with_suffix('.png'))
    return path, False, 0

def covered_file(rng, keep, stem):
    "Black and white, opaque all over"
    pixels = levels(rng, keep, 0, 255, 'uint8')[..., None].repeat(3, -1)
    Image.fromarray(np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)).save(
        path := stem.with_suffix('.png'))
    return path, True, 0

def jpeg_file(rng, keep, stem):
    "Black and white after JPEG"
    image = Image.fromarray(levels(rng, keep, 0, 255, 'uint8'))
    image.save(path := stem.with_suffix('.jpg'), quality=int(rng.integers(30, 100)))
    return path, False, 0.05

def soft_file(rng, keep, stem):
    "Edges smoothed by a program for drawing"
    image = Image.fromarray(levels(rng, keep, 0, 255, 'uint8'))
    small = image.resize([max(1, n * 3 // 4) for n in image.size], Image.Resampling.BILINEAR)
    small.resize(image.size, Image.Resampling.BILINEAR).save(path := stem.with_suffix('.png'))
    return path, False, 0.15

def greys_file(rng, keep, stem):
    "Two greys, both of them perhaps dark: the lighter is kept, or it is refused"
    low, high = sorted(rng.choice(256, 2, replace=False).tolist())
    Image.fromarray(levels(rng, keep, low, high, 'uint8')).save(path := stem.with_suffix('.png'))
    return path, False, 0

def colours_file(rng, keep, stem):
    "Two colours: the lighter is kept, or it is refused"
    one, other = sorted(rng.integers(0, 256, (2, 3)), key=lambda c: c @ (0.299, 0.587, 0.114))
    pixels = np.where(keep[..., None], other, one).astype(np.uint8)
    Image.fromarray(pixels).save(path := stem.with_suffix('.png'))
    return path, False, 0

def array(rng, keep, stem):
    "An array: flags, whole numbers of many types, floats"
    dtype, high = pick(rng, [('bool', 1), ('uint8', 255), ('uint8', 1), ('int64', 1), ('int32', 255),
                             ('float32', 1), ('float64', 1), ('uint16', 65535)])
    mask = levels(rng, keep, 0, high, dtype)
    if chance(rng, 0.3): mask = mask[..., None]
    elif chance(rng, 0.2) and dtype != 'uint16': mask = mask[None]
    return mask, mask.ndim == 2, 0

def tensor(rng, keep, stem):
    "A tensor: flags, whole numbers, floats"
    dtype, high = pick(rng, [(torch.bool, 1), (torch.uint8, 255), (torch.uint8, 1), (torch.int64, 1),
                             (torch.float32, 1), (torch.float16, 1)])
    mask = (torch.from_numpy(keep) * high).to(dtype)
    return (mask[None] if chance(rng, 0.5) else mask), True, 0

def image(rng, keep, stem):
    "A Pillow image"
    made = Image.fromarray(levels(rng, keep, 0, 255, 'uint8'))
    return made.convert(pick(rng, ['1', 'L', 'RGB', 'RGBA', 'P'])), True, 0

MAKERS = [grey_file, ones_file, bits_file, deep_file, palette_file, alpha_file, covered_file, jpeg_file,
          soft_file, greys_file, colours_file, array, tensor, image]

def no_mask(rng, folder):
    "What is no mask, a ramp or noise: refused, or understood without another error"
    h, w = (int(n) for n in rng.integers(1, 60, 2))
    ramp = np.add.outer(np.arange(h), np.arange(w)) / (h + w)
    pixels = 255 * pick(rng, [ramp, rng.random((h, w)), rng.random((h, w, 3)), ramp ** 8])
    Image.fromarray(pixels.astype(np.uint8)).save(path := folder/'mask.png')
    if chance(rng, 0.5): path.write_bytes(DAMAGE[pick(rng, DAMAGE)](rng, path.read_bytes()))
    size = (h, w) if chance(rng, 0.8) else (w, h + 1)
    found, why = attempt(path.name, as_mask, path, size)
    if found is None: return 'refused'
    demand(found.shape == size and found.dtype == bool, f'{found.dtype} {found.shape} is no mask')
    return 'right'

def check(found, keep, near):
    "Wrong unless these are the kept pixels, or nearly"
    demand(found.shape == keep.shape and found.dtype == bool, f'{found.dtype} {found.shape} is no mask')
    away = (found != keep).mean()
    if away > near: raise Wrong(f'{100 * away:.0f}% are kept that were not to be, or the other way round')

def case(rng, folder):
    "One mask, white kept or black"
    if chance(rng, 0.15): return no_mask(rng, folder)
    keep, invert = truth_of(rng), chance(rng, 0.3)
    maker = pick(rng, MAKERS)
    mask, sure, near = maker(rng, ~keep if invert else keep, folder/'mask')
    name = 'mask.' if maker.__name__.endswith('_file') else ''
    try: found, why = attempt(name, as_mask, mask, keep.shape, invert)
    except Wrong as wrong: raise Wrong(f'{maker.__name__}: {wrong}') from wrong
    if found is None:
        plain = sure and keep.any() and not keep.all()
        demand(not plain, f'{maker.__name__}: refused, though it is plain: {why}')
        return 'refused'
    some = keep.any() and not keep.all() or near
    demand(some, f'{maker.__name__}: all or nothing is kept, and nobody says so')
    try: check(found, keep, near)
    except Wrong as wrong: raise Wrong(f'{maker.__name__}, inverted {invert}: {wrong}') from wrong
    return 'right'
