"The pixel that all one-pixel experiments share."

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from irsde.toy import (
    LAM,
    MODES,
    MU,
    SPREAD,
    WEIGHTS,
    TinyNet,
    TinyNets,
    answer,
    best_guess,
    density,
    draw_pixels,
    fit,
    quantiles,
    w1,
)

LAW = [(w, stats.norm(m, SPREAD)) for w, m in zip(WEIGHTS, MODES)]


def cdf(x):
    return sum(w * law.cdf(x) for w, law in LAW)


def pdf(x):
    return sum(w * law.pdf(x) for w, law in LAW)


def test_drawn_pixels_follow_the_law():
    x = draw_pixels(100_000, torch.Generator().manual_seed(0), torch.float64)
    assert x.shape == (100_000,) and x.dtype == torch.float64
    assert stats.kstest(x.numpy(), cdf).pvalue > 1e-3
    assert draw_pixels(3).dtype == torch.float32


def test_quantiles_invert_the_distribution_function():
    n = 999
    np.testing.assert_allclose(cdf(quantiles(n).numpy()), (np.arange(n) + 0.5) / n, atol=1e-12)
    assert quantiles(n).diff().min() > 0


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.07])
def test_w1_of_a_shift_is_its_size(shift):
    x = quantiles(500)[torch.randperm(500, generator=torch.Generator().manual_seed(0))] + shift
    assert w1(x) == pytest.approx(abs(shift), abs=1e-12)


def test_w1_is_scipys():
    x = torch.rand(4000, generator=torch.Generator().manual_seed(1))
    want = stats.wasserstein_distance(x.double().numpy(), quantiles(4000).numpy())
    assert w1(x) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("mu", [MU, 0.3])
@pytest.mark.parametrize("a", [1.0, 0.6, 0.05])
def test_best_guess_and_density_are_integrals_over_the_clean_pixel(a, mu):
    c = LAM * math.sqrt(1 - a**2) or 0.1
    for x in (0.1, 0.45, 0.5, 0.9):

        def joint(x0, x=x):
            return stats.norm.pdf(x, mu + a * (x0 - mu), c) * pdf(x0)

        points = [*MODES, min(max(mu + (x - mu) / a, -0.4), 1.4)]
        total = integrate.quad(joint, -0.5, 1.5, points=points, limit=200)[0]
        mean = integrate.quad(lambda x0: x0 * joint(x0), -0.5, 1.5, points=points, limit=200)[0] / total
        state = torch.tensor([x], dtype=torch.float64)
        assert best_guess(state, a, c, mu).item() == pytest.approx(mean, abs=1e-8)
        assert best_guess(state.float(), a, c, mu).dtype == torch.float32
        assert density(state, a, c, mu).item() == pytest.approx(total, rel=1e-7)


def test_best_guess_at_both_ends():
    x = draw_pixels(100)
    torch.testing.assert_close(best_guess(x, 1.0, 0.0), x)
    assert best_guess(x, 0.0, LAM).sub(0.4).abs().max() < 1e-6


def test_best_guess_takes_a_time_for_each_state():
    x = draw_pixels(3)
    a = torch.tensor([0.9, 0.5, 0.1])
    c = LAM * (1 - a**2).sqrt()
    want = torch.stack([best_guess(x[i], a[i], c[i]) for i in range(3)])
    torch.testing.assert_close(best_guess(x, a, c), want)


def predict(net, x0, mu, generator):
    "The clean pixel from a state at t = 50"
    x = mu + 0.5 * (x0 - mu) + 0.1 * torch.randn(x0.shape, generator=generator)
    return (net(x, mu, 50) - x0).square().mean()


def test_a_tiny_network_learns_the_best_guess():
    net, seen = TinyNet(width=32), []
    losses = fit(net, predict, steps=400, every=100, each=seen.append)
    assert len(losses) == 400 and seen == [100, 200, 300, 400]
    x = torch.linspace(0.3, 0.7, 9)
    assert (net(x, MU, 50) - best_guess(x, 0.5, 0.1)).abs().mean() < 0.03
    assert not any(p.requires_grad for p in net.parameters())


def test_a_seed_is_all_the_chance_there_is():
    state = torch.get_rng_state()
    first, second = TinyNet(8), TinyNet(8)
    assert fit(first, predict, 5, 16) == fit(second, predict, 5, 16)
    assert torch.equal(torch.get_rng_state(), state)
    assert fit(TinyNet(8, seed=1), predict, 5, 16) != fit(TinyNet(8), predict, 5, 16)


def test_networks_side_by_side_share_nothing():
    nets = TinyNets(3, width=8)
    x, t = torch.rand(12), torch.arange(1, 13)
    parts = nets.layers(nets.features(x, MU, t).unflatten(0, (3, -1)))[..., 0]
    torch.testing.assert_close(nets(x, MU, t).reshape(3, 4), parts)
    before = nets(x, MU, t)
    with torch.no_grad():
        nets.layers[0].weight[1] += 1
    changed = (nets(x, MU, t) != before).reshape(3, 4).any(1)
    assert changed.tolist() == [False, True, False]
    one = TinyNet(width=8)
    with torch.no_grad():
        for mine, theirs in zip(one.parameters(), nets.parameters()):
            mine.copy_(theirs[0].squeeze(0) if mine.ndim == 1 else theirs[0].T)
    torch.testing.assert_close(one(x[:4], MU, t[:4]), nets(x, MU, t)[:4])


@answer
def check_double(f):
    "Is f(x) = 2x?"
    for x in (0.0, 1.0, 3.0):
        assert f(x) == 2 * x, f"at {x} the answer is {2 * x}, yours says {f(x)}"
    return "doubled at three points"


def test_a_check_answers_in_words():
    assert repr(check_double(lambda x: x + x)) == "Right: doubled at three points"
    said = check_double(lambda x: x**2)
    assert said.startswith("Not yet: at 1.0 the answer is 2.0, yours says 1.0")
    assert check_double(lambda x: ...).startswith("Still a stub")
    assert check_double(lambda x: None).startswith("Still a stub")
    assert check_double(None).startswith("Still a stub")
    with pytest.raises(TypeError):
        check_double(lambda: 3)
