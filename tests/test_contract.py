"What people script against: names, signatures, the face, help() and types."

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import irsde

PACKAGE = Path(irsde.__file__).parent
MODULES = sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "_modidx"))
CONTRACT = {
    "schedule": "constant_theta linear_theta cosine_theta ThetaSchedule",
    "sde": "IRSDE DenoisingSDE",
    "sampling": "SOLVERS sample trajectory",
    "predict": "NoisePrediction CleanPrediction VelocityPrediction clean_matching_loss",
    "oracle": "GaussianOracle EmpiricalOracle",
    "losses": "noise_matching_loss max_likelihood_loss",
    "unet": "ConditionalUNet",
    "nafnet": "ConditionalNAFNet",
    "checkpoint": "save load load_official convert describe",
    "latent": "LatentUNet LatentModel latent_replacing_loss",
    "restore": "Restorer restore Samples Sampling noise_level weights_path",
    "tiling": "Tiled Ensemble",
    "folders": "restore_files degrade_files",
    "images": "read write read_image write_image replacing",
    "data": "CleanImages PairedImages batches sample_images read_image write_image",
    "degrade": "DEGRADATIONS Rain MotionBlur GaussianNoise Downscale Holes Haze Either measured",
    "subsets": "scenes left_out_of_training",
    "knownsets": "KNOWN_SETS check_data",
    "metrics": "PROTOCOLS Protocol psnr ssim lpips_distance fid score",
    "results": "record published score_table",
    "tasks": "TASKS Task Budget",
    "training": "Settings Training optimise",
    "runs": "train read_config rebuild",
    "evaluate": "Case FromClean FromPairs evaluate race",
    "recipes": "Recipe train_task evaluate_task demo",
    "plots": "show_images styled plot_curves",
    "cli": "main",
}
METHODS = {
    "sde.IRSDE": "drift dispersion transition marginal perturb posterior "
    "score_from_noise x0_from_noise noise_from_x0",
    "sde.DenoisingSDE": "matched_time",
    "schedule.ThetaSchedule": "increment",
    "restore.Restorer": "from_pretrained samples to save_pretrained",
}
POSITIONAL = {
    "sampling.sample": "sde model mu solver n_steps t_start clamp_x0 generator x_T",
    "sampling.trajectory": "sde model mu solver n_steps t_start clamp_x0 generator x_T",
    "schedule.ThetaSchedule": "theta n_steps delta",
    "sde.IRSDE": "schedule lam",
    "sde.IRSDE.posterior": "self x_t x0 mu t s",
    "sde.IRSDE.transition": "self x_s mu s t",
    "sde.IRSDE.marginal": "self x0 mu t",
    "sde.IRSDE.perturb": "self x0 mu t noise",
    "sde.IRSDE.x0_from_noise": "self x_t mu noise t",
    "sde.IRSDE.noise_from_x0": "self x_t mu x0 t",
    "losses.noise_matching_loss": "sde model x0 mu t noise",
    "losses.max_likelihood_loss": "sde model x0 mu t noise",
    "predict.clean_matching_loss": "sde model x0 mu t noise",
    "predict.CleanPrediction": "sde net",
    "oracle.GaussianOracle": "sde mean std",
    "oracle.EmpiricalOracle": "sde x0s",
    "unet.ConditionalUNet": "channels width depth",
    "nafnet.ConditionalNAFNet": "channels width enc mid dec",
    "checkpoint.save": "path model sde",
    "checkpoint.load": "path",
    "restore.restore": "image task_or_path",
}


def thing(name):
    "What a dotted name below irsde means"
    module, *rest = name.split(".")
    found = importlib.import_module(f"irsde.{module}")
    for part in rest:
        found = getattr(found, part)
    return found


def public(module):
    "The public functions and classes that a module defines"
    found = importlib.import_module(f"irsde.{module}")
    everything = [(name, getattr(found, name)) for name in found.__all__]
    return [(name, o) for name, o in everything if inspect.isfunction(o) or inspect.isclass(o)]


@pytest.mark.parametrize("module", list(CONTRACT))
def test_names(module):
    found = importlib.import_module(f"irsde.{module}")
    assert not [name for name in CONTRACT[module].split() if not hasattr(found, name)]


