"Two eyes: a pair of pictures through restoring, folders, data and scores"
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from irsde import IRSDE, Restorer, ThetaSchedule
from irsde.cameras import StereoNAFNet
from irsde.cli import main
from irsde.data import CleanImages, PairedImages, batches
from irsde.evaluate import FromClean, FromPairs, evaluate
from irsde.eyes import EyePictures, eyes_in
from irsde.folders import degrade_files, restore_files
from irsde.images import read_image, write_image
from irsde.material import with_alpha
from irsde.metrics import PROTOCOLS, Protocol, psnr, score, ssim
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction
from irsde.scenes import SCENES
from irsde.scoring import beside, contact_sheet, evaluate_task
from irsde.tiling import Tiled
from irsde.views import stereo_pair

TASK = "stereo-super-resolution"
LOST = SCENES[TASK]


def tiny(fold=1, **sizes):
    "A network whose eyes are awake, and whose attention over channels is local"
    torch.manual_seed(0)
    net = StereoNAFNet(width=4, **{"enc": (1,), "mid": 1, "dec": (1,), "fold": fold, **sizes}).eval()
    for name, weights in net.named_parameters():
        if name.endswith(("beta", "gamma")): torch.nn.init.normal_(weights, std=0.7)
    return net.pool_over(1)


@pytest.fixture(scope="module")
def restorer():
    sde = IRSDE(ThetaSchedule(), 50 / 255)
    about = {"task": TASK, "steps": 2, "solver": "posterior"}
    return Restorer(CleanPrediction(sde, tiny()), sde, about, "cpu")


@pytest.fixture
def pair():
    return torch.rand(3, 12, 16), torch.rand(3, 12, 16)


def lay(folder, names, size=(16, 24), way="{side}/{name}.png"):
    "Pairs of files, of photos and their second eyes"
    for i, name in enumerate(names):
        both = stereo_pair(torch.rand(3, *size, generator=torch.Generator().manual_seed(i)),
                           torch.Generator().manual_seed(i))
        for side, eye in zip(("left", "right"), both.chunk(2)):
            path = folder / way.format(side=side, name=name, letter=side[0].upper())
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, eye)
    return folder


# the network

def test_the_network_tells_that_pictures_are_pairs():
    sde, alone = IRSDE(ThetaSchedule(), 50 / 255), {"task": "deraining"}
    def views(model, about): return Restorer(model, sde, about, "cpu").views
    def plain(channels): return CleanPrediction(sde, ConditionalNAFNet(channels, 4, (1,), 1, (1,)))
    assert views(CleanPrediction(sde, tiny()), alone) == views(plain(6), alone) == 2
    assert views(plain(3), {"task": TASK}) == 1
    def silent(x, mu, t): return x # it says nothing of itself, so its task is asked
    assert [views(silent, about) for about in ({"task": TASK}, alone, {})] == [2, 1, 1]


# the picture

def test_a_pair_comes_back_as_a_pair_of_its_kind(restorer, pair):
    left, right = restorer(pair)
    assert left.shape == right.shape == (3, 48, 64)
    both = restorer(torch.cat(pair))
    torch.testing.assert_close(both, torch.cat([left, right]), rtol=0, atol=0)
    batch = restorer(torch.cat(pair).expand(2, -1, -1, -1))
    assert batch.shape == (2, 6, 48, 64) and torch.equal(batch[0], both)
    image = Image.fromarray((pair[0].movedim(0, -1).numpy() * 255).astype(np.uint8))
    colour, grey = restorer((image, image.convert("L")))
    assert (colour.mode, grey.mode, grey.size) == ("RGB", "L", (64, 48))
    array = torch.cat(pair).movedim(0, -1).numpy()
    np.testing.assert_allclose(restorer(array), both.movedim(0, -1).numpy(), atol=1e-6)
    assert restorer(pair, enlarged=True)[0].shape == (3, 12, 16)


