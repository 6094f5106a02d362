"The lenses of each picture, three numbers, from a batch or a call to the network that is told them."

import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from irsde import checkpoint
from irsde.cameras import Lenses, LensNAFNet, asked_lens, asks_lens, f_number, read_lenses, told_lens
from irsde.cli import main
from irsde.data import CleanImages, PairedImages, batches, seeded
from irsde.evaluate import FromClean, FromPairs, evaluate
from irsde.folders import degrade_files, restore_files
from irsde.images import read_image, write_image
from irsde.latent import LatentModel, LatentUNet
from irsde.nafnet import ConditionalNAFNet
from irsde.outputs import RECORD, name_seed
from irsde.predict import LOSSES, CleanPrediction, NoisePrediction, Told, inner
from irsde.restore import Restorer
from irsde.scenes import Lens
from irsde.schedule import ThetaSchedule
from irsde.scoring import evaluate_task
from irsde.sde import IRSDE
from irsde.training import Settings, Training, optimise

SDE = IRSDE(ThetaSchedule(n_steps=20), lam=10 / 255)
TOLD = torch.tensor([[160.0, 18.0, 40.0], [-14.0, 80.0, 3.0]])
ASKED = (16, "f/1.8", 40)
OTHER = ("Canon50mmf1.4BS", 8, 3)


def net(channels=3, seed=0):
    "A small network whose every weight counts"
    torch.manual_seed(seed)
    made = LensNAFNet(channels, 8, (1,), 1, (1,))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made


def model(**how):
    return CleanPrediction(SDE, net(**how))


