"Tiles, copies, one picture, a folder of them."

import math
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
from irsde.noise import adapt, as_grey, independent, noise_level
from irsde.predict import CleanPrediction, inner
from irsde.restore import Sampling
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
        dict(seed=-1),
        dict(seed=1.5),
        dict(seed=2**64),
        dict(clamp_x0=0.5),
        dict(clamp_x0=(0, 1, 2)),
        dict(clamp_x0=("a", "b")),
        dict(enlarged=True),
        dict(invert_mask=True),
        dict(invert_mask="yes"),
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


def test_a_folder_of_masks_goes_by_the_pictures_name(sde, rng, tmp_path):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "inpainting", "steps": 1})
    mask = np.ones((20, 24), bool)
    mask[5:9, 5:9] = False
    save(tmp_path / "masks" / "frame.0001.png", mask)
    path = save(tmp_path / "in" / "frame.0001.png", photo(rng) // 2)
    assert np.array_equal(np.asarray(r(path, mask=tmp_path / "masks")), np.asarray(r(path, mask=mask)))
    with pytest.raises(ValueError, match="is a folder"):
        r(photo(rng), mask=tmp_path / "masks")


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
    with pytest.warns(UserWarning, match="hardly any noise"):
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


# ---- noise that the network has not seen


@pytest.fixture
def denoiser(denoising):
    net = CleanPrediction(denoising, nafnet())
    return Restorer(net, denoising, {"task": "denoising", "solver": "exp-ode-2", "steps": 1}, "cpu")


def test_grey_noise_becomes_independent_and_its_mean_stays(generator):
    n = 0.1 * torch.randn(1, 1, 400, 400, generator=generator)
    three = independent(n.expand(1, 3, -1, -1), 0.1, torch.randn(1, 3, 400, 400, generator=generator))
    cov = np.cov(three[0].flatten(1).numpy()) / 0.01
    np.testing.assert_allclose(cov, 3 * np.eye(3), atol=6 * 3 * (2 / 160000) ** 0.5)
    torch.testing.assert_close(three.mean(1, keepdim=True), n, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "sigma, lam, grey", [(0.1, 0.3, False), (0.5, 0.3, False), (0.1, 0.3, True), (0.5, 0.3, True)]
)
def test_there_and_back(sigma, lam, grey, generator):
    way, level = adapt(sigma, lam, grey)
    y = torch.rand(1, 3, 8, 8, generator=generator)
    y = y[:, :1].expand(1, 3, -1, -1) if grey else y
    there = way.into(y, torch.randn(1, 3, 8, 8, generator=generator))
    back = way.back(there)
    if grey:
        back, y = back.mean(1), y.mean(1)
    torch.testing.assert_close(back, y, rtol=0, atol=1e-6)
    assert level <= lam and level == pytest.approx(way.contrast * sigma * (3**0.5 if grey else 1))
    low, high = way.clamp((0, 1))
    assert way.back(torch.tensor([low, high])).tolist() == pytest.approx([0, 1]) and way.clamp(None) is None
    if not grey and sigma < lam:
        assert torch.equal(there, y)


def test_what_the_network_is_shown_of_a_grey_picture(denoising):
    "An exact denoiser of independent noise: the posterior mean of a flat prior N(1/2, 0.2^2)"
    seen = []

    class Exact(torch.nn.Module):
        arguments = {"channels": 3}

        def forward(self, x, mu, t):
            seen.append((x.clone(), t))
            s = float(denoising.std(t))
            x0 = 0.5 + (x - 0.5) * 0.04 / (0.04 + s * s)
            return (x - x0) / s

    r = Restorer(Exact(), denoising, {"task": "denoising"}, "cpu")
    g = torch.Generator().manual_seed(1)
    for sigma, most in ((20 / 255, 1.0), (60 / 255, 0.73)):
        y = 0.5 + sigma * torch.randn(1, 128, 128, generator=g)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = r(y, sigma=sigma, steps=1, clamp_x0=None, solver="exp-ode-2")
        x, t = seen[-1]
        noise = x[0] - 0.5
        cov = np.cov(noise.flatten(1).numpy()) / float(denoising.std(t)) ** 2
        np.testing.assert_allclose(cov, np.eye(3), atol=0.1)  # just what it knows
        assert float(x.std()) <= denoising.lam * 1.02 and found.shape == y.shape
        assert (found - 0.5).std() < most * (y - 0.5).std()


def test_grey_comes_out_grey_and_the_seed_decides(denoiser, rng):
    grey = np.clip(128 + 20 * rng.standard_normal((24, 20)), 0, 255).astype(np.uint8)
    three = np.dstack([grey] * 3)
    one, found = denoiser(grey, sigma=20 / 255), denoiser(three, sigma=20 / 255)
    assert np.array_equal(found[..., 0], one) and (np.ptp(found.astype(int), axis=-1) == 0).all()
    assert np.array_equal(denoiser(grey, sigma=20 / 255), one)
    assert not np.array_equal(denoiser(grey, sigma=20 / 255, seed=1), one)
    rgba = np.dstack([three, rng.integers(0, 256, (24, 20), dtype=np.uint8)])
    assert np.array_equal(denoiser(rgba, sigma=20 / 255), np.dstack([found, rgba[..., 3]]))
    nearly = three.copy()
    nearly[::2, :, 1] += 1  # as lossy WebP does
    assert (np.ptp(denoiser(nearly, sigma=20 / 255).astype(int), axis=-1) == 0).all()
    assert as_grey(torch.rand(3, 9, 9)) is None
    many = denoiser.samples(grey, 3, sigma=20 / 255, all=True, solver="exp-sde-2", steps=2)
    assert not np.array_equal(many.all[0], many.all[1])


def test_a_batch_of_grey_pictures_is_restored_as_one_by_one(denoiser, rng):
    pictures = [
        np.clip(128 + s * rng.standard_normal((24, 20)), 0, 255).astype(np.uint8) for s in (20, 20, 60, 70)
    ]
    from irsde.images import as_pictures

    jobs = [denoiser.prepare(as_pictures(p)[0][0], sigma=s / 255) for p, s in zip(pictures, (20, 20, 60, 70))]
    assert jobs[0].kin == jobs[1].kin and len({job.kin for job in jobs[1:]}) == 3  # contrasts differ
    keys = [(0, 7, 0), (0, 9, 0)]
    both = denoiser.restore_batch(jobs[:2], keys, Sampling())
    each = [denoiser.restore_batch([job], [key], Sampling())[0] for job, key in zip(jobs, keys)]
    torch.testing.assert_close(torch.stack(both), torch.stack(each), rtol=0, atol=1e-5)


def test_more_noise_than_the_model_knows(denoiser, rng):
    colour = np.clip(128 + 110 * rng.standard_normal((32, 40, 3)), 0, 255).astype(np.uint8)
    for sigma in (None, 100 / 255):
        with pytest.warns(UserWarning, match="is above 75/255"):
            assert denoiser(colour, sigma=sigma).shape == colour.shape
    with pytest.warns(UserWarning, match="is above 43/255.*in a grey picture"):
        denoiser(colour[..., 0], sigma=50 / 255)
    from irsde.images import as_pictures

    (given,), _ = as_pictures(colour)
    job = denoiser.prepare(given, sigma=100 / 255)
    assert job.sigma == 100 / 255 and job.t_start == 100 and len(job.notes) == 1
    tiled = denoiser(colour, sigma=100 / 255, tile=32, overlap=8)  # the clamp goes by the contrast there too
    assert tiled.shape == colour.shape


def test_weights_that_cannot_be_helped_say_so(sde, rng):
    net = CleanPrediction(sde, nafnet())
    grey = rng.integers(0, 256, (20, 24), dtype=np.uint8)
    for more in ({}, {"training": {"loss": "regression"}}):
        r = Restorer(net, sde, {"task": "denoising", **more}, "cpu")
        with pytest.warns(UserWarning, match="picture is grey"):
            r(grey)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            r(photo(rng))


# ---- asked wrongly


def test_what_is_wrong_for_the_task_is_refused_before_the_first_file(restorer, denoiser, tmp_path):
    for how, given, said in (
        (Sampling(), dict(mask=tmp_path / "no.png"), "mask= is for inpainting"),
        (Sampling(), dict(invert_mask=True), "is for inpainting"),
        (Sampling(), dict(enlarged=True), "is for super-resolution"),
        (Sampling(), dict(seed=-1), "seed is a whole number from 0"),
        (Sampling(), dict(sigma=0.1), "sigma= is for"),
        (Sampling(tile=1), dict(), "tile=1 is too small: take a tile of at least"),
    ):
        with pytest.raises(ValueError, match=said):
            restorer.check(how, **given)
    with pytest.raises(ValueError, match="would all be the same.*exp-sde-2"):
        denoiser.check(Sampling(), samples=2)
    with pytest.raises(ValueError, match="sigma=25/255"):
        denoiser.check(Sampling(), sigma=25)
    denoiser.check(Sampling("exp-sde-2"), samples=2, seed=2**64 - 1, sigma=1.0)
    filler = Restorer(restorer.model, restorer.sde, {"task": "inpainting"}, "cpu")
    with pytest.raises(FileNotFoundError, match="no mask"):
        filler.check(Sampling(), mask=tmp_path / "no.png")
    with pytest.raises(ValueError, match="mask="):
        filler.check(Sampling(), invert_mask=True)
    filler.check(Sampling(), mask=tmp_path, invert_mask=True)
    plain = Restorer(restorer.model, restorer.sde, {"training": {"loss": "regression"}}, "cpu")
    with pytest.raises(ValueError, match="regression"):
        plain.check(Sampling(), samples=2)


def test_weights_that_are_none(restorer, tmp_path, rng):
    for given, error, said in (
        ("photo.png", ValueError, "the picture comes first"),
        (tmp_path / "photo.JPG", ValueError, "the picture comes first"),
        (photo(rng), TypeError, "the picture comes first"),
        (Image.fromarray(photo(rng)), TypeError, "the picture comes first"),
        (tmp_path, ValueError, "is a folder"),
        ("derain", FileNotFoundError, "deraining is one"),
        ("superresolution", FileNotFoundError, "super-resolution is one"),
    ):
        with pytest.raises(error, match=said):
            Restorer.from_pretrained(given)
    with pytest.raises(ValueError, match="is a folder"):
        restorer.save_pretrained(tmp_path)
    for device in ("gpu", "cdua", 1.5):
        with pytest.raises(ValueError, match="auto, cpu, cuda"):
            restorer.to(device)


def test_a_picture_of_full_size_is_taken_as_it_is(sde, rng):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "super-resolution", "steps": 1, "factor": 2})
    assert r(photo(rng, 11, 13), enlarged=True).shape == (11, 13, 3)
    assert r.samples(photo(rng, 11, 13), 2, enlarged=True).std.shape == (11, 13)


