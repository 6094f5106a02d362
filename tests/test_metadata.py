"What a picture says of itself: into a file, through `read` and `write`, and looked at by other readers."

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from irsde.images import has_alpha, is_grey, left_out, lost, picture_paths, read, read_image, write

from .test_images import RGB, png

RNG = np.random.default_rng(0)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # not sRGB by its name
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>cat</rdf:RDF></x:xmpmeta>'
GEO = {  # code -> tifffile's (type, count, value)
    33550: (12, 3, (2.0, 4.0, 0.0)),
    33922: (12, 6, (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0)),
    34735: (3, 8, (1, 1, 0, 1, 1025, 0, 1, 1)),
    34737: (2, 0, "WGS 84|"),
    42113: (2, 0, "-9999"),
}


def shallow(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def camera(turn=1):
    exif = Image.Exif()
    exif[271], exif[306], exif[274] = "TestCam", "2024:01:02 03:04:05", turn
    exif.get_ifd(34665)[36867] = "2024:01:02 03:04:05"
    exif.get_ifd(34665)[40962], exif.get_ifd(34665)[40963] = 9, 8
    exif.get_ifd(34853)[1] = "N"
    return exif


def with_preview():
    "EXIF with a second directory that holds a JPEG, and a maker's note with another"
    buffer = BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "jpeg")
    small = buffer.getvalue()
    note = b"maker" + small + b"tail"
    first = struct.pack("<HHHII", 2, 271, 2, 8, 38) + struct.pack("<HHII", 34665, 4, 1, 46) + bytes(4)
    inner = struct.pack("<HHHII", 1, 37500, 7, len(note), 64) + bytes(4)
    block = b"II*\0" + struct.pack("<I", 8) + first + b"TestCam\0" + inner + note
    block += bytes(len(block) % 2)
    second = struct.pack("<HHHII", 2, 513, 4, 1, len(block) + 30) + struct.pack(
        "<HHII", 514, 4, 1, len(small)
    )
    block = bytearray(block + second + bytes(4) + small)
    struct.pack_into("<I", block, 8 + 2 + 24, len(block) - 30 - len(small))
    return b"Exif\0\0" + bytes(block)


def chunks(path):
    data, at, found = path.read_bytes(), 8, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        found[kind.decode()] = body
        at += size + 12
    return found


def enlarged(picture, factor=4):
    return picture.like(torch.nn.functional.interpolate(picture.colour[None], scale_factor=factor)[0])


# ---- PNG


@pytest.mark.parametrize("depth", [8, 16])
def test_chunks_of_a_png_stay(tmp_path, depth):
    said = {
        "gAMA": struct.pack(">I", 100000),
        "cHRM": struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600),
        "cICP": bytes([12, 13, 0, 1]),
        "mDCV": bytes(24),
        "cLLI": bytes(8),
        "pHYs": struct.pack(">IIB", 11811, 11811, 1),
        "tEXt": b"Title\0a cat",
        "iTXt": b"Author\0\0\0\0\0" + "Käthe".encode(),
        "eXIf": camera().tobytes()[6:],
    }
    path = png(tmp_path / "a.png", shallow(8, 9, 3), RGB, depth, **said)
    picture = read(path)
    assert picture.notes == ()
    write(tmp_path / "b.png", picture.like(picture.colour))
    again = chunks(tmp_path / "b.png")
    exif = Image.Exif()
    exif.load(again.pop("eXIf"))
    assert exif[271] == "TestCam" and exif.get_ifd(34665)[40962] == 9
    assert {name: again[name] for name in said if name != "eXIf"} == {
        name: said[name] for name in said if name != "eXIf"
    }
    assert np.array_equal(read(tmp_path / "b.png").values, picture.values)
    (text,) = lost(picture, tmp_path / "b.jpg")
    assert "gAMA, cHRM, cICP" in text and "Title, Author" in text


