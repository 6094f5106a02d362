"Scoring whole sets: what one odd picture costs, and what the numbers are said to be of."

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from irsde.degrade import Downscale
from irsde.evaluate import Case, FromClean, FromPairs, evaluate, held_back, race
from irsde.images import write_image
from irsde.metrics import Protocol, psnr
from irsde.scoring import check_apart

from .conftest import picture


def same(image, **options):
    "Restores nothing"
    return image


def enlarge(image, enlarged=False, **options):
    "Super-resolution that is done at once"
    return image if enlarged else Downscale().enlarge(image[None], [4 * n for n in image.shape[1:]])[0]


def scored(cases, restore=same, protocol=None, **options):
    "A table without LPIPS, and the warnings on the way"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = evaluate(restore, cases, protocol, lpips=False, **options)
    return table, [str(w.message) for w in told]


@pytest.fixture
def photo():
    return picture(3, 40, 44)


@pytest.fixture
def pairs(tmp_path, photo):
    "Writes pairs: name -> (degraded, clean); returns the two folders"

    def write(**made):
        folders = tmp_path / "lq", tmp_path / "gt"
        for name, pair in made.items():
            for folder, x in zip(folders, pair):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_image(folder / f"{name}.png", x)
        return folders

    return write


# ---- one bad picture


def test_one_picture_does_not_cost_the_others(pairs, photo):
    lq, gt = pairs(
        a=(photo * 0.9, photo), b=(photo * 0.8, photo), same=(photo, photo), icon=(photo[:, :12, :14],) * 2
    )
    write_image(lq / "icon.png", photo[:, :12, :14] * 0.9)
    (lq / "b.png").write_bytes((lq / "a.png").read_bytes()[:300])
    table, told = scored(FromPairs("deraining", lq, gt))
    scores = "psnr ssim lpips".split()
    columns = ["name", *(f"input {score}" for score in scores), *scores, "seconds", "error", "notes"]
    assert table.columns.tolist() == columns
    assert table["name"].tolist() == ["a", "b", "icon", "same", "mean"]
    assert [bool(error) for error in table["error"]] == [False, True, False, False, False]
    by_name = table.set_index("name")
    assert math.isinf(by_name["psnr"]["same"]) and math.isnan(by_name["ssim"]["icon"])
    assert by_name["psnr"]["mean"] == pytest.approx(by_name["psnr"][["a", "icon"]].mean())
    assert by_name["ssim"]["mean"] == pytest.approx(by_name["ssim"][["a", "same"]].mean())
    assert "no SSIM: its window is 11x11" in by_name["notes"]["icon"] and by_name["notes"]["a"] == ""
    note = by_name["notes"]["mean"]
    assert "1 of 4 pictures failed" in note and "PSNR leaves out 1 of 3" in note
    assert len(told) == 1 and "icon: no SSIM" in told[0]
    attrs = table.attrs
    assert (
        attrs["n_images"] == 3 and attrs["failed"] == 1 and attrs["perfect"] == {"input psnr": 1, "psnr": 1}
    )


def test_all_perfect_is_infinite(photo):
    table, told = scored([Case("a", photo, photo, photo)], protocol="denoising")
    assert math.isinf(table["psnr"].iloc[-1]) and not told and table["notes"].tolist() == ["", ""]


@pytest.mark.parametrize("name", ["a", "1", "3", "28", "e", "size", "{0}", "100%"])
def test_the_name_comes_first_whatever_it_is(photo, name):
    def fail(image):
        raise ValueError(f"{name}: a size of 28 in 3 channels")

    with pytest.raises(ValueError) as told:
        evaluate(fail, [Case(name, photo, photo, photo)], "denoising", lpips=False)
    assert str(told.value).endswith(f"the first: {name}: a size of 28 in 3 channels")


def test_no_pictures_are_refused_in_words():
    with pytest.raises(ValueError, match="none of 0 pictures"):
        evaluate(same, [], "denoising", lpips=False)


def test_pictures_without_any_score_do_not_stop_a_run(photo):
    tiny = photo[:, :6, :6]
    table, told = scored([Case("a", tiny, tiny, tiny)], protocol=Protocol(border=4))
    assert table[["psnr", "ssim", "input psnr"]].isna().all(axis=None) and len(told) == 1
    assert "too small for the protocol" in table["notes"][0]


def test_a_result_that_cannot_be_written_is_one_files_failure(photo):
    def full(case, restored):
        if case.name == "a":
            raise OSError("no space left")

    table, _ = scored([Case(n, photo, photo * 0.9, photo) for n in "ab"], protocol="denoising", each=full)
    assert table["error"].tolist() == ["no space left", "", ""] and table.attrs["n_images"] == 2
    assert table["psnr"].notna().all()


