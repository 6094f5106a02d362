"Pictures of every kind in and out, from files that a writer of a dozen lines makes here, without our code."

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from irsde.data import PairedImages
from irsde.images import (
    as_pictures,
    check_format,
    has_alpha,
    picture_paths,
    picture_size,
    read,
    read_image,
    replacing,
    write,
    write_image,
)

from .conftest import picture

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types of PNG


def png(path, pixels, colour, depth=8, **chunks):
    "Write (h, w, c) as PNG, with further chunks before the pixels"

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = (
        np.packbits(pixels[..., 0], axis=1)
        if depth == 1
        else pixels.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    )
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *(chunk(kind.encode(), data) for kind, data in chunks.items()),
        chunk(b"IDAT", zlib.compress(raw)),
        chunk(b"IEND", b""),
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def deep(rng, *shape):
    return rng.integers(0, 65536, shape, dtype=np.uint16)


def shallow(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def exif(orientation):
    info = Image.Exif()
    info[274] = orientation
    return info.tobytes()


def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def odd_files(folder, rng):
    "name -> (path, (c, h, w) numbers that it shows)"
    files = {}

    def add(name, path, shown):
        files[name] = path, np.ascontiguousarray(np.moveaxis(shown, -1, 0))

    for depth, make in ((8, shallow), (16, deep)):
        for kind, colour, c in (
            ("grey", GREY, 1),
            ("rgb", RGB, 3),
            ("grey+alpha", GREY_ALPHA, 2),
            ("rgb+alpha", RGB_ALPHA, 4),
        ):
            pixels = make(rng, 6, 7, c)
            add(f"png {depth} {kind}", png(folder / f"{depth}-{kind}.png", pixels, colour, depth), pixels)
        top, pixels = 2**depth - 1, make(rng, 6, 7, 3)
        clear = pixels[2, 3]
        shown = np.concatenate(
            [pixels, np.where((pixels == clear).all(-1, keepdims=True), 0, top)], -1
        ).astype(pixels.dtype)
        add(
            f"png {depth} rgb tRNS",
            png(folder / f"{depth}-rgb-trns.png", pixels, RGB, depth, tRNS=struct.pack(">3H", *clear)),
            shown,
        )
        grey = make(rng, 6, 7, 1)
        shown = np.concatenate([grey, np.where(grey == grey[1, 1], 0, top)], -1).astype(grey.dtype)
        add(
            f"png {depth} grey tRNS",
            png(folder / f"{depth}-grey-trns.png", grey, GREY, depth, tRNS=struct.pack(">H", grey[1, 1, 0])),
            shown,
        )
    colours, index = shallow(rng, 5, 3), rng.integers(0, 5, (6, 7, 1), dtype=np.uint8)
    add(
        "palette", png(folder / "palette.png", index, PALETTE, PLTE=colours.tobytes()), colours[index[..., 0]]
    )
    cover = shallow(rng, 5)
    add(
        "palette tRNS",
        png(folder / "palette-trns.png", index, PALETTE, PLTE=colours.tobytes(), tRNS=cover.tobytes()),
        np.concatenate([colours[index[..., 0]], cover[index]], -1),
    )
    bits = rng.integers(0, 2, (6, 8, 1), dtype=np.uint8)
    add("1 bit", png(folder / "bits.png", bits, GREY, 1), bits * 255)
    pixels = shallow(rng, 6, 7, 3)
    turned = Image.fromarray(pixels)
    turned.save(folder / "turned.png", exif=exif(6))
    add("png turned", folder / "turned.png", np.rot90(pixels, -1))
    wide = deep(rng, 6, 7, 3)
    add("png 16 turned", png(folder / "deep-turned.png", wide, RGB, 16, eXIf=exif(8)[6:]), np.rot90(wide))
    for name, pixels, more in (
        ("tif 8 rgb", shallow(rng, 6, 7, 3), {}),
        ("tif 16 grey", deep(rng, 6, 7, 1), {}),
        ("tif 16 rgb", deep(rng, 6, 7, 3), {}),
        ("tif 16 rgb+alpha", deep(rng, 6, 7, 4), {"extrasamples": ["unassalpha"]}),
        ("tif float grey", rng.random((6, 7, 1), dtype=np.float32), {}),
        ("tif float rgb", rng.random((6, 7, 3), dtype=np.float32), {}),
        ("tif 16 planar", deep(rng, 6, 7, 3), {"planarconfig": "separate"}),
    ):
        path = folder / f"{name.replace(' ', '-')}.tif"
        stored = (
            np.moveaxis(pixels, -1, 0)
            if more.get("planarconfig")
            else pixels.squeeze(-1)
            if pixels.shape[-1] == 1
            else pixels
        )
        tifffile.imwrite(path, stored, photometric="minisblack" if pixels.shape[-1] == 1 else "rgb", **more)
        add(name, path, pixels)
    pixels = shallow(rng, 6, 7, 4)
    Image.fromarray(pixels).save(folder / "lossless.webp", lossless=True, exact=True)
    add("webp rgb+alpha", folder / "lossless.webp", pixels)
    Image.fromarray(pixels[..., :3]).save(folder / "picture.bmp")
    add("bmp", folder / "picture.bmp", pixels[..., :3])
    return files


NAMES = [
    *(
        f"png {d} {k}"
        for d in (8, 16)
        for k in ("grey", "rgb", "grey+alpha", "rgb+alpha", "rgb tRNS", "grey tRNS")
    ),
    "palette",
    "palette tRNS",
    "1 bit",
    "png turned",
    "png 16 turned",
    "tif 8 rgb",
    "tif 16 grey",
    "tif 16 rgb",
    "tif 16 rgb+alpha",
    "tif float grey",
    "tif float rgb",
    "tif 16 planar",
    "webp rgb+alpha",
    "bmp",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return odd_files(tmp_path_factory.mktemp("odd"), np.random.default_rng(0))


def test_all_kinds_are_tried(files):
    assert sorted(files) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_read_gives_what_the_file_shows(files, name):
    path, shown = files[name]
    values = read(path).values
    if name in ("palette", "1 bit") or values.shape[0] != shown.shape[0]:  # a grey palette may come as grey
        shown = np.broadcast_to(shown, values.shape)
    assert values.dtype == shown.dtype and values.shape == shown.shape
    assert np.array_equal(values, shown)


@pytest.mark.parametrize("name", NAMES)
def test_training_and_evaluating_read_the_same_numbers(files, name):
    path, shown = files[name]
    top = {"uint8": 255, "uint16": 65535}.get(shown.dtype.name, 1)
    colour = shown[: len(shown) - (len(shown) in (2, 4))]
    wanted = torch.from_numpy(colour.astype(np.float32) / top).expand(3, -1, -1)
    torch.testing.assert_close(read_image(path, alpha="drop"), wanted, rtol=0, atol=1e-7)
    picture = read(path)
    torch.testing.assert_close(picture.colour.expand(3, -1, -1), wanted, rtol=0, atol=1e-7)
    torch.testing.assert_close(PairedImages([path], [path], alpha="drop")[0][0], wanted, rtol=0, atol=1e-7)
    if len(shown) in (2, 4):
        with pytest.raises(ValueError, match="alpha"):
            read_image(path)
        kept = read_image(path, alpha="keep")
        torch.testing.assert_close(
            kept[3], torch.from_numpy(shown[-1].astype(np.float32) / top), rtol=0, atol=1e-7
        )


@pytest.mark.parametrize("name", NAMES)
def test_written_and_read_again(files, name, tmp_path):
    path, _ = files[name]
    picture = read(path)
    out = tmp_path / path.name
    if picture.values.dtype == np.uint16 or picture.values.dtype == np.float32:
        out = out.with_suffix(path.suffix)
    write(out, picture.values, picture.info)
    again = read(out)
    assert again.values.dtype == picture.values.dtype and np.array_equal(again.values, picture.values)


@pytest.mark.parametrize("name", NAMES)
def test_restoring_keeps_depth_and_transparency(files, name):
    "The identity in place of a network: what comes back is what was there"
    from irsde import DenoisingSDE, Restorer, ThetaSchedule

    path, shown = files[name]
    restorer = Restorer(
        lambda x, mu, t: torch.zeros_like(x), DenoisingSDE(ThetaSchedule(), 0.2), {"task": "denoising"}
    )
    back = restorer(np.ascontiguousarray(np.moveaxis(shown, 0, -1)), sigma=0.1, steps=1, solver="exp-ode-1")
    assert back.dtype == shown.dtype
    assert np.array_equal(np.moveaxis(np.atleast_3d(back), -1, 0).reshape(shown.shape), shown)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_as_pillow_turns_it(tmp_path, rng, orientation):
    from PIL import ImageOps

    Image.fromarray(shallow(rng, 6, 7, 3)).save(tmp_path / "a.png", exif=exif(orientation))
    with Image.open(tmp_path / "a.png") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    found = read(tmp_path / "a.png")
    assert np.array_equal(found.values, wanted.transpose(2, 0, 1))
    write(tmp_path / "b.png", found.values, found.info)
    assert Image.open(tmp_path / "b.png").getexif().get(274, 1) == 1  # not turned twice
    assert np.array_equal(read(tmp_path / "b.png").values, found.values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_deep_tiff(tmp_path, rng, orientation):
    "As Pillow turns the same picture in 8 bits"
    from PIL import ImageOps

    pixels = shallow(rng, 6, 7, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif(orientation))
    with Image.open(tmp_path / "a.png") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16) * 257
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels.astype(np.uint16) * 257, photometric="rgb", extratags=tags)
    assert np.array_equal(read(tmp_path / "a.tif").values, wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("colour, grey", [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)])
def test_grey_of_a_colour_is_its_luma(tmp_path, colour, grey):
    Image.new("RGB", (2, 2), colour).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 1) * 255).round().unique().tolist() == [grey]