def pictures(n=2, c=3, size=16, seed=0):
    return torch.rand(n, c, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def restorer():
    return Restorer(model(), SDE, {"task": "bokeh", "solver": "posterior", "steps": 3}, "cpu")


@pytest.fixture
def folder(tmp_path):
    "Three pairs, and a file of lenses that names two of them"
    for i, (x0, mu) in enumerate(zip(pictures(3), pictures(3, seed=1))):
        for side, x in (("src", mu), ("tgt", x0)):
            (tmp_path / side).mkdir(exist_ok=True)
            write_image(tmp_path / side / f"{i}.png", x)
    lines = "0,Sony50mmf16.0BS,Sony50mmf1.8BS,40\n1,Canon50mmf1.4BS,f/8,3\n"
    (tmp_path / "meta.txt").write_text(lines)
    return tmp_path


# How they are written


@pytest.mark.parametrize("lens", [1.8, "1.8", "f/1.8", "F1.8", " Sony50mmf1.8BS ", torch.tensor(1.8).item()])
def test_a_lens_is_written_in_many_ways(lens):
    assert f_number(lens) == pytest.approx(1.8)


@pytest.mark.parametrize("lens", [-1.4, "-1.4", "Canon50mmf1.4BS"])
def test_a_canon_is_below_zero(lens):
    assert f_number(lens) == -1.4


NONE = ["sharp", "Nikon50mmf2BS", 0, 0.2, 160, "f/160", float("inf"), True, "", "1.8 2"]


@pytest.mark.parametrize("lens", NONE)
def test_what_is_no_lens(lens):
    with pytest.raises(ValueError, match="is no lens"):
        f_number(lens)


def test_one_conversion():
    for lens in (ASKED, "16,f/1.8,40", ["f/16", 1.8, 40.0], torch.tensor([16, 1.8, 40])):
        torch.testing.assert_close(told_lens(lens), TOLD[:1])
    torch.testing.assert_close(told_lens([ASKED, OTHER]), TOLD)
    for row in TOLD:
        torch.testing.assert_close(told_lens(asked_lens(row))[0], row)


@pytest.mark.parametrize(
    "lens,said",
    [
        ((16, 1.8), "^disparity missing: lens is source lens, target lens, disparity, as"),
        ((None, 1.8, 40), "source lens missing"),
        ((16, None, float("nan")), "target lens and disparity missing"),
        ("16,,40", "target lens missing"),
        (None, "source lens and target lens and disparity missing"),
        ((16, 1.8, 40, 2), "got 4 values"),
        ((16, 1.8, -1), "a disparity is a number from 0, not -1"),
        ((16, 1.8, "far"), "not 'far'"),
    ],
)
def test_a_missing_number_is_named(lens, said):
    with pytest.raises(ValueError, match=said):
        told_lens(lens)


def test_lenses_by_name(folder):
    lenses = Lenses(folder / "meta.txt")
    for name in ("0", "src/0", "a/b/0", "0.src", "src/0.src"):
        assert lenses.of(name) == (16.0, 1.8, 40.0)
    assert lenses.of("1") == (-1.4, 8.0, 3.0)
    with pytest.raises(ValueError, match=r"meta\.txt has no line for 2"):
        lenses.of("2")
    for three in (ASKED, "16,f/1.8,40"):
        assert Lenses(three).of("any") == (16.0, 1.8, 40.0)
    assert Lenses({"a/0": ASKED, "0": OTHER}).of("x/a/0") == (16.0, 1.8, 40.0)
    with pytest.raises(ValueError, match="disparity missing"):
        Lenses(ASKED[:2])
    (folder / "short.txt").write_text("name source target\n0 f/16 f/1.8\n")
    with pytest.raises(ValueError, match=r"short\.txt, 0: disparity missing"):
        Lenses(folder / "short.txt").of("0")


# Models


@pytest.mark.parametrize("wrap", [NoisePrediction, CleanPrediction])
def test_what_is_told_is_handed_on(wrap):
    made, x, mu = wrap(SDE, net()), pictures(), pictures(seed=1)
    told = Told(made, lens=TOLD)
    t = torch.tensor([3, 12])
    torch.testing.assert_close(told(x, mu, t), wrap(SDE, made.net.through(TOLD))(x, mu, t))
    assert not torch.allclose(told(x, mu, t), Told(made, lens=TOLD.flip(0))(x, mu, t))
    assert inner(told) is made.net and told.multiple == made.multiple and told.sde is SDE
    with pytest.raises(ValueError, match="source lens, target lens, disparity are missing"):
        made(x, mu, t)  # nothing stays behind


def test_rows_follow_their_pictures_into_tiles():
    told, x, mu = Told(model(), lens=TOLD), pictures(), pictures(seed=1)
    tiles = [part.repeat(3, 1, 1, 1) for part in (x, mu)]
    torch.testing.assert_close(told(*tiles, 7), told(x, mu, 7).repeat(3, 1, 1, 1), rtol=1e-4, atol=1e-4)


def test_who_asks():
    plain = ConditionalNAFNet(3, 8, (1,), 1, (1,))
    latent = LatentModel(LatentUNet(3, 4, (1, 2), 4, attention=False), SDE, model(channels=4))
    for asks in (net(), model(), torch.compile(model(), backend="eager"), latent):
        assert asks_lens(asks)
    for silent in (plain, CleanPrediction(SDE, plain), net().through(TOLD), lambda x, mu, t: x):
        assert not asks_lens(silent)


# Training


def trained(made, batch, loss="clean", **how):
    settings = Settings(iterations=2, batch=2, lr=1e-2, precision="no", compile=False, **how)
    training = Training(made, settings)
    steps = [*optimise(training, SDE, LOSSES[loss], iter([batch] * 2))]
    return [step.loss for step in steps], training


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_tells_the_network(loss):
    batch = (pictures(), pictures(seed=1))
    ours, training = trained(model(), (*batch, TOLD), loss)
    other, _ = trained(model(), (*batch, TOLD.flip(0)), loss)
    assert ours[0] != other[0]
    bound, _ = trained(CleanPrediction(SDE, net().through(TOLD)), batch, loss)
    assert ours == pytest.approx(bound, rel=1e-5)
    assert not [name for name in vars(training.model) if "lens" in name]


def test_parts_of_a_batch_keep_their_lenses():
    batch = (pictures(), pictures(seed=1), TOLD)
    whole, parts = (trained(model(), batch, accumulate=n)[0] for n in (1, 2))
    assert whole == pytest.approx(parts, rel=1e-5)


def test_compiled_and_in_bfloat16():
    made = model()
    inner(made).compile(backend="eager")
    batch = (pictures(), pictures(seed=1), TOLD)
    assert trained(made, batch)[0] == pytest.approx(trained(model(), batch)[0], rel=1e-5)
    settings = Settings(iterations=1, batch=2, precision="bf16", compile=False)
    (step,) = optimise(Training(model(), settings), SDE, LOSSES["clean"], iter([batch]))
    assert step.good


def test_a_latent_and_a_plain_network_take_the_same_batches():
    autoencoder = LatentUNet(3, 4, (1, 2), 4, attention=False).requires_grad_(False)
    z = (pictures(c=4), pictures(c=4, seed=1))
    first, _ = trained(LatentModel(autoencoder, SDE, model(channels=4)), (*z, TOLD))
    other, _ = trained(LatentModel(autoencoder, SDE, model(channels=4)), (*z, TOLD.flip(0)))
    assert first != other
    plain = CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,)))
    trained(plain, (pictures(), pictures(seed=1), TOLD))  # is told nothing


