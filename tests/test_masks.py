"What a mask means, which mask belongs to a picture, and what counts as a hole without one."

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from irsde.images import from_array, read
from irsde.masks import as_mask, find_holes, mask_for, mask_holes, read_mask, was_turned, white_holes

SIZE = (60, 80)


@pytest.fixture
def keep():
    "Three thick strokes are holes"
    strokes = Image.new("L", SIZE[::-1], 255)
    for line in ((5, 5, 70, 50), (40, 2, 42, 58), (2, 40, 78, 30)):
        ImageDraw.Draw(strokes).line(line, fill=0, width=5)
    return np.asarray(strokes) > 0


def palette_image(indices, *colours):
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(sum(colours, ()))
    return image


def eight(flags):
    return flags.astype(np.uint8) * 255


# ---- understood


@pytest.mark.parametrize(
    "make",
    [
        lambda keep: keep,
        lambda keep: eight(keep),
        lambda keep: keep.astype(np.uint8),
        lambda keep: keep.astype(np.int64),
        lambda keep: keep.astype(np.int32) * 255,
        lambda keep: keep.astype(np.float32),
        lambda keep: keep.astype(np.float64),
        lambda keep: keep * np.uint16(65535),
        lambda keep: keep.astype(np.uint16),
        lambda keep: keep[..., None],
        lambda keep: keep[None],
        lambda keep: np.dstack([eight(keep)] * 3),
        lambda keep: np.dstack([keep] * 3),
        lambda keep: np.dstack([eight(keep)] * 3 + [eight(keep | True)]),
        lambda keep: torch.from_numpy(keep),
        lambda keep: torch.from_numpy(keep)[None],
        lambda keep: torch.from_numpy(keep)[None, None].float(),
        lambda keep: torch.from_numpy(keep).long(),
        lambda keep: torch.from_numpy(keep).bfloat16(),
        lambda keep: Image.fromarray(keep),
        lambda keep: Image.fromarray(eight(keep)),
        lambda keep: Image.fromarray(keep.astype(np.uint8)),
        lambda keep: palette_image(keep, (0, 0, 0), (255, 255, 255)),
        lambda keep: palette_image(~keep, (255, 255, 255), (0, 0, 0)),
        lambda keep: palette_image(keep, (0, 0, 0), (1, 1, 1)),
    ],
)
def test_black_and_white_of_any_kind(keep, make):
    found, notes = read_mask(make(keep), SIZE)
    assert found.dtype == bool and np.array_equal(found, keep) and notes == []
    assert np.array_equal(as_mask(make(keep), SIZE, invert=True), ~keep)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp", "bit.png", "deep.png", "index.png"])
def test_files(keep, name, tmp_path):
    image = Image.fromarray(eight(keep))
    if name == "bit.png":
        image = Image.fromarray(keep)
    if name == "deep.png":
        image = Image.fromarray(keep * np.uint16(65535))
    if name == "index.png":
        image = palette_image(keep, (0, 0, 0), (255, 255, 255))
    image.save(tmp_path / name)
    assert np.array_equal(as_mask(tmp_path / name, SIZE), keep)
    assert np.array_equal(as_mask(str(tmp_path / name), SIZE), keep)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda keep: np.dstack([eight(keep & False)] * 3 + [eight(keep)]), "alpha channel: what is opaque"),
        (lambda keep: np.dstack([eight(keep | True)] * 3 + [eight(keep)]), "alpha channel: what is opaque"),
        (lambda keep: np.dstack([eight(keep)] + [eight(keep & False)] * 2), "#ff0000, the lighter one"),
        (lambda keep: np.where(keep, np.uint8(200), np.uint8(100)), "two greys, 100 and 200"),
        (lambda keep: palette_image(keep, (128, 0, 0), (0, 255, 255)), "#00ffff, the lighter one"),
    ],
)
def test_what_is_understood_with_a_note(keep, make, said):
    found, notes = read_mask(make(keep), SIZE)
    assert np.array_equal(found, keep) and len(notes) == 1 and said in notes[0]


