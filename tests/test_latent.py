"Refusion's autoencoder and its latent, pieces of large pictures, one file for both, two trainings in one."

import functools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from irsde import checkpoint, stages
from irsde.cli import main
from irsde.latent import (
    PRESETS,
    LatentModel,
    LatentUNet,
    latent_replacing_loss,
    latent_spread,
    rescale,
)
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction
from irsde.recipes import Recipe, recipe_in, resolve, train_command, train_task
from irsde.restore import Restorer
from irsde.schedule import ThetaSchedule
from irsde.sde import IRSDE, DenoisingSDE

SDE = IRSDE(ThetaSchedule("cosine", 100, 0.005), 0.5)


def coder(seed=0, **sizes):
    torch.manual_seed(seed)
    return LatentUNet(**{"width": 4, "attention": False, **sizes}).eval()


def pair(embed=4, **sizes):
    net = coder(embed=embed, **sizes)
    return LatentModel(net, SDE, CleanPrediction(SDE, ConditionalNAFNet(embed, 8, (1,), 1, (1,)))).eval()


def picture(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ---- the autoencoder


@pytest.mark.parametrize("name, count", [("paper", 2_007_859), ("bokeh", 6_155_139)])
def test_official_sizes(name, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in LatentUNet(**PRESETS[name]).parameters()) == count


@pytest.mark.parametrize(
    "sizes", [{}, {"attention": True}, {"skips": False}, {"mult": (1,)}, {"mult": (2, 1, 3, 1)}]
)
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (61, 33)])
def test_any_size(sizes, size):
    net, x = coder(**sizes), picture(2, 3, *size)
    with torch.no_grad():
        z, skips = net.encode(x)
        assert z.shape == (2, 4, *net.latent_size(size))
        assert len(skips) == (2 * net.levels + 1 if net.skips else 0)
        both = net.decode(z, skips, size)
        assert both.shape == x.shape and both.isfinite().all()
        torch.testing.assert_close(both[1:], net(x[1:]))


def test_nothing_is_remembered_between_pictures():
    net, x = coder(), picture(1, 3, 40, 24)
    with torch.no_grad():
        z, skips = net.encode(x)
        net.encode(picture(1, 3, 16, 64))
        torch.testing.assert_close(net.decode(z, skips, (40, 24)), net(x))


@pytest.mark.parametrize("tile", [24, 64, 1000])
@pytest.mark.parametrize("size", [(91, 143), (16, 300)])
@pytest.mark.parametrize("sizes", [{}, {"mult": (1,)}, {"skips": False}])
def test_pieces_are_the_whole(tile, size, sizes):
    model, x = LatentModel(coder(**sizes).double(), SDE, lambda x, mu, t: x), picture(1, 3, *size).double()
    with torch.no_grad():
        z = model.encode(x)
        torch.testing.assert_close(model.encode(x, tile), z)
        torch.testing.assert_close(model.decode(z, x, tile), model.decode(z, x))


def test_reach_is_the_farthest_that_a_pixel_sees():
    for mult in ((1,), (1, 2), (1, 1, 2)):
        net, seen = coder(mult=mult).double(), 0
        strip = picture(1, 3, 400, 8).double().requires_grad_()
        for row in range(200, 200 + net.multiple):
            slope = torch.autograd.grad(net(strip)[0, :, row].sum(), strip)[0].abs().amax((0, 1, 3)).nonzero()
            seen = max(seen, row - int(slope.min()), int(slope.max()) - row)
        assert net.reach() - 2 * net.multiple <= seen <= net.reach()


# ---- its loss and its scale


def test_the_loss_by_hand():
    net, x0, mu = coder(), picture(2, 3, 24, 24), picture(2, 3, 24, 24, seed=1)
    noise, even, odd = picture(2, 3, 24, 24, seed=2), torch.tensor([4, 1]), torch.tensor([5, 2])

    def by_hand(clean, lost, jitter=0.0):
        (z_mu, skips), (z_0, _) = net.encode(lost), net.encode(clean)
        z = z_0 + jitter * (z_0 - z_mu).std() * noise.flatten(1)[:, : z_0[0].numel()].reshape(z_0.shape)
        parts = (net.decode(z_mu, skips, (24, 24)) - lost, net.decode(z, skips, (24, 24)) - clean)
        drift = (z_mu.mean() - lost.mean()).abs() + (z_mu.std() - lost.std() / 2).abs()
        return sum(part.abs().mean() for part in parts) + 0.001 * drift

    def loss(t, **how):
        return latent_replacing_loss(None, net, x0, mu, t, noise, **how)

    torch.testing.assert_close(loss(even), by_hand(x0, mu))
    torch.testing.assert_close(loss(odd), by_hand(mu, x0))
    torch.testing.assert_close(loss(odd, swap=False), by_hand(x0, mu))
    torch.testing.assert_close(loss(even, jitter=2e4), by_hand(x0, mu, 2e4))
    assert not torch.isclose(loss(even, jitter=2e4), loss(even))


