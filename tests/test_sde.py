"The clock and the process: golden numbers, closed forms against each other, refusals."

import math
import pickle

import pytest
import torch

from irsde.schedule import ThetaSchedule
from irsde.sde import DDPM, IRSDE, DenoisingSDE, OrnsteinUhlenbeck, from_settings

X, MU, X0 = torch.tensor([[0.3, 0.9]]), torch.tensor([[0.5, 0.1]]), torch.tensor([[0.7, 0.2]])


def close(a, b, tolerance=1e-6):
    torch.testing.assert_close(
        torch.as_tensor(a).double(), torch.as_tensor(b).double(), rtol=tolerance, atol=tolerance
    )


# ---- the clock


@pytest.mark.parametrize("theta, dt", [("constant", 0.0529832), ("linear", 0.5272477), ("cosine", 0.1040938)])
def test_official_grid(theta, dt):
    "The official code's dt at T = 100; its linear speeds run from 0.1/101 to 200 times that"
    schedule = ThetaSchedule(theta)
    thetas = {
        "constant": lambda i: 1.0,
        "linear": lambda i: 0.1 / 101 * (1 + 199 * i / 100),
        "cosine": lambda i: 1 - cosine(i + 1) / cosine(0),
    }[theta]
    for i in (1, 7, 50, 100):
        close(schedule.increment(i), thetas(i) * dt, 1e-6)


def cosine(k):
    return math.cos((k / 102 + 0.008) / 1.008 * math.pi / 2) ** 2