def test_notes_are_one_warning_at_the_callers_line(sde, rng):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "inpainting", "steps": 1})
    mask = np.zeros((20, 24), bool)
    mask[:3, :3] = True
    pixels = photo(rng) // 2
    for call in (lambda: r(pixels, mask=mask), lambda: r.samples(pixels, 2, mask=mask)):
        with pytest.warns(UserWarning, match="invert_mask=True") as caught:
            call()
        assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(r(pixels, mask=mask, invert_mask=True), r(pixels, mask=~mask))


def test_values_around_zero_are_refused(restorer, denoiser):
    x = picture(3, 40, 40)
    for given in (2 * x - 1, (2 * x - 1).permute(1, 2, 0).numpy(), (2 * x - 1)[None], 2 * x[:1] - 1):
        for r in (restorer, denoiser):
            with pytest.raises(ValueError, match=r"values from -.*\(x \+ 1\) / 2 brings them into"):
                r(given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restorer(x)
        dark = 0.05 * x + 60 / 255 * torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
        denoiser(dark, sigma=60 / 255)


def test_what_the_network_clips_is_said(restorer, denoiser):
    x = picture(3, 40, 40)
    array = x.permute(1, 2, 0).numpy()
    for given in (3 * x, x * 1.15, x - 0.4, 3 * array, 3.0 * array.astype(np.float64), 3 * x.half()):
        with pytest.warns(UserWarning, match="0 to 1 is clipped"):
            restorer(given)
    few = x.clone()
    few[0, 0, :2] = 1.4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (x, x * 1.1, few):
            restorer(given)
        denoiser(x + 40 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))