@pytest.mark.parametrize(
    "lens,said",
    [
        ((), "the batch of step 1 has no lenses"),
        ((TOLD[:1],), r"lenses are \(2, 3\)"),
        ((TOLD / 0,), "finite"),
        (([ASKED, OTHER],), r"lenses are \(2, 3\)"),
    ],
)
def test_a_batch_without_its_lenses(lens, said):
    with pytest.raises(ValueError, match=said):
        trained(model(), (pictures(), pictures(seed=1), *lens))


# Data


def test_pairs_that_are_made():
    made = CleanImages(pictures(3, size=32), Lens(target=(1.4, 8.0)), crop=16, augment=True, seed=4)
    for key in ((0, 0), (5, 2)):
        x0, mu, lens = made[key]
        again = CleanImages(pictures(3, size=32), Lens(target=(1.4, 8.0)), crop=16, augment=True, seed=4)[key]
        assert all(map(torch.equal, (x0, mu, lens), again))
        assert x0.shape == mu.shape == (3, 16, 16) and lens.shape == (3,)
        assert lens[0] == pytest.approx(160) and 14 <= lens[1] <= 80.001 and 9.99 <= lens[2] <= 60.01
    assert not torch.equal(made[0, 0][2], made[1, 0][2])
    sharp = CleanImages(pictures(1, size=32), Lens(16.0, 16.0), seed=4)[0]
    torch.testing.assert_close(sharp[0], sharp[1])  # one lens: x0 is what that lens shows
    grey = CleanImages([pictures(1, size=32)[0].mean(0, keepdim=True)], Lens())[0]
    assert grey[0].shape == (1, 32, 32)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_three(workers):
    made = CleanImages(pictures(3, size=32), Lens(target=(1.4, 8.0)), crop=16)
    stream = batches(made, 2, workers=workers)
    x0, mu, lens = next(stream)
    assert (x0.shape, mu.shape, lens.shape) == ((2, 3, 16, 16), (2, 3, 16, 16), (2, 3))
    halves = [next(batches(made, 2, part=(rank, 2))) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([half[2] for half in halves]), lens)


def test_pairs_that_are_read(folder):
    lines = (folder / "meta.txt").read_text()
    (folder / "all.txt").write_text(lines + "2,f/2,f/4,1\n")
    pairs = PairedImages(folder / "src", folder / "tgt", lenses=folder / "all.txt", crop=8, augment=True)
    for i, row in enumerate([*TOLD, torch.tensor([20.0, 40.0, 1.0])]):
        for epoch in (0, 3):
            x0, mu, lens = pairs[epoch, i]
            assert x0.shape == (3, 8, 8)
            torch.testing.assert_close(lens, row)
    with pytest.raises(ValueError, match=r"meta\.txt has no line for 2"):
        PairedImages(folder / "src", folder / "tgt", lenses=folder / "meta.txt")
    assert len(PairedImages(folder / "src", folder / "tgt")[0]) == 2


# Restoring


def test_a_picture_is_asked_for_with_its_lenses(restorer):
    (mu,) = pictures(1)
    ours = restorer(mu, lens=ASKED)
    assert torch.equal(ours, restorer(mu, lens="f/16,1.8,40"))
    assert not torch.allclose(ours, restorer(mu, lens=OTHER))
    bound = Restorer(CleanPrediction(SDE, restorer.model.net.through(TOLD[0])), SDE, restorer.about, "cpu")
    torch.testing.assert_close(ours, bound(mu))


def test_a_batch_of_pictures_has_lenses_of_its_own(restorer):
    mu = pictures(2)
    both = restorer(mu, lens=[ASKED, OTHER], solver="posterior-mean")
    same = restorer(mu, lens=ASKED, solver="posterior-mean")
    torch.testing.assert_close(both[0], same[0])
    assert not torch.allclose(both[1], same[1])
    with pytest.raises(ValueError, match="lenses for 2 of 3 pictures"):
        restorer(pictures(3), lens=[ASKED, OTHER])


