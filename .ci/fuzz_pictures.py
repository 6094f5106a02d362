"""Random pictures for .ci/fuzz.py: made in any format, damaged or not, read, and written again.

What was not damaged has the numbers that it was made of. What was is refused with the file's name, or whole:
a file whose end is missing never has other numbers, nor one whose format has checksums."""
import errno
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from unittest import mock

import numpy as np
from fuzz_tools import DAMAGE, Wrong, attempt, chance, demand, pick, png_chunks
from PIL import Image

from irsde import images


@dataclass
class Made:
    "A file's bytes, and what they hold"
    data: bytes
    ending: str
    truth: np.ndarray | None = None # (c, h, w), upright
    plain: bool = True              # It must be read; else it may be refused
    checked: bool = False           # Its format has checksums
    ends: bool = True               # One sees where its end is; not so where numbers are words

# ---- numbers

def pixels(rng, channels, dtype='uint8', top=None):
    "(h, w, c): noise, a ramp, one value, a few values"
    h, w = (int(n) for n in (1 + rng.integers(0, 70, 2)) ** pick(rng, (1, 1, 1, 0.4)))
    ramp = np.add.outer(np.arange(h), np.arange(w))[..., None] / max(1, h + w - 2)
    made = {'noise': lambda: rng.random((h, w, channels)),
            'flat': lambda: np.full((h, w, channels), rng.random()),
            'ramp': lambda: np.repeat(ramp, channels, -1) * rng.random(channels),
            'few': lambda: rng.integers(0, 3, (h, w, channels)) / 2}
    unit = made[pick(rng, made)]()
    if np.dtype(dtype).kind == 'f': return unit.astype(dtype)
    return (unit * (top or np.iinfo(dtype).max)).round().astype(dtype)

def upright(stored, orientation):
    "(h, w, c) turned as EXIF's number says"
    turn = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
            5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
            7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}
    return turn[orientation](stored)

def planes(stored, orientation=1):
    "(c, h, w), upright"
    return np.ascontiguousarray(upright(stored, orientation).transpose(2, 0, 1))

def exif_of(rng, orientation):
    "EXIF with an orientation, a camera, sometimes a place, or a preview's worth of nonsense"
    exif = Image.Exif()
    exif[274] = orientation
    if chance(rng, 0.5): exif[271] = 'Camera'
    if chance(rng, 0.2): exif.get_ifd(0x8825).update({1: 'N', 2: (1.0, 2.0, 3.0)})
    if chance(rng, 0.2): exif.get_ifd(0x8769).update({40962: 70, 40963: 3})
    return exif

# ---- PNG, by hand

ADAM7 = (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)

def chunk(kind, data):
    "A piece of a PNG"
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