def test_scaling_leaves_pictures_as_they_are():
    net, x0, mu = coder(), picture(4, 3, 32, 32), picture(4, 3, 32, 32, seed=1)
    with torch.no_grad():
        before, z = net(mu), net.encode(mu)[0]
        spread = latent_spread(net, x0, mu)
        rescale(net, 1 / spread)
        torch.testing.assert_close(net(mu), before, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net.encode(mu)[0], z / spread, rtol=1e-4, atol=1e-5)
    assert latent_spread(net, x0, mu) == pytest.approx(1, rel=1e-4)


def test_a_vae_draws_its_latents_and_is_pulled_towards_a_normal():
    net, x0, mu = coder(skips=False, variational=True), picture(2, 3, 24, 24), picture(2, 3, 24, 24, seed=1)
    noise, t = picture(2, 3, 24, 24, seed=2), torch.tensor([4, 1])
    found, errors, nats = latent_replacing_loss(None, net, x0, mu, t, noise, kl=0.01), 0, 0
    for x in (mu, x0):
        z, _ = net.encode(x)
        assert torch.equal(z, net.encode(x)[0])  # what is not training gets the mean
        std = (net.to_spread(net.seen(x)[0]) / 2).exp()
        draw = z + std * noise.flatten(1)[:, : z[0].numel()].reshape(z.shape)
        errors = errors + (net.decode(draw, [], (24, 24)) - x).abs().mean()
        posterior = torch.distributions.Normal(z, std)
        normal = torch.distributions.Normal(0, 1)
        nats = nats + torch.distributions.kl_divergence(posterior, normal).sum() / 2
    torch.testing.assert_close(found, errors + 0.01 * nats / (3 * 24 * 24))
    found.backward()
    assert net.to_spread.weight.grad.abs().sum() > 0


def test_a_vae_is_scaled_with_its_spread_and_kept_in_a_file(tmp_path):
    net, x = coder(skips=False, variational=True), picture(1, 3, 24, 24)
    with torch.no_grad():
        std, picture_before = (net.to_spread(net.seen(x)[0]) / 2).exp(), net(x)
        rescale(net, 3.0)
        torch.testing.assert_close((net.to_spread(net.seen(x)[0]) / 2).exp(), 3 * std)
        torch.testing.assert_close(net(x), picture_before, rtol=1e-4, atol=1e-5)
        again = checkpoint.load(checkpoint.save(tmp_path / "vae.safetensors", net, SDE))[0]
        assert again.arguments == net.arguments and torch.equal(again(x), net(x))


def test_files_of_before_are_as_they_were():
    "Arguments and names of an autoencoder without variants are those of the first library that had one"
    assert list(coder().arguments) == ["channels", "width", "mult", "embed", "attention", "skips"]
    assert not any("spread" in name for name in coder().state_dict())
    old = {name: value for name, value in coder().arguments.items() if name != "skips"}
    assert LatentUNet(**old).skips


