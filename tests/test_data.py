"From files to batches: pairs by name, crops, batches that depend on their number alone, known sets."

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from irsde.data import (
    CleanImages,
    PairedImages,
    batches,
    centre,
    damaged,
    sample_images,
    seeded,
    window,
)

from .conftest import picture


def dark(clean, generator):
    return clean * torch.rand((), generator=generator)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path, rng):
    for i in range(4):
        pixels = rng.integers(0, 256, (12 + i, 16, 3), dtype=np.uint8)
        save(tmp_path / "gt" / f"norain-{i:03}.png", pixels)
        save(tmp_path / "lq" / f"rain-{i:03}.png", pixels // 2)
    return tmp_path


# ---- data sets


def test_pairs_from_folders(folders):
    pairs = PairedImages(folders / "lq", folders / "gt")
    assert len(pairs) == 4
    x0, mu = pairs[0, 2]
    assert x0.shape == mu.shape == (3, 14, 16)
    torch.testing.assert_close(mu, (x0 * 255 // 2) / 255)


def test_crops_of_a_pair_belong_together(folders):
    pairs = PairedImages(folders / "lq", folders / "gt", crop=8, augment=True, seed=3)
    for epoch in range(4):
        x0, mu = pairs[epoch, 1]
        assert x0.shape == (3, 8, 8)
        torch.testing.assert_close(mu, (x0 * 255 // 2) / 255)
    assert not torch.equal(pairs[0, 1][0], pairs[1, 1][0])
    assert torch.equal(pairs[2, 1][0], pairs[2, 1][0])


def test_a_pair_of_two_sizes_is_named_at_once(folders, rng):
    save(folders / "lq" / "rain-002.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="rain-002 is 8x8 and its clean picture 16x14"):
        PairedImages(folders / "lq", folders / "gt")
    assert PairedImages(folders / "lq", folders / "gt", fit="centre")[0, 2][0].shape == (3, 8, 8)


def test_clean_images_degrade_on_the_fly(folders):
    pictures = CleanImages(folders / "gt", dark, crop=8, seed=1)
    x0, mu = pictures[0, 0]
    assert torch.equal(x0, pictures[0, 0][0]) and torch.equal(mu, pictures[0, 0][1])
    assert not torch.equal(mu, pictures[1, 0][1])
    assert not torch.equal(x0, CleanImages(folders / "gt", dark, crop=8, seed=2)[0, 0][0])
    with pytest.raises(IndexError):
        pictures[4]


def test_a_damaged_picture_is_named_when_the_set_is_made(folders):
    (folders / "gt" / "norain-001.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="1 of 4 pictures cannot be read: .*norain-001"):
        CleanImages(folders / "gt", dark)


def test_a_degradation_that_breaks_is_named(folders):
    with pytest.raises(ValueError, match="norain-000.*NaN"):
        CleanImages(folders / "gt", lambda c, g: c * np.nan)[0]
    with pytest.raises(ValueError, match="norain-000"):
        CleanImages(folders / "gt", lambda c, g: c[..., 1:])[0]


@pytest.mark.parametrize(
    "wrong", [dict(crop=0), dict(crop=2.5), dict(augment="up"), dict(channels=2), dict(alpha="what")]
)
def test_wrong_options(folders, wrong):
    with pytest.raises(ValueError):
        CleanImages(folders / "gt", dark, **wrong)[0]


def test_tensors_must_be_pictures():
    assert len(CleanImages([picture(3, 8, 8)], dark)) == 1
    for wrong in ([picture(3, 8, 8) * 255], [picture(3, 8, 8) * np.nan], [picture(8, 8)], []):
        with pytest.raises(ValueError):
            CleanImages(wrong, dark)


def test_the_shelf_gives_what_the_files_hold(folders):
    plain, shelved = (CleanImages(folders / "gt", dark, cache=cache) for cache in (0, 2 * 13 * 16 * 3))
    for _ in range(2):
        for i in range(4):
            assert torch.equal(plain[0, i][0], shelved[0, i][0])


def test_files_that_differ_in_their_ending_only(folders, rng):
    save(folders / "lq" / "rain-002.bmp", rng.integers(0, 256, (14, 16, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="rain-002.bmp and .*rain-002.png"):
        PairedImages(folders / "lq", folders / "gt")
    twice = [folders / "lq/rain-000.png"] * 2  # one file, listed twice, is one file
    assert len(PairedImages(twice, folders / "gt/norain-000.png")) == 2


# ---- grey


@pytest.fixture
def greys(tmp_path, rng):
    grey = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    rgb = np.stack([grey] * 3, -1)
    save(tmp_path / "a-L.png", grey)
    save(tmp_path / "b-copied.png", rgb)
    spot = rgb.copy()
    spot[3, 5, 0] ^= 1  # by one pixel a colour picture
    save(tmp_path / "c-spot.png", spot)
    return tmp_path


def noisy(clean, generator):
    return clean + torch.randn(clean.shape, generator=generator)


def test_grey_pictures_are_degraded_as_grey(greys):
    data = CleanImages(greys, noisy, crop=16, augment=True)
    for i in (0, 1):
        x0, mu = data[2, i]
        assert x0.shape == mu.shape == (3, 16, 16)
        assert torch.equal(mu[0], mu[1]) and torch.equal(mu[1], mu[2])
    x0, mu = data[2, 2]
    assert not torch.equal(mu[0], mu[1])
    assert CleanImages(greys, noisy, channels=1)[0][1].shape == (1, 40, 50)
    assert len({tuple(x.shape) for pair in CleanImages(greys, noisy) for x in pair}) == 1  # a mixed set
    assert torch.equal(CleanImages(greys, noisy, cache=10**6)[1, 0][1], CleanImages(greys, noisy)[1, 0][1])


def test_colour_pictures_and_tensors_are_degraded_as_ever(greys):
    i = 2
    generator = seeded(7, 4, i, 1)
    window((40, 50), None, False, generator)  # makes the same draws
    x0, mu = CleanImages(greys, noisy, seed=7)[4, i]
    assert torch.equal(mu, noisy(x0[None], generator)[0])
    flat = CleanImages([torch.full((3, 8, 8), 0.5)], noisy)[0][1]
    assert not torch.equal(flat[0], flat[1])


# ---- damage


def spoil(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def told_by(make):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        return make(), [str(warning.message) for warning in told]


def test_damaged_pictures_are_left_out_if_that_is_wanted(folders):
    (folders / "gt" / "norain-001.png").write_bytes(b"no picture")
    spoil(folders / "gt" / "norain-003.png")
    with pytest.raises(OSError, match="norain-001.*skip_damaged=True"):
        CleanImages(folders / "gt", dark)
    data, told = told_by(lambda: CleanImages(folders / "gt", dark, skip_damaged=True, crop=8))
    assert data.names == ["norain-000", "norain-002"] and len(list(data)) == 2
    assert ["norain-001" in told[0], "norain-003" in told[1], len(told)] == [True, True, 2]
    again, _ = told_by(lambda: CleanImages(folders / "gt", dark, skip_damaged=True, crop=8))
    assert torch.equal(again[3, 1][1], data[3, 1][1])
    pairs, told = told_by(lambda: PairedImages(folders / "lq", folders / "gt", skip_damaged=True))
    assert pairs.names == ["rain-000", "rain-002"] and len(told) == 2
    x0, mu = pairs[1]
    torch.testing.assert_close(mu, (x0 * 255 // 2) / 255)
    for path in (folders / "gt").iterdir():
        spoil(path)
    with pytest.raises(OSError, match="no picture is left"):
        told_by(lambda: CleanImages(folders / "gt", dark, skip_damaged=True))


def test_a_sound_set_loses_nothing(folders):
    plain = PairedImages(folders / "lq", folders / "gt", crop=8, cache=10**6)
    data, told = told_by(
        lambda: PairedImages(folders / "lq", folders / "gt", crop=8, cache=10**6, skip_damaged=True)
    )
    assert not told and data.partners == plain.partners
    assert all(torch.equal(data[1, i][0], plain[1, i][0]) for i in range(4))


def test_pixels_that_break_off(folders):
    spoil(folders / "gt" / "norain-002.png")
    data = CleanImages(folders / "gt", dark)
    with pytest.raises(OSError, match="norain-002.*cannot be read.*skip_damaged=True"):
        data[2]
    spoil(folders / "lq" / "rain-001.png")
    heard = []
    found = damaged(PairedImages(folders / "lq", folders / "gt"), lambda *told: heard.append(told))
    assert set(found) == {"norain-002", "rain-001"} and "rain-001.png" in found["rain-001"]
    assert [done for done, _, _ in heard] == [*range(1, 9)] and heard[-1][1] == 8
    left, _ = told_by(lambda: CleanImages(folders / "gt", dark, skip_damaged=True))
    assert set(damaged(left)) == {"norain-002"}
    assert damaged(CleanImages([picture(3, 8, 8)], dark)) == {}


def test_alpha_is_found_before_the_first_step(folders):
    for i in (1, 3):
        path = folders / "gt" / f"norain-{i:03}.png"
        Image.open(path).convert("RGBA").save(path)
    with pytest.raises(ValueError, match='2 of 4 .*norain-001.png.*norain-003.png.*alpha="drop"'):
        CleanImages(folders / "gt", dark)
    with pytest.raises(ValueError, match="2 of 4"):
        PairedImages(folders / "lq", folders / "gt")
    assert CleanImages(folders / "gt", dark, alpha="drop")[1][0].shape[0] == 3
    assert CleanImages(folders / "gt", dark, alpha="keep")[1][0].shape[0] == 4


def test_an_odd_tag_or_folder_does_not_refuse_the_set(folders):
    path = folders / "gt" / "norain-001.png"
    orientation = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abcd\0\0\0\0"  # a text, not a number
    Image.open(path).save(path, exif=b"Exif\0\0" + orientation)
    (folders / "gt" / "folder.png").mkdir()
    (folders / "gt" / "notes.txt").write_text("no picture")
    assert len(CleanImages(folders / "gt", dark)) == len(PairedImages(folders / "lq", folders / "gt")) == 4


# ---- sizes and order


def enlarge(small, size):
    return torch.nn.functional.interpolate(small, tuple(size), mode="nearest")


def pair_of(folder, mu, x0, **options):
    for side, (h, w) in (("one", mu), ("other", x0)):
        save(folder / side / "a.png", np.arange(h * w * 3, dtype=np.uint8).reshape(h, w, 3))
    return PairedImages(folder / "one", folder / "other", **options)


@pytest.mark.parametrize(
    "mu, x0, size, enlarged",
    [
        ((6, 5), (24, 20), (24, 20), False),
        ((6, 5), (27, 23), (24, 20), False),  # rounded down
        ((7, 5), (27, 20), (27, 20), False),  # rounded up: nothing to cut
        ((27, 23), (27, 23), (27, 23), True),
    ],
)
def test_sizes_of_super_resolution(tmp_path, mu, x0, size, enlarged):
    pairs = pair_of(tmp_path, mu, x0, fit=enlarge, factor=4)
    clean, degraded = pairs[0]
    assert clean.shape[1:] == degraded.shape[1:] == size and pairs.enlarged(0) == enlarged
    whole, _ = CleanImages(tmp_path / "other", dark)[0]
    assert torch.equal(clean, whole[:, : size[0], : size[1]])  # cut at the bottom and on the right
    assert pairs.sizes(0) == (mu, x0)


@pytest.mark.parametrize("x0", [(28, 20), (20, 20), (24, 99), (12, 10)])
def test_sizes_that_are_no_pair(tmp_path, x0):
    with pytest.raises(ValueError, match="1 of 1 pairs differ in size .a is 5x6.*4 times as large"):
        pair_of(tmp_path, (6, 5), x0, fit=enlarge, factor=4)


def test_a_mismatch_is_told_in_words_for_everybody(tmp_path):
    with pytest.raises(ValueError, match="bring both pictures of a pair to one size") as caught:
        pair_of(tmp_path, (6, 5), (8, 8))
    assert "fit" not in str(caught.value) and "Downscale" not in str(caught.value)
    with pytest.raises(ValueError, match="factor= needs a fit="):
        pair_of(tmp_path, (6, 5), (24, 20), factor=4)
    with pytest.raises(ValueError, match="factor is a number"):
        pair_of(tmp_path, (6, 5), (24, 20), factor=0, fit=enlarge)


@pytest.mark.parametrize(
    "options",
    [{}, dict(fit="centre"), dict(fit=enlarge), dict(fit=enlarge, factor=4)],
    ids=["as they are", "centre", "enlarged", "enlarged, factor"],
)
def test_swapped_folders_are_refused_by_size(tmp_path, options):
    with pytest.raises(ValueError, match="every degraded picture is larger than its clean one"):
        pair_of(tmp_path, (24, 20), (6, 5), **options)


def test_swapped_folders_are_told_by_name(folders):
    _, told = told_by(lambda: PairedImages(folders / "lq", folders / "gt"))
    assert not told
    _, told = told_by(lambda: PairedImages(folders / "gt", folders / "lq"))
    assert len(told) == 1 and "the degraded ones come first" in told[0]
    for side, new in (("lq", "one"), ("gt", "other")):
        (folders / side).rename(folders / new)
    _, told = told_by(lambda: PairedImages(folders / "other", folders / "one"))  # rain-000, norain-000
    assert len(told) == 1


def test_pairs_by_a_pattern(folders):
    for path in sorted((folders / "gt").iterdir()):
        path.rename(path.with_name(path.name.replace("norain", "photo")))
    with pytest.raises(ValueError, match="pattern="):
        PairedImages(folders / "lq", folders / "gt", key=str)
    for path in sorted((folders / "lq").iterdir()):
        path.rename(path.with_name(path.name.replace("rain-", "wet-photo-")))
    assert len(PairedImages(folders / "lq", folders / "gt", pattern="wet-{}")) == 4


# ---- crops and batches


def test_window_covers_every_place_and_turn():
    board = np.arange(9).reshape(3, 3, 1)
    seen = {window((3, 3), 2, True, seeded(0, k))(board)[0, 0, 0] for k in range(200)}
    assert seen == set(range(9))
    assert np.array_equal(window((3, 3), None, False, seeded(0))(board), board)
    assert window((3, 3), 5, False, seeded(0))(board).shape == (5, 5, 1)
    mirrored = [window((3, 3), None, "mirror", seeded(0, k))(board)[:, :, 0] for k in range(20)]
    assert {m[0, 0] for m in mirrored} == {0, 2}


def test_batch_k_depends_on_seed_and_k_alone(folders):
    data = CleanImages(folders / "gt", dark, crop=8)
    stream = batches(data, 2, seed=5)
    first = [next(stream)[0] for _ in range(5)]
    assert torch.equal(next(batches(data, 2, seed=5, start=3))[0], first[3])
    assert not torch.equal(next(batches(data, 2, seed=6))[0], first[0])
    parts = [next(batches(data, 2, seed=5, start=3, part=(r, 2)))[0] for r in range(2)]
    assert torch.equal(torch.cat(parts), first[3])


def test_each_epoch_has_every_picture_once(folders):
    data = CleanImages({str(k): torch.full((3, 4, 4), k / 10) for k in range(6)}, dark)
    stream = batches(data, 2)
    for _ in range(2):
        values = torch.cat([next(stream)[0][:, 0, 0, 0] for _ in range(3)])
        torch.testing.assert_close(values.sort()[0], torch.arange(6) / 10)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(batch_size=0),
        dict(batch_size=3, part=(0, 2)),
        dict(batch_size=2, part=(2, 2)),
        dict(batch_size=2, start=-1),
        dict(batch_size=2, seed=1.5),
        dict(batch_size=2, workers=-1),
    ],
)
def test_impossible_batches(folders, wrong):
    with pytest.raises(ValueError):
        batches(CleanImages(folders / "gt", dark, crop=8), **wrong)


def test_pictures_of_two_sizes_make_no_batch(folders):
    with pytest.raises(ValueError, match="crop"):
        next(batches(CleanImages(folders / "gt", dark), 4))


# ---- samples and known sets


def test_samples_are_squares_in_range():
    images = sample_images(32)
    assert {x.shape for x in images.values()} == {(3, 32, 32)} and len(images) == 7
    assert all(0 <= x.min() and x.max() <= 1 for x in images.values())
    with pytest.raises(ValueError):
        sample_images(0)
    assert centre(picture(3, 10, 20), 10).shape == (3, 10, 10)


def test_known_set_is_checked(tmp_path, rng):
    from irsde.knownsets import check_data

    for name, (w, h) in {
        "baby": (512, 512),
        "bird": (288, 288),
        "butterfly": (256, 256),
        "head": (280, 280),
    }.items():
        save(tmp_path / f"{name}.png", rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
    heard = []
    report = check_data(tmp_path, "set5", progress=lambda *told: heard.append(told)).set_index("property")
    assert not report.loc["clean pictures", "ok"] and report.loc["sizes", "ok"]
    assert "1 missing: woman" in report.loc["names", "found"]
    assert [done for done, _, _ in heard] == [1, 2, 3, 4] and heard[0][1:] == (4, "baby.png")
    with pytest.raises(ValueError, match="unknown data set"):
        check_data(tmp_path, "Set6")
    with pytest.raises(FileNotFoundError):
        check_data(tmp_path / "none", "Set5")