@pytest.mark.parametrize("result", ["words", None, torch.zeros(3, 40), torch.full((3, 40, 44), math.nan)])
def test_what_is_no_picture_is_one_files_failure(photo, result):
    def odd(image, name=None):
        return result if torch.equal(image, photo) else image

    cases = [Case("odd", photo, photo, photo), Case("even", photo, photo * 0.9, photo * 0.9)]
    table, _ = scored(cases, odd, "denoising")
    assert [bool(error) for error in table["error"]] == [True, False, False]


def test_what_a_restorer_warns_of_is_a_note(photo):
    def telling(image):
        warnings.warn("more noise than was learned", stacklevel=1)
        warnings.warn("an old call", DeprecationWarning, stacklevel=1)
        return image * 0.9

    case = Case("a", photo, photo * 0.8, photo, notes=("seen twice",))
    table, told = scored([case], telling, "denoising")
    assert table["notes"].tolist() == ["seen twice; more noise than was learned", ""]
    assert told == ["an old call"]


def test_damaged_pictures_are_left_out_on_demand(tmp_path, photo):
    for name in "ab":
        write_image(tmp_path / f"{name}.png", photo)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    with pytest.raises(OSError, match="skip_damaged=True"):
        FromClean("deraining", tmp_path)
    with pytest.warns(UserWarning, match="b.png"):
        cases = FromClean("deraining", tmp_path, skip_damaged=True)
    assert cases.names == ["a"] and scored(cases)[0].attrs["n_images"] == 1


# ---- grey


def test_grey_is_degraded_as_grey_and_said(tmp_path, photo):
    write_image(tmp_path / "grey.png", photo[:1])
    write_image(tmp_path / "colour.png", photo)
    cases = FromClean("denoising", tmp_path)
    colour, grey = cases[0], cases[1]
    assert torch.equal(grey.mu[0], grey.mu[2]) and not torch.equal(colour.mu[0], colour.mu[2])
    table, _ = scored(cases)
    assert table.attrs["protocol"] == "RGB, border 0, 8 bit, 1 of 2 grey" and table.attrs["grey"] == 1
    alone = psnr(grey.mu[None, :1].clamp(0, 1), grey.x0[None, :1], "denoising").item()
    assert table["psnr"][1] == pytest.approx(alone)
    only, _ = scored([grey], protocol="deraining")
    assert only.attrs["protocol"] == "Y, border 4, 8 bit, grey"


@pytest.mark.parametrize("task", ["super-resolution", "inpainting", "deraining", "dehazing"])
def test_grey_stays_grey(tmp_path, photo, task):
    write_image(tmp_path / "grey.png", photo[:1])
    case = FromClean(task, tmp_path)[0]
    for x in (case.x0, case.mu, case.given):
        assert len(x) == 3 and torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])


def test_coloured_noise_on_grey_is_noted(photo):
    grey = photo[:1].expand(3, -1, -1)
    noisy = grey + 0.1 * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    table, _ = scored([Case("a", grey, noisy, noisy)], protocol="denoising")
    assert "the degraded one is in colour" in table["notes"][0]


# ---- sizes of super-resolution


