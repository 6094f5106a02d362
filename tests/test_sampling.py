"The way back: declared orders measured in one pixel, exact laws, what the loop promises."

import math

import numpy as np
import pytest
import torch

from irsde.oracle import EmpiricalOracle, GaussianOracle
from irsde.sampling import SOLVERS, sample, step_times, trajectory
from irsde.schedule import ThetaSchedule
from irsde.sde import DDPM, IRSDE

MEAN, STD, MU = 0.7, 0.1, 0.3


@pytest.fixture(scope="module")
def fine():
    return IRSDE(ThetaSchedule("constant", 2000), 50 / 255)


def exact_flow(sde, x, t, s):
    "The probability-flow ODE of a Gaussian pixel keeps its standardised value"

    def law(at):
        alpha = sde.alpha(at)
        return MU + alpha * (MEAN - MU), ((alpha * STD) ** 2 + sde.std(at) ** 2).sqrt()

    (mean_t, std_t), (mean_s, std_s) = law(t), law(s)
    return mean_s + (x - mean_t) * std_s / std_t


@pytest.mark.parametrize(
    "name, order", [("reverse-ode", 1), ("exp-ode-1", 1), ("exp-ode-2", 2), ("exp-ode-3", 3)]
)
def test_order_of_the_ode_solvers(fine, name, order):
    "Between two times above 0, where the order is pure; a multistep method starts with its first order step"
    mu, x = torch.full((1, 1), MU, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
    model, errors = GaussianOracle(fine, MEAN, STD), []
    for n in (25, 50):
        times = np.linspace(1200, 200, n + 1).round().astype(int).tolist()
        found = sample(fine, model, mu, name, x_T=x, times=times)
        errors.append(abs(found - exact_flow(fine, x, 1200, 200)).item())
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.1, errors
    assert SOLVERS[name].order == order


@pytest.mark.parametrize("name", ["reverse-sde", "posterior", "exp-sde-1", "exp-sde-2"])
def test_law_of_the_random_solvers(sde, name, generator):
    mu = torch.full((40_000, 1), MU)
    x0 = sample(sde, GaussianOracle(sde, MEAN, STD), mu, name, 100, generator=generator)
    assert abs(x0.mean() - MEAN) < 6 * STD / 200 + 0.002
    assert abs(x0.std() - STD) < 0.006
    assert SOLVERS[name].random


@pytest.mark.parametrize("name", list(SOLVERS))
def test_a_known_clean_image_is_found(sde, name):
    if name.startswith("reverse"):
        pytest.skip("Euler is exact for no number of steps")
    x0, mu = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    oracle = EmpiricalOracle(sde, x0[:1])
    found = sample(sde, oracle, mu[:1], name, 5)
    torch.testing.assert_close(found, x0[:1], rtol=0, atol=1e-9)


def test_euler_slips_less_on_a_finer_grid():
    "Even a perfect network does not help Euler on the ODE over its last, longest steps"
    x0, mu = torch.full((1, 4), 0.8, dtype=torch.float64), torch.full((1, 4), 0.4, dtype=torch.float64)

    def error(n_steps):
        sde = IRSDE(ThetaSchedule("cosine", n_steps), 50 / 255)
        return (
            (sample(sde, EmpiricalOracle(sde, x0), mu, "reverse-ode", x_T=mu + 0.1) - x0).abs().mean().item()
        )

    assert 0 < 20 * error(100) < error(5)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_solvers_take_both_processes(denoising, name, generator):
    x0 = torch.full((500, 1), MEAN)
    noisy = x0 + 25 / 255 * torch.randn(500, 1, generator=generator)
    found = sample(
        denoising, GaussianOracle(denoising, MEAN, 0.02), noisy, name, t_start=21, generator=generator
    )
    assert (found - x0).std() < 0.35 * (noisy - x0).std()


def test_step_times(sde):
    assert step_times(sde, 4) == [100, 75, 50, 25, 0]
    assert step_times(sde, 2, 21) == [21, 10, 0]
    assert step_times(sde) == list(range(100, -1, -1))
    for wrong in ((0,), (101,), (5, 4), (3, 101), (1.5,)):
        with pytest.raises(ValueError):
            step_times(sde, *wrong)


def test_trajectory_gives_every_state(sde):
    mu, calls = torch.rand(2, 1, 2, 2), []

    def model(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    states = list(trajectory(sde, model, mu, "posterior", 5))
    assert len(states) == 6 and calls == [100, 80, 60, 40, 20] and all(isinstance(t, int) for t in calls)
    assert torch.equal(states[0], list(trajectory(sde, model, mu, "posterior", 5, x_T=states[0]))[0])


def test_noise_comes_from_the_generator_alone(sde):
    mu, model = torch.rand(1, 1, 2, 2), GaussianOracle(sde, MEAN, STD)
    first, again = (
        sample(sde, model, mu, "posterior", 5, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, again)
    before = torch.random.get_rng_state()
    sample(sde, model, mu, "posterior", 5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(before, torch.random.get_rng_state())
    x_T = torch.rand(1, 1, 2, 2)
    assert torch.equal(*(sample(sde, model, mu, "posterior-mean", 5, x_T=x_T) for _ in range(2)))


def test_clamp_holds_every_estimate(sde):
    def model(x, mu, t):
        return -50 * torch.ones_like(x)

    mu = torch.rand(1, 1, 2, 2)
    assert sample(sde, model, mu, "posterior-mean", 3, clamp_x0=(0, 1)).max() <= 1
    assert sample(sde, model, mu, "posterior-mean", 3).max() > 1


@pytest.mark.parametrize(
    "wrong",
    [
        dict(solver="heun"),
        dict(n_steps=0),
        dict(n_steps=101),
        dict(t_start=0),
        dict(t_start=101),
        dict(clamp_x0=(1, 0)),
        dict(x_T=torch.zeros(1, 1, 2, 3)),
        dict(times=[50, 50]),
        dict(times=[50]),
        dict(times=[50, 0], n_steps=1),
    ],
)
def test_bad_input_is_refused_before_a_call(sde, wrong):
    def model(x, mu, t):
        raise AssertionError("called")

    with pytest.raises(ValueError):
        sample(sde, model, torch.rand(1, 1, 2, 2), **wrong)


def test_what_is_not_finite_is_told_with_its_time(sde):
    def model(x, mu, t):
        return x * (math.nan if t == 60 else 0)

    with pytest.raises(ValueError, match="t = 60"):
        sample(sde, model, torch.rand(1, 1, 2, 2), n_steps=5)


def test_wrong_shape_of_a_model_is_told(sde):
    with pytest.raises(ValueError, match="shape"):
        sample(sde, lambda x, mu, t: x[:, :, :1], torch.rand(1, 1, 2, 2), n_steps=5)


@pytest.mark.parametrize("name", [name for name, solver in SOLVERS.items() if solver.random])
def test_the_last_step_draws_nothing(sde, name):
    "Noise that is added at 0 stays in the picture"
    mu, x, model = torch.rand(1, 1, 2, 2), torch.rand(1, 1, 2, 2), GaussianOracle(sde, MEAN, STD)
    one, other = (
        sample(sde, model, mu, name, x_T=x, times=[20, 0], generator=torch.Generator().manual_seed(k))
        for k in (0, 1)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("reverse")])
def test_ddpm_asks_nothing_of_mu(name):
    "With a network that knows the clean picture every solver finds it, whatever is degraded"
    sde = DDPM(ThetaSchedule(), 0.5)
    x0 = torch.rand(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def model(x, mu, t):
        return sde.noise_from_x0(x, mu, x0, t)

    found = [
        [*trajectory(sde, model, mu, name, 5, generator=torch.Generator().manual_seed(0))]
        for mu in (torch.zeros_like(x0), torch.ones_like(x0))
    ]
    torch.testing.assert_close(found[0][-1], x0)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