# ---- what is refused


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: LatentUNet(mult=()), "mult"),
        (lambda: LatentUNet(embed=0), "embed"),
        (lambda: coder().encode(picture(1, 3, 7, 40)), "40x7 is smaller than the 8 pixels"),
        (lambda: coder().encode(picture(1, 1, 16, 16)), "takes .b, 3, h, w."),
        (lambda: coder().decode(picture(1, 3, 4, 4), [], (16, 16)), "the latent of 16x16 is .b, 4, 4, 4."),
        (lambda: coder().decode(picture(1, 4, 4, 4), [], (16, 16)), "hands 7 features past"),
        (
            lambda: coder().decode(picture(1, 4, 4, 4), coder().encode(picture(1, 3, 32, 32))[1], (16, 16)),
            "another size",
        ),
        (
            lambda: LatentModel(coder(embed=8), SDE, ConditionalNAFNet(4, 8, (1,), 1, (1,))),
            "4 channels, .* latent has 8",
        ),
        (lambda: LatentModel(coder(), DenoisingSDE(SDE.schedule, 0.3), None), "DenoisingSDE"),
        (lambda: latent_spread(coder(), picture(1, 3, 16, 16), picture(1, 3, 16, 16)), "spread"),
        (lambda: rescale(coder(), 0.0), "factor"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# ---- one file


def test_one_file_holds_both(tmp_path):
    model = pair()
    path = checkpoint.save(tmp_path / "both.safetensors", model, SDE, task="dehazing")
    again, sde, about = checkpoint.load(path)
    x = picture(1, 3, 40, 52)
    with torch.no_grad():
        z = model.encode(x)
        assert torch.equal(again.encode(x), z) and torch.equal(again(z, z, 7), model(z, z, 7))
        assert torch.equal(again.decode(z, x), model.decode(z, x))
    assert sde == SDE and about == {"task": "dehazing"}
    told = checkpoint.describe(path)
    assert told["autoencoder"].startswith("LatentUNet(") and "channels=4" in told["network"]
    assert checkpoint.read_header(path)[0]["header"] == 2  # which older libraries refuse


def test_files_without_a_latent_can_be_read_by_older_libraries(tmp_path):
    net = CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,)))
    assert checkpoint.read_header(checkpoint.save(tmp_path / "one.safetensors", net, SDE))[0]["header"] == 1


def test_a_picture_through_one_file(tmp_path):
    path = checkpoint.save(tmp_path / "both.safetensors", pair(), SDE, task="dehazing", pool=32)
    restorer, x = Restorer.from_pretrained(path), picture(3, 90, 121)
    one = restorer(x, steps=3)
    assert one.shape == x.shape and not torch.equal(one, x)
    torch.testing.assert_close(restorer(x, steps=3, seed=0), one)
    torch.testing.assert_close(
        restorer(x, steps=1, solver="exp-ode-1", tile=64),
        restorer(x, steps=1, solver="exp-ode-1"),
        atol=0.02,
        rtol=0,
    )
    heard = []
    restorer(x, steps=3, tile=64, callback=lambda *what: heard.append(what))
    assert heard[-1][0] == heard[-1][1] and all(x0 is None for *_, x0 in heard)
    with pytest.raises(ValueError, match="mirrored"):
        restorer(x, ensemble=2)
    with pytest.raises(ValueError, match="smaller than the 8 pixels"):
        restorer(picture(3, 5, 50))


def test_half_of_a_pair_is_named(tmp_path):
    path = checkpoint.save(tmp_path / "half.safetensors", coder(), SDE, task="dehazing")
    with pytest.raises(ValueError, match="half of a pair"):
        Restorer.from_pretrained(path)


# ---- two trainings in one


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(10):
        values = np.random.default_rng(k).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"p{k}.png")
    return folder


def recipe(photos, **changes):
    asked = {"ae.iterations": 3, "ae.width": 4, "net.width": 8, **changes.pop("set", {})}
    small = dict(budget="smoke", preset="tiny", iterations=3, batch=2, crop=16)
    return Recipe(task="dehazing", clean=str(photos), latent=True, set=asked, **small, **changes)


def go(asked, run, **how):
    return train_task(asked, run, cpu=True, progress=False, **how)


def test_both_are_trained_and_the_file_restores(photos, tmp_path):
    path = go(recipe(photos), tmp_path / "run")
    model, sde, about = checkpoint.load(path)
    assert isinstance(model, LatentModel) and model.autoencoder.arguments["width"] == 4 and sde.lam == 0.5
    first = checkpoint.load(tmp_path / "run" / "autoencoder" / "model.safetensors")[0]
    x = picture(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode(x), first.encode(x)[0] * about["spread"], rtol=1e-4, atol=1e-5
        )
    assert Restorer.from_pretrained(path)(picture(3, 40, 40)).shape == (3, 40, 40)
    assert "--latent" in train_command(about["recipe"]) and "ae.iterations=3" in train_command(
        about["recipe"]
    )


@pytest.mark.parametrize(
    "variant, told",
    [
        ({"ae.skips": False}, {"skips": False}),
        ({"ae.kl": 1e-6}, {"skips": False, "variational": True}),
    ],
)
def test_variants_without_skips_are_trained_and_restore(photos, tmp_path, variant, told):
    path = go(recipe(photos, set=variant), tmp_path / "run")
    coder = checkpoint.load(path)[0].autoencoder
    assert {name: coder.arguments.get(name) for name in told} == told
    assert Restorer.from_pretrained(path)(picture(3, 40, 40)).shape == (3, 40, 40)
    assert next(iter(variant)) in train_command(checkpoint.load(path)[2]["recipe"])


