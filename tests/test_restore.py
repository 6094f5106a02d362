"Tiles, copies, one picture, a folder of them."

import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import irsde
from irsde import DenoisingSDE, Restorer, ThetaSchedule
from irsde.folders import degrade_files, restore_files
from irsde.images import read
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction, inner
from irsde.restore import Sampling, noise_level
from irsde.tiling import Ensemble, Tiled, tile_weights

from .conftest import fill, picture


def nafnet():
    return fill(ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,)))


@pytest.fixture
def restorer(sde):
    return Restorer(
        CleanPrediction(sde, nafnet()), sde, {"task": "deraining", "solver": "posterior", "steps": 3}
    )


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def photo(rng, h=20, w=24):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


# ---- tiles and copies


@pytest.mark.parametrize("n, tile, overlap", [(100, 32, 8), (33, 32, 8), (64, 32, 16), (20, 32, 8)])
def test_windows_of_tiles_sum_to_one(n, tile, overlap):
    from irsde.tiling import tile_starts

    starts = tile_starts(n, tile, overlap, 4)
    weights = tile_weights(n, starts, tile, overlap)
    torch.testing.assert_close(weights.sum(0), torch.ones(n))
    assert (
        starts[0] == 0
        and starts[-1] + tile >= n
        and all(b - a <= tile - overlap for a, b in zip(starts, starts[1:]))
    )
    assert all(a % 4 == 0 for a in starts) and (weights >= 0).all()


def test_tiles_of_a_model_that_sees_one_pixel_change_nothing():
    def model(x, mu, t):
        return 2 * x - mu * t

    x, mu = picture(2, 3, 50, 70), picture(2, 3, 50, 70, seed=1)
    for batch in (1, 3):
        torch.testing.assert_close(Tiled(model, 32, 8, batch, 1)(x, mu, 5), model(x, mu, 5))
    with pytest.raises(ValueError):
        Tiled(model, 8, 6, 1, 1)


def test_each_tile_is_asked_once_with_its_own_part():
    seen = []

    def model(x, mu, t):
        seen.append(x.shape)
        return x

    Tiled(model, 32, 0, 1, 1)(*[picture(1, 3, 64, 64)] * 2, 5)
    assert seen == [(1, 3, 32, 32)] * 4


def test_an_ensemble_is_blind_to_turns():
    def model(x, mu, t):
        return x * torch.linspace(0, 1, x.shape[3])  # prefers the right

    x = picture(1, 3, 16, 16)
    torch.testing.assert_close(Ensemble(model, 2)(x, x, 1), x / 2)
    torch.testing.assert_close(Ensemble(lambda x, mu, t: x, 8)(x, x, 1), x)  # each copy is turned back
    e8 = Ensemble(model, 8)
    torch.testing.assert_close(e8(x.rot90(1, (2, 3)), x.rot90(1, (2, 3)), 1), e8(x, x, 1).rot90(1, (2, 3)))
    with pytest.raises(ValueError):
        Ensemble(model, 3)


# ---- one picture


def test_what_goes_in_comes_out(restorer, rng, tmp_path):
    pixels = photo(rng)
    path = save(tmp_path / "a.png", pixels)
    as_array = restorer(pixels)
    assert isinstance(as_array, np.ndarray) and as_array.dtype == np.uint8 and as_array.shape == pixels.shape
    for other in (restorer(path), restorer(str(path)), restorer(Image.fromarray(pixels))):
        assert isinstance(other, Image.Image) and np.array_equal(np.asarray(other), as_array)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    found = restorer(tensor)
    assert found.shape == tensor.shape and np.array_equal(
        (found.clamp(0, 1) * 255).round().permute(1, 2, 0).byte().numpy(), as_array
    )
    assert restorer(tensor[None].expand(2, -1, -1, -1)).shape == (2, 3, 20, 24)