def test_each_eye_keeps_what_is_its_own(restorer, tmp_path):
    shown = (np.random.default_rng(0).random((12, 16, 4)) * 255).astype(np.uint8)
    Image.fromarray(shown).save(tmp_path / "a.png")
    write_image(tmp_path / "b.png", torch.rand(1, 12, 16), bits=16)
    left, right = restorer((tmp_path / "a.png", tmp_path / "b.png"))
    assert left.mode == "RGBA" and right.mode.startswith("I;16") and left.size == right.size == (64, 48)


def test_the_eyes_are_told_of_each_other_and_enlarged_apart(restorer, pair):
    left, _ = restorer(pair)
    other, _ = restorer((pair[0], 1 - pair[1]))
    assert not torch.equal(left, other)  # what the right eye sees changes what the left one gets
    job = restorer.prepare(tuple(_pictures(pair)))
    each = [LOST.enlarge(eye[None], (48, 64)) for eye in pair]
    torch.testing.assert_close(job.mu, torch.cat(each, 1), rtol=0, atol=1e-6)


def _pictures(pair):
    from irsde.images import as_pictures
    return [as_pictures(eye)[0][0] for eye in pair]


def test_samples_of_a_pair(restorer, pair):
    found = restorer.samples(pair, k=3, all=True)
    assert [eye.shape for eye in found.mean] == [(3, 48, 64)] * 2 and found.std.shape == (2, 48, 64)
    left = torch.stack([each[0] for each in found.all])
    np.testing.assert_allclose(found.std[0], left.std(0).square().mean(0).sqrt(), atol=1e-5)
    torch.testing.assert_close(found.mean[1], torch.stack([each[1] for each in found.all]).mean(0))


@pytest.mark.parametrize("wrong, words", [
    (lambda a, b: a, "one eye is missing: give both"),
    (lambda a, b: (a,), "one eye is missing: give both.*a tuple"),
    (lambda a, b: (a, b[:, 1:]), "the left eye is 16x12 and the right one 16x11.*shrink the larger"),
    (lambda a, b: (a[None], torch.stack([b, b])), "1 left pictures and 2 right"),
    (lambda a, b: (a, None), "a picture is a path"),
    (lambda a, b: torch.stack([a, b]), "of shape \\(2, 3, 12, 16\\)"),
])
def test_half_a_pair_is_refused(restorer, pair, wrong, words):
    with pytest.raises(ValueError, match=words): restorer(wrong(*pair))


def test_options_that_two_eyes_cannot_have(restorer, pair):
    with pytest.raises(ValueError, match="the eyes change places"): restorer(pair, ensemble=2)
    with pytest.raises(ValueError, match="mask= is for inpainting"): restorer(pair, mask=pair[0])
    assert restorer.ensemble_size() == 1
    with pytest.raises(ValueError, match="takes 6 channels|one eye is missing"):
        tiny()(pair[0][None], pair[0][None], 1)


# bands