def test_ordinary_chunks_make_no_noise(tmp_path):
    said = {
        "sRGB": b"\0",
        "gAMA": struct.pack(">I", 45455),
        "pHYs": struct.pack(">IIB", 2835, 2835, 1),
        "tEXt": b"Software\0gnome-screenshot",
        "tIME": bytes(7),
        "iDOT": bytes(28),
        "bKGD": bytes(6),
    }
    picture = read(png(tmp_path / "a.png", shallow(8, 9, 3), RGB, **said))
    assert picture.notes == () and lost(picture, "a.jpg") == [] and lost(picture, "a.webp") == []


def test_chunks_that_describe_other_pixels_are_named(tmp_path):
    path = png(tmp_path / "a.png", shallow(8, 9, 3), RGB, caBX=b"proof", paLS=b"safe", paLs=b"kept")
    picture = read(path)
    assert picture.notes == ("its proof of origin (C2PA) is left out", "its paLS is left out")
    write(tmp_path / "b.png", picture)
    assert chunks(tmp_path / "b.png")["paLs"] == b"kept"


def test_a_broken_chunk_does_not_cost_the_picture(tmp_path):
    pixels = shallow(8, 9, 3)
    said = {"iCCP": b"x\0\0broken", "eXIf": b"none", "zTXt": b"T\0\0" + zlib.compress(bytes(2**21))}
    picture = read(png(tmp_path / "a.png", pixels, RGB, **said))
    assert np.array_equal(picture.values, pixels.transpose(2, 0, 1))
    assert "iCCP" in " ".join(picture.notes) and "EXIF" in " ".join(picture.notes)


def test_raw_profiles_of_a_png_are_read_as_what_they_are(tmp_path):
    data = camera(6).tobytes()
    text = b"Raw profile type exif\0\nexif\n %8d\n" % len(data) + data.hex().encode() + b"\n"
    picture = read(png(tmp_path / "a.png", shallow(8, 9, 3), RGB, tEXt=text))
    assert picture.values.shape == (3, 9, 8)  # turned, as Pillow does
    write(tmp_path / "b.png", picture)
    assert "tEXt" not in chunks(tmp_path / "b.png")
    exif = Image.open(tmp_path / "b.png").getexif()
    assert exif[271] == "TestCam" and exif[274] == 1


# ---- EXIF


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
def test_the_preview_is_gone_and_the_rest_stays(tmp_path, ending):
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg", exif=with_preview())
    assert (tmp_path / "a.jpg").read_bytes().count(b"\xff\xd8\xff") == 3
    picture = read(tmp_path / "a.jpg")
    assert picture.notes == ()
    write(tmp_path / f"b{ending}", picture)
    image = Image.open(tmp_path / f"b{ending}")
    exif = image.getexif()
    assert exif[271] == "TestCam"
    if ending != ".tif":
        assert image.info["exif"].removeprefix(b"Exif\0\0")[34:38] == bytes(4)  # no second directory
    assert exif.get_ifd(34665)[37500].startswith(b"maker\0")
    assert (tmp_path / f"b{ending}").read_bytes().count(b"\xff\xd8\xff") == (ending == ".jpg")


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_camera_date_and_place_go_everywhere_with_the_new_size(tmp_path, source, ending, turn):
    if ending == ".avif" and not __import__("PIL.features").features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.fromarray(shallow(8, 9, 3)).save(tmp_path / "a.jpg", exif=camera(turn))
    if source == ".tif":  # Pillow's own drops the directories
        write(tmp_path / "a.tif", read(tmp_path / "a.jpg"))
    else:
        Image.open(tmp_path / "a.jpg").save(tmp_path / f"a{source}", exif=camera(turn))
    picture = read(tmp_path / f"a{source}")
    large = enlarged(picture)
    write(tmp_path / f"b{ending}", large)
    image = Image.open(tmp_path / f"b{ending}")
    exif = image.getexif()
    inner = exif.get_ifd(34665)
    assert (exif[271], exif[306], exif.get(274, 1)) == ("TestCam", "2024:01:02 03:04:05", 1)
    assert (inner[40962], inner[40963]) == image.size == large.values.shape[:0:-1]
    assert inner[36867] == "2024:01:02 03:04:05" and exif.get_ifd(34853)[1] == "N"
    assert picture.notes == () and not lost(picture, f"b{ending}")