def test_profile_of_a_cmyk_file_does_not_stay_on_rgb(tmp_path, rng):
    Image.fromarray(shallow(rng, 6, 7, 4), "CMYK").save(
        tmp_path / "a.tif", icc_profile=b"a profile for four inks"
    )
    picture = read(tmp_path / "a.tif")
    assert len(picture.values) == 3 and "icc_profile" not in picture.info


@pytest.mark.parametrize(
    "ending, dtype",
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint16), (".tif", np.float32), (".jpg", np.uint8)],
)
def test_profile_of_colour_stays(tmp_path, rng, ending, dtype):
    values = (
        rng.random((3, 6, 7))
        * {"u": np.iinfo(dtype).max if dtype != np.float32 else 1, "f": 1}[np.dtype(dtype).kind]
    )
    write(tmp_path / f"a{ending}", values.astype(dtype), {"icc_profile": srgb()})
    assert read(tmp_path / f"a{ending}").info["icc_profile"] == srgb()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    for reader in (read, read_image):
        with pytest.raises(OSError, match="a.png"):
            reader(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.png")


def test_a_cut_off_picture_is_refused(tmp_path, rng):
    for kind, pixels in (("8", shallow(rng, 40, 40, 3)), ("16", deep(rng, 40, 40, 3))):
        path = png(tmp_path / f"{kind}.png", pixels, RGB, int(kind))
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(OSError, match=f"{kind}.png"):
            read(path)


def test_several_pictures_in_a_file_are_refused(tmp_path, rng):
    frames = [Image.fromarray(shallow(rng, 6, 7, 3)) for _ in range(2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(OSError, match="2 pictures"):
        read(tmp_path / "a.tif")


# ---- writing


def test_a_tensor_is_rounded_to_the_nearest_number(tmp_path):
    image = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.2, -0.2]).reshape(1, 1, 6)
    write_image(tmp_path / "a.png", image)
    assert read(tmp_path / "a.png").values.ravel().tolist() == [0, 0, 1, 255, 255, 0]
    write_image(tmp_path / "b.png", image, bits=16)
    assert read(tmp_path / "b.png").values.ravel().tolist() == [0, 103, 154, 65535, 65535, 0]


@pytest.mark.parametrize(
    "name, image, more",
    [
        ("a.gif", picture(3, 4, 4), {}),
        ("a.jpg", picture(3, 4, 4), {"bits": 16}),
        ("a.png", picture(3, 4, 4), {"bits": 10}),
        ("a.png", picture(3, 4, 4) * 255, {}),
        ("a.png", picture(3, 4, 4) * np.nan, {}),
        ("a.png", picture(4, 4), {}),
        ("a.png", picture(5, 4, 4), {}),
        ("a.png", torch.zeros(3, 4, 4, dtype=torch.uint8), {}),
        ("a.jpg", picture(4, 4, 4), {}),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, image, more):
    with pytest.raises(ValueError):
        write_image(tmp_path / name, image, **more)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as part:
        assert part.parent == path.parent and part.suffix == path.suffix and part.name.startswith(".")
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "a.txt") as part:
        part.write_text("x")


def test_paths_of_pictures(tmp_path, rng):
    for name in ("b.png", "a.PNG", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in picture_paths(tmp_path)] == ["a.PNG", "b.png"]
    assert picture_paths(str(tmp_path / "b.*")) == [tmp_path / "b.png"]
    for wrong in (tmp_path / "none", str(tmp_path / "*.jpg")):
        with pytest.raises(FileNotFoundError):
            picture_paths(wrong)
    with pytest.raises(ValueError):
        picture_paths([])


def test_jpeg_is_close(tmp_path):
    image = picture(3, 32, 32)
    write_image(tmp_path / "a.jpg", image)
    assert (read_image(tmp_path / "a.jpg") - image).abs().max() < 0.06
    assert Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes())).format == "JPEG"


