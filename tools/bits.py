"""How many bits a clean picture costs, given the damaged one and the weights that ship: data/runs/bits.csv.

    python tools/bits.py [TASK ...]

Four photographs of scikit-image, shrunk to 128 x 128 and damaged as in training, are cut to their middle
64 x 64. Each 8-bit value is spread over its cell at random; two probes; all grid times. About half an hour on
one core. The chapter on likelihood shows the rows; IRSDE_RERUN=bits runs this from there."""
import csv
import math
import sys
from itertools import islice
from pathlib import Path

import torch

import irsde
from irsde.checkpoint import load
from irsde.data import sample_images, seeded
from irsde.likelihood import log_likelihood
from irsde.restore import weights_path
from irsde.sde import DenoisingSDE
from irsde.tasks import TASKS

OUT = Path(__file__).parents[1] / "data/runs/bits.csv"
COLUMNS = ("task", "picture", "size", "probes", "bits", "error", "rmse_input", "rmse_estimate", "noise_1",
           "error_1", "library")
WHOLE, CUT, PICTURES, PROBES = 128, 64, 4, 2


def degraded(sde, task, x0, generator):
    "The damaged picture, as the network knows it"
    T, noise = sde.schedule.n_steps, torch.randn(x0.shape, generator=generator)
    if isinstance(sde, DenoisingSDE): return sde.perturb(x0, x0, T, noise)
    return TASKS[task].degradation(x0, generator)


def row(task, sde, model, i, name, photo):
    "What is kept of one picture"
    generator = seeded(23, i)
    x0 = (255 * photo[None]).round() / 255
    edge = (WHOLE - CUT) // 2
    x0, mu = (v[..., edge:edge + CUT, edge:edge + CUT] for v in (x0, degraded(sde, task, x0, generator)))
    def draw(f): return f(x0.shape, generator=generator)
    spread = x0 + (draw(torch.rand) - 0.5) / 255 # over the cell of each 8-bit value
    nats = log_likelihood(sde, model, spread, mu, PROBES, generator)
    log_p, error = (v.item() / x0.numel() / math.log(2) for v in nats)
    def clean(x, t): return sde.x0_from_noise(x, mu, model(x, mu, t), t)
    def levels(x): return 255 * (x - x0).square().mean().sqrt().item()
    with torch.no_grad():
        T = sde.schedule.n_steps
        found = {"rmse_input": levels(mu),
                 "rmse_estimate": levels(clean(sde.start(mu, draw(torch.randn), T), T)),
                 "noise_1": 255 * sde.std(1).item(),
                 "error_1": levels(clean(sde.perturb(x0, mu, 1, draw(torch.randn)), 1))}
    return {"task": task, "picture": name, "size": CUT, "probes": PROBES, "bits": math.log2(255) - log_p,
            "error": error, **found, "library": irsde.__version__}


def measure(tasks):
    "Rows of all pictures, a task after the other"
    torch.set_num_threads(1)
    photos = list(islice(sample_images(WHOLE).items(), PICTURES))
    for task in tasks:
        model, sde, _ = load(weights_path(task), "cpu")
        model.requires_grad_(False)
        for i, (name, photo) in enumerate(photos): yield row(task, sde, model, i, name, photo)


def main(tasks):
    kept = list(csv.DictReader(OUT.open())) if OUT.exists() else []
    for found in measure(tasks):
        text = {name: f"{v:.4f}" if isinstance(v, float) else str(v) for name, v in found.items()}
        kept = [r for r in kept if (r["task"], r["picture"]) != (text["task"], text["picture"])] + [text]
        kept.sort(key=lambda r: list(TASKS).index(r["task"])) # in the order of the book
        with OUT.open("w", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            rows.writeheader()
            rows.writerows(kept)
        print(*text.values(), flush=True)


if __name__ == "__main__": main(sys.argv[1:] or list(TASKS))
