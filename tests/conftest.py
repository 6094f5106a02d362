"What all tests share: one thread, small pictures, networks with weights that no random generator made."

import math

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


def fill(net):
    "A network's weights as a function of their place alone, so that its output can be told in advance"
    with torch.no_grad():
        for i, (name, p) in enumerate(sorted(net.named_parameters())):
            wave = torch.sin(0.7 * torch.arange(p.numel(), dtype=torch.float64) + i)
            scale = 0.1 if p.ndim < 2 else 1 / math.sqrt(p[0].numel())
            p.copy_((1 * name.endswith("gain") + scale * wave).reshape(p.shape))
    return net.eval()


def picture(*shape, seed=0):
    "A smooth float picture in [0, 1]"
    freq = 1 + torch.arange(math.prod(shape[:-2])).reshape(*shape[:-2], 1, 1)
    y = torch.linspace(0, 1, shape[-2])[:, None]
    x = torch.linspace(0, 1, shape[-1])[None]
    return 0.5 + 0.4 * torch.sin(3 * freq * x + 2 * y + seed) * torch.cos(5 * y * freq)


@pytest.fixture
def sde():
    from irsde import IRSDE, ThetaSchedule

    return IRSDE(ThetaSchedule(), 30 / 255)


@pytest.fixture
def denoising():
    from irsde import DenoisingSDE, ThetaSchedule

    return DenoisingSDE(ThetaSchedule(delta=0.04), 75 / 255)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