# ---- damaged files, and those that Pillow misreads


def test_a_png_with_any_damaged_bit_is_refused(tmp_path, rng):
    whole = png(tmp_path / "a.png", deep(rng, 3, 4, 3), RGB, 16).read_bytes()
    for bit in range(64, 8 * len(whole)):
        bad = bytearray(whole)
        bad[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.png").write_bytes(bad)
        with pytest.raises(OSError, match=r"a\.png"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["eXIf", "tEXt", "cHRM", "iCCP"])
def test_what_is_damaged_besides_the_pixels_is_named(tmp_path, rng, kind):
    pixels = shallow(rng, 3, 4, 3)
    path = png(tmp_path / "a.png", pixels, RGB, **{kind: b"any\0thing"})
    assert not any("damaged" in note for note in read(path).notes)
    data = bytearray(path.read_bytes())
    data[data.index(kind.encode()) + 6] ^= 1
    path.write_bytes(data)
    picture = read(path)
    np.testing.assert_array_equal(picture.values.transpose(1, 2, 0), pixels)
    assert f"its {kind}" in picture.notes[0] and "damaged and left out" in picture.notes[0]
    assert picture_size(path) == (3, 4) and not has_alpha(path)


def test_exif_behind_the_pixels_turns_a_png(tmp_path, rng):
    path = png(tmp_path / "a.png", shallow(rng, 3, 4, 3), RGB, eXIf=exif(6).removeprefix(b"Exif\0\0"))
    data = path.read_bytes()
    start, stop = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    path.write_bytes(data[:start] + data[stop:-12] + data[start:stop] + data[-12:])
    assert picture_size(path) == read(path).values.shape[1:] == (4, 3)


@pytest.mark.parametrize("mode", ["path", "image"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_that_is_not_packed(tmp_path, rng, orientation, mode):
    pixels, path = shallow(rng, 5, 3), tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[(274, 3, 1, orientation, True)])
    turn = {1: [], 2: [np.fliplr], 3: [np.rot90] * 2, 4: [np.flipud], 5: [np.transpose]}
    turn |= {6: [np.rot90] * 3, 7: [np.transpose, np.rot90, np.rot90], 8: [np.rot90]}
    want = pixels
    for step in turn[orientation]:
        want = step(want)
    found = read(path) if mode == "path" else as_pictures(Image.open(path))[0][0]
    np.testing.assert_array_equal(found.values[0], want)
    assert picture_size(path) == want.shape


def test_a_bmp_of_two_colours_in_eight_bits(tmp_path, rng):
    pixels = rng.integers(0, 2, (5, 4), dtype=np.uint8)
    head = struct.pack("<IiiHHIIiiII", 40, 4, 5, 1, 8, 0, 20, 0, 0, 2, 0)
    for colours in ((0, 255), (255, 0)):
        data = b"".join(bytes([colour] * 3 + [0]) for colour in colours) + pixels[::-1].tobytes()
        (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 82, 0, 0, 62) + head + data)
        want = np.array(colours)[pixels]
        np.testing.assert_array_equal(
            read(tmp_path / "a.bmp").values, [want] * len(read(tmp_path / "a.bmp").values)
        )


def test_a_ppm_of_text_keeps_its_depth(tmp_path, rng):
    pixels = deep(rng, 3, 2, 3)
    (tmp_path / "a.ppm").write_text("P3\n# rain\n2 3\n65535\n" + "\n".join(map(str, pixels.ravel())) + "\n")
    np.testing.assert_array_equal(read(tmp_path / "a.ppm").values.transpose(1, 2, 0), pixels)


@pytest.mark.parametrize("ending, side", [(".jpg", 65500), (".jfif", 65500), (".webp", 16383)])
def test_a_side_too_long_is_refused_before_the_work(tmp_path, ending, side):
    check_format(tmp_path / f"a{ending}", np.zeros((3, 1, side), np.uint8))
    with pytest.raises(ValueError, match=f"holds {side} a side, write .png or .tif"):
        check_format(tmp_path / f"a{ending}", np.zeros((3, side + 1, 1), np.uint8))


def test_grey_with_alpha_in_planes(tmp_path, rng):
    pixels = shallow(rng, 2, 5, 4)
    options = dict(photometric="minisblack", planarconfig="separate", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").values, pixels)