def test_the_seed_decides(restorer):
    x = picture(3, 20, 24)
    assert torch.equal(restorer(x, seed=1), restorer(x, seed=1))
    assert not torch.equal(restorer(x, seed=1), restorer(x, seed=2))
    assert torch.equal(restorer(x), restorer(x, seed=0))


def test_samples_have_mean_and_spread(restorer):
    x = picture(3, 20, 24)
    found = restorer.samples(x, 4, all=True)
    every = torch.stack(list(found.all))
    torch.testing.assert_close(found.mean, every.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.as_tensor(found.std), every.var(0).mean(0).sqrt(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(restorer(x, samples=4), found.mean)


def test_a_restorer_leaves_the_model_alone(sde):
    net = nafnet().train()
    model, x = CleanPrediction(sde, net), picture(3, 40, 40)
    about = {"task": "deraining", "steps": 2}
    near = Restorer(model, sde, about, pool=16)
    first = near(x)
    whole = Restorer(model, sde, about, pool=0)
    second = whole(x)
    assert torch.equal(near(x), first) and torch.equal(whole(x), second) and not torch.equal(first, second)
    assert (
        net.training
        and model.training
        and all(m.window is None for m in net.modules() if hasattr(m, "window"))
    )
    net.stem.weight.data.mul_(1.5)  # one set of weights: what is trained on is restored with
    assert not torch.equal(near(x), first)


def test_save_pretrained_and_from_pretrained(restorer, tmp_path):
    x = picture(3, 20, 24)
    restorer.save_pretrained(tmp_path / "a.safetensors")
    again = Restorer.from_pretrained(tmp_path / "a.safetensors")
    assert torch.equal(again(x), restorer(x)) and again.task == "deraining"
    assert restorer.to("cpu") is restorer
    with pytest.raises(ValueError, match="dehazing"):
        Restorer.from_pretrained(tmp_path / "a.safetensors", task="dehazing")
    with pytest.raises(ValueError, match="dehazing"):
        Restorer.from_pretrained("deraining", task="dehazing")
    with pytest.raises((RuntimeError, AssertionError)):
        again.to("cuda:99")
    assert again.device.type == "cpu" and torch.equal(again(x), restorer(x))
    with pytest.raises(FileNotFoundError, match="deraining, deblurring"):
        Restorer.from_pretrained("derain")


def test_a_callback_sees_every_call(restorer):
    calls = []
    restorer(picture(3, 20, 24), callback=lambda *args: calls.append(args[:2]))
    assert [n for n, _ in calls] in ([1, 2, 3], [0, 1, 2]) and {total for _, total in calls} == {3}


@pytest.mark.parametrize(
    "wrong",
    [
        dict(steps=0),
        dict(steps=101),
        dict(solver="heun"),
        dict(ensemble=3),
        dict(tile=-1),
        dict(samples=0),
        dict(clamp_x0=(1, 0)),
        dict(mask=np.ones((20, 24), bool)),
        dict(sigma=0.1),
        dict(tile=2.5),
    ],
)
def test_wrong_options(restorer, wrong):
    with pytest.raises(ValueError):
        restorer(picture(3, 20, 24), **wrong)


def test_a_misspelt_option_is_told(restorer):
    with pytest.raises(TypeError, match="stepps"):
        restorer(picture(3, 20, 24), stepps=3)
    with pytest.raises(TypeError):
        restorer(picture(3, 20, 24), None, None, "posterior")


@pytest.mark.parametrize(
    "image",
    [
        3,
        torch.zeros(4, 4),
        torch.zeros(0, 3, 4, 4),
        picture(3, 8, 8) * 255,
        picture(3, 8, 8) * np.nan,
        np.zeros((2, 2, 7)),
    ],
)
def test_what_is_no_picture(restorer, image):
    with pytest.raises((ValueError, TypeError)):
        restorer(image)


def test_sampling_is_checked_when_it_is_made():
    assert Sampling().clamp_x0 == (0, 1)
    for wrong in (dict(steps=0), dict(ensemble=3), dict(tile=-1), dict(solver="heun"), dict(clamp_x0=(2, 1))):
        with pytest.raises(ValueError):
            Sampling(**wrong)
    assert pickle.loads(pickle.dumps(Sampling(steps=3))) == Sampling(steps=3)


def test_tiles_and_alpha(restorer, rng):
    pixels = np.concatenate([photo(rng, 40, 50), rng.integers(0, 256, (40, 50, 1), dtype=np.uint8)], -1)
    found = restorer(pixels, tile=32, overlap=8)
    assert found.shape == pixels.shape and np.array_equal(found[..., 3], pixels[..., 3])
    whole = restorer(pixels[..., :3])
    assert np.abs(found[..., :3].astype(int) - whole).mean() < 12


def test_inpainting_keeps_what_is_known(sde, rng):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "inpainting", "steps": 2})
    pixels, mask = photo(rng) // 2, np.ones((20, 24), bool)
    mask[5:9, 5:9] = False
    found = r(pixels, mask=mask)
    assert np.array_equal(found[mask], pixels[mask]) and not np.array_equal(found[~mask], pixels[~mask])
    with pytest.raises(ValueError, match="no white holes"):
        r(pixels)
    with pytest.raises(ValueError, match="of one size"):
        r(pixels, mask=mask[:4])