@pytest.mark.parametrize(
    "stop, variant", [*((s, {}) for s in ("first", "between", "second")), ("first", {"ae.kl": 1e-2})]
)
def test_stopped_anywhere_it_goes_on(photos, tmp_path, monkeypatch, stop, variant):
    "The weights are those of a run that was not stopped, bit for bit"
    whole = checkpoint.load(go(recipe(photos, set=variant), tmp_path / "whole"))[0].state_dict()
    run, calls = tmp_path / "run", []
    places = {"first": "replacing_loss", "between": "scaled_for", "second": "in_latent"}
    right = getattr(stages, places[stop])

    def stopping(*args, **how):
        calls.append(1)
        if stop == "between":
            raise KeyboardInterrupt
        inside = right(*args, **how)

        @functools.wraps(inside)
        def counted(*more, **rest):
            if stop == "first":
                calls.append(1)
                if len(calls) > 2:
                    raise KeyboardInterrupt
                return inside(*more, **rest)
            return cut(inside(*more, **rest))

        return counted

    def cut(batches):
        yield next(batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, places[stop], stopping)
    with pytest.raises(KeyboardInterrupt):
        go(recipe(photos, set=variant), run)
    monkeypatch.setattr(stages, places[stop], right)
    left = (run / "config.json").exists(), (run / "autoencoder" / "config.json").exists()
    assert left == (stop == "second", True)
    assert recipe_in(run) == recipe_in(tmp_path / "whole")
    done = CliRunner().invoke(main, ["train", "--out", str(run), "--resume", "--cpu", "--quiet"])
    assert done.exit_code == 0, done.output
    ended = checkpoint.load(run / "model.safetensors")[0].state_dict()
    assert whole.keys() == ended.keys() and all(torch.equal(whole[name], ended[name]) for name in whole)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"latent": False}, "ae.iterations is of an autoencoder"),
        ({"init": "dehazing"}, "init is for a network that sees pixels"),
        ({"task": "denoising"}, "denoising begins at the noisy picture itself"),
        ({"channels": 1}, "channels is for a network that sees pixels"),
        ({"set": {"ae.depth": 3}}, "depth"),
        ({"set": {"ae.swap": 2}}, "swap"),
        ({"set": {"ae.skips": 2}}, "skips"),
        ({"set": {"ae.kl": -1}}, "kl"),
        ({"set": {"ae.kl": 1e-6, "ae.skips": True}}, "goes past it"),
        ({"set": {"ae.kl": 1e-6, "ae.jitter": 0.1}}, "both noise on the latent"),
        ({"set": {"ae.iterations": 0}}, "iterations"),
    ],
)
def test_a_recipe_that_cannot_be(photos, changes, said):
    with pytest.raises(ValueError, match=said):
        asked = json.loads(json.dumps({**changes}))
        resolve(
            Recipe(
                **{
                    **dict(task="dehazing", clean=str(photos), latent=True),
                    **asked,
                    "set": asked.get("set", {"ae.iterations": 3}),
                }
            )
        )


def test_a_latent_run_is_trained_longer_in_its_own_latent(photos, tmp_path):
    run = tmp_path / "run"
    go(recipe(photos), run)
    coder = (run / "autoencoder" / "model.safetensors").read_bytes()
    steps = checkpoint.load(run / "model.safetensors")[2]["training"]["iterations"]
    path = go(replace(recipe(photos), iterations=2 * steps), run, resume=True)
    assert checkpoint.load(path)[2]["step"] == 2 * steps
    assert (run / "autoencoder" / "model.safetensors").read_bytes() == coder


def test_a_kill_between_the_state_and_the_model_is_mended(photos, tmp_path):
    "The state is renamed first, so that the model's file may be missing"
    whole = checkpoint.load(go(recipe(photos), tmp_path / "whole"))[0].state_dict()
    run = tmp_path / "run"
    go(recipe(photos), run)
    for path in [*run.iterdir()]:
        if path.name != "autoencoder": shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "autoencoder" / "model.safetensors").unlink()
    ended = checkpoint.load(go(recipe(photos), run, resume=True))[0].state_dict()
    assert all(torch.equal(whole[name], ended[name]) for name in whole)