@pytest.mark.parametrize("theta", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("n_steps, delta", [(1, 0.5), (100, 0.005), (1000, 0.04)])
def test_clock_ends_at_delta(theta, n_steps, delta):
    schedule = ThetaSchedule(theta, n_steps, delta)
    assert schedule.theta_bar.shape == (n_steps + 1,) and schedule.theta_bar.dtype == torch.float64
    assert schedule.theta_bar[0] == 0
    close(schedule.theta_bar[-1].neg().exp(), delta)
    close(sum(schedule.increment(t) for t in range(1, n_steps + 1)), -math.log(delta))


def test_linear_speed_grows_from_1_to_200():
    steps = ThetaSchedule("linear").theta_bar.diff()
    close(steps[-1] / steps[0], 200 / 2.99)


def test_times_batched_and_single_agree():
    schedule = ThetaSchedule()
    t = torch.tensor([3, 50, 100])
    close(schedule.increment(t), torch.stack([schedule.increment(int(k)) for k in t]))
    close(
        schedule.elapsed(torch.tensor([1, 2]), torch.tensor([2, 9])),
        [schedule.elapsed(1, 2).item(), schedule.elapsed(2, 9).item()],
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: ThetaSchedule("cosin"),
        lambda: ThetaSchedule(n_steps=0),
        lambda: ThetaSchedule(n_steps=2.5),
        lambda: ThetaSchedule(delta=0),
        lambda: ThetaSchedule(delta=1),
        lambda: ThetaSchedule(lambda t, n: -t),
        lambda: ThetaSchedule().increment(0),
        lambda: ThetaSchedule().increment(101),
        lambda: ThetaSchedule().increment(1.5),
        lambda: ThetaSchedule().elapsed(3, 3),
        lambda: ThetaSchedule().increment(torch.tensor([1, 101])),
        lambda: IRSDE(ThetaSchedule(), 0),
        lambda: IRSDE(ThetaSchedule(), float("nan")),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()


# ---- the process


def test_drift_is_the_first_order_of_the_transition():
    schedule = ThetaSchedule("constant", 100_000)
    for process in (OrnsteinUhlenbeck(schedule, 0.2), IRSDE(schedule, 0.2)):
        mean, std = process.transition(X.double(), MU.double(), 10, 11)
        step = schedule.increment(11).item()
        close(process.drift(X.double(), MU.double(), 11), step * (MU.double() - X.double()), 1e-12)
        close((mean - X.double()) / step, process.drift(X.double(), MU.double(), 11) / step, 1e-4)
        close(std / math.sqrt(step), process.dispersion(11) / math.sqrt(step), 1e-4)


def test_dispersion(sde):
    close(sde.dispersion(7) ** 2, 2 * sde.lam**2 * sde.schedule.increment(7))
    close(sde.dispersion(7, 3) ** 2, 2 * sde.lam**2 * (sde.schedule.theta_bar[7] - sde.schedule.theta_bar[3]))


def test_two_transitions_are_one(sde):
    middle, std1 = sde.transition(X, MU, 10, 30)
    mean, std2 = sde.transition(middle, MU, 30, 70)
    whole, std = sde.transition(X, MU, 10, 70)
    left = math.exp(-(sde.schedule.theta_bar[70] - sde.schedule.theta_bar[30]))
    close(mean, whole)
    close(std**2, std2**2 + (left * std1) ** 2)


def test_marginal(sde):
    alpha = math.exp(-sde.schedule.theta_bar[40])
    mean, std = sde.marginal(X0, MU, 40)
    close(mean, MU + alpha * (X0 - MU))
    close(std, sde.lam * math.sqrt(1 - alpha**2))
    close(sde.transition(X0, MU, 0, 40)[0], mean)
    close(sde.transition(X0, MU, 0, 40)[1], std)
    close(sde.alpha(40), alpha)
    close(sde.std(40), std)


def test_noise_clean_image_and_state_imply_one_another(sde):
    noise = torch.tensor([[1.5, -0.4]])
    x = sde.perturb(X0, MU, 40, noise)
    mean, std = sde.marginal(X0, MU, 40)
    close(x, mean + std * noise)
    close(sde.x0_from_noise(x, MU, noise, 40), X0, 1e-5)
    close(sde.noise_from_x0(x, MU, X0, 40), noise, 1e-5)
    close(sde.score_from_noise(noise, 40), -noise / std)


@pytest.mark.parametrize("s, t", [(49, 50), (10, 50), (0, 50), (0, 1)])
def test_posterior_is_bayes(sde, s, t):
    "The product of two Gaussians in x_s: p(x_s | x_0) and p(x_t | x_s)"
    mean, std = sde.posterior(X, X0, MU, t, s)
    prior, prior_std = sde.marginal(X0, MU, s)
    gain = math.exp(-(sde.schedule.theta_bar[t] - sde.schedule.theta_bar[s]))
    noise = sde.lam**2 * (1 - gain**2)
    seen = MU + (X - MU) / gain  # x_s as x_t tells it, with variance noise / gain^2
    precision = 1 / prior_std**2 + gain**2 / noise if s else math.inf
    wanted = prior if s == 0 else (prior / prior_std**2 + seen * gain**2 / noise) / precision
    close(mean, wanted, 1e-5)
    close(std, precision**-0.5 if s else 0.0, 1e-6)


def test_posterior_defaults_to_the_step_before(sde):
    close(sde.posterior(X, X0, MU, 50)[0], sde.posterior(X, X0, MU, 50, 49)[0], 0)


@pytest.mark.parametrize("ode, share", [(False, 2), (True, 1)])
def test_reverse_drift(sde, ode, share):
    score = torch.tensor([[2.0, -3.0]])
    gone = sde.schedule.theta_bar[50] - sde.schedule.theta_bar[40]
    close(sde.reverse_drift(X, MU, score, 50, 40, ode), gone * (MU - X - share * sde.lam**2 * score), 1e-6)
    close(sde.reverse_drift(X, MU, score, 50), sde.reverse_drift(X, MU, score, 50, 49), 0)


def test_start_has_the_noise_of_its_time(sde):
    noise = torch.tensor([[1.0, -2.0]])
    close(sde.start(MU, noise, 100), MU + sde.lam * noise)
    close(sde.start(MU, noise, 40), MU + sde.std(40).item() * noise)
    assert sde.std(40) < 0.99 * sde.lam


def test_base(sde, denoising):
    assert sde.base(X, MU) is MU
    assert denoising.base(X, MU) is X


# ---- denoising


def test_denoising_keeps_its_mean(denoising):
    mean, std = denoising.marginal(X0, MU, 40)
    close(mean, X0)
    close(std, denoising.lam * math.sqrt(1 - math.exp(-2 * denoising.schedule.theta_bar[40])))
    close(denoising.alpha(40), 1.0)
    noise = torch.tensor([[1.5, -0.4]])
    close(denoising.x0_from_noise(X, MU, noise, 40), X - std * noise)
    close(denoising.noise_from_x0(X, MU, X0, 40), (X - X0) / std, 1e-5)
    close(
        denoising.posterior(X, X0, MU, 40, 20)[0],
        IRSDE(denoising.schedule, denoising.lam).posterior(X, X0, X0, 40, 20)[0],
    )
    assert denoising.start(MU, X, 40) is MU


def test_denoising_goes_back_by_its_variance(denoising):
    "ds^2/dTheta = 2 lam^2 exp(-2 Theta): the ODE moves by half of it times the score"
    score = torch.tensor([[2.0, -3.0]])
    gone = (denoising.schedule.theta_bar[50] - denoising.schedule.theta_bar[49]).item()
    left = math.exp(-2 * denoising.schedule.theta_bar[50])
    close(denoising.reverse_drift(X, MU, score, 50, ode=True), -gone * denoising.lam**2 * left * score)
    close(denoising.reverse_drift(X, MU, score, 50), -gone * denoising.lam**2 * (1 + left) * score)


@pytest.mark.parametrize("sigma, t", [(15, 14), (25, 21), (50, 38)])
def test_matched_time(denoising, sigma, t):
    assert denoising.matched_time(sigma / 255) == t


@pytest.mark.parametrize("sigma", [0, -1, 76 / 255, float("nan")])
def test_matched_time_refuses(denoising, sigma):
    with pytest.raises(ValueError, match="sigma"):
        denoising.matched_time(sigma)


# ---- what every method owes


def test_one_time_for_each_picture(sde):
    t = torch.tensor([3, 70])
    x, mu = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    mean, std = sde.marginal(x, mu, t)
    for i, one in enumerate(t.tolist()):
        close(mean[i], sde.marginal(x[i : i + 1], mu[i : i + 1], one)[0][0])
        close(std[i].flatten(), sde.std(one).reshape(1))


def test_wrong_tensors_are_refused(sde):
    for call in (
        lambda: sde.marginal(X0, MU[:, :1], 3),
        lambda: sde.marginal(X0.int(), MU.int(), 3),
        lambda: sde.perturb(X0, MU, 3, None),
        lambda: sde.marginal(X0, MU, torch.tensor([1, 2])),
        lambda: sde.x0_from_noise(X, MU, X, 0),
        lambda: sde.score_from_noise(X, 0),
    ):
        with pytest.raises(ValueError):
            call()


def test_an_sde_is_a_value(sde):
    assert pickle.loads(pickle.dumps(sde)) == sde
    assert sde != DenoisingSDE(sde.schedule, sde.lam)
    with pytest.raises(AttributeError):
        sde.lam = 1.0


@pytest.mark.parametrize("kind", [IRSDE, DenoisingSDE])
def test_settings_remake_it(kind):
    sde = kind(ThetaSchedule("linear", 50, 0.01), 0.1)
    assert from_settings(sde.settings()) == sde
    with pytest.raises(ValueError):
        kind(ThetaSchedule(lambda t, n: t), 0.1).settings()


def test_ddpm_is_the_process_on_pictures_in_minus_1_to_1():
    "Ho et al.: y_t = alpha y_0 + sqrt(1 - alpha^2) noise, with y = 2 x - 1; mu is for the network alone"
    sde = DDPM(ThetaSchedule(), 0.5)
    generator = torch.Generator().manual_seed(0)
    x0, mu, other, noise = torch.rand(4, 2, 3, generator=generator, dtype=torch.float64)
    for t in (1, 30, 100):
        share = sde.alpha(t)
        x_t = sde.perturb(x0, mu, t, noise)
        torch.testing.assert_close(2 * x_t - 1, share * (2 * x0 - 1) + (1 - share**2).sqrt() * noise)
        torch.testing.assert_close(sde.x0_from_noise(x_t, other, noise, t), x0)
        torch.testing.assert_close(sde.noise_from_x0(x_t, other, x0, t), noise)
        for way in (sde.posterior(x_t, x0, mu, t)[0], sde.reverse_drift(x_t, mu, noise, t)):
            same = sde.posterior(x_t, x0, other, t)[0], sde.reverse_drift(x_t, other, noise, t)
            assert any(torch.equal(way, found) for found in same)
    torch.testing.assert_close(sde.start(mu, noise, 100), 0.5 + 0.5 * noise)
    assert from_settings(sde.settings()) == sde and type(from_settings(sde.settings())) is DDPM


# ---- noise over share: what a network needs to know about a time


def test_sigma_is_noise_over_share(sde, denoising):
    t = torch.tensor([0, 1, 40, 100])
    share = torch.exp(-sde.schedule.theta_bar[t])
    close(sde.sigma(t), sde.lam * (1 - share**2).sqrt() / share, 1e-12)
    close(denoising.sigma(t), denoising.std(t), 0)
    assert sde.sigma(40).shape == () and sde.sigma(40).dtype == torch.float64
    assert (sde.sigma(torch.arange(101)).diff() > 0).all()


def test_a_state_is_the_clean_image_and_noise_of_level_sigma(sde):
    noise, t = torch.tensor([[1.5, -0.4]]), 60
    x = sde.perturb(X0, MU, t, noise)
    close(MU + (x - MU) / sde.alpha(t).item(), X0 + sde.sigma(t).item() * noise, 1e-5)


@pytest.mark.parametrize("lam, t", [(10, 47), (30, 28), (70, 16)])
def test_time_at(lam, t):
    "A noise level of 22/255 over the share, on the official grid"
    sde = IRSDE(ThetaSchedule(), lam / 255)
    assert sde.time_at(22 / 255) == t and isinstance(sde.time_at(22 / 255), int)
    at = sde.time_at(torch.tensor([22 / 255, sde.sigma(100).item()]))
    assert at.tolist() == [t, 100] and not at.is_floating_point()


def test_time_at_inverts_sigma(sde, denoising):
    t = torch.arange(1, 101)
    for process in (sde, denoising):
        assert process.time_at(process.sigma(t)).equal(t)
        assert process.time_at(process.sigma(7).item()) == 7
        assert process.time_at(1e-9) == 1
        sigma = process.sigma(torch.tensor([20, 21])) @ torch.tensor([0.49, 0.51], dtype=torch.float64)
        assert process.time_at(sigma.item()) == 21


@pytest.mark.parametrize("sigma", [0, -0.1, float("nan"), float("inf"), 25.0])
def test_time_at_refuses(sde, sigma):
    for wrong in (sigma, torch.tensor([0.1, sigma])):
        with pytest.raises(ValueError, match=f"sigma = {sigma:.4g} .*{sde.sigma(100):.4g}"):
            sde.time_at(wrong)


def test_ddpm_goes_where_it_says():
    "Forward and backward are of one process, pulled to grey"
    sde = DDPM(ThetaSchedule(), 0.2)
    for name in (0, 1):
        close(sde.transition(X0, MU, 0, 100)[name], sde.marginal(X0, MU, 100)[name])
    close(sde.drift(torch.full_like(MU, 0.5), MU, 50), torch.zeros_like(MU))


@pytest.mark.parametrize(("speed", "said"), [(lambda t, n: 1.0, r"answered \(\)"),
                                             (lambda t, n: torch.ones(1), r"answered \(1,\)")])
def test_a_speed_answers_for_every_time(speed, said):
    with pytest.raises(ValueError, match=said):
        ThetaSchedule(speed, 10)
    assert ThetaSchedule(lambda t, n: [1] * n, 10).theta_bar.dtype == torch.float64


def test_times_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="s has 3 times and t has 2"):
        ThetaSchedule().elapsed(torch.tensor([1, 2, 3]), torch.tensor([4, 5]))


def test_a_denoising_sde_needs_no_mu():
    from irsde.predict import CleanPrediction, clean_matching_loss

    sde = DenoisingSDE(ThetaSchedule(), 0.2)
    model = CleanPrediction(sde, lambda x, mu, t: torch.zeros_like(x))
    assert model(X0, None, 5).abs().max() == 0
    assert clean_matching_loss(sde, model, X0, None, 5, torch.zeros_like(X0)) == 0