@pytest.mark.parametrize("size", [(41, 43), (40, 44), (47, 40)])
def test_clean_sizes_that_four_does_not_divide(size):
    clean = picture(3, *size)
    case = FromClean("super-resolution", {"a": clean})[0]
    height, width = (n // 4 * 4 for n in size)
    assert case.x0.shape == case.mu.shape == (3, height, width)
    assert case.given.shape == (3, height // 4, width // 4)
    assert torch.equal(case.x0, clean[:, :height, :width])
    assert case.cut == bool(case.notes) == (size != (40, 44))
    table, _ = scored([case], enlarge, "denoising")
    assert table.attrs["protocol"].endswith("cut to size") == case.cut
    np.testing.assert_allclose(table["psnr"], table["input psnr"], atol=1e-4)


def test_a_picture_smaller_than_the_factor_is_one_files_failure():
    cases = FromClean("super-resolution", {"a": picture(3, 3, 40), "b": picture(3, 40, 40)})
    table, _ = scored(cases, enlarge, "denoising")
    assert "40x3 is smaller than the factor 4" in table["error"][0] and table.attrs["n_images"] == 1


def test_pairs_of_super_resolution_come_in_three_sizes(pairs):
    clean, shrink = picture(3, 42, 47), Downscale().shrink
    down, up = shrink(clean[None, :, :40, :44])[0], shrink(clean[None])[0]
    full = Downscale().enlarge(down[None], clean.shape[1:])[0]
    lq, gt = pairs(down=(down, clean), full=(full, clean), up=(up, clean))
    cases = FromPairs("super-resolution", lq, gt)
    found = {case.name: case for case in (cases[0], cases[1], cases[2])}
    assert found["down"].given.shape == (3, 10, 11) and found["down"].x0.shape == (3, 40, 44)
    assert "cut from 47x42 to 44x40" in found["down"].notes[0] and found["down"].options == {}
    for name in ("full", "up"):
        case = found[name]
        assert case.options == {"enlarged": True} and case.x0.shape == case.given.shape == (3, 42, 47)
    table, _ = scored(cases, enlarge, "super-resolution-y")
    assert table["error"].tolist() == [""] * 4
    assert table.attrs["protocol"] == "Y, border 4, 8 bit, 1 of 3 cut to size" and table.attrs["cut"] == 1


def test_names_of_a_benchmarks_own(tmp_path):
    small, clean = picture(3, 10, 11), picture(3, 40, 44)
    for name in ("baby", "bird"):
        for folder, x, ending in (("lq", small, "x4"), ("gt", clean, "")):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{name}{ending}.png", x)
    cases = FromPairs("super-resolution", tmp_path / "lq", tmp_path / "gt", pattern="{}x4")
    assert cases.names == ["babyx4", "birdx4"]


# ---- masks


@pytest.fixture
def masked(tmp_path, photo):
    "Pictures and masks of the same names, dots in them"
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    for folder in (pictures, masks):
        folder.mkdir()
    keep = torch.ones(1, 40, 44)
    keep[:, 5:15, 5:25] = 0
    for i, name in enumerate(("frame.0001", "frame.0002", "v1.2.final")):
        write_image(pictures / f"{name}.png", photo)
        write_image(masks / f"{name}.png", keep.roll(i, 1))
    return pictures, masks, keep[0]


def test_masks_by_names_with_dots(masked):
    pictures, masks, keep = masked
    clean = FromClean("inpainting", pictures, mask=masks)
    pairs = FromPairs("inpainting", pictures, pictures, mask=masks)
    for i in range(3):
        for cases in (clean, pairs):
            found = torch.as_tensor(cases[i].options["mask"]).float()
            assert torch.equal(found, keep.roll(i, 0))


def test_a_mask_may_be_the_other_way_round(masked):
    pictures, masks, keep = masked
    for cases in (
        FromClean("inpainting", pictures, mask=masks, invert_mask=True),
        FromPairs("inpainting", pictures, pictures, mask=masks, invert_mask=True),
    ):
        assert torch.equal(torch.as_tensor(cases[0].options["mask"]).float(), 1 - keep)
    with pytest.raises(ValueError, match="see mask="):
        FromClean("inpainting", pictures, invert_mask=True)
    with pytest.raises(ValueError, match="invert_mask= is for inpainting"):
        FromPairs("deraining", pictures, pictures, invert_mask=True)


def test_a_missing_mask_is_one_files_failure(masked):
    pictures, masks, _ = masked
    (masks / "frame.0002.png").unlink()
    table, _ = scored(FromClean("inpainting", pictures, mask=masks))
    assert [bool(error) for error in table["error"]] == [False, True, False, False]
    assert "frame.0002" in table["error"][1]


# ---- where results go


@pytest.mark.parametrize("names", [("a.png", "a.bmp"), ("A.png", "a.png"), ("é.png", "e\u0301.png")])
def test_results_that_would_be_written_over_one_another(tmp_path, photo, names):
    (tmp_path / "in").mkdir()
    for name in names:
        write_image(tmp_path / "in" / name, photo)
    if len([*(tmp_path / "in").iterdir()]) < 2:
        pytest.skip("this disk takes the two names for one")
    with pytest.raises(ValueError, match="written over another") as told:
        check_apart(tmp_path / "out", FromClean("deraining", tmp_path / "in"))
    assert all(str(tmp_path / "in" / name) in str(told.value) for name in names)


def test_equal_names_in_two_folders_lie_apart(tmp_path, photo):
    for folder in ("s1", "s2"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", photo)
    cases = FromClean("deraining", str(tmp_path / "*"))
    check_apart(tmp_path / "out", cases)
    assert cases.names == ["s1/a", "s2/a"]
    with pytest.raises(ValueError, match="is an input's"):
        check_apart(tmp_path, cases)


# ---- what a training held back


def test_held_back_pictures_by_their_exact_names(tmp_path, photo):
    for name in ("s1/a", "s2/a", "s1/a.b", "s1/x[1]", "s1/x1"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, photo)
    restorer = SimpleNamespace(about={"held_out": ["s1/a", "s1/x[1]", "s1/gone"]})
    assert [*held_back(restorer, tmp_path, 16)] == ["a", "x[1]"]
    restorer.about["held_out"] = ["s1/a", "s2/a", "s1/a.b"]
    assert [*held_back(restorer, tmp_path, 16)] == ["s1/a", "s2/a", "a.b"]


# ---- a race


def test_a_race_counts_the_fastest_turn(photo):
    now, left = [0.0], [5, 1, 4, 3]

    def restore(image, solver, steps, ensemble):
        now[0] += left.pop(0)
        return image * 0.9

    cases = [Case("a", photo, photo * 0.8, photo)]
    table = race(
        restore,
        cases,
        [("x", 1), ("y", 2)],
        repeats=2,
        clock=lambda: now[0],
        protocol="denoising",
        lpips=False,
    )
    assert table["seconds"].tolist() == [4, 1]
