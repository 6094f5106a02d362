"Records of tasks: the six, their reasons, what they refuse."

import pickle

import pytest
import torch

from irsde import unet
from irsde.latent import LatentUNet
from irsde.metrics import PROTOCOLS
from irsde.sampling import SOLVERS
from irsde.sde import IRSDE, DenoisingSDE
from irsde.tasks import IRSDE_TASKS, REFUSION_TASKS, TASKS
from irsde.training import Settings

SIX = ["deraining", "deblurring", "denoising", "super-resolution", "inpainting", "dehazing"]
FOUR = ["shadow-removal", "nonhomogeneous-dehazing", "stereo-super-resolution", "bokeh"]
NAMES = SIX + FOUR


def test_their_names():
    assert list(TASKS) == NAMES and (IRSDE_TASKS, REFUSION_TASKS) == (SIX, FOUR)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_a_reason(name):
    task = TASKS[name]
    assert task.name == name and not task.unexplained
    assert task.protocol in PROTOCOLS and task.solver in SOLVERS
    for budget in ("smoke", "quick", "paper", "paper-bf16", "IR-SDE", "Refusion"):
        if budget == "IR-SDE" and name in FOUR: continue
        assert not task.budget(budget).unexplained and not task.at(budget).unexplained
    assert isinstance(task.sde(), DenoisingSDE if name == "denoising" else IRSDE)
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.conditional == (name != "denoising")


def test_published_settings():
    task = TASKS["deraining"].at("IR-SDE")
    values = TASKS["deraining"].settings("IR-SDE")
    assert task.sde().lam == 10 / 255 and values["network"] == "unet" and values["iterations"] == 500_000
    assert (
        values["loss"] == "likelihood"
        and values["milestones"] == (200_000, 400_000)
        and values["batch"] == 16
    )


@pytest.mark.parametrize("name", NAMES)
def test_paper_budgets_say_how_they_are_run(name):
    task = TASKS[name]
    paper, half = task.settings("paper"), task.settings("paper-bf16")
    assert {key for key in paper if paper[key] != half[key]} == {"budget", "precision"}
    assert paper == {**task.settings("IR-SDE" if name in SIX else "Refusion"), "budget": "paper"}
    for budget in ("paper", "Refusion"):
        values = task.settings(budget)
        settings = Settings.of(values)
        assert (settings.precision, settings.save_every, settings.validate_every) == ("no", 5000, 5000)
        assert (values["validate_solver"], values["validate_steps"]) == ("posterior", 10)
        assert task.budget(budget).reasons["precision"].startswith("published: ")
    longest = {"nonhomogeneous-dehazing": 400_000, "stereo-super-resolution": 600_000, "bokeh": 1_000_000}
    assert task.settings("Refusion")["iterations"] == longest.get(name, 700_000)
    assert Settings.of(half).precision == "bf16"
    quick = task.settings("quick")
    assert Settings.of(quick).save_every == 500 and quick["validate_solver"] is None


def test_what_works_in_a_latent():
    assert [name for name in NAMES if TASKS[name].latent] == ["nonhomogeneous-dehazing"]
    assert [name for name in NAMES if TASKS[name].at("paper").latent] == ["nonhomogeneous-dehazing", "bokeh"]
    coder = LatentUNet(**{k: v for k, v in TASKS["bokeh"].budget("paper").coder.items()
                          if k in LatentUNet().arguments})
    assert sum(weights.numel() for weights in coder.parameters()) == 6_155_139
    with pytest.raises(ValueError, match="has no latent to begin at"):
        TASKS["denoising"].but("judgement: a test", latent=True)


def test_denoising_has_the_published_network():
    task = TASKS["denoising"].at("paper")
    arguments = unet.PRESETS["paper"] | task.budget("paper").arguments
    with torch.device("meta"):
        network = unet.ConditionalUNet(**arguments, conditional=task.conditional)
    assert sum(weights.numel() for weights in network.parameters()) == 137_137_091
    assert not TASKS["deraining"].budget("paper").arguments


@pytest.mark.parametrize(
    "change",
    [
        dict(lam=10.0),
        dict(lam=0.0),
        dict(kind="sde"),
        dict(steps=101),
        dict(steps=0),
        dict(ensemble=3),
        dict(pool=-1),
        dict(solver=""),
        dict(degradation=3),
        dict(delta=1.0),
        dict(kind="denoising-sde", prediction="velocity"),
    ],
)
def test_impossible_records(change):
    with pytest.raises(ValueError):
        TASKS["deraining"].but("judgement: a test", **change)


def test_a_reason_begins_with_its_kind():
    with pytest.raises(ValueError, match="begins with"):
        TASKS["deraining"].but("because", lam=0.1)
    assert TASKS["deraining"].but("judgement: x", lam=0.1).reasons["lam"] == "judgement: x"
    with pytest.raises(ValueError, match="has no budget"):
        TASKS["deraining"].budget("huge")


def test_values_are_explained():
    task = TASKS["denoising"]
    first, second = task.explained("lam", "steps")
    assert first == {"value": "lam", "is": f"{255 * task.lam:.0f}/255", "because": task.reasons["lam"]}
    assert second["is"] == str(task.steps) and second["because"] == task.reasons["steps"]
    budget = task.budget("smoke")
    assert budget.explained("crop")[0] == {
        "value": "crop", "is": str(budget.crop), "because": budget.reasons["crop"],
    }
    with pytest.raises(AttributeError):
        task.explained("nothing")
