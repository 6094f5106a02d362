"""Do the published budgets run on a GPU? Their devices, types and shapes in full size, without a GPU.

    python .ci/check_paper.py

Tensors without values on a GPU that is not there (tools/memory.py) go through the loss of a training step, a
validation and the restoration of a test picture, for every task at each published budget (of a latent the
network in it): an operation that mixes devices or shapes fails here as it would there. Backward needs a
PyTorch that can do it on such a GPU; where it cannot, gradients are followed on the CPU, which is said.
Takes two minutes or so."""
import sys
import warnings
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
import memory

from irsde.restore import Restorer, Sampling
from irsde.tasks import TASKS

PICTURES = {'deraining': (321, 481), 'deblurring': (720, 1280), 'denoising': (481, 321), # of the test sets
            'super-resolution': (256, 256), 'inpainting': (256, 256), 'dehazing': (460, 620),
            'shadow-removal': (480, 640), 'stereo-super-resolution': (768, 1024),
            'nonhomogeneous-dehazing': (500, 750), 'bokeh': (360, 480)} # 4000x6000 / 8, 1440x1920 / 4
CALLS = 2 # of the network a restoration: each is like the next

@cache
def backward_device():
    "'cuda' where this PyTorch computes gradients on a GPU that is not there, else 'cpu'"
    with memory.without_values():
        weight = torch.ones(2, device='cuda', requires_grad=True)
        try: (weight * weight).sum().backward()
        except RuntimeError as e:
            print(f'PyTorch {torch.__version__} follows no gradients on a GPU that is not there '
                  f'({str(e).split(",")[0]}): they are followed on the CPU')
            return 'cpu'
    return 'cuda'

def expect(what, have, want):
    "An AssertionError names what is not as it should be"
    if have != want: raise AssertionError(f'{what} is {have}, not {want}')

@cache
def check_backward(key, task, budget):
    "A whole step with its gradients: each weight and its mean stay what they are"
    values, process, device = memory.settings_of(task, budget), memory.sde_of(task, budget), backward_device()
    with memory.without_values():
        training = memory.training_of(values, process, device, batch=1)
        value = memory.step(training, process, device, values['crop'])
        expect('the loss', (value.dtype, value.device.type, value.shape), (torch.float32, device, ()))
        expect('the step', training.step, 1)
        for name, weight in training.model.named_parameters():
            expect(name, (weight.dtype, weight.device.type), (torch.float32, device))

def check_forward(training, process, crop):
    "The loss on the GPU: a float32 number there that has a gradient"
    _, (model, loss, _, s, *batch) = memory.forward(training, process, 'cuda', crop)
    value = memory.loss_of(model, loss, process, s, *batch)
    expect('the loss', (value.dtype, value.device.type, value.shape), (torch.float32, 'cuda', ()))
    expect('a gradient of the loss', value.requires_grad, True)

def check_restore(training, process, values, size, cheap):
    "A picture goes back as the budget has it, or as its validation does: on the GPU, in its size"
    solver = values['validate_solver'] if cheap else values['solver']
    about = {'training': {'loss': values['loss']}, 'ensemble': values['ensemble']}
    start = process.schedule.n_steps
    with patch('torch.cuda.is_available', lambda: True): # so a Restorer may go there
        restorer = Restorer(training.ema, process, about, 'cuda', bf16=values['precision'] == 'bf16')
    mu = torch.rand(1, training.model.net.channels, *size, device='cuda')
    lens = torch.rand(1, 3, device='cuda') if restorer.asks_lens else None
    found = restorer.sampled(mu, start, Sampling(solver, CALLS), torch.randn_like, None, lens)
    expect('a picture', (found.dtype, found.device.type, found.shape), (torch.float32, 'cuda', mu.shape))

def check(task, budget):
    "All of it, for one task at one budget"
    values, process = memory.settings_of(task, budget), memory.sde_of(task, budget)
    check_backward(memory.key_of(values), task, budget)
    with memory.without_values():
        training = memory.training_of(values, process, 'cuda', batch=2)
        check_forward(training, process, values['crop'])
        with torch.no_grad():
            check_restore(training, process, values, (256, 256), cheap=True)
            check_restore(training, process, values, PICTURES[task], cheap=False)

def main():
    "Whether all went well"
    warnings.filterwarnings('ignore', message='.*lr_scheduler.*')
    failed = []
    for task in TASKS:
        for budget in memory.BUDGETS:
            try: check(task, budget)
            except Exception as e: failed.append(f'{task} at {budget}: {type(e).__name__}: {e}')
    print(*failed, sep='\n', end='\n' if failed else '')
    print(f'{len(TASKS) * len(memory.BUDGETS) - len(failed)} of {len(TASKS) * len(memory.BUDGETS)} tasks at '
          f'published budgets run on a GPU without values; gradients on: {backward_device()}')
    return not failed

if __name__ == '__main__': sys.exit(not main())