def png_rows(rng, stored, depth):
    "(h, w, c) as filtered rows"
    h, w, c = stored.shape
    if not h or not w: return b''
    if depth == 16: rows = stored.astype('>u2').view(np.uint8).reshape(h, -1)
    elif depth == 8: rows = stored.reshape(h, -1)
    else:
        bits = np.unpackbits(stored.reshape(h, w, 1).astype(np.uint8), axis=-1)[..., 8 - depth:]
        rows = np.packbits(bits.reshape(h, -1), axis=-1)
    step, found, above = max(1, c * depth // 8), b'', np.zeros_like(rows[0])
    for row in rows:
        left = np.concatenate([np.zeros(min(step, len(row)), np.uint8), row[:-step]])
        way = int(rng.integers(4))
        guess = 0, left, above, ((left.astype(int) + above) // 2).astype(np.uint8)
        found += bytes([way]) + (row - guess[way]).astype(np.uint8).tobytes()
        above = row
    return found

def png_file(rng, stored, depth, colours, extra):
    "A PNG of (h, w, c), interlaced or not, its data in one piece or several"
    h, w = stored.shape[:2]
    interlaced = chance(rng, 0.3)
    parts = [stored[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [stored]
    data = zlib.compress(b''.join(png_rows(rng, part, depth) for part in parts), int(rng.integers(10)))
    split = int(rng.integers(len(data))) if chance(rng, 0.3) else len(data)
    head = struct.pack('>IIBBBBB', w, h, depth, colours, 0, 0, int(interlaced))
    body = chunk(b'IDAT', data[:split]) + (chunk(b'IDAT', data[split:]) if split < len(data) else b'')
    late = chunk(b'tEXt', b'Comment\0late') if chance(rng, 0.1) else b''
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + extra + body + late + chunk(b'IEND', b'')

def png_words(rng, orientation):
    "Pieces of a PNG that say something of it"
    known = [chunk(b'gAMA', struct.pack('>I', 45455)), chunk(b'tEXt', b'Title\0rain'), chunk(b'sRGB', b'\0'),
             chunk(b'cHRM', struct.pack('>8I', 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
             chunk(b'pHYs', struct.pack('>IIB', 2835, 2835, 1)), chunk(b'abCd', b'private'),
             chunk(b'cICP', b'\x0c\x0d\0\1'), chunk(b'tIME', struct.pack('>HBBBBB', 2020, 1, 2, 3, 4, 5))]
    found = b''.join(piece for piece in known if chance(rng, 0.2))
    if orientation == 1 and chance(rng, 0.5): return found
    return found + chunk(b'eXIf', exif_of(rng, orientation).tobytes().removeprefix(b'Exif\0\0'))

def png(rng):
    "A PNG of any colour type and depth"
    colours, depth = pick(rng, [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2),
                                (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)])
    n, dtype, orientation = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours], 'uint16' if depth == 16 else 'uint8', 1
    if chance(rng, 0.4): orientation = int(rng.integers(1, 9))
    stored = pixels(rng, n, dtype, 2**depth - 1)
    extra, top = png_words(rng, orientation), 65535 if depth == 16 else 255
    truth = (stored * (255 // (2**depth - 1))).astype(np.uint8) if colours == 0 and depth < 8 else stored
    if colours == 3:
        palette = rng.integers(0, 256, (2**depth, 3), np.uint8)
        covers = rng.integers(0, 256, 2**depth, np.uint8)
        truth, extra = palette[stored[..., 0]], extra + chunk(b'PLTE', palette.tobytes())
        if chance(rng, 0.4):
            truth = np.concatenate([truth, covers[stored]], -1)
            extra += chunk(b'tRNS', covers.tobytes())
    elif colours in (0, 2) and chance(rng, 0.3):
        clear = stored[0, 0]
        cover = np.where((stored == clear).all(-1, keepdims=True), 0, top).astype(dtype)
        truth = np.concatenate([truth, cover], -1)
        extra += chunk(b'tRNS', clear.astype('>u2').tobytes())
    data = png_file(rng, stored, depth, colours, extra)
    return Made(data, '.png', planes(truth, orientation), checked=True)

# ---- by Pillow

def saved(image, kind, **options):
    "The bytes of a Pillow image's file"
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

def as_pillow(stored):
    "(h, w, c) uint8 as an image"
    return Image.fromarray(stored[..., 0] if stored.shape[-1] == 1 else stored)

def decoded(data, mode=None):
    "(h, w, c) as Pillow has it"
    with Image.open(BytesIO(data)) as image:
        found = np.asarray(image.convert(mode) if mode else image)
        return found.reshape(*found.shape[:2], -1)

def jpeg(rng):
    "A JPEG, grey, colour or of inks"
    mode, orientation = pick(rng, ['L', 'RGB', 'RGB', 'CMYK']), int(rng.integers(1, 9))
    image = as_pillow(pixels(rng, {'L': 1, 'RGB': 3, 'CMYK': 4}[mode]))
    if mode == 'CMYK': image = Image.frombytes('CMYK', image.size, image.tobytes())
    options = dict(quality=int(rng.integers(20, 100)), progressive=chance(rng, 0.3))
    if chance(rng, 0.3): options.update(dpi=(72, 72), comment='rain', icc_profile=rng.bytes(40))
    data = saved(image, 'JPEG', exif=exif_of(rng, orientation), **options)
    truth = planes(decoded(data, 'RGB' if mode == 'CMYK' else None), orientation)
    return Made(data, pick(rng, ['.jpg', '.jpeg', '.JPG', '.jfif']), truth)

def webp(rng):
    "A WebP, exact or not"
    stored, orientation = pixels(rng, pick(rng, [3, 4])), int(rng.integers(1, 9))
    exact = chance(rng, 0.6)
    options = dict(lossless=True, exact=True) if exact else dict(quality=int(rng.integers(10, 100)))
    data = saved(as_pillow(stored), 'WEBP', exif=exif_of(rng, orientation), **options)
    return Made(data, '.webp', planes(decoded(data), orientation))

def bmp(rng):
    "A BMP of 1, 8, 24 or 32 bits"
    mode = pick(rng, ['1', 'L', 'P', 'RGB', 'two'])
    image = as_pillow(pixels(rng, 3 if mode == 'RGB' else 1, top=1 if mode == 'two' else None))
    if mode == '1': image = image.convert('1')
    if mode == 'P': image.putpalette(rng.bytes(768))
    if mode == 'two':
        image.putpalette([0, 0, 0, 255, 255, 255])
        mode = 'L'
    truth = np.asarray(image.convert('L' if mode in '1L' else 'RGB'))
    return Made(saved(image, 'BMP'), '.bmp', planes(truth.reshape(*truth.shape[:2], -1)))

def pnm(rng):
    "PBM, PGM or PPM, in bytes or in words"
    kind = pick(rng, ['P2', 'P3', 'P5', 'P6'])
    top = pick(rng, [255, 255, 65535])
    stored = pixels(rng, 1 if kind in ('P2', 'P5') else 3, 'uint8' if top == 255 else 'uint16')
    h, w = stored.shape[:2]
    head = f'{kind}\n# rain\n{w} {h}\n{top}\n'.encode()
    if kind in ('P5', 'P6'): body = stored.astype('u1' if top == 255 else '>u2').tobytes()
    else: body = b' '.join(str(n).encode() for n in stored.ravel().tolist()) + b'\n'
    ending = '.pgm' if stored.shape[-1] == 1 else '.ppm'
    return Made(head + body, ending, planes(stored), plain=top == 255, ends=kind in ('P5', 'P6'))

def gif(rng):
    "A GIF of one frame"
    image = as_pillow(pixels(rng, 1))
    image.putpalette(rng.bytes(768))
    options = dict(transparency=int(rng.integers(256))) if chance(rng, 0.4) else {}
    data = saved(image, 'GIF', **options)
    with Image.open(BytesIO(data)) as again:
        truth = planes(decoded(data, 'RGBA' if 'transparency' in again.info else
                               'RGB' if again.mode == 'P' else again.mode))
    return Made(data, '.gif', truth)

def frames(rng):
    "Several pictures in one file, which one is meant nobody knows"
    images_ = [as_pillow(pixels(rng, 3)) for _ in range(2)]
    kind, ending = pick(rng, [('GIF', '.gif'), ('TIFF', '.tif'), ('PNG', '.png'), ('WEBP', '.webp')])
    second = images_[1].resize(images_[0].size)
    if images_[0].tobytes() == second.tobytes(): return png(rng)
    made = Made(saved(images_[0], kind, save_all=True, append_images=[second]), ending, plain=False)
    with Image.open(BytesIO(made.data)) as again: several = getattr(again, 'n_frames', 1) > 1
    made.truth = np.zeros((0, 0, 0)) if several else None # which nothing is equal to
    return made

def modern(rng):
    "AVIF, JPEG 2000, and what else Pillow opens"
    kind, ending, options = pick(rng, [
        ('AVIF', '.avif', {}), ('JPEG2000', '.jp2', {}), ('JPEG2000', '.jp2', {'quality_layers': [20]}),
        ('TGA', '.tga', {}), ('PCX', '.pcx', {}), ('SGI', '.sgi', {}), ('DDS', '.dds', {})])
    stored = pixels(rng, pick(rng, [3, 3, 4] if kind in ('AVIF', 'JPEG2000') else [3]))
    try: data = saved(as_pillow(stored), kind, **options)
    except (OSError, KeyError, ValueError): return png(rng) # this Pillow does not write it, or not so
    return Made(data, ending, planes(decoded(data)))

# ---- TIFF

def tiff_by_pillow(rng):
    "A TIFF by Pillow: its modes, its ways to compress"
    mode = pick(rng, ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16', 'F'])
    orientation = int(rng.integers(1, 9))
    n = {'LA': 2, 'RGB': 3, 'RGBA': 4, 'CMYK': 4}.get(mode, 1)
    stored = pixels(rng, n, {'I;16': 'uint16', 'F': 'float32'}.get(mode, 'uint8'))
    image = as_pillow(stored)
    if mode == 'CMYK': image = Image.frombytes('CMYK', image.size, image.tobytes())
    if mode == '1': image = image.convert('1')
    if mode == 'P': image.putpalette(rng.bytes(768))
    ways = [None, 'tiff_lzw', 'packbits', 'tiff_deflate', 'tiff_adobe_deflate']
    data = saved(image, 'TIFF', compression=pick(rng, [*ways, 'group4'] if mode == '1' else ways),
                 tiffinfo={274: orientation} if chance(rng, 0.8) else {274: (orientation := 1)})
    if mode in ('1', 'P', 'CMYK'): stored = np.asarray(image.convert('L' if mode == '1' else 'RGB'))
    return Made(data, '.tif', planes(stored.reshape(*stored.shape[:2], -1), orientation))

def tiff(rng):
    "A TIFF by tifffile: depths, byte orders, tiles, planes, white that is zero, bands beyond colour"
    import tifffile
    photometric, n, extra = pick(rng, [
        ('minisblack', 1, None), ('miniswhite', 1, None), ('minisblack', 2, ['unassalpha']), ('rgb', 3, None),
        ('rgb', 4, ['unassalpha']), ('rgb', 5, ['unspecified'] * 2), ('rgb', 4, ['assocalpha']),
        ('rgb', 4, ['unspecified']), ('minisblack', 4, ['unspecified'] * 3)])
    dtype = pick(rng, ['uint8', 'uint16', 'uint16', 'float32', 'float16', 'float64', 'int16', 'uint32'])
    plain = dtype in ('uint8', 'uint16', 'float32') and extra in (None, ['unassalpha'])
    stored = pixels(rng, n, dtype)
    if photometric == 'miniswhite' and dtype not in ('uint8', 'uint16'): photometric = 'minisblack'
    truth = np.iinfo(dtype).max - stored if photometric == 'miniswhite' else stored
    options = dict(byteorder=pick(rng, '<>'), bigtiff=chance(rng, 0.2), compression=pick(rng, [None, 'zlib']))
    if chance(rng, 0.2): options['tile'] = 16, 16
    elif chance(rng, 0.3): options['rowsperstrip'] = int(rng.integers(1, 9))
    separate = n > 1 and chance(rng, 0.3)
    orientation, file = int(rng.integers(1, 9)), BytesIO()
    if min(stored.shape[:2]) <= 1 or 'tile' in options or separate: orientation = 1
    tags = [(274, 'H', 1, orientation, True)] + ([(271, 's', 0, 'Camera', True)] if chance(rng, 0.3) else [])
    data = stored.transpose(2, 0, 1) if separate else stored if n > 1 else stored[..., 0]
    tifffile.imwrite(file, data, photometric=photometric, extrasamples=extra, metadata=None, extratags=tags,
                     planarconfig='separate' if separate else 'contig' if n > 1 else None, **options)
    known = truth.astype(np.float32) if np.dtype(dtype).kind == 'f' else truth
    known = planes(known, orientation) if plain else None
    return Made(file.getvalue(), '.tif', known, plain=plain)

MAKERS = [png, png, png, jpeg, jpeg, tiff, tiff, tiff_by_pillow, tiff_by_pillow, webp, bmp, pnm, gif, frames,
          modern]

# ---- damage that a picture's header can have

def wrong_size(rng, made):
    "A header that says another width or height; whether the numbers for it cannot be there"
    data, key = bytearray(made.data), made.ending.lower()
    value = pick(rng, [0, 1, 2, 71, 640, 9000, 65535, 2**31 - 1, 2**32 - 1])
    place = 4 * int(rng.integers(2))
    if key == '.png' and made.data[:4] == b'\x89PNG':
        data[16 + place:20 + place] = struct.pack('>I', value)
        data[29:33] = struct.pack('>I', zlib.crc32(bytes(data[12:29])))
    elif key == '.bmp': data[18 + place:22 + place] = struct.pack('<I', value)
    elif key in ('.ppm', '.pgm'):
        lines = made.data.split(b'\n', 3)
        sizes = lines[2].split()
        sizes[place // 4] = str(value).encode()
        return b'\n'.join([*lines[:2], b' '.join(sizes), lines[3]])
    elif key == '.gif': data[6 + place // 2:8 + place // 2] = struct.pack('<H', value % 65536)
    else:
        start = max(made.data.find(b'\xff\xc0'), made.data.find(b'\xff\xc2'))
        if start < 0 or key == '.tif': return bytes(data)
        data[start + 5 + place // 2:start + 7 + place // 2] = struct.pack('>H', value % 65536)
    return bytes(data)

def damaged(rng, made):
    "The bytes of a picture as they may come from a bad disk, and what was done"
    how = pick(rng, [*DAMAGE, 'size', 'body'])
    if how == 'size': return wrong_size(rng, made), how
    if how == 'body' and made.data[:4] == b'\x89PNG': # in the pixels' own bytes
        start, n, _ = pick(rng, [piece for piece in png_chunks(made.data) if piece[2] == b'IDAT'])
        return DAMAGE['flipped'](rng, made.data[:start + 8 + n], start + 8) + made.data[start + 8 + n:], how
    return DAMAGE['flipped' if how == 'body' else how](rng, made.data), how

# ---- what must hold

def same(found, truth):
    "Are they the same numbers, in the same depth?"
    return found.dtype == truth.dtype and found.shape == truth.shape and np.array_equal(found, truth)

def check_read(made, path, how):
    "A picture's `Picture`, None if it was refused; Wrong if its numbers are wrong"
    picture, why = attempt(path.name, images.read, path)
    if how is None and made.plain: demand(picture, f'refused, though nothing is wrong with it: {why}')
    if picture is None: return None
    values, truth = picture.values, made.truth
    demand(values.ndim == 3 and values.size, f'{values.shape} is no picture')
    sure = how is None or how == 'cut' and made.ends or made.checked and how in ('flipped', 'zeroed', 'body')
    if truth is None or not sure or same(values, truth): return picture
    raise Wrong(f'{how or "not damaged"}, yet {values.dtype} {values.shape} with other numbers than the '
                f'{truth.dtype} {truth.shape} that it was made of')

def check_others(path, picture):
    "Do the other ways to read a picture agree with `read`?"
    size, why = attempt(path.name, images.picture_size, path)
    demand(size == picture.values.shape[1:], f'picture_size says {size or why} of {picture.values.shape}')
    again, why = attempt(path.name, images.read_image, path, alpha='drop')
    values = picture.values.astype(np.float32) / np.float32(picture.top)
    colour = values[:picture.n]
    if again is None: demand(values.min() < 0 or values.max() > 1, f'read, but not read_image: {why}')
    elif not np.array_equal(again.numpy(), np.broadcast_to(colour, again.shape)):
        raise Wrong('read_image has other numbers than read')

LOSSLESS = '.png', '.tif', '.tiff', '.webp', '.bmp', '.ppm', '.pnm'

def broken_disk(rng):
    "A disk that is full, or a folder that may not be written to, at the last moment"
    where = pick(rng, ['os.fsync', 'os.replace'])
    return mock.patch(where, side_effect=OSError(errno.ENOSPC, 'No space left on device'))

def check_write(rng, picture, folder):
    "A picture written: equal when read again, or refused with the folder as it was"
    path = folder/f'out{pick(rng, images.ENDINGS)}'
    before = {'in', *(path.name for path in folder.iterdir())}
    if old := chance(rng, 0.3): path.write_bytes(b'old')
    fits, _ = attempt(path.name, lambda: images.check_format(path, picture.values) or True)
    full = chance(rng, 0.1)
    with broken_disk(rng) if full else mock.MagicMock():
        done, why = attempt('', lambda: images.write(path, picture) or True)
    stray = {one.name for one in folder.iterdir()} - before - {path.name}
    demand(not stray, f'{stray} lies about after {why or "writing"}')
    if done is None:
        demand(not fits or full, f'check_format had nothing against {path.suffix}, yet: {why}')
        as_before = path.read_bytes() == b'old' if old else not path.exists()
        return demand(as_before, f'{path.name} is another now, yet: {why}')
    demand(not full, 'a full disk went unnoticed')
    again = images.read(path).values
    wanted = picture.values
    demand(again.shape[1:] == wanted.shape[1:], f'written as {again.shape}, was {wanted.shape}')
    if path.suffix == '.webp' and len(wanted) < 3: wanted = np.concatenate([wanted[:1]] * 3 + [wanted[1:]])
    if path.suffix in LOSSLESS: demand(same(again, wanted), f'{path.suffix} came back with other numbers')

def case(rng, folder):
    "One picture: made, perhaps damaged, read, written"
    made = pick(rng, MAKERS)(rng)
    data, how = damaged(rng, made) if chance(rng, 0.6) else (made.data, None)
    if data == made.data: how = None
    ending = pick(rng, ['.png', '.jpg', '.tif', '.bmp']) if chance(rng, 0.1) else made.ending
    path = folder/f'in{ending}'
    path.write_bytes(data)
    picture = check_read(made, path, how)
    if picture is None: return 'refused'
    check_others(path, picture)
    demand(path.read_bytes() == data, 'reading changed the file')
    check_write(rng, picture, folder)
    return 'right'

