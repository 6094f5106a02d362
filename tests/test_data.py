"From files to batches: pairs by name, crops, batches that depend on their number alone, known sets."

import numpy as np
import pytest
import torch
from PIL import Image

from irsde.data import (
    CleanImages,
    PairedImages,
    batches,
    centre,
    name_key,
    pair_names,
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


# ---- names


def test_names_of_a_pair_are_equal_without_their_roles():
    assert name_key("rain-001") == name_key("norain-1") == (1,)
    assert name_key("img_003_SRF_4_LR") == name_key("img_003_SRF_4_HR")
    assert name_key("baby_x4") == name_key("baby")


def test_pairs_by_name():
    assert pair_names(["a_lq", "b_lq"], ["b_gt", "a_gt"]) == [1, 0]
    assert pair_names(["1400_1", "1400_2"], ["1400"]) == [0, 0]
    with pytest.raises(ValueError, match="1 of 2 degraded pictures have no clean one .*c"):
        pair_names(["a", "c"], ["a"])
    with pytest.raises(ValueError, match="clean pictures have no degraded one"):
        pair_names(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="may belong to"):
        pair_names(["a"], ["a_gt", "a_clean"])


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