def test_exif_that_is_too_long_for_a_jpeg_is_named(tmp_path):
    exif = camera()
    exif.get_ifd(34665)[37510] = b"x" * 70000
    Image.new("RGB", (9, 8)).save(tmp_path / "a.png", exif=exif)
    picture = read(tmp_path / "a.png")
    assert "EXIF" in lost(picture, "b.jpg")[0] and not lost(picture, "b.png")
    write(tmp_path / "b.jpg", picture)
    assert not Image.open(tmp_path / "b.jpg").getexif()


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"])
@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_broken_exif_is_left_out_with_a_note(tmp_path, broken, ending):
    Image.new("RGB", (9, 8)).save(tmp_path / f"a{ending}", exif=broken)
    picture = read(tmp_path / f"a{ending}")
    assert picture.values.shape == (3, 8, 9)
    write(tmp_path / "b.jpg", picture)
    if broken != b"Exif\0\0":
        assert "EXIF cannot be understood" in " ".join(picture.notes)


# ---- profiles, XMP, captions, comments, resolution

HOLDS = {
    ".png": {"icc_profile", "xmp", "dpi"},
    ".jpg": {"icc_profile", "xmp", "dpi", "comment", "photoshop"},
    ".tif": {"icc_profile", "xmp", "dpi", "photoshop"},
    ".webp": {"icc_profile", "xmp"},
    ".bmp": {"dpi"},
    ".ppm": set(),
}


@pytest.mark.parametrize("ending", HOLDS)
def test_what_a_jpeg_says_is_carried_over_or_named(tmp_path, ending):
    iptc = b"8BIM\x04\x04\0\0" + struct.pack(">I", 10) + b"\x1c\x02\x78\0\x05a cat"
    thumb = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"\xff\xd8\xff\0"
    part = b"Photoshop 3.0\0" + thumb + iptc
    extra = b"\xff\xed" + struct.pack(">H", len(part) + 2) + part
    more = {"icc_profile": PROFILE, "xmp": XMP, "comment": b"by hand", "dpi": (300, 300), "extra": extra}
    Image.fromarray(shallow(8, 9, 3)).save(tmp_path / "a.jpg", **more)
    picture = read(tmp_path / "a.jpg")
    assert picture.lossy and picture.notes == ()
    write(tmp_path / f"b{ending}", picture)
    data = (tmp_path / f"b{ending}").read_bytes()
    image = Image.open(tmp_path / f"b{ending}")
    holds = HOLDS[ending]
    assert (image.info.get("icc_profile") == PROFILE) == ("icc_profile" in holds)
    assert (XMP in data) == ("xmp" in holds)
    assert (iptc in data) == ("photoshop" in holds)
    assert (b"by hand" in data) == (ending in (".jpg", ".png")) and thumb not in data
    if "dpi" in holds:
        assert [round(float(n)) for n in image.info["dpi"]] == [300, 300]
    said = " ".join(lost(picture, f"b{ending}"))
    words = {"icc_profile": "profile", "xmp": "XMP", "dpi": "resolution", "photoshop": "IPTC"}
    assert [word in said for word in words.values()] == [name not in holds for name in words]


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_a_profile_that_is_dropped_is_named(tmp_path, mode):
    Image.new(mode, (9, 8)).save(tmp_path / "a.tif", icc_profile=b"of other colours" * 20)
    assert f"{mode} becomes RGB" in " ".join(read(tmp_path / "a.tif").notes)