@pytest.mark.parametrize("sizes", [{}, {"enc": (1, 1), "dec": (1, 1)}])
def test_reach_is_what_a_row_changes(sizes):
    net = tiny(**sizes).double()
    reach, grid = net.reach(), net.grid
    rows = grid * (2 * (reach // grid + 2) + 1)
    x, mu = torch.rand(2, 1, 6, rows, 8, dtype=torch.double)
    middle, far = rows // 2 // grid * grid, 0
    with torch.no_grad():
        base = net(x, mu, 5)
        for row in range(middle, middle + grid):
            other = x.clone()
            other[:, :, row] += 1
            changed = (net(other, mu, 5) != base).any(3).any(1)[0].nonzero().flatten()
            far = max(far, row - changed.min().item(), changed.max().item() - row)
    assert reach - grid < far <= reach


@pytest.mark.parametrize("fold", [1, 2])
def test_bands_are_the_whole_picture(fold):
    net = tiny(fold).double()
    overlap = 4 * net.reach()
    tile = -(-(2 * overlap + net.grid) // net.grid) * net.grid
    x, mu = torch.rand(2, 1, 6, 2 * tile, 20, dtype=torch.double)
    bands = Tiled(net, tile, overlap)
    assert len(bands.tiles((2 * tile, 20))) > 2
    assert all(band.columns == slice(0, 20) for band in bands.tiles((2 * tile, 20)))
    whole, small = net(x, mu, 5), Tiled(net, tile, 8)
    assert (bands(x, mu, 5) - whole).abs().max() < 1e-6  # the windows are float32
    assert (small(x, mu, 5) - whole).abs().max() > 1e-4  # where the reach is not covered
    assert small.tile % net.grid == 0


def test_a_restorer_asks_in_bands(restorer):
    net = tiny()
    reach = net.reach()
    tall = torch.rand(6, 8 * (reach // 2), 8)
    whole = restorer(tall, enlarged=True, tile=0, seed=3)
    bands = restorer(tall, enlarged=True, tile=16 * (reach // 2), overlap=4 * reach, seed=3)
    wide = restorer(tall.mT.contiguous(), enlarged=True, tile=64)  # low, so there is one band
    torch.testing.assert_close(bands, whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(wide, restorer(tall.mT.contiguous(), enlarged=True, tile=0), rtol=0, atol=0)
    with pytest.raises(ValueError, match="tile"): restorer(tall, tile=net.grid, overlap=net.grid)


# folders

@pytest.mark.parametrize("way", ["{side}/{name}.png", "{name}_{letter}.png", "{side}/{name}_{letter}.png",
                                 "deep/{side}/{name}.png"])
def test_a_folder_of_pairs(restorer, tmp_path, way):
    heard = []
    lay(tmp_path / "in", ["a", "b"], way=way)
    table = restore_files(tmp_path / "in", tmp_path / "out", restorer, progress=lambda *n: heard.append(n))
    assert [*table.status] == ["restored"] * 4 and [n[:2] for n in heard] == [(2, 4), (4, 4)]
    ours = {path.relative_to(tmp_path / "in") for path in (tmp_path / "in").rglob("*.png")}
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png")} == ours
    left, right = (tmp_path / "in" / way.format(side=side, name="a", letter=side[0].upper())
                   for side in ("left", "right"))
    assert {str(left), str(right)} <= {*table.file}
    with_hand = restorer((left, right), seed=0)
    assert with_hand[0].size == (96, 64)


def test_a_lone_eye_fails_and_the_rest_is_done(restorer, tmp_path):
    folder = lay(tmp_path / "in", ["a", "b"])
    (folder / "right/b.png").unlink()
    write_image(folder / "left/c_L.png", torch.rand(3, 16, 24))
    write_image(folder / "photo.png", torch.rand(3, 16, 24))
    table = restore_files(folder, tmp_path / "out", restorer).set_index(
        restore_files(folder, tmp_path / "again", restorer).file.map(lambda file: file.rpartition("/in/")[2]))
    assert table.status.to_dict() == {"left/a.png": "restored", "right/a.png": "restored",
                                      "left/b.png": "failed", "left/c_L.png": "failed", "photo.png": "failed"}
    assert "right/b is missing" in table.error["left/b.png"]
    assert "no partner" in table.error["photo.png"] and not table.out["left/b.png"]


def test_eyes_of_two_sizes_fail_and_the_rest_is_done(restorer, tmp_path):
    folder = lay(tmp_path / "in", ["a", "b"])
    write_image(folder / "right/a.png", torch.rand(3, 16, 20))
    table = restore_files(folder, tmp_path / "out", restorer, batch=4)
    assert [*table.status] == ["failed"] * 2 + ["restored"] * 2
    assert all("the right one 20x16" in error for error in table.error[:2])


def test_two_results_are_one(restorer, tmp_path):
    folder, out = lay(tmp_path / "in", ["a", "b"]), tmp_path / "out"
    restore_files(folder, out, restorer, samples=2)
    assert (out / "left/a-std.png").exists() and (out / "right/b-std.png").exists()
    again = restore_files(folder, out, restorer, samples=2)
    assert [*again.status] == ["skipped"] * 4 and not again.notes.any()
    before = read_image(out / "left/a.png")
    (out / "right/a.png").unlink()
    table = restore_files(folder, out, restorer, samples=2)
    assert [*table.status] == ["restored"] * 2 + ["skipped"] * 2
    assert torch.equal(before, read_image(out / "left/a.png"))
    other = restore_files(folder, out, restorer, samples=2, seed=1)
    assert all("seed=0" in note for note in other.notes)
    assert [*restore_files(folder, out, restorer, samples=2, overwrite=True).status] == ["restored"] * 4


def test_ctrl_c_keeps_whole_pairs(restorer, tmp_path):
    folder = lay(tmp_path / "in", ["a", "b", "c"])

    def stop(done, total, path):
        if done == 2: raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="2 of 6 files are done"):
        restore_files(folder, tmp_path / "out", restorer, progress=stop)
    table = restore_files(folder, tmp_path / "out", restorer)
    assert [*table.status] == ["skipped"] * 2 + ["restored"] * 4


def test_batches_change_nothing(restorer, tmp_path):
    folder = lay(tmp_path / "in", ["a", "b", "c"])
    for n in (1, 3): restore_files(folder, tmp_path / f"out{n}", restorer, batch=n)
    for path in (tmp_path / "out1").rglob("*.png"):
        other = read_image(tmp_path / "out3" / path.relative_to(tmp_path / "out1"))
        torch.testing.assert_close(read_image(path), other, rtol=0, atol=1.01 / 255)


def test_degrading_pairs(tmp_path):
    folder = lay(tmp_path / "in", ["a", "b"], size=(32, 48))
    write_image(folder / "left/lone.png", torch.rand(3, 32, 48))
    table = degrade_files(folder, tmp_path / "small", LOST)
    assert sorted(table.status) == ["degraded"] * 4 + ["failed"]
    assert "right/lone is missing" in table.error[table.status == "failed"].item()
    clean = torch.cat([read_image(folder / side / "a.png") for side in ("left", "right")])
    small = torch.cat([read_image(tmp_path / "small" / side / "a.png") for side in ("left", "right")])
    torch.testing.assert_close(small, LOST.shrink(clean[None])[0], rtol=0, atol=0.51 / 255)
    full = degrade_files(folder, tmp_path / "full", LOST, full=True)
    assert {*full.width[full.status == "degraded"]} == {48}
    assert [*degrade_files(folder, tmp_path / "small", LOST).status].count("skipped") == 4


# data

def test_real_pairs_and_photos(tmp_path):
    real = CleanImages(lay(tmp_path / "in", ["a", "b"]), LOST)
    x0, mu = real[0]
    assert real.names == ["a", "b"] and x0.shape == mu.shape == (6, 16, 24)
    torch.testing.assert_close(mu, LOST(x0[None])[0])
    assert torch.equal(x0[3:], read_image(tmp_path / "in/right/a.png"))
    write_image(tmp_path / "grey.png", torch.rand(1, 16, 24))
    photos = CleanImages([tmp_path / "grey.png"], LOST)
    assert photos[0][0].shape == photos[0][1].shape == (6, 16, 24)
    assert torch.equal(photos[0][0], photos[0][0]) and not torch.equal(photos[0][0], photos[1, 0][0])
    x0, mu = next(batches(CleanImages(tmp_path / "in", LOST, crop=16, augment=True), 2))
    assert x0.shape == mu.shape == (2, 6, 16, 16)


def test_a_mirror_swaps_the_eyes_and_nothing_is_transposed():
    tags = torch.zeros(6, 8, 12)
    tags[:3], tags[3:] = 0.25, 0.75
    tags[:, :, 0] += 0.1
    seen = set()
    for epoch in range(40):
        x0, _ = CleanImages({"a": tags}, LOST, augment=True)[epoch, 0]
        assert x0.shape == (6, 8, 12)
        mirrored = x0[0, 0, -1] > x0[0, 0, 1]
        assert (x0[0, 0, 1] > 0.5) == mirrored  # the right eye comes first then
        seen.add(bool(mirrored))
    assert seen == {True, False}
    pairs = PairedImages({"a": tags}, {"a": tags}, augment=True, views=2)
    assert all(pairs[epoch, 0][0].shape == (6, 8, 12) for epoch in range(10))


def test_small_pairs_beside_large_ones(tmp_path):
    large, small = lay(tmp_path / "large", ["a", "b"], (30, 48)), tmp_path / "small"
    degrade_files(large, small, LOST)
    pairs = PairedImages(small, large, views=2, fit=LOST.enlarge, factor=4)
    x0, mu = pairs[0]
    assert x0.shape == mu.shape == (6, 30, 48) and pairs.names == ["a", "b"]
    (small / "right/b.png").unlink()
    with pytest.raises(ValueError, match="right/b is missing"):
        PairedImages(small, large, views=2, fit=LOST.enlarge, factor=4)


def test_what_is_wrong_with_a_folder_of_pairs(tmp_path):
    folder = lay(tmp_path / "in", ["a", "b", "c"])
    assert [*eyes_in(folder).whole] == ["a", "b", "c"]
    (folder / "right/a.png").unlink()
    (folder / "left/b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="1 of 3 pairs have one eye only.*right/a is missing"):
        EyePictures(folder)
    with pytest.warns(UserWarning, match="left out"):
        rest = CleanImages(folder, LOST, skip_damaged=True)
    assert rest.names == ["c"] and {*rest.x0.left_out} == {"a", "b"}
    write_image(folder / "left/b.png", torch.rand(3, 5, 5))
    write_image(folder / "right/a.png", torch.rand(3, 16, 24))
    with pytest.raises(ValueError, match="the eyes of a pair are of one size"): EyePictures(folder)
    shutil.rmtree(folder / "right")
    with pytest.raises(ValueError, match="they lie as NAME_L"): EyePictures(folder)


def test_the_eye_with_an_alpha_channel_is_named(tmp_path):
    folder = lay(tmp_path / "in", ["a", "b"])
    clear = folder / "right/b.png"
    write_image(clear, torch.rand(4, 16, 24))
    pairs = CleanImages(folder, LOST, alpha="drop")
    assert with_alpha(pairs) == [("b", f'{clear} has an alpha channel: alpha="drop" ignores it')]
    single = CleanImages(folder / "right", SCENES["shadow-removal"], alpha="drop")
    assert with_alpha(single) == with_alpha(pairs)


# scores

def test_scores_are_the_mean_of_both_eyes():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 6, 40, 40, generator=generator)
    restored = clean.clone()
    restored[:, :3] += 0.1 * torch.randn(2, 3, 40, 40, generator=generator)
    restored[:, 3:] += 0.02 * torch.randn(2, 3, 40, 40, generator=generator)
    restored.clamp_(0, 1)
    both, one = PROTOCOLS[TASK], Protocol()
    for measure in (psnr, ssim):
        each = [measure(restored[:, eye], clean[:, eye], one) for eye in (slice(3), slice(3, 6))]
        torch.testing.assert_close(measure(restored, clean, both), torch.stack(each).mean(0))
    assert (psnr(restored, clean, one) < psnr(restored, clean, both) - 3).all()  # another number
    table = score(restored, clean, both, lpips=False)
    np.testing.assert_allclose(table.psnr[:2], psnr(restored, clean, both))
    assert "mean of 2" in table.attrs["protocol"]
    with pytest.raises(ValueError, match="views"): Protocol(views=0)


def test_cases_of_pairs(restorer, tmp_path):
    folder = lay(tmp_path / "in", ["a", "b"], (42, 48))
    cases = FromClean(TASK, folder)
    case = cases[0]
    assert case.x0.shape == case.mu.shape == (6, 40, 48) and case.given.shape == (6, 10, 12) and case.cut
    torch.testing.assert_close(case.given, LOST.shrink(case.x0[None])[0])
    table = evaluate(restorer, cases, lpips=False)
    assert np.isfinite(table.psnr).all() and table.attrs["protocol"].endswith("mean of 2, cut to size")
    made = FromClean(TASK, {"photo": torch.rand(3, 32, 32)})[0]
    assert made.x0.shape == (6, 32, 32) and not torch.equal(made.x0[:3], made.x0[3:])
    degrade_files(folder, tmp_path / "small", LOST)
    paired = FromPairs(TASK, tmp_path / "small", folder)[0]
    assert paired.x0.shape == paired.given.shape == (6, 42, 48) and paired.options == {"enlarged": True}
    even = FromPairs(TASK, {"a": case.given}, {"a": case.x0})[0]  # no row too many: the small pair is given
    assert torch.equal(even.given, case.given) and not even.options
    torch.testing.assert_close(even.mu, case.mu)


def test_a_sheet_shows_both_eyes(restorer, tmp_path):
    case = FromClean(TASK, {"photo": torch.rand(3, 32, 32)})[0]
    assert torch.equal(beside(case.x0), torch.cat([case.x0[:3], case.x0[3:]], 2))
    assert beside(case.x0[:3]).shape == (3, 32, 32)
    contact_sheet({TASK: [(case, restorer(case.mu, enlarged=True))]}, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (sheet != 255).any(2).sum(1).max() > sheet.shape[1] / 2  # pictures, and not only their titles


def test_from_the_shell(restorer, tmp_path, monkeypatch):
    folder = lay(tmp_path / "in", ["a", "b"], (32, 48))
    weights = restorer.save_pretrained(tmp_path / "eyes.safetensors")
    run = CliRunner().invoke
    small = run(main, ["degrade", str(folder), "--task", TASK, "--out", str(tmp_path / "small"),
                       "--factor", "2"])
    assert small.exit_code == 0, small.output
    assert read_image(tmp_path / "small/right/b.png").shape == (3, 16, 24)
    write_image(tmp_path / "small/left/lone.png", torch.rand(3, 16, 24))
    done = run(main, ["restore", str(tmp_path / "small"), "--task", TASK, "--weights", str(weights),
                      "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "right/lone is missing" in done.output
    assert len([*(tmp_path / "out").rglob("*.png")]) == 4
    scores = evaluate_task(TASK, weights, folder, out=tmp_path / "scored", lpips=False)
    assert [*scores.name] == ["a", "b", "mean"]
    assert {path.name for path in (tmp_path / "scored").iterdir()} == {
        "a_L.png", "a_R.png", "b_L.png", "b_R.png"}
    with pytest.raises(ValueError, match="is an input's"):
        evaluate_task(TASK, weights, folder, out=folder / "left", lpips=False)


def test_a_damaged_pair_does_not_hide_one_of_two_sizes(tmp_path):
    for name, width in (("a_L", 24), ("a_R", 24), ("b_L", 24), ("b_R", 20)):
        Image.new("RGB", (width, 16)).save(tmp_path / f"{name}.png")
    for side in "LR": (tmp_path / f"c_{side}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="b_L and .*b_R"):
        EyePictures(tmp_path, skip_damaged=True)


def test_two_files_of_one_eye_are_refused(tmp_path):
    for name in ("a_L.png", "a_L.jpg", "a_R.png"): Image.new("RGB", (16, 16)).save(tmp_path / name)
    with pytest.raises(ValueError, match="differ only in their ending"):
        eyes_in(tmp_path)


@pytest.mark.parametrize(("tile", "overlap"), [(17, None), (20, 4), (30, 10)])
def test_bands_are_whole_groups_of_rows(tile, overlap):
    net = tiny(enc=(1, 1), dec=(1, 1))
    grid = Tiled(net).multiple
    with pytest.raises(ValueError, match="take a tile of at least") as said:
        Tiled(net, tile=grid + 1, overlap=grid // 2 + 1)
    least = int(str(said.value).split()[-2])
    assert least % grid == 0
    bands = Tiled(net, tile=least + 1, overlap=grid // 2 + 1)
    assert bands.tile == least and len(bands.tiles((4 * least, 8))) > 1
    try: bands = Tiled(net, tile=tile, overlap=overlap)
    except ValueError: return
    assert bands.tile % grid == 0 and bands.tiles((100, 8))