@pytest.mark.parametrize(
    "lens,said",
    [
        (None, 'told source lens, target lens and disparity of a picture: give lens="16,f/1.8,40"$'),
        ((16, 1.8), "disparity missing: .* as \\(16"),
        ((160, 18, 40), "160 is no lens"),
    ],
)
def test_what_is_missing_is_said(restorer, lens, said):
    with pytest.raises(ValueError, match=said):
        restorer(pictures(1)[0], lens=lens)


def test_others_are_told_none():
    plain = CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,)))
    said = "lens= is for a model that is told lenses, this model is for deraining"
    for made in (plain, CleanPrediction(SDE, net().through(TOLD[0]))):
        silent = Restorer(made, SDE, {"task": "deraining"}, "cpu")
        with pytest.raises(ValueError, match=said):
            silent(pictures(1)[0], lens=ASKED)
        silent(pictures(1)[0])


def test_tiles_copies_and_samples(restorer):
    (mu,) = pictures(1, size=48)
    seen = []
    whole = restorer(mu, lens=ASKED, solver="posterior-mean", callback=lambda *a: seen.append(a))
    assert len(seen) == 3
    tiled = restorer(mu, lens=ASKED, solver="posterior-mean", tile=32)
    other = restorer(mu, lens=OTHER, solver="posterior-mean", tile=32)
    assert tiled.shape == whole.shape and not torch.allclose(tiled, other)
    assert not torch.allclose(whole, restorer(mu, lens=ASKED, solver="posterior-mean", ensemble=2))
    drawn = restorer.samples(mu, 2, lens=ASKED, all=True)
    assert len(drawn.all) == 2 and drawn.std.max() > 0


def test_a_latent_pair_is_told(tmp_path):
    torch.manual_seed(0)
    autoencoder = LatentUNet(3, 4, (1, 2), 4, attention=False)
    made = LatentModel(autoencoder, SDE, model(channels=4))
    restorer = Restorer(made, SDE, {"task": "bokeh", "steps": 2}, "cpu")
    (mu,) = pictures(1, size=48)
    ours = restorer(mu, lens=ASKED)
    assert not torch.allclose(ours, restorer(mu, lens=OTHER))
    assert restorer(mu, lens=ASKED, tile=32).shape == mu.shape
    with pytest.raises(ValueError, match="give lens="):
        restorer(mu)
    path = restorer.save_pretrained(tmp_path / "latent.safetensors")
    torch.testing.assert_close(Restorer.from_pretrained(path, "cpu")(mu, lens=ASKED), ours)


# Folders


def test_a_folder_and_its_file_of_lenses(restorer, folder):
    out = folder / "out"
    table = restore_files(folder / "src", out, restorer, lenses=folder / "meta.txt", batch=2)
    assert table.status.tolist() == ["restored", "restored", "failed"]
    assert "meta.txt has no line for" in table.error[2] and "src/2" in table.error[2]
    alone = folder / "alone"
    restore_files(folder / "src" / "1.png", alone, restorer, lenses=OTHER)
    assert torch.equal(read_image(alone / "1.png"), read_image(out / "1.png"))  # in a batch or alone
    restore_files(folder / "src" / "1.png", folder / "else", restorer, lenses=ASKED)
    assert not torch.equal(read_image(folder / "else" / "1.png"), read_image(out / "1.png"))


def test_the_record_knows_the_lenses(restorer, folder):
    out = folder / "out"
    run = partial(restore_files, folder / "src" / "0.png", out, restorer)
    run(lenses=ASKED)
    again = run(lenses=folder / "meta.txt")
    assert again.status.tolist() == ["skipped"] and not again.notes[0]  # the same three
    other = run(lenses=OTHER)
    assert other.status.tolist() == ["skipped"] and "lens=[16.0, 1.8, 40.0]" in other.notes[0]


def test_what_a_folder_is_refused_for(restorer, folder):
    with pytest.raises(ValueError, match='give lenses="16,f/1.8,40", or a file'):
        restore_files(folder / "src", folder / "out", restorer)
    with pytest.raises(ValueError, match="disparity missing"):
        restore_files(folder / "src", folder / "out", restorer, lenses=(16, 1.8))
    with pytest.raises(OSError, match=r"nowhere\.txt"):
        restore_files(folder / "src", folder / "out", restorer, lenses=folder / "nowhere.txt")
    plain = CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,)))
    silent = Restorer(plain, SDE, {"task": "dehazing"}, "cpu")
    with pytest.raises(ValueError, match="lenses= is for a model that is told lenses"):
        restore_files(folder / "src", folder / "out", silent, lenses=ASKED)
    assert not (folder / "out").exists()