def test_few_bits_in_sixteen_are_said(restorer, rng):
    pixels = photo(rng).astype(np.uint16)
    for factor, bits in ((1, 8), (4, 10), (16, 12)):
        with pytest.warns(UserWarning, match=f"of 65535.*{bits}-bit numbers"):
            restorer(pixels * np.uint16(factor))
    with pytest.warns(UserWarning, match="8-bit numbers"):
        restorer(Image.fromarray(pixels[..., 0].astype(np.int32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (pixels * np.uint16(257), pixels * np.uint16(0), pixels.astype(np.uint8)):
            restorer(given)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_come_back_as_they_came(restorer, kind):
    x = picture(3, 20, 24).to(kind)
    found = restorer(x)
    assert found.dtype == kind
    torch.testing.assert_close(found.float(), restorer(x.float()), rtol=0, atol=0.01)
    assert restorer(x[None]).dtype == kind


def test_a_turned_photo_and_a_mask(sde, rng, tmp_path):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "inpainting", "steps": 1})
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(photo(rng) // 2).save(tmp_path / "a.png", exif=exif)
    mask = np.ones((24, 20), bool)
    mask[3:9, 3:9] = False
    with Image.open(tmp_path / "a.png") as image:
        for given in (tmp_path / "a.png", image):
            with pytest.warns(UserWarning, match="turned upright"):
                r(given, mask=mask)
    with pytest.raises(ValueError, match="24x20, the picture 20x24.*turned upright"):
        r(tmp_path / "a.png", mask=mask.T)


def test_holes_of_a_transparent_picture_are_filled(sde, rng):
    r = Restorer(CleanPrediction(sde, nafnet()), sde, {"task": "inpainting", "steps": 1})
    pixels = np.dstack([photo(rng) // 2, np.full((20, 24), 255, np.uint8)])
    pixels[5:9, 5:9, 3] = 0
    with pytest.warns(UserWarning, match="transparent"):
        found = r(pixels)
    assert (found[..., 3] == 255).all()
    known = pixels[..., 3] == 255
    assert np.array_equal(found[known], pixels[known]) and not np.array_equal(found[~known], pixels[~known])


# ---- folders


def names(folder):
    "What lies in it, without the hidden file that says how it was made"
    return sorted(p.name for p in folder.iterdir() if p.name[0] != ".")


@pytest.fixture
def folder(tmp_path, rng):
    for name in ("a.png", "b.jpg", "c.png"):
        save(tmp_path / "in" / name, photo(rng))
    return tmp_path / "in"


def test_a_folder(folder, restorer, tmp_path):
    seen = []
    report = restore_files(folder, tmp_path / "out", restorer, progress=lambda *args: seen.append(args[:2]))
    assert report["status"].tolist() == ["restored"] * 3 and seen == [(1, 3), (2, 3), (3, 3)]
    assert names(tmp_path / "out") == ["a.png", "b.jpg", "c.png"]
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
    assert len(names(tmp_path / "out")) == 2
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
    assert names(tmp_path / "out") == ["a.png", "c.png"]


def test_inputs_are_never_written_over(folder, restorer, tmp_path, rng):
    def half(clean, generator):
        return clean / 2

    save(tmp_path / "other" / "a.png", photo(rng))
    for run in (lambda i, o: restore_files(i, o, restorer), lambda i, o: degrade_files(i, o, half)):
        before = (folder / "a.png").read_bytes()
        for inputs, out in ((folder, folder), (folder / "a.png", folder)):
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


# ---- measured material


def test_measured_material_of_the_wrong_kind_is_named_in_plain_words(tmp_path):
    from irsde.degrade import Holes, load_kernels

    masks = torch.ones(1, 20, 30)
    masks[:, 5:9, 5:9] = 0
    with pytest.raises(ValueError, match="masks of 30x20 are too small for a picture of 40x24: take masks"):
        Holes(masks=masks)(torch.rand(1, 3, 24, 40))
    with pytest.raises(IsADirectoryError, match="is a folder.*one .npz file, and there is none in it"):
        load_kernels(tmp_path)
    np.savez(tmp_path / "k.npz", np.full((3, 3), 1 / 9))
    with pytest.raises(IsADirectoryError, match="such as .*k.npz"):
        load_kernels(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_kernels(tmp_path / "none.npz")
    assert len(load_kernels(tmp_path / "k.npz")) == 1


@pytest.mark.parametrize("device", ["xpu", "hpu", "lazy"])
def test_a_device_that_is_not_here_is_named(device):
    from irsde.tiling import pick_device

    with pytest.raises(RuntimeError, match=f"there is no {device} device here"):
        pick_device(device)


@pytest.mark.parametrize(("scale", "tile"), [(1, 64), (4, 128)])
def test_memory_that_is_too_small_names_a_tile_of_the_picture(scale, tile):
    from types import SimpleNamespace

    from irsde.tiling import no_memory

    assert str(no_memory((300, 300), SimpleNamespace(tile=256 // scale), scale)).endswith(
        "in tiles of 256: try tile=128")


@pytest.mark.parametrize(
    "picture_",
    [
        torch.full((3, 16, 16), float("nan")),
        torch.zeros(3, 16, 16, dtype=torch.uint8),
        torch.zeros(1, 3, 16, 16),
        torch.zeros(16, 16),
    ],
)
def test_noise_of_what_is_no_picture_is_no_number(picture_):
    with pytest.raises(ValueError, match="a picture is a") as said:
        noise_level(picture_)
    assert str(said.value).endswith("of torch.float32 with NaN or Inf") == bool(picture_.isnan().any())
    assert "False" not in str(said.value)


def test_noise_of_any_float_picture_is_found():
    noisy = 0.5 + 0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    for made in (noisy.double(), noisy.bfloat16(), noisy.requires_grad_()):
        assert noise_level(made) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("t", [0, np.int64(0), -3.0, math.nan, "5", None])
def test_a_network_is_asked_at_times_from_1(t):
    net = ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,))
    with pytest.raises(ValueError, match="time"):
        net(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), t)
