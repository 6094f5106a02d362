"""Run the weights that ship as other members of their family: what it costs, on scikit-image's photos.

    python tools/recast.py            # writes data/runs/recast.csv, in some three minutes

Each task's weights were trained as IR-SDE. `irsde.bridges.recast` runs them as a bridge, as a flow and as
an IR-SDE of less noise, each at its own evenly spread times, with the same start of the generator. The
chapter "One denoiser, many papers" shows the table."""
from datetime import date
from pathlib import Path

import pandas as pd
import torch

from irsde.bridges import Member, OUBridge, recast
from irsde.checkpoint import load
from irsde.degrade import DEGRADATIONS
from irsde.images import sample_images
from irsde.metrics import lpips_distance, psnr
from irsde.sampling import sample
from irsde.schedule import ThetaSchedule
from irsde.sde import IRSDE

ROOT = Path(__file__).parents[1]
TASKS = {"deraining": "deraining", "super-resolution": "super-resolution-y"} # and the protocol of the PSNR
CALLS = (1, 2, 3, 5)


def steady(t: torch.Tensor, n_steps: int) -> torch.Tensor:
    "The speed of a clock at which the share of the clean picture falls evenly from 1 to .005"
    return ((1 - 0.995 * (t - 1) / n_steps) / (1 - 0.995 * t / n_steps)).log()


def members(home: IRSDE) -> dict[str, IRSDE]:
    "What to run the weights as"
    return {"IR-SDE, as trained": home,
            "bridge, τ = 1/255": OUBridge(home.schedule, home.lam, 1 / 255),
            "IR-SDE, λ = 10/255": IRSDE(home.schedule, 10 / 255),
            "flow": Member(ThetaSchedule(steady, home.schedule.n_steps), home.lam, "flow")}


def rows(task: str, n: int = 4, size: int = 96) -> list[dict]:
    "A row for each member and number of calls, means over n photos"
    model, home, _ = load(ROOT/"irsde"/"weights"/f"{task}.safetensors")
    x0 = torch.stack(list(sample_images(size).values())[:n])
    mu = DEGRADATIONS[task](x0, torch.Generator().manual_seed(0))
    found = []
    for name, sde in members(home).items():
        run = model if sde is home else recast(model, home, sde)
        for calls in CALLS:
            restored = sample(sde, run, mu, "exp-ode-2", calls, clamp_x0=(0, 1),
                              generator=torch.Generator().manual_seed(0)).clamp(0, 1)
            found.append(dict(task=task, run_as=name, calls=calls,
                              psnr=psnr(restored, x0, TASKS[task]).mean().item(),
                              lpips=lpips_distance(restored, x0).mean().item(), n=n, size=size, seed=0,
                              date=date.today().isoformat()))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    table = pd.DataFrame([row for task in TASKS for row in rows(task)])
    table.to_csv(ROOT/"data"/"runs"/"recast.csv", index=False, float_format="%.4f")
    print(table.to_string())
