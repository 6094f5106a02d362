"Exact log densities by the probability-flow ODE, and the paper's loss beside them."

import math

import pytest
import torch

from irsde.likelihood import along, arc, log_likelihood
from irsde.losses import max_likelihood_loss
from irsde.oracle import EmpiricalOracle, GaussianOracle
from irsde.schedule import ThetaSchedule
from irsde.sde import IRSDE

MEAN, STD, MU = 0.6, 0.1, 0.5


def exact(sde, x):
    "Log density at x of what the exact flow of N(MEAN, STD^2) makes of the start's law; it is an affine map"
    a, s = sde.alpha(sde.schedule.n_steps).item(), sde.std(sde.schedule.n_steps).item()
    grown = math.sqrt(STD**2 + (s / a) ** 2) / STD
    end = MU + a * (MEAN + grown * (x - MEAN) - MU)
    return torch.distributions.Normal(MU, sde.lam).log_prob(end) + math.log(a * grown)


@pytest.fixture
def pixels():
    x = (MEAN + STD * torch.linspace(-2.5, 2.5, 8)).double()
    return x, torch.full_like(x, MU)


@pytest.mark.parametrize("lam", [10, 30, 50])
def test_exact_on_a_gaussian(pixels, lam):
    "To a thousandth of a bit at T = 100"
    sde, (x, mu) = IRSDE(ThetaSchedule(), lam / 255), pixels
    found, error = log_likelihood(sde, GaussianOracle(sde, MEAN, STD), x, mu)
    assert found.shape == error.shape == (8,) and found.dtype == torch.float64
    torch.testing.assert_close(found, exact(sde, x), rtol=0, atol=0.001 * math.log(2))
    assert not error.any()


def test_the_error_falls_with_the_third_power_of_the_step(pixels):
    x, mu = pixels

    def off(n_steps):
        sde = IRSDE(ThetaSchedule(n_steps=n_steps), 50 / 255)
        found, _ = log_likelihood(sde, GaussianOracle(sde, MEAN, STD), x, mu)
        return (found - exact(sde, x)).abs().max().item()

    assert 2.2 < math.log2(off(50) / off(100)) < 3.8


def test_exact_on_two_modes(sde):
    "Against the mixture's own density, the start's small error included in the tolerance"
    x = torch.tensor([0.15, 0.2, 0.26, 0.75, 0.8, 0.88]).double()
    modes = torch.tensor([0.2, 0.2, 0.8]).double()
    found, _ = log_likelihood(sde, EmpiricalOracle(sde, modes, 0.05), x, torch.full_like(x, MU))
    law = torch.distributions.Normal(modes, torch.full_like(modes, 0.05))
    wanted = law.log_prob(x[:, None]).logsumexp(1) - math.log(3)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.015)


def test_a_picture_is_the_sum_of_its_pixels(sde, generator):
    x = torch.rand(2, 3, 2, 2, generator=generator, dtype=torch.float64)
    mu, model = torch.full_like(x, MU), GaussianOracle(sde, MEAN, 0.3)
    whole, _ = log_likelihood(sde, model, x, mu)
    single, _ = log_likelihood(sde, model, x.flatten(), mu.flatten())
    torch.testing.assert_close(whole, single.reshape(2, 12).sum(1), rtol=1e-9, atol=1e-9)


def test_probes_agree_with_the_exact_trace_and_repeat(sde, generator):
    "A world of patches, whose derivative is no diagonal matrix"
    patches = torch.rand(20, 3, 3, generator=generator, dtype=torch.float64)
    model, x = EmpiricalOracle(sde, patches, 0.1), patches[:2] + 0.03
    mu = torch.full_like(x, MU)
    wanted, _ = log_likelihood(sde, model, x, mu)
    runs = [log_likelihood(sde, model, x, mu, 32, torch.Generator().manual_seed(3)) for _ in range(2)]
    (found, error), again = runs
    torch.testing.assert_close(again, runs[0], rtol=0, atol=0)
    assert (error > 0).all() and ((found - wanted).abs() < 5 * error).all()
    other, _ = log_likelihood(sde, model, x, mu, 32, torch.Generator().manual_seed(4))
    assert not torch.equal(other, found)


def test_the_standard_error_is_that_of_the_probes(sde):
    "The same picture 300 times, each with probes of its own: its scatter is what the error says"
    words = torch.tensor([[0.2, 0.3, 0.8], [0.8, 0.6, 0.1]], dtype=torch.float64)
    x = torch.tensor([[0.5, 0.45, 0.45]], dtype=torch.float64).repeat(300, 1)
    model, generator = EmpiricalOracle(sde, words, 0.05), torch.Generator().manual_seed(0)
    found, error = log_likelihood(sde, model, x, torch.full_like(x, MU), probes=4, generator=generator)
    assert 0.9 < error.square().mean().sqrt() / found.std() < 1.1


def test_denoising_by_bayes_rule(denoising, generator):
    "p(x0 | y) of a Gaussian clean picture under Gaussian noise is a Gaussian"
    x0 = MEAN + 0.2 * torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
    s = denoising.std(100)
    y = x0 + s * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    found, _ = log_likelihood(denoising, GaussianOracle(denoising, MEAN, 0.2), x0, y)
    variance = 1 / (1 / 0.04 + 1 / s**2)
    law = torch.distributions.Normal(variance * (MEAN / 0.04 + y / s**2), variance.sqrt())
    torch.testing.assert_close(found, law.log_prob(x0).sum((1, 2)), rtol=0, atol=2e-4)


def test_the_flow_ends_where_the_marginal_says(sde, pixels):
    "A quantile of the clean law goes to the same quantile at T"
    from functools import partial

    from irsde.likelihood import velocity

    x, mu = pixels
    model, one = GaussianOracle(sde, MEAN, STD), torch.ones(1, 1, dtype=torch.float64)
    end, _ = along(partial(velocity, sde, model, mu), x, arc(sde), one)
    centre, s = sde.marginal(torch.full_like(x, MEAN), mu, 100)
    spread = math.hypot(sde.alpha(100).item() * STD, s.item())
    torch.testing.assert_close((end - centre) / spread, (x - MEAN) / STD, rtol=0, atol=1e-3)


def test_no_trace_is_left_on_the_model(sde, pixels):
    net = torch.nn.Linear(1, 1).double()
    x, mu = pixels
    log_p, _ = log_likelihood(sde, lambda x, mu, t: net(x[:, None])[:, 0], x, mu)
    assert net.weight.grad is None and not log_p.requires_grad


def test_refusals(sde):
    x = torch.full((4,), 0.5)
    model = GaussianOracle(sde, MEAN, STD)
    for probes in (0, 1, 2.5, True):
        with pytest.raises(ValueError, match="probes"):
            log_likelihood(sde, model, x, x, probes)
    for wrong, said in (
        (lambda x, mu, t: x[:, None], "shape"),
        (lambda x, mu, t: x * math.nan, "NaN"),
        (lambda x, mu, t: x.detach(), "gradient"),
    ):
        with pytest.raises(ValueError, match=said):
            log_likelihood(sde, wrong, x, x)
    with pytest.raises(ValueError, match="mu has shape"):
        log_likelihood(sde, model, x, x[:3])


def test_the_likelihood_loss_lives_with_the_losses(sde):
    x = torch.full((4,), 0.5)
    assert max_likelihood_loss(sde, GaussianOracle(sde, MEAN, STD), x, x, 50, 0 * x).ndim == 0