# Scoring


def test_cases_that_are_made(restorer):
    photos = {f"p{i}": x for i, x in enumerate(pictures(2, size=32))}
    cases = FromClean("bokeh", photos, seed=3)
    first, second = cases[0], cases[1]
    assert first.options["lens"][0] == pytest.approx(16) and first.options != second.options
    again = FromClean("bokeh", photos, seed=3)[0]
    assert again.options == first.options
    assert torch.equal(again.mu, first.mu) and torch.equal(again.x0, first.x0)
    assert not torch.equal(first.x0, photos["p0"])  # by the target lens
    table = evaluate(restorer, cases, "denoising", lpips=False)
    assert (table.error == "").all()


def test_cases_that_are_read(restorer, folder):
    cases = FromPairs("bokeh", folder / "src", folder / "tgt", lenses=folder / "meta.txt")
    assert cases[0].options == {"lens": (16.0, 1.8, 40.0)}
    table = evaluate(restorer, cases, "denoising", lpips=False)
    assert table.error[:2].tolist() == ["", ""] and table.attrs["n_images"] == 2
    assert table.error[2].endswith("meta.txt has no line for 2")
    with pytest.raises(ValueError, match="pairs for bokeh need lenses="):
        FromPairs("bokeh", folder / "src", folder / "tgt")
    with pytest.raises(ValueError, match="lenses= is for bokeh, not for deraining"):
        FromPairs("deraining", folder / "src", folder / "tgt", lenses=ASKED)


def test_a_network_that_is_told_none_is_scored_as_well(folder):
    plain = CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,)))
    silent = Restorer(plain, SDE, {"task": "bokeh", "steps": 2}, "cpu")
    cases = FromPairs("bokeh", folder / "src", folder / "tgt", lenses=ASKED)
    table = evaluate(silent, cases, "denoising", lpips=False)
    assert (table.error == "").all()