@pytest.mark.parametrize("quality", [95, 75, 50])
@pytest.mark.parametrize("tint", [(255, 255, 255), (255, 40, 40)])
def test_jpeg_blurs_a_mask(keep, quality, tint, tmp_path):
    big = np.kron(keep, np.ones((4, 4), bool))
    pixels = np.where(big[..., None], np.array(tint, np.uint8), np.uint8(0))
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality)
    found, notes = read_mask(tmp_path / "a.jpg", big.shape)
    assert (found != big).mean() < 0.01 and len(notes) == (tint[1] < 255)


def test_soft_edges_are_cut_in_the_middle(keep):
    big = np.kron(keep, np.ones((4, 4), bool))
    for radius, noted in ((1, False), (6, True)):
        soft = Image.fromarray(eight(big)).filter(ImageFilter.GaussianBlur(radius))
        found, notes = read_mask(soft, big.shape)
        assert np.array_equal(found, np.asarray(soft) > 127.5)
        assert bool(notes) == noted and all("is grey" in note for note in notes)


def test_a_mask_of_little_white_is_asked_about(keep):
    found, notes = read_mask(~keep, SIZE)
    assert (found == ~keep).all() and "invert_mask=True" in notes[0] and "%" in notes[0]
    assert read_mask(~keep, SIZE, invert=True)[1] == []
    assert "with invert_mask=True black is kept" in read_mask(keep, SIZE, invert=True)[1][0]