@pytest.mark.parametrize("name", list(METHODS))
def test_methods(name):
    assert not [m for m in METHODS[name].split() if not hasattr(thing(name), m)]


@pytest.mark.parametrize("name", list(POSITIONAL))
def test_arguments_keep_their_order(name):
    parameters = inspect.signature(thing(name)).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = POSITIONAL[name].split()
    assert [p.name for p in parameters if p.kind in kinds][: len(wanted)] == wanted


def test_default_networks_and_schedule():
    assert [p.default for p in inspect.signature(irsde.ConditionalUNet).parameters.values()][:3] == [3, 64, 4]
    assert [p.default for p in inspect.signature(irsde.ConditionalNAFNet).parameters.values()][:5] == [
        3,
        64,
        (1, 1, 1, 28),
        1,
        (1, 1, 1, 1),
    ]
    assert irsde.ThetaSchedule().n_steps == 100 and irsde.ThetaSchedule().delta == 0.005
    assert [*irsde.SOLVERS] == [
        "reverse-sde",
        "reverse-ode",
        "posterior",
        "posterior-mean",
        "exp-ode-1",
        "exp-ode-2",
        "exp-ode-3",
        "exp-sde-1",
        "exp-sde-2",
    ]


# ---- the face


def test_the_face_offers_what_it_lists():
    for name in irsde.__all__:
        assert getattr(irsde, name) is not None and name in dir(irsde)
    assert callable(irsde.restore) and irsde.restore.Restorer is irsde.Restorer
    assert irsde._MODULES == {*MODULES}
    with pytest.raises(AttributeError, match="nothing"):
        irsde.nothing  # noqa: B018


def test_the_face_is_typed_as_it_is():
    "What type checkers are told stands in a branch of its own: the names must be those that are offered"
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    branch = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname: node.module
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {**irsde._HOME, "restore": "restore"}
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize(
    "command", ["import irsde", "import irsde; dir(irsde)", "import irsde.cli", "import irsde.checks"]
)
def test_importing_is_light(command):
    "Neither the face nor the command line loads PyTorch, pandas or SciPy before it is asked for something"
    heavy = {"torch", "pandas", "scipy", "skimage", "matplotlib", "numpy"}
    code = f"{command}; import sys; print(*({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_restoring_does_not_load_what_only_tables_need():
    heavy = {"pandas", "skimage", "matplotlib", "tifffile"}
    code = f"import irsde.restore, sys; print(*({heavy} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        == []
    )


# ---- help()


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    silent = [
        name
        for name, o in public(module)
        if not (o.__doc__ or "").strip() or o.__doc__.startswith(f"{name}(")
    ]
    assert not silent


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_say_more_than_a_line(module):
    "Two to five lines or more: what comes back, shapes and units, errors, equation or source"
    if module in ("cli", "checks"):
        pytest.skip("its functions' one line is all there is to say")
    short = [
        name
        for name, o in public(module)
        if inspect.isfunction(o) and len(o.__doc__.strip().splitlines()) < 2
    ]
    assert not short


@pytest.mark.parametrize("module", MODULES)
def test_public_arguments_have_types(module):
    bare = []
    for name, o in public(module):
        if dataclasses.is_dataclass(o) or module == "cli":
            continue
        call = o.__init__ if inspect.isclass(o) else o
        if not inspect.isfunction(call):
            continue
        for p in inspect.signature(call).parameters.values():
            if (
                p.annotation is p.empty
                and p.name != "self"
                and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            ):
                bare.append(f"{name}({p.name})")
    assert not bare


@pytest.mark.parametrize("module", MODULES)
def test_none_as_a_default_is_in_the_type(module):
    wrong = []
    for name, o in public(module):
        call = o.__init__ if inspect.isclass(o) and not dataclasses.is_dataclass(o) else o
        if not callable(call):
            continue
        for p in inspect.signature(call).parameters.values():
            told = any(word in str(p.annotation) for word in ("None", "Optional", "Any"))
            if p.default is None and not told:
                wrong.append(f"{name}({p.name})")
    assert not wrong