def test_a_profile_of_colour_is_not_that_of_a_grey_result(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(shallow(8, 9, 3)).save(tmp_path / "a.png", icc_profile=profile)
    picture = read(tmp_path / "a.png")
    grey = picture.like(picture.colour.mean(0, keepdim=True))
    assert "result is grey" in " ".join(lost(grey, "b.png"))
    write(tmp_path / "b.png", grey)
    assert "iCCP" not in chunks(tmp_path / "b.png")


# ---- TIFF


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_of_a_tiff_stay(tmp_path, dtype, order):
    pixels = (RNG.random((8, 9, 3)) * (1 if dtype == np.float32 else 200)).astype(dtype)
    tags = [(code, *tag, True) for code, tag in GEO.items()]
    tags += [(271, 2, 0, "TestCam", True), (33432, 2, 0, "(c) me", True), (65001, 2, 0, "a text", True)]
    tags += [(65002, 3, 2, (7, 8), True)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", byteorder=order, extratags=tags, resolution=(300, 200))
    picture = read(path)
    assert len(picture.notes) == 1 and "65002" in picture.notes[0] and "left out" in picture.notes[0]
    for factor in (1, 4):
        write(tmp_path / "b.tif", enlarged(picture, factor))
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            page = file.pages[0]
            again = {code: page.tags[code].value for code in (*GEO, 271, 33432, 65001)}
            assert page.tags[282].value == (300, 1) and page.tags[283].value == (200, 1)
            assert page.shape == (8 * factor, 9 * factor, 3)
        assert again.pop(33550) == (2.0 / factor, 4.0 / factor, 0.0)
        assert (again.pop(271), again.pop(33432), again.pop(65001)) == ("TestCam", "(c) me", "a text")
        assert again == {code: GEO[code][2] for code in again}
        if dtype != np.float32:
            assert Image.open(tmp_path / "b.tif").size == (9 * factor, 8 * factor)
    for ending in (".png", ".jpg"):
        assert "GeoTIFF" in lost(picture, f"b{ending}")[0]
    if dtype == np.uint8:
        write(tmp_path / "b.jpg", picture)
        assert Image.open(tmp_path / "b.jpg").getexif()[271] == "TestCam"


def test_the_middle_of_a_pixel_stays_where_it_is(tmp_path):
    "Where places are those of middles (PixelIsPoint), the first small pixel's lies above and left of them"
    geo = {**GEO, 34735: (3, 8, (1, 1, 0, 1, 1025, 0, 1, 2))}
    tags = [(code, *tag, True) for code, tag in geo.items()]
    tifffile.imwrite(tmp_path / "a.tif", shallow(8, 9, 3), photometric="rgb", extratags=tags)
    write(tmp_path / "b.tif", enlarged(read(tmp_path / "a.tif")))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        scale, tie = (file.pages[0].tags[code].value for code in (33550, 33922))
    # old middle (0, 0) is at 1.5, 1.5 of the new ones: both say 500000, 4000000
    assert tie[:2] == (1.5, 1.5) and tie[3:5] == (500000, 4000000) and scale[:2] == (0.5, 1.0)


def test_directories_of_a_tiff_stay(tmp_path):
    Image.fromarray(shallow(8, 9, 3)).save(tmp_path / "a.jpg", exif=camera())
    write(tmp_path / "a.tif", read(tmp_path / "a.jpg"))
    picture = read(tmp_path / "a.tif")
    deep = type(picture)(picture.values.astype(np.uint16) * 257, picture.info)
    for name, one in (("b.tif", picture), ("c.tif", deep)):
        write(tmp_path / name, one)
        with tifffile.TiffFile(tmp_path / name) as file:
            tags = file.pages[0].tags
            assert tags[34665].value["DateTimeOriginal"] == "2024:01:02 03:04:05"
            assert tags[34853].value["GPSLatitudeRef"] == "N"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kinds", [(0,), (0, 0, 0), (2, 0), (0, 2), (0, 0, 0, 0, 0)])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_further_bands_are_carried_over(tmp_path, dtype, kinds, planes):
    every = RNG.integers(0, np.iinfo(dtype).max, (8, 9, 3 + len(kinds))).astype(dtype)
    stored = every if planes == "contig" else every.transpose(2, 0, 1)
    names = [{0: "unspecified", 2: "unassalpha"}[kind] for kind in kinds]
    more = {"photometric": "rgb", "extrasamples": names, "planarconfig": planes}
    tifffile.imwrite(tmp_path / "a.tif", stored, **more)
    picture = read(tmp_path / "a.tif")
    alpha = [3 + k for k, kind in enumerate(kinds) if kind == 2]
    bands = [3 + k for k, kind in enumerate(kinds) if kind == 0]
    assert np.array_equal(picture.values, every[..., [0, 1, 2, *alpha]].transpose(2, 0, 1))
    assert picture.bands is not None
    assert np.array_equal(picture.bands, every[..., bands].transpose(2, 0, 1))
    assert len(picture.notes) == 1 and "carried over" in picture.notes[0]
    assert has_alpha(tmp_path / "a.tif") == bool(alpha)
    assert lost(picture, "b.tif") == [] and "bands" in " ".join(lost(picture, "b.png"))
    made = picture.like(1 - picture.colour)
    write(tmp_path / "b.tif", made)
    again = read(tmp_path / "b.tif")
    assert np.array_equal(again.values, made.values) and again.bands is not None
    assert np.array_equal(again.bands, picture.bands)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].samplesperpixel == every.shape[2] and file.pages[0].photometric == 2
    large = enlarged(picture)
    assert large.bands is not None and large.bands.shape == (len(bands), 32, 36)
    assert read_image(tmp_path / "a.tif", alpha="drop").shape == (3, 8, 9)


@pytest.mark.parametrize("bands", [3, 5])
def test_grey_bands_without_colours_are_refused_with_the_way_out(tmp_path, bands):
    more = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 9, (8, 9, bands)).astype(np.uint16), **more)
    with pytest.raises(OSError, match="a.tif.*red, green and blue.*save it as RGB"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("packed", [None, "zlib", "lzw"])
def test_white_is_zero_is_read_as_what_it_shows(tmp_path, dtype, packed):
    grey = RNG.random((16, 16)) > 0.5 if dtype is bool else (RNG.random((16, 16)) * 200).astype(dtype)
    if dtype == np.float32:
        grey = grey / 256
    if packed == "lzw":
        if dtype in (bool, np.float32):
            pytest.skip("Pillow writes no such file")
        Image.fromarray(grey).save(tmp_path / "a.tif", compression="tiff_lzw")
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            file.pages[0].tags[262].overwrite(0)
    else:
        tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite", compression=packed)
    top = {np.uint16: 65535, np.float32: 1}.get(dtype, 255)
    want = top - (grey.astype(np.uint8) * 255 if dtype is bool else grey)
    assert np.array_equal(read(tmp_path / "a.tif").values[0], want)
    assert np.allclose(read_image(tmp_path / "a.tif", 1)[0].numpy() * top, want, atol=1e-2)
    if dtype is not bool and packed != "zlib":
        from irsde.images import as_pictures

        (picture,), _ = as_pictures(Image.open(tmp_path / "a.tif"))
        assert np.array_equal(picture.values[0], want)


def test_numbers_that_will_be_clipped_are_told(tmp_path):
    pixels = RNG.random((8, 9, 3)).astype(np.float32)
    for top, told in ((1.05, False), (3.0, True)):
        pixels[0, 0] = top
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        notes = " ".join(read(tmp_path / "a.tif").notes)
        assert ("to 3" in notes and "clipped" in notes) == told


def test_reduced_copies_in_a_tiff_are_no_pictures(tmp_path):
    pixels = shallow(32, 32, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, photometric="rgb")
        file.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
    picture = read(tmp_path / "a.tif")
    assert np.array_equal(picture.values, pixels.transpose(2, 0, 1))
    assert "smaller copies" in " ".join(picture.notes)


# ---- other formats


@pytest.mark.parametrize(
    "ending, exact",
    [(".jpe", False), (".jfif", False), (".avif", False), (".ppm", True), (".pnm", True), (".jp2", True)],
)
def test_further_endings_are_written_and_read(tmp_path, ending, exact):
    from irsde.images import ENDINGS

    if ending not in ENDINGS:
        pytest.skip(f"this Pillow has no {ending}")
    values = np.tile(np.arange(32, dtype=np.uint8) * 7, (3, 32, 1))
    write(tmp_path / f"a{ending}", values)
    assert picture_paths(tmp_path) == [tmp_path / f"a{ending}"]
    picture = read(tmp_path / f"a{ending}")
    assert picture.lossy == (not exact)
    assert np.abs(picture.values.astype(int) - values).max() <= (0 if exact else 12)
    if exact:
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"a{ending}")), values.transpose(1, 2, 0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("top", [255, 1023, 65535])
def test_netpbm_in_all_its_bits(tmp_path, channels, top):
    numbers = RNG.integers(0, top + 1, (8, 9, channels))
    kind = "u1" if top < 256 else ">u2"
    head = f"P{5 if channels == 1 else 6}\n# a comment\n9 8\n{top}\n".encode()
    (tmp_path / "a.pnm").write_bytes(head + numbers.astype(kind).tobytes())
    picture = read(tmp_path / "a.pnm")
    assert picture.top == (255 if top == 255 else 65535)
    want = numbers.transpose(2, 0, 1) * (picture.top / top)
    assert np.abs(picture.values - want).max() <= 0.5
    write(tmp_path / "b.pnm", picture)
    assert np.array_equal(read(tmp_path / "b.pnm").values, picture.values)


def test_a_gif_is_read_and_not_written(tmp_path):
    frames = [Image.fromarray(shallow(8, 9)) for _ in range(2)]
    frames[0].save(tmp_path / "one.gif")
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert len(read(tmp_path / "one.gif").values) in (1, 3)
    with pytest.raises(OSError, match="two.gif.*2 pictures"):
        read(tmp_path / "two.gif")
    with pytest.raises(ValueError, match="read and not written"):
        write(tmp_path / "b.gif", shallow(3, 8, 9))


@pytest.mark.parametrize(
    "ending, values, word",
    [
        (".jpe", np.zeros((4, 8, 9), np.uint8), "transparency"),
        (".ppm", np.zeros((2, 8, 9), np.uint8), "transparency"),
        (".pgm", np.zeros((3, 8, 9), np.uint8), "grey"),
        (".avif", np.zeros((3, 8, 9), np.uint16), "uint16"),
        (".jp2", np.zeros((3, 8, 9), np.uint16), "uint16"),
        (".ppm", np.zeros((3, 8, 9), np.float32), "float32"),
        (".heic", np.zeros((3, 8, 9), np.uint8), "not written"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, ending, values, word):
    with pytest.raises(ValueError, match=word):
        write(tmp_path / f"a{ending}", values)
    assert not list(tmp_path.iterdir())


def test_heic_is_read(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    pixels = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    try:
        Image.fromarray(pixels).save(tmp_path / "a.heic", quality=95, exif=camera(6), icc_profile=PROFILE)
    except Exception as e:
        pytest.skip(f"pillow-heif writes no HEIC here: {e}")
    picture = read(tmp_path / "a.heic")
    assert picture.lossy and picture.values.shape == (3, 64, 64) and picture.notes == ()
    write(tmp_path / "b.jpg", picture)
    image = Image.open(tmp_path / "b.jpg")
    assert image.getexif()[271] == "TestCam" and image.getexif().get(274, 1) == 1
    assert image.info["icc_profile"] == PROFILE


def test_heic_without_its_reader_names_the_extra(tmp_path, monkeypatch):
    from irsde import formats

    monkeypatch.setattr(formats, "know_heic", lambda: None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "AVIF")])
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(OSError, match=r"irsde\[heic\]"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize("quality", [30, 95])
def test_quality_is_that_of_jpeg(tmp_path, quality):
    values = shallow(3, 64, 64)
    write(tmp_path / "a.jpg", values, quality=quality)
    buffer = BytesIO()
    Image.fromarray(values.transpose(1, 2, 0)).save(buffer, "jpeg", quality=quality, subsampling=0)
    assert (tmp_path / "a.jpg").read_bytes() == buffer.getvalue()
    with pytest.raises(ValueError, match="quality"):
        write(tmp_path / "a.jpg", values, quality=101)


def test_webp_says_whether_it_was_packed_with_loss(tmp_path):
    for name, more in (("a", {"lossless": True}), ("b", {"quality": 80})):
        Image.fromarray(shallow(8, 9, 4)).save(tmp_path / f"{name}.webp", exif=camera(), **more)
        assert read(tmp_path / f"{name}.webp").lossy == (name == "b")


def test_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    Image.new("L", (300, 200)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((200, 300), np.uint16))
    for name in ("a.png", "b.tif"):
        for reader in (read, read_image):
            with pytest.raises(OSError, match=f"{name}.*300x200.*max_pixels=60000"):
                reader(tmp_path / name, max_pixels=59999)
            reader(tmp_path / name, max_pixels=60000)
    Image.new("1", (10000, 10000)).save(tmp_path / "large.png")  # Pillow warns of this one
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "large.png", max_pixels=10**9).values.shape == (1, 10000, 10000)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_folders(tmp_path):
    for name in ("a.png", "b.txt", "c.txt", "d.mp4", ".e.png", "sub/f.jfif", "sub/deep/g.tif", ".git/h.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in picture_paths(tmp_path)] == ["a.png"]
    assert [path.name for path in picture_paths(tmp_path, recursive=True)] == ["a.png", "f.jfif", "g.tif"]
    assert left_out(tmp_path) == "3 files (.mp4, .txt), 1 hidden picture and 1 subfolder (recursive=True)"
    assert left_out(tmp_path, recursive=True) == "3 files (.mp4, .txt) and 1 hidden picture"
    assert left_out([tmp_path / "a.png"]) == left_out(tmp_path / "sub/deep") == ""
    (tmp_path / "sub/circle").symlink_to(tmp_path, target_is_directory=True)
    assert len(picture_paths(tmp_path, recursive=True)) == 3
    assert "1 linked subfolder" in left_out(tmp_path, recursive=True)


def test_grey_is_one_channel_or_three_equal_ones():
    grey = np.repeat(shallow(1, 40, 50), 3, 0)
    assert is_grey(grey) and is_grey(torch.from_numpy(grey)) and is_grey(grey[:1])
    grey[2, 39, 49] ^= 1
    assert not is_grey(grey) and not is_grey(torch.from_numpy(grey))


@pytest.mark.parametrize("bits", [10, 12])
def test_bits_that_are_lost_are_told(tmp_path, bits):
    "AVIF's box of settings, made to say more bits: the pixels are not looked at"
    from irsde.formats import shallower

    class Opened:
        format, mode = "AVIF", "RGB"

    flags = {10: 0x40, 12: 0x60}[bits]
    assert shallower(Opened(), b"....av1C\x81\x00" + bytes([flags])) == (f"its {bits} bits are read as 8",)
    assert shallower(Opened(), b"....av1C\x81\x00\x00") == ()


@pytest.mark.parametrize("small", [False, True])
def test_a_second_picture_is_told_and_a_preview_is_not(tmp_path, small):
    first = Image.fromarray(shallow(8, 9, 3))
    second = first.resize((3, 3)) if small else first
    first.save(tmp_path / "a.jpg", "mpo", save_all=True, append_images=[second])
    assert read(tmp_path / "a.jpg").notes == (() if small else ("only the first of its pictures is read",))


def test_a_fourth_band_packed_by_lzw_is_carried_over(tmp_path):
    every = shallow(8, 9, 4)
    Image.fromarray(every).save(tmp_path / "a.tif", compression="tiff_lzw")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags[338].overwrite(0)
    picture = read(tmp_path / "a.tif")
    assert np.array_equal(picture.values, every[..., :3].transpose(2, 0, 1))
    assert picture.bands is not None and np.array_equal(picture.bands[0], every[..., 3])
    assert not has_alpha(tmp_path / "a.tif")


@pytest.mark.parametrize("space, kept", [(b"RGB ", True), (b"CMYK", False)])
def test_a_profile_for_inks_does_not_go_with_their_rgb(tmp_path, space, kept):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space
    Image.new("CMYK", (16, 12), (10, 20, 30, 40)).save(tmp_path / "a.jpg", icc_profile=bytes(profile))
    picture = read(tmp_path / "a.jpg")
    assert ("icc_profile" in picture.info) == kept
    assert picture.notes == (() if kept else ("its colour profile is left out, for CMYK becomes RGB",))


def packbits(data):
    "PackBits of bytes: runs of up to 128 as they are"
    return b"".join(bytes([len(data[k : k + 128]) - 1]) + data[k : k + 128] for k in range(0, len(data), 128))


def planar_tiff(path, pixels, photometric, extra=()):
    "A TIFF (h, w, c) with a plane a channel, packed by PackBits, which no library here writes"
    h, w, n = pixels.shape
    planes = [packbits(pixels[..., k].astype(pixels.dtype.newbyteorder("<")).tobytes()) for k in range(n)]
    tags = {256: [w], 257: [h], 258: [8 * pixels.itemsize] * n, 259: [32773], 262: [photometric], 277: [n],
            278: [h], 284: [2], **({338: [*extra]} if extra else {})}
    starts, body = [], b""
    for plane in planes:
        starts.append(8 + len(body))
        body += plane + b"\0" * (len(plane) % 2)
    lists, tables = b"", []
    at = 8 + len(body)
    for tag, values in sorted({**tags, 273: starts, 279: [*map(len, planes)]}.items()):
        data = np.array(values, "<u4").tobytes()
        if len(values) > 1:
            tables.append(struct.pack("<HHII", tag, 4, len(values), at + len(lists)))
            lists += data
        else:
            tables.append(struct.pack("<HHI", tag, 4, 1) + data)
    table = struct.pack("<H", len(tables)) + b"".join(tables) + b"\0" * 4
    path.write_bytes(b"II*\0" + struct.pack("<I", at + len(lists)) + body + lists + table)


@pytest.mark.parametrize(("shape", "dtype", "photometric", "extra"),
                         [((4, 6, 3), np.uint16, 2, ()), ((4, 6, 2), np.uint8, 1, (2,))])
def test_packed_planes_that_would_be_read_wrongly_are_refused(tmp_path, shape, dtype, photometric, extra):
    pixels = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    planar_tiff(tmp_path / "a.tif", pixels, photometric, extra)
    with pytest.raises(OSError, match="PACKBITS: save it without"):
        read(tmp_path / "a.tif")


def test_packed_planes_of_colour_are_read(tmp_path):
    pixels = RNG.integers(0, 255, (4, 6, 3)).astype(np.uint8)
    planar_tiff(tmp_path / "a.tif", pixels, 2)
    assert np.array_equal(read(tmp_path / "a.tif").values, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("packed", ["packbits", "tiff_lzw"])
def test_white_is_zero_with_a_smaller_copy_is_no_negative(tmp_path, packed):
    grey = RNG.integers(0, 200, (16, 16)).astype(np.uint8)
    pages = [Image.fromarray(grey), Image.fromarray(grey[::2, ::2])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression=packed,
                  tiffinfo={254: 1})
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        for page in file.pages:
            page.tags[262].overwrite(0)
    picture = read(tmp_path / "a.tif")
    assert np.array_equal(picture.values[0], 255 - grey) and "overviews" in " ".join(picture.notes)
