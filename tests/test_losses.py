"Oracles, losses and what a network may predict."

import math

import pytest
import torch

from irsde.losses import max_likelihood_loss, noise_matching_loss
from irsde.oracle import EmpiricalOracle, GaussianOracle
from irsde.predict import (
    PREDICTIONS,
    CleanPrediction,
    NoisePrediction,
    VelocityPrediction,
    clean_matching_loss,
    regression_loss,
)


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(1)
    return tuple(torch.rand(2, 3, 4, 5, generator=g) for _ in range(2)) + (
        torch.randn(2, 3, 4, 5, generator=g),
    )


class Given(torch.nn.Module):
    "A network that answers with what it was told to"

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, mu, t):
        return self.answer


def zero(x, mu, t):
    return torch.zeros_like(x)


@pytest.mark.parametrize("p", [1, 2])
def test_noise_matching(sde, batch, p):
    x0, mu, noise = batch
    t = torch.tensor([10, 80])
    found = noise_matching_loss(sde, zero, x0, mu, t, noise, p)
    torch.testing.assert_close(found, noise.abs().pow(p).mean())
    assert noise_matching_loss(sde, lambda x, mu, t: noise, x0, mu, t, noise) == 0


def test_the_model_sees_the_perturbed_state(sde, batch):
    x0, mu, noise = batch
    seen = {}

    def model(x, mu, t):
        seen.update(x=x, mu=mu, t=t)
        return x

    noise_matching_loss(sde, model, x0, mu, 40, noise)
    torch.testing.assert_close(seen["x"], sde.perturb(x0, mu, 40, noise))
    assert seen["mu"] is mu and seen["t"] == 40


@pytest.mark.parametrize("p", [1, 2])
def test_likelihood_is_noise_matching_with_a_weight(sde, batch, p):
    "k_t = 2 lam theta'_t / sqrt(1 - exp(-2 Theta_t)), beside the error of the Euler step"
    x0, mu, noise = batch
    k = 2 * sde.lam * sde.schedule.increment(40) / math.sqrt(1 - math.exp(-2 * sde.schedule.theta_bar[40]))
    found = max_likelihood_loss(sde, lambda x, mu, t: noise + 100, x0, mu, 40, noise, p).item()
    assert found == pytest.approx((100 * k.item()) ** p, rel=0.01)
    floor = max_likelihood_loss(sde, lambda x, mu, t: noise, x0, mu, 40, noise).item()
    assert 0 < floor < 0.05 * max_likelihood_loss(sde, zero, x0, mu, 40, noise).item()


def test_clean_matching_and_regression(sde, batch):
    x0, mu, noise = batch
    assert clean_matching_loss(sde, lambda x, mu, t: noise, x0, mu, 40, noise) < 1e-5
    ratio = (sde.std(40) / sde.alpha(40)).item()
    found = clean_matching_loss(sde, lambda x, mu, t: noise + 1, x0, mu, 40, noise, 2).item()
    assert found == pytest.approx(ratio**2, rel=1e-4)
    net = CleanPrediction(sde, Given(x0 - mu + 0.1))
    assert regression_loss(sde, net, x0, mu, 40, noise).item() == pytest.approx(0.1, rel=1e-4)
    assert regression_loss(sde, net, x0, mu, 40, noise, 2).item() == pytest.approx(0.01, rel=1e-4)


def test_shapes_must_agree(sde, batch):
    x0, mu, noise = batch
    with pytest.raises(ValueError, match="shape"):
        noise_matching_loss(sde, lambda x, mu, t: x[:, :1], x0, mu, 40, noise)


@pytest.mark.parametrize("t", [1, 40, 100])
def test_predictions_turn_into_noise(sde, batch, t):
    x0, mu, noise = batch
    x0, mu, noise = x0.double(), mu.double(), noise.double()
    x = sde.perturb(x0, mu, t, noise)
    alpha = sde.alpha(t).item()
    velocity = alpha * sde.lam * noise - math.sqrt(1 - alpha**2) * (x0 - mu)
    for kind, raw in ((NoisePrediction, noise), (CleanPrediction, x0 - mu), (VelocityPrediction, velocity)):
        torch.testing.assert_close(kind(sde, Given(raw))(x, mu, t), noise, rtol=1e-6, atol=1e-6)
    assert list(PREDICTIONS) == ["noise", "clean", "velocity"]


def test_clean_prediction_of_the_denoising_sde_corrects_the_state(denoising, batch):
    x0, mu, noise = batch
    x = denoising.perturb(x0, mu, 40, noise)
    torch.testing.assert_close(
        CleanPrediction(denoising, Given(x0 - x))(x, mu, 40), noise, rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="DenoisingSDE"):
        VelocityPrediction(denoising, Given(x0))


def test_predictions_answer_in_float32(sde, batch):
    x0, mu, noise = batch
    assert NoisePrediction(sde, Given(noise.half()))(x0, mu, 40).dtype == torch.float32


# ---- oracles


@pytest.mark.parametrize("t", [1, 40, 100])
def test_gaussian_oracle_by_quadrature(sde, t):
    mean, std, mu, x = 0.7, 0.1, 0.3, 0.45
    x0 = torch.linspace(mean - 8 * std, mean + 8 * std, 20_001, dtype=torch.float64)[:, None]
    centre, s = sde.marginal(x0, torch.full_like(x0, mu), t)
    weight = (-(((x0 - mean) / std) ** 2 + ((x - centre) / s) ** 2) / 2).flatten().softmax(0)
    wanted = (weight * ((x - centre) / s).flatten()).sum()
    one = torch.full((1, 1), x, dtype=torch.float64)
    found = GaussianOracle(sde, mean, std)(one, torch.full_like(one, mu), t).squeeze()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)


def test_empirical_oracle_averages_by_probability(sde):
    x0s, mu, x = (
        torch.tensor([[0.2, 0.4], [0.8, 0.1]]).double(),
        torch.full((1, 2), 0.5).double(),
        torch.tensor([[0.4, 0.3]]).double(),
    )
    found = EmpiricalOracle(sde, x0s)(x, mu, 30)
    means, s = sde.marginal(x0s, mu.expand(2, 2), 30)
    weight = (-((x - means) ** 2).sum(1) / (2 * s**2)).softmax(0)
    torch.testing.assert_close(found[0], (weight[:, None] * (x - means) / s).sum(0))


def test_a_blurred_single_image_is_a_gaussian(sde):
    x0 = torch.tensor([[0.7]]).double()
    x, mu = torch.tensor([[0.45]]).double(), torch.tensor([[0.3]]).double()
    torch.testing.assert_close(
        EmpiricalOracle(sde, x0, 0.1)(x, mu, 40), GaussianOracle(sde, 0.7, 0.1)(x, mu, 40)
    )


def test_oracles_refuse(sde):
    for call in (
        lambda: GaussianOracle(sde, 0.5, -1),
        lambda: EmpiricalOracle(sde, torch.zeros(0, 2)),
        lambda: EmpiricalOracle(sde, torch.zeros(1, 2), -1),
        lambda: EmpiricalOracle(sde, torch.zeros(1, 2))(*[torch.zeros(1, 3)] * 2, 3),
    ):
        with pytest.raises(ValueError):
            call()