def test_a_file_of_weights_is_scored(restorer, folder):
    path = checkpoint.save(folder / "net.safetensors", restorer.model, SDE, **restorer.about)
    pair = (folder / "src", folder / "tgt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = evaluate_task(weights=path, pairs=pair, lenses=folder / "meta.txt", lpips=False, device="cpu")
        made = evaluate_task(weights=path, clean=folder / "tgt", lpips=False, device="cpu")
    assert table.attrs["n_images"] == 2 and made.attrs["n_images"] == 3
    with pytest.raises(ValueError, match="lenses= is for pairs="):
        evaluate_task(weights=path, clean=folder / "tgt", lenses=ASKED, lpips=False, device="cpu")


# The command line


def irsde(*words):
    return CliRunner().invoke(main, [*map(str, words)])


def test_the_command_line(restorer, folder):
    path = checkpoint.save(folder / "net.safetensors", restorer.model, SDE, **restorer.about)
    run = ("restore", folder / "src", "--weights", path, "--device", "cpu", "--quiet", "--out")
    asked = irsde(*run, folder / "one", "--lens", "16,f/1.8,40")
    assert asked.exit_code == 0, asked.output
    named = irsde(*run, folder / "file", "--lenses", folder / "meta.txt")
    assert named.exit_code == 1 and "meta.txt has no line for" in named.output
    assert torch.equal(read_image(folder / "one/0.png"), read_image(folder / "file/0.png"))
    assert not (folder / "file/2.png").exists()
    missing = irsde(*run, folder / "none")
    assert missing.exit_code == 2
    assert "give --lenses 16,f/1.8,40, or a file" in " ".join(missing.output.split())
    assert irsde(*run, folder / "none", "--lens", "16,1.8").exit_code != 0


def test_the_command_line_scores(restorer, folder):
    path = checkpoint.save(folder / "net.safetensors", restorer.model, SDE, **restorer.about)
    pair = ("--pairs", folder / "src", folder / "tgt")
    run = ("evaluate", "--weights", path, *pair, "--device", "cpu", "--quiet")
    scored = irsde(*run, "--lenses", folder / "meta.txt")
    assert scored.exit_code == 1 and "meta.txt has no line for 2" in scored.output
    assert irsde(*run, "--lens", "16,1.8,40").exit_code == 0
    missing = irsde(*run)
    assert missing.exit_code != 0 and "pairs for bokeh need --lenses" in missing.output


def test_degraded_pictures_are_pairs_with_their_lenses(restorer, folder):
    path = checkpoint.save(folder / "net.safetensors", restorer.model, SDE, **restorer.about)
    out = folder / "out"
    made = irsde("degrade", folder / "src", "--task", "bokeh", "--out", out, "--seed", 1)
    assert made.exit_code == 0 and made.stdout.split() == [f"{out}/{i}.png" for i in range(3)]
    assert f"lenses: {out}/lenses.csv; by the target lens: {out}/target" in made.stderr
    told = read_lenses(out / "lenses.csv")
    assert [*told] == ["0", "1", "2"] and len({*told.values()}) == 3
    random = seeded(1, name_seed(Path("1.png")), 0, 3)
    clean, mu, lens = Lens().pair(read_image(folder / "src/1.png")[None], random)
    for file, picture in ((out / "1.png", mu), (out / "target/1.png", clean)):
        assert (read_image(file) - picture[0]).abs().max() < 0.51 / 255
    assert told["1"] == pytest.approx(lens[0].tolist(), rel=1e-5)
    pair = ("--pairs", out, out / "target", "--lenses", out / "lenses.csv")
    scored = irsde("evaluate", "--weights", path, *pair, "--device", "cpu", "--quiet")
    assert scored.exit_code == 0 and "3 done" in scored.stderr, scored.output


@pytest.fixture
def degraded(folder):
    "A call that degrades the three pictures by two lenses"

    def degrade(**how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return degrade_files(folder / "src", folder / "out", Lens(), **how)

    return degrade


def test_what_is_there_keeps_its_lenses(degraded, folder):
    file = folder / "out/lenses.csv"
    assert degraded().attrs["lenses"] == str(file)
    told, text = read_lenses(file), file.read_text()
    file.unlink()
    assert {*degraded()["status"]} == {"skipped"} and file.read_text() == text  # by the records
    assert {*degraded(seed=1)["status"]} == {"skipped"} and file.read_text() == text
    (folder / "out/1.png").unlink()
    assert degraded()["status"].tolist() == ["skipped", "degraded", "skipped"] and file.read_text() == text
    (folder / "out" / RECORD).unlink()
    assert {*degraded()["notes"]} == {""} and file.read_text() == text  # by the file
    file.unlink()
    assert "its lenses are not known" in degraded()["notes"][0] and not file.exists()
    assert degraded(seed=1, overwrite=True)["status"][0] == "degraded"
    assert read_lenses(file).keys() == told.keys() and read_lenses(file) != told


def test_work_that_is_stopped_leaves_the_lenses_of_what_is_done(degraded, folder):
    def stop(done, total, path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        degraded(progress=stop)
    assert [*read_lenses(folder / "out/lenses.csv")] == ["0"]
    degraded()
    assert [*read_lenses(folder / "out/lenses.csv")] == ["0", "1", "2"]


def test_lenses_of_others_and_names_that_no_file_holds(degraded, folder):
    (folder / "out").mkdir()
    (folder / "out/lenses.csv").write_text("id,source,target\na,16,2\n")
    with pytest.raises(ValueError, match="lenses.csv is not of irsde degrade: choose another output folder"):
        degraded()
    (folder / "out/lenses.csv").unlink()
    write_image(folder / "src/a,b.png", pictures(1)[0])
    with pytest.raises(ValueError, match="^a,b: in a file of lenses"):
        degraded()
    (folder / "src/a,b.png").rename(folder / "src/0.bmp")
    with pytest.raises(ValueError, match="^0: in a file of lenses a name is without ending, of one picture"):
        degraded()
    assert not [*(folder / "out").iterdir()]
    (folder / "src/0.bmp").unlink()
    (folder / "out/target").mkdir()
    write_image(folder / "out/target/1.png", pictures(1)[0])  # somebody's
    table = degraded()
    assert table["status"].tolist() == ["degraded", "failed", "degraded"]
    assert "target/1.png is there, made by something unknown" in table["error"][1]
    assert [*read_lenses(folder / "out/lenses.csv")] == ["0", "2"]


def test_a_file_of_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "lenses.csv").write_bytes("\ufeffname,source,target,disparity\na,16,1.8,\n".encode())
    (source, target, disparity), = read_lenses(tmp_path / "lenses.csv").values()
    assert (source, target) == (16, 1.8) and disparity != disparity
    with pytest.raises(ValueError, match="disparity missing"):
        Lenses("16,f/1.8")