def test_super_resolution_enlarges(sde, rng):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "super-resolution", "steps": 1, "factor": 2})
    assert r(photo(rng, 10, 12)).shape == (20, 24, 3)


def test_denoising_starts_at_the_noise(denoising):
    seen = []

    def model(x, mu, t):
        seen.append(t)
        return torch.zeros_like(x)

    r = Restorer(model, denoising, {"task": "denoising"})
    r(picture(3, 20, 24), sigma=25 / 255, steps=2)
    assert seen == [21, 10]
    with pytest.raises(ValueError, match="sigma"):
        r(picture(3, 20, 24), sigma=2.0)
    assert torch.equal(r(picture(3, 20, 24), sigma=0.0), picture(3, 20, 24))


def test_noise_level_is_the_median_of_its_windows(generator):
    flat = torch.full((3, 1300, 1300), 0.5)
    noise = torch.randn(3, 1300, 1300, generator=generator)
    assert noise_level(flat + 0.1 * noise) == pytest.approx(0.1, rel=0.05)
    noise[:, :512, :512] *= 5
    assert noise_level(flat + 0.1 * noise) == pytest.approx(0.1, rel=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert noise_level(flat) < 1e-12


def test_grey_and_16_bits(restorer, rng):
    for pixels in (photo(rng)[..., 0], rng.integers(0, 65536, (20, 24, 3), dtype=np.uint16)):
        assert restorer(pixels).dtype == pixels.dtype and restorer(pixels).shape == pixels.shape


def test_the_module_can_be_called(tmp_path, restorer, rng):
    restorer.save_pretrained(tmp_path / "a.safetensors")
    pixels = photo(rng)
    assert np.array_equal(
        irsde.restore(pixels, tmp_path / "a.safetensors", steps=2), restorer(pixels, steps=2)
    )


# ---- folders


@pytest.fixture
def folder(tmp_path, rng):
    for name in ("a.png", "b.jpg", "c.png"):
        save(tmp_path / "in" / name, photo(rng))
    return tmp_path / "in"


def test_a_folder(folder, restorer, tmp_path):
    seen = []
    report = restore_files(folder, tmp_path / "out", restorer, progress=lambda *args: seen.append(args[:2]))
    assert report["status"].tolist() == ["restored"] * 3 and seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "c.png"]
    one = restore_files(folder / "c.png", tmp_path / "one", restorer, seed=0)
    assert (
        np.array_equal(read(tmp_path / "one" / "c.png").values, read(tmp_path / "out" / "c.png").values)
        and len(one) == 1
    )


def test_batches_change_nothing(folder, restorer, tmp_path):
    for name, batch in (("one", 1), ("three", 3)):
        restore_files(folder, tmp_path / name, restorer, batch=batch)
    a, b = (read(tmp_path / name / "c.png").values.astype(int) for name in ("one", "three"))
    assert np.abs(a - b).max() <= 1


