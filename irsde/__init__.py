"""Image restoration with mean-reverting stochastic differential equations.

    import irsde
    restorer = irsde.Restorer.from_pretrained("deraining")
    picture = restorer("photo.png")

What most programs need is here, loaded when it is first asked for: `import irsde` alone is quick. The rest
is in the modules, one for each chapter of the book: `irsde.sde`, `irsde.degrade`, `irsde.plots` and so on.
"""
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = { # Name -> module that it lives in
    "Restorer": "restore", "Sampling": "restore",
    "load": "checkpoint", "save": "checkpoint", "load_official": "checkpoint",
    "ThetaSchedule": "schedule", "IRSDE": "sde", "DenoisingSDE": "sde",
    "SOLVERS": "sampling", "sample": "sampling", "trajectory": "sampling",
    "ConditionalUNet": "unet", "ConditionalNAFNet": "nafnet",
    "StereoNAFNet": "cameras", "LensNAFNet": "cameras", "LatentUNet": "latent", "LatentModel": "latent",
    "Rain": "degrade", "MotionBlur": "degrade", "GaussianNoise": "degrade",
    "Downscale": "degrade", "Holes": "degrade", "Haze": "degrade",
    "psnr": "metrics", "ssim": "metrics", "lpips_distance": "metrics",
    "TASKS": "tasks", "Recipe": "recipes", "train_task": "recipes", "evaluate_task": "recipes",
}
_MODULES = {
    "bridges", "budgets", "ceilings", "checks", "cli", "compare", "data", "evaluate", "exif", "eyes",
    "features", "folders", "foreign", "formats", "images", "jobs", "knownsets", "ledger", "likelihood",
    "losses", "masks", "material", "metadata", "names", "noise", "official", "options", "oracle", "outputs",
    "paths", "pictures", "pieces", "planning", "plots", "png", "predict", "progress", "reproduce", "restore",
    "results", "runs", "scenes", "scoring", "shell", "shipped", "sliders", "sources", "stages", "states",
    "studies", "subsets", "tiling", "toy", "training", "trainings", "validation", "views", "work",
    *_HOME.values(),
}

__all__ = ["restore", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]

def __getattr__(name):
    "A name or a module, imported when it is asked for; `irsde.restore` is a module that can be called"
    if name in _MODULES: return import_module(f"irsde.{name}")
    if name not in _HOME: raise AttributeError(f"module 'irsde' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"irsde.{_HOME[name]}"), name)
    return value

def __dir__(): return sorted({*globals(), *__all__, *_MODULES})

if TYPE_CHECKING:
    from .cameras import LensNAFNet as LensNAFNet
    from .cameras import StereoNAFNet as StereoNAFNet
    from .checkpoint import load as load
    from .checkpoint import load_official as load_official
    from .checkpoint import save as save
    from .degrade import Downscale as Downscale
    from .degrade import GaussianNoise as GaussianNoise
    from .degrade import Haze as Haze
    from .degrade import Holes as Holes
    from .degrade import MotionBlur as MotionBlur
    from .degrade import Rain as Rain
    from .latent import LatentModel as LatentModel
    from .latent import LatentUNet as LatentUNet
    from .metrics import lpips_distance as lpips_distance
    from .metrics import psnr as psnr
    from .metrics import ssim as ssim
    from .nafnet import ConditionalNAFNet as ConditionalNAFNet
    from .recipes import Recipe as Recipe
    from .recipes import evaluate_task as evaluate_task
    from .recipes import train_task as train_task
    from .restore import Restorer as Restorer
    from .restore import Sampling as Sampling
    from .restore import restore as restore
    from .sampling import SOLVERS as SOLVERS
    from .sampling import sample as sample
    from .sampling import trajectory as trajectory
    from .schedule import ThetaSchedule as ThetaSchedule
    from .sde import IRSDE as IRSDE
    from .sde import DenoisingSDE as DenoisingSDE
    from .tasks import TASKS as TASKS
    from .unet import ConditionalUNet as ConditionalUNet