# ---- refused


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda keep: keep | True, "keeps the whole picture.*invert_mask=True"),
        (lambda keep: keep & False, "keeps nothing.*invert_mask=True"),
        (lambda keep: np.zeros(SIZE, np.uint8), "keeps nothing"),
        (lambda keep: np.where(keep, np.arange(80) // 20 + 1, 0).astype(np.uint8), "5 greys from 0 to 4"),
        (lambda keep: np.where(keep, 255, np.arange(80) // 40 * 128).astype(np.uint8), "third grey, 128"),
        (lambda keep: np.tile(np.linspace(0, 1, 80), (60, 1)), "is grey on"),
        (lambda keep: palette_image(np.indices(SIZE)[0] // 20, (0, 0, 0), (128, 0, 0), (0, 128, 0)),
         "more than two colours"),
        (lambda keep: np.where(keep[..., None], np.array([255, 0, 0]), [0, 130, 0]).astype(np.uint8),
         "equally light"),
        (lambda keep: np.dstack([eight(keep)] * 3 + [eight(~keep)]), "another by its transparency"),
        (lambda keep: keep.astype(np.int64) - 1, "int64"),
        (lambda keep: eight(keep).astype(np.float32), "divide 0..255"),
        (lambda keep: torch.ones(2, 1, *SIZE), "2 masks"),
        (lambda keep: keep[:-1], "is 80x59, the picture 80x60"),
        (lambda keep: keep.T, "must be of one size"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(keep, make, said):
    with pytest.raises(ValueError, match=said):
        read_mask(make(keep), SIZE)


def test_a_folder_needs_a_name(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_mask(tmp_path, SIZE)


def test_a_refusal_names_the_file(keep, tmp_path):
    Image.fromarray(eight(keep & False)).save(tmp_path / "night.png")
    with pytest.raises(ValueError, match="night.png keeps nothing"):
        as_mask(tmp_path / "night.png", SIZE)


# ---- by name


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    for name in (
        "cat.png",
        "frame.0001.png",
        "frame.0002.png",
        "two.png",
        "two.jpg",
        "c.jpg.png",
        "night/cat.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(folder / name)
    (folder / ".dog.png").write_bytes(b"hidden")
    (folder / "notes.txt").write_text("none")
    return folder


@pytest.mark.parametrize(
    "name, mask",
    [
        ("cat", "cat.png"),
        ("cat.JPG", "cat.png"),
        ("in/cat.tif", "cat.png"),
        ("/abs/olute/cat.tif", "cat.png"),
        ("night/cat.jpg", "night/cat.png"),
        ("frame.0001", "frame.0001.png"),
        ("frame.0001.png", "frame.0001.png"),
        ("frame.0002.jpeg", "frame.0002.png"),
        ("two.png", "two.png"),
        ("two.jpg", "two.jpg"),
        ("c.jpg", "c.jpg.png"),
    ],
)
def test_a_mask_has_its_pictures_name(masks, name, mask):
    assert mask_for(masks, name) == masks / mask == mask_for(str(masks), masks.parent / "x" / name)


def test_accents_composed_and_not(tmp_path):
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = tmp_path / form
        folder.mkdir()
        Image.new("L", (4, 4)).save(folder / unicodedata.normalize(form, "Größe é.png"))
        assert mask_for(folder, unicodedata.normalize(other, "Größe é.jpg")).parent == folder


def test_no_mask_and_several(masks):
    for name in ("dog", "dog.png", "frame", "frame.0003.png"):
        with pytest.raises(ValueError, match=f"no mask for {name} in .*masks.*there are c.jpg.png, cat.png"):
            mask_for(masks, name)
    with pytest.raises(ValueError, match="two.jpg, two.png"):
        mask_for(masks, "two.tif")
    assert mask_for(masks / "cat.png", "dog.png") == masks / "cat.png"
    assert mask_for(None, "dog.png") is None


# ---- holes


@pytest.fixture
def photo(keep):
    y, x = np.mgrid[0 : SIZE[0] * 3, 0 : SIZE[1] * 3] / 60
    waves = [0.5 + 0.3 * np.sin(2 * x + i) * np.cos(3 * y - i) for i in range(3)]
    return (np.dstack(waves) * 255).astype(np.uint8)


@pytest.fixture
def hole(keep):
    return ~np.kron(keep, np.ones((3, 3), bool))


def test_white_in_a_lossless_picture_is_white_and_no_less(photo, hole):
    pixels = np.where(hole[..., None], np.uint8(255), photo)
    pixels[0, :40] = 254
    for values in (pixels, pixels * np.uint16(257), pixels / np.float32(255), pixels[..., :1]):
        keep = white_holes(from_array(values))
        assert np.array_equal(keep, ~(pixels[..., : values.shape[2]] == 255).all(-1))
        (note,) = find_holes(from_array(values))[2]
        assert "what is white" in note and "is taken for holes" in note and "mask=" in note


@pytest.mark.parametrize("quality", [95, 85, 75])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_white_after_jpeg(photo, hole, quality, subsampling, tmp_path):
    pixels = np.where(hole[..., None], np.uint8(255), photo)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        picture, keep, notes = find_holes(read(tmp_path / name))
        assert not (keep & hole).any() and (~keep & ~hole).mean() < 0.25
        assert picture.values[:, keep].min(0).max() < 235  # nothing that looks white is left
        assert len(notes) == 1 and "mask=" in notes[0]


def test_transparent_holes(photo, hole):
    white = np.where(hole[..., None], np.uint8(255), photo)
    for under in (photo, white, photo * np.uint8(0)):
        given = from_array(np.dstack([under, eight(~hole)]))
        picture, keep, notes = find_holes(given)
        assert np.array_equal(keep, ~hole) and (picture.values[3] == 255).all() and len(notes) == 1
        assert np.array_equal(picture.values[:3], given.values[:3]) and (given.values[3] == 0).any()
    half = np.where((np.arange(240) < 20), 0, 255).astype(np.uint8)[None].repeat(180, 0)
    with pytest.raises(ValueError, match="either may be the holes"):
        find_holes(from_array(np.dstack([white, half])))
    grey = from_array(np.dstack([photo[..., 0], eight(~hole)]))
    assert np.array_equal(find_holes(grey)[1], ~hole)


def test_half_transparent_pixels_around_a_hole_belong_to_it(photo, hole):
    soft = np.asarray(Image.fromarray(eight(~hole)).filter(ImageFilter.GaussianBlur(1.5))).copy()
    soft[:4, :4] = 128  # and this, by itself, does not
    picture, keep, _ = find_holes(from_array(np.dstack([photo, soft])))
    assert (~keep[soft == 0]).all() and keep[:4, :4].all() and (picture.values[3][~keep] == 255).all()
    assert (picture.values[3][:4, :4] == 128).all() and keep[soft == 255].all()


def test_without_holes_and_with_nothing_else(photo):
    with pytest.raises(ValueError, match="no white holes"):
        find_holes(from_array(photo))
    with pytest.raises(ValueError, match="no white holes"):
        find_holes(from_array(np.dstack([photo, photo[..., 0] | 255])))
    for all_over in (photo | 255, np.dstack([photo, photo[..., 0] * 0])):
        with pytest.raises(ValueError, match="one hole"):
            find_holes(from_array(all_over))


def test_a_mask_over_transparent_pixels(photo, hole):
    given = from_array(np.dstack([photo, eight(~hole)]))
    picture, keep, notes = mask_holes(given, ~hole)
    assert np.array_equal(keep, ~hole) and (picture.values[3] == 255).all() and "opaque" in notes[0]
    corner = np.ones(hole.shape, bool)
    corner[:3, :3] = False
    picture, keep, notes = mask_holes(given, corner)
    assert picture is given and not notes and (hole & keep).any()
    assert np.array_equal(mask_holes(replace(given), ~corner, True)[1], corner)


# ---- what is white, clear or flat, and is no hole for certain


def test_much_white_and_white_along_the_border_is_said(photo):
    sky, strip, spot = photo // 2, photo // 2, photo // 2
    sky[:70], strip[:, -4:], strip[:4], spot[20:40, 20:40] = 255, 255, 255, 255
    for pixels in (sky, strip, sky * np.uint16(257), sky / np.float32(255)):
        assert "is taken for holes: mask= says it better" in find_holes(from_array(pixels))[2][0]
    assert find_holes(from_array(spot))[2] == []


def test_highlights_are_no_holes_where_something_else_may_be_one(photo):
    pixels = photo // 2
    pixels[3:6, 3:6] = 255
    assert find_holes(from_array(pixels))[2] == []
    for colour in ((0, 0, 0), (255, 0, 255), (128, 128, 128)):
        flat = pixels.copy()
        flat[60:100, 60:100] = colour
        with pytest.raises(ValueError, match="may be the hole: pass mask="):
            find_holes(from_array(flat))
    soft = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)))
    soft = np.maximum(soft, np.where((pixels == 255).all(-1, keepdims=True), 255, 0)).astype(np.uint8)
    soft[2:7, 2:7] = np.maximum(soft[2:7, 2:7], 250)
    with pytest.raises(ValueError, match="as highlights are, and no white hole"):
        find_holes(from_array(soft))


@pytest.mark.parametrize("name", ["a.webp", "a.jpg"])
def test_loss_is_not_called_jpeg(photo, hole, name, tmp_path):
    Image.fromarray(np.where(hole[..., None], np.uint8(255), photo)).save(tmp_path / name, quality=90)
    (note,) = find_holes(read(tmp_path / name))[2]
    assert "lossy compression" in note and "JPEG" not in note


def test_what_fades_is_no_hole(photo, hole):
    h, w = hole.shape
    fade = np.tile(np.linspace(0, 255, w).astype(np.uint8), (h, 1))
    round_ = np.hypot(*np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]).clip(0, 1)
    patch = np.full((h, w), 255, np.uint8)
    patch[20:60, 20:60] = 128
    for alpha in (fade, fade.T[:1].repeat(h, 0)[:, :1].repeat(w, 1) // 2 + fade // 2, 255 - fade, patch,
                  (255 * (1 - round_)).astype(np.uint8)):  # fmt: skip
        for factor, kind in ((1, np.uint8), (257, np.uint16)):
            pixels = np.dstack([photo // 2, alpha]).astype(kind) * kind(factor)
            with pytest.raises(ValueError, match="pass mask="):
                find_holes(from_array(pixels))
    faint = np.where(hole, 2, 255).astype(np.uint8)
    assert np.array_equal(find_holes(from_array(np.dstack([photo // 2, faint])))[1], ~hole)


def test_a_mask_over_a_picture_that_was_turned(photo, hole, tmp_path):
    exif = Image.Exif()
    for orientation in (1, 3, 6):
        exif[0x112] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(photo).save(path, exif=exif)
        with Image.open(path) as image:
            assert was_turned(path) == was_turned(str(path)) == was_turned(image) == (orientation > 1)
    given = read(tmp_path / "6.png")
    said = "turned upright"
    notes = mask_holes(given, ~hole.T[:, ::-1], turned=True)[2]
    assert said in notes[-1] and mask_holes(from_array(photo), ~hole)[2] == []
    with pytest.raises(ValueError, match=f"one size.*{said}"):
        mask_holes(given, ~hole, turned=True)
    assert not was_turned(photo) and not was_turned(None)