def test_it_goes_on_where_it_stopped(folder, restorer, tmp_path):
    def stop(done, total, path):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_files(folder, tmp_path / "out", restorer, progress=stop)
    assert len(list((tmp_path / "out").iterdir())) == 2
    report = restore_files(folder, tmp_path / "out", restorer)
    assert report["status"].tolist() == ["skipped", "skipped", "restored"]
    assert (
        restore_files(folder, tmp_path / "out", restorer, overwrite=True)["status"].tolist()
        == ["restored"] * 3
    )


def test_a_bad_file_is_named_and_the_rest_is_done(folder, restorer, tmp_path):
    (folder / "b.jpg").write_bytes(b"no picture")
    report = restore_files(folder, tmp_path / "out", restorer)
    assert report["status"].tolist() == ["restored", "failed", "restored"] and "b.jpg" in report["error"][1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_inputs_are_never_written_over(folder, restorer, tmp_path, rng):
    def half(clean, generator):
        return clean / 2

    save(tmp_path / "other" / "a.png", photo(rng))
    for run in (lambda i, o: restore_files(i, o, restorer), lambda i, o: degrade_files(i, o, half)):
        before = (folder / "a.png").read_bytes()
        for inputs, out in ((folder, folder), (folder, folder / "out"), (folder / "a.png", folder)):
            with pytest.raises(ValueError, match="written over"):
                run(inputs, out)
        with pytest.raises(ValueError, match="several inputs"):
            run([folder, tmp_path / "other"], tmp_path / "out")
        with pytest.raises((FileNotFoundError, ValueError)):
            run(tmp_path / "none", tmp_path / "out")
        assert (folder / "a.png").read_bytes() == before


def test_std_maps(folder, restorer, tmp_path):
    restore_files(folder / "a.png", tmp_path / "out", restorer, samples=2)
    assert read(tmp_path / "out" / "a-std.png").values.dtype == np.uint16


def test_degraded_files_are_those_of_their_name_and_seed(folder, tmp_path):
    def noisy(clean, generator):
        return (clean + 0.2 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)

    for name, inputs, seed in (("all", folder, 0), ("one", folder / "c.png", 0), ("other", folder, 1)):
        report = degrade_files(inputs, tmp_path / name, noisy, seed=seed)
        assert (report["error"] == "").all()
    a, b, c = (read(tmp_path / name / "c.png").values for name in ("all", "one", "other"))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    (folder / "twin.png").write_bytes((folder / "c.png").read_bytes())
    degrade_files(folder, tmp_path / "twins", noisy)
    twins = [read(tmp_path / "twins" / name).values for name in ("c.png", "twin.png")]
    assert np.array_equal(twins[0], a) and not np.array_equal(*twins)  # the noise goes by the name
    report = degrade_files(folder, tmp_path / "bad", lambda clean, generator: clean[..., 1:])
    assert report["error"].str.contains("degradation").all()


def test_half_precision_of_the_network(sde):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "deraining", "steps": 1}, bf16=True)
    x = picture(3, 20, 24)
    plain = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "deraining", "steps": 1})(x)
    assert 0 < (r(x) - plain).abs().max() < 0.1


def test_a_regression_is_called_once(sde):
    calls = []

    def model(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    r = Restorer(model, sde, {"task": "deraining", "training": {"loss": "regression"}})
    x = picture(3, 20, 24)
    torch.testing.assert_close(r(x), x)
    assert calls == [100] and inner(model) is model
    with pytest.raises(ValueError, match="regression"):
        r(x, steps=3)
    with pytest.raises(ValueError, match="regression"):
        Restorer(
            model,
            DenoisingSDE(ThetaSchedule(delta=0.04), 0.3),
            {"task": "denoising", "training": {"loss": "regression"}},
        )(x, sigma=0.1)
