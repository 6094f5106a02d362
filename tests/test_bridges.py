"Relatives: members against each other, against diffusers, and weights run as another member."

import json
import math
import pickle

import numpy as np
import pytest
import torch

from irsde.bridges import CURVES, Member, OUBridge, TwoCurves, dial, member_from_settings, recast
from irsde.oracle import EmpiricalOracle, GaussianOracle
from irsde.sampling import SOLVERS, sample, step_times
from irsde.schedule import ThetaSchedule
from irsde.sde import DDPM, IRSDE, DenoisingSDE

SCHEDULE, LAM = ThetaSchedule(), 50 / 255
STEPS = ((100, 99), (100, 40), (60, 7), (1, 0))
DATA = torch.tensor([0.2, 0.2, 0.8], dtype=torch.float64)


def members():
    return [
        *(Member(SCHEDULE, LAM, curve) for curve in CURVES),
        OUBridge(SCHEDULE, LAM, 1 / 255),
        OUBridge(SCHEDULE, LAM, LAM),
    ]


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def states(n=4, seed=0):
    return torch.rand(n, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- two curves


def test_the_curve_of_irsde_is_irsde():
    ours, known = Member(SCHEDULE, LAM), IRSDE(SCHEDULE, LAM)
    x, x0, mu, noise = states()
    for t, s in STEPS:
        for one, other in zip(ours.posterior(x, x0, mu, t, s), known.posterior(x, x0, mu, t, s)):
            close(one, other)
        for one, other in zip(ours.transition(x, mu, s, t), known.transition(x, mu, s, t)):
            close(one, other)
    close(ours.drift(x, mu, 40), known.drift(x, mu, 40))
    fine, known = (sde(ThetaSchedule(n_steps=20_000), LAM) for sde in (Member, IRSDE))
    for ode in (False, True):  # to first order: one step of 20,000
        one, other = (sde.reverse_drift(x, mu, noise, 9000, ode=ode) for sde in (fine, known))
        assert (one / other - 1).abs().max() < 1e-3


@pytest.mark.parametrize("sde", members(), ids=repr)
def test_a_member_is_one_process(sde):
    "Two steps are one; the posterior is Bayes' rule on the transition and the marginal"
    x0, mu, x, _ = (v[:1] for v in states())
    for t, s in ((99, 70), (70, 30), (30, 29)):
        near, level = sde.marginal(x0, mu, s)
        mean, fresh = sde.transition(near, mu, s, t)
        far, wanted = sde.marginal(x0, mu, t)
        close(mean, far)
        fade = sde.alpha(t) / sde.alpha(s)
        close((fade * level) ** 2 + fresh**2, wanted**2)
        precision = 1 / level**2 + (fade / fresh) ** 2  # information form
        want = (near / level**2 + fade * (x - mu + fade * mu) / fresh**2) / precision
        mean, std = sde.posterior(x, x0, mu, t, s)
        close(mean, want, 1e-9)
        close(std, precision**-0.5, 1e-9)
    t = torch.tensor([1, 30, 100])
    for batched, single in zip(sde.posterior_weights(t), zip(*(sde.posterior_weights(int(k)) for k in t))):
        close(batched, torch.stack(single))


@pytest.mark.parametrize("sde", members(), ids=repr)
def test_members_are_values(sde):
    assert pickle.loads(pickle.dumps(sde)) == sde and hash(sde) == hash(pickle.loads(pickle.dumps(sde)))
    again = member_from_settings(json.loads(json.dumps(sde.settings())))
    assert again == sde and type(again) is type(sde)
    with pytest.raises(ValueError, match="got .*, more"):
        member_from_settings({**sde.settings(), "more": 1})
    with pytest.raises(AttributeError):
        sde.lam = 1
    with pytest.raises(ValueError, match="before"):
        sde.posterior_weights(3, 3)
    with pytest.raises(ValueError, match="grid"):
        sde.start(states()[0], states()[1], 101)


@pytest.mark.parametrize(
    "sde", [IRSDE(SCHEDULE, LAM), DDPM(SCHEDULE, 0.5), DenoisingSDE(SCHEDULE, LAM)], ids=repr
)
def test_sdes_are_remade_as_well(sde):
    again = member_from_settings(sde.settings())
    assert again == sde and type(again) is type(sde)


def test_numbers_of_numpy_are_kept():
    sde = OUBridge(SCHEDULE, np.float32(0.25), np.float32(0.125))
    assert member_from_settings(json.loads(json.dumps(sde.settings()))) == sde


def test_only_members_of_the_library_say_their_settings():
    with pytest.raises(ValueError, match="a TwoCurves cannot be kept: known are Member, OUBridge"):
        TwoCurves(SCHEDULE, LAM).settings()
    with pytest.raises(ValueError, match="unknown SDE 'TwoCurves'"):
        member_from_settings({**Member(SCHEDULE, LAM).settings(), "name": "TwoCurves"})


def test_refusals():
    for end in (0, -1 / 255, 1.01 * LAM, math.nan, "1/255"):
        with pytest.raises(ValueError, match="end, a noise level"):
            OUBridge(SCHEDULE, LAM, end)
    with pytest.raises(ValueError, match="unknown curve"):
        Member(SCHEDULE, LAM, "straight")
    for eta in (-0.1, math.nan):
        with pytest.raises(ValueError, match="eta is a number from 0"):
            dial(eta)


# ---- the bridge


@pytest.mark.parametrize("end", [LAM, 10 / 255, 1 / 255, 0.01 / 255])
def test_a_bridge_goes_back_as_irsde_does(end):
    bridge, known = OUBridge(SCHEDULE, LAM, end), IRSDE(SCHEDULE, LAM)
    for t, s in STEPS:
        for one, other in zip(bridge.posterior_weights(t, s), known.posterior_weights(t, s)):
            close(one, other, 1e-14)


def test_ends_of_the_bridge():
    every, known = torch.arange(101), IRSDE(SCHEDULE, LAM)
    loose, tight = OUBridge(SCHEDULE, LAM, LAM), OUBridge(SCHEDULE, LAM, 1e-9)
    close(loose.alpha(every), known.alpha(every), 0)
    close(loose.std(every), known.std(every), 0)
    mu, noise = states()[:2]
    close(loose.start(mu, noise, 100), known.start(mu, noise, 100), 0)
    close(loose.start(mu, noise, 50), known.start(mu, noise, 50), 0)
    clock, T = SCHEDULE.theta_bar, SCHEDULE.theta_bar[-1]
    close(tight.alpha(every), (T - clock).sinh() / T.sinh(), 1e-13)  # GOUB, as printed
    close(tight.std(every), LAM * (2 * clock.sinh() * (T - clock).sinh() / T.sinh()).sqrt(), 1e-8)
    bridge = OUBridge(SCHEDULE, LAM, 7 / 255)
    assert abs(bridge.std(100).item() - 7 / 255) < 1e-7


def test_the_bridge_solves_its_moment_equations():
    "Drift of the h-transform: d(a)/dTheta = -(1 + bend) a, d(c^2)/dTheta = -2 (1 + bend) c^2 + 2 lam^2"
    schedule, end = ThetaSchedule("constant", 200_000), 20 / 255
    bridge, T = OUBridge(schedule, LAM, end), schedule.theta_bar[-1]
    g, step = 1 / (end**-2 - LAM**-2), schedule.increment(1).item()
    for t in (20_000, 100_000, 180_000):
        share = (-2 * (T - schedule.at(t))).exp()
        pull = 1 + 2 * LAM**2 * share / (g + LAM**2 * (1 - share))
        a, c2 = (lambda k: bridge.alpha(k)), (lambda k: bridge.std(k) ** 2)
        close((a(t + 1) - a(t - 1)) / (2 * step), -pull * a(t), 1e-6)
        close((c2(t + 1) - c2(t - 1)) / (2 * step), 2 * LAM**2 - 2 * pull * c2(t), 1e-6)


# ---- solvers


@pytest.mark.parametrize("sde", members(), ids=repr)
@pytest.mark.parametrize("solver", list(SOLVERS))
def test_every_solver_takes_every_member(sde, solver, generator):
    mu = torch.full((16,), 0.5, dtype=torch.float64)
    restored = sample(sde, EmpiricalOracle(sde, DATA, 0.05), mu, solver, 40, generator=generator)
    assert restored.isfinite().all() and restored.min() > -0.3 and restored.max() < 1.3


@pytest.mark.parametrize("sde", [*members(), DDPM(SCHEDULE, 0.5)], ids=repr)
def test_the_dial(sde):
    mu, known = torch.full((9,), 0.4, dtype=torch.float64), {0: "exp-ode-1", 1: "posterior"}
    model = EmpiricalOracle(sde, DATA, 0.05)
    for eta, solver in known.items():
        one, other = (
            sample(sde, model, mu, way, 7, generator=torch.Generator().manual_seed(1))
            for way in (dial(eta), solver)
        )
        close(one, other, 1e-9)
    x, x0, z = states(3)
    close(dial(math.inf).step(sde, x, [(60, x0)], x, 20, z), sde.perturb(x0, x, 20, z))
    assert not dial(0).random and dial(0.5).random


# ---- recast


@pytest.mark.parametrize("blend", [False, True])
def test_recast_as_itself(sde, blend):
    model, (x, mu, _, _) = GaussianOracle(sde, 0.4, 0.1), states()
    for t in (1, 40, 100):
        close(recast(model, sde, sde, blend)(x, mu, t), model(x, mu, t), 1e-9)


@pytest.mark.parametrize("to", [*members(), DDPM(SCHEDULE, 0.5)], ids=repr)
def test_recast_is_exact_but_for_rounding(to):
    fine = IRSDE(ThetaSchedule(n_steps=5000), LAM)
    x0, mu, z, _ = states()
    for t in (10, 40, 70):
        x = to.perturb(x0, mu, t, z)
        guesses = [
            to.x0_from_noise(x, mu, model(x, mu, t), t)
            for model in (
                GaussianOracle(to, 0.4, 0.1),
                recast(GaussianOracle(fine, 0.4, 0.1), fine, to),
                recast(GaussianOracle(fine, 0.4, 0.1), fine, to, blend=True),
            )
        ]
        assert (guesses[1] - guesses[0]).abs().max() < 2e-3
        assert (guesses[2] - guesses[0]).abs().max() < 1e-5


def test_recast_beyond_the_grid():
    "Where the new member is noisier than the network ever saw, the network sees its own last noise"
    low, high, seen = IRSDE(SCHEDULE, 10 / 255), IRSDE(SCHEDULE, LAM), []

    def model(x, mu, t):
        seen.append((x.std().item(), t))
        return torch.zeros_like(x)

    mu = torch.full((20_000,), 0.5, dtype=torch.float64)
    z = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    recast(model, low, high)(high.start(mu, z, 100), mu, 100)
    assert abs(seen[0][0] * 255 / 10 - 1) < 0.02 and seen[0][1] == 100


def test_recast_denoising_weights():
    "A denoiser runs as any member: the clean picture fades in neither z"
    from_sde, to = DenoisingSDE(ThetaSchedule(n_steps=5000, delta=0.04), 75 / 255), IRSDE(SCHEDULE, 30 / 255)
    x0, mu, z, _ = states()
    x = to.perturb(x0, mu, 30, z)
    ours = recast(GaussianOracle(from_sde, 0.4, 0.1), from_sde, to, blend=True)(x, mu, 30)
    close(ours, GaussianOracle(to, 0.4, 0.1)(x, mu, 30), 1e-4)


# ---- diffusers


def scheduler(name, **how):
    "One of diffusers' for y = (x - mu) / lam, on the grid of IR-SDE: its k is our t - 1"
    diffusers = pytest.importorskip("diffusers", reason="SKIPPED: diffusers is not installed")
    abar = IRSDE(SCHEDULE, LAM).alpha(torch.arange(101)) ** 2
    betas = (1 - abar[1:] / abar[:-1]).numpy()
    clip = {} if "DPM" in name and "DDPM" not in name else {"clip_sample": False}
    found = getattr(diffusers, name)(
        num_train_timesteps=100, trained_betas=betas, timestep_spacing="trailing", **clip, **how
    )
    found.alphas_cumprod = abar[1:]  # in float64, as ours: not its rounding is to be compared
    return found


@pytest.mark.parametrize("n", [100, 20, 10])
@pytest.mark.parametrize(
    "name, solver, how",
    [
        ("DDPMScheduler", "posterior", {"variance_type": "fixed_small"}),
        ("DDIMScheduler", "exp-ode-1", {}),
        ("DPMSolverMultistepScheduler", "exp-ode-2", {"solver_type": "heun", "final_sigmas_type": "zero"}),
    ],
)
def test_diffusers_on_y(name, solver, how, n):
    sde, theirs = IRSDE(SCHEDULE, LAM), scheduler(name, **how)
    theirs.set_timesteps(n)
    assert [int(k) + 1 for k in theirs.timesteps] == step_times(sde, n)[:-1]
    mu = torch.full((7, 1), 0.3, dtype=torch.float64)
    model = EmpiricalOracle(sde, DATA[:, None], 0.05)
    y = y_T = torch.randn(7, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = {"generator": torch.Generator().manual_seed(1)} if solver == "posterior" else {}
    for k in theirs.timesteps:
        y = theirs.step(model(mu + LAM * y, mu, int(k) + 1), k, y, **draws).prev_sample
    generator = torch.Generator().manual_seed(1)
    ours = sample(sde, model, mu, solver, n, x_T=mu + LAM * y_T, generator=generator)
    torch.testing.assert_close(ours, mu + LAM * y, rtol=0, atol=1e-6)  # it keeps some tables in float32


@pytest.mark.parametrize("sde", [IRSDE(ThetaSchedule(), 0.2), OUBridge(ThetaSchedule(), 0.2, 1 / 255),
                                 *(Member(ThetaSchedule(), 0.2, curve) for curve in CURVES)])
def test_the_velocity_is_turned_into_the_noise_it_was_made_of(sde):
    from irsde.predict import VelocityPrediction

    generator = torch.Generator().manual_seed(0)
    x0, mu, noise = torch.randn(3, 2, 1, 4, 4, generator=generator, dtype=torch.float64)
    for t in (1, 50, 99):
        velocity = sde.alpha(t) * sde.lam * noise - sde.std(t) / sde.lam * (x0 - mu)
        model = VelocityPrediction(sde, lambda x, mu, t, v=velocity: v)
        torch.testing.assert_close(model(sde.perturb(x0, mu, t, noise), mu, t), noise, atol=1e-9, rtol=0)


def test_a_bridge_may_end_on_mu_as_nearly_as_one_likes():
    mu = torch.full((1, 1, 4, 4), 0.3)
    for end in (1e-6, 1e-10, 1e-14):
        sde = OUBridge(ThetaSchedule(), 10 / 255, end)
        assert sde.alpha(0) == 1 and 0 < sde.alpha(100) < 1e-3 * end**2 / 1e-20 or end > 1e-10
        assert sample(sde, GaussianOracle(sde, 0.7, 0.1), mu, "posterior", 10).isfinite().all()


@pytest.mark.parametrize("delta", [1e-12, 1e-30])
@pytest.mark.parametrize("solver", ["exp-ode-1", "exp-ode-2", "exp-ode-3"])
def test_solvers_pass_times_that_no_number_tells_apart(delta, solver):
    sde = DenoisingSDE(ThetaSchedule("cosine", 100, delta), 50 / 255)
    mu = torch.full((1, 1, 4, 4), 0.3)
    assert sample(sde, GaussianOracle(sde, 0.7, 0.1), mu, solver, 10).isfinite().all()


@pytest.mark.parametrize("clamp", [1.0, (0,), (0, 1, 2), ("0", "1"), (1, 0)])
def test_a_range_is_two_numbers(clamp):
    sde = IRSDE(ThetaSchedule(), 0.2)
    with pytest.raises(ValueError, match="clamp_x0 is"):
        sample(sde, GaussianOracle(sde, 0.7, 0.1), torch.zeros(1, 1, 4, 4), clamp_x0=clamp)
