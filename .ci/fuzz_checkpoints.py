"""Random damage of checkpoints for .ci/fuzz.py, ours and official: the right model to the bit, or refused.

A file of ours has a digest of its tensors, a .pth file of today the checksums of a zip archive: there a bit
that is not what it was is always noticed."""
import functools
import json
import struct
import tempfile
from pathlib import Path

import torch
from fuzz_tools import DAMAGE, Wrong, attempt, chance, demand, pick
from safetensors.torch import save_file

from irsde import IRSDE, DenoisingSDE, ThetaSchedule, checkpoint
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction, inner
from irsde.unet import ConditionalUNet

KINDS = {'nafnet': lambda: ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,)),
         'unet': lambda: ConditionalUNet(width=8, depth=1),
         'blind': lambda: ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,), conditional=False)}

@functools.cache
def network(kind):
    "A small network whose weights are always the same"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return KINDS[kind]()

def official_state(net):
    "The weights as the official code names and shapes them"
    from irsde import official
    names = official.official_names(net)
    return {names[k]: p.reshape(1, -1, 1, 1) if names[k].endswith('.g') else p
            for k, p in net.state_dict().items()}

WRAPPINGS = { # of other people's files
    'plain': lambda s: s, 'params': lambda s: {'params': s}, 'state_dict': lambda s: {'state_dict': s},
    'module': lambda s: {f'module.{k}': p for k, p in s.items()},
    'twice': lambda s: {f'module.module.{k}': p for k, p in s.items()},
    'compiled': lambda s: {f'_orig_mod.{k}': p for k, p in s.items()},
    'compiled module': lambda s: {f'module._orig_mod.{k}': p for k, p in s.items()},
    'ema': lambda s: {**{f'ema_model.{k}': p for k, p in s.items()}, 'initted': torch.tensor(True),
                      'step': torch.tensor(9)},
    'model and step': lambda s: {'model': s, 'iter': 9},
    'half': lambda s: {k: p.half() for k, p in s.items()}}

@functools.cache
def bytes_of(form, kind, wrapping):
    "A sound file's bytes"
    net = network(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'file'
        if form == 'ours':
            sde = (DenoisingSDE if kind == 'blind' else IRSDE)(ThetaSchedule(), 50 / 255)
            model = CleanPrediction(sde, net) if wrapping == 'clean' else net
            dtype = torch.float16 if wrapping == 'half' else torch.float32
            task = 'denoising' if kind == 'blind' else 'deraining'
            checkpoint.save(path, model, sde, dtype=dtype, task=task, steps=5)
        else:
            state = WRAPPINGS[wrapping](official_state(net))
            if form == 'safetensors': save_file({k: p.contiguous() for k, p in state.items()}, path)
            else: torch.save(state, path, _use_new_zipfile_serialization=form == 'pth')
        return path.read_bytes()

def weights(model):
    "Name -> tensor"
    return inner(model).state_dict()

def wanted_weights(form, kind, wrapping):
    "What a sound file gives"
    half = wrapping == 'half'
    return {name: (p.half().float() if half else p) for name, p in network(kind).state_dict().items()}

def equal(found, wanted):
    "Are these the same numbers?"
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)

def header_end(data):
    "Where the tensors of a safetensors file begin"
    return 8 + struct.unpack('<Q', data[:8])[0]

def damaged(rng, form, data):
    "The bytes after an accident, and what happened: 'tensors' where a bit among those of ours was changed"
    if form == 'ours' and chance(rng, 0.4):
        return DAMAGE['flipped'](rng, data, header_end(data)), 'tensors'
    if form == 'ours' and chance(rng, 0.3):
        end = header_end(data)
        return DAMAGE['flipped'](rng, data[:end], 8) + data[end:], 'header'
    how = pick(rng, DAMAGE)
    return DAMAGE[how](rng, data), how

def check_ours(path, kind, wrapping, how):
    "A file of ours loads as it was saved, or is refused"
    found, why = attempt(path.name, checkpoint.load, path)
    attempt(path.name, checkpoint.describe, path)
    if found is None: return why
    model, sde, about = found
    demand(equal(weights(model), wanted_weights('ours', kind, wrapping)), f'{how}: loaded with other weights')
    demand(how != 'tensors', 'a changed tensor went unnoticed')
    whole = json.loads(json.dumps(sde.settings()))
    same = sde.lam == 50 / 255 and isinstance(model, CleanPrediction) == (wrapping == 'clean')
    demand(same and sde.schedule == ThetaSchedule(), f'{how}: loaded with another SDE or prediction: {whole}')
    return None

def check_official(path, kind, form, wrapping, how):
    "An official file gives its weights, or is refused; what has no checksum may be damaged unnoticed"
    found, why = attempt(path.name, checkpoint.load_official, path)
    attempt(path.name, checkpoint.describe, path)
    if found is None: return why
    sure = how is None or form == 'pth' or how == 'cut'
    if sure and not equal(weights(found), wanted_weights(form, kind, wrapping)):
        raise Wrong(f'{form}, {wrapping}, {how or "not damaged"}: loaded with other weights')
    return None

def case(rng, folder):
    "A checkpoint, sound or damaged"
    form, kind = pick(rng, ['ours', 'ours', 'pth', 'pth', 'legacy', 'safetensors']), pick(rng, KINDS)
    flat = [name for name in WRAPPINGS if name not in ('params', 'state_dict', 'model and step')]
    wrapping = pick(rng, {'ours': ['plain', 'clean', 'half'], 'safetensors': flat}.get(form, WRAPPINGS))
    data, how = bytes_of(form, kind, wrapping), None
    if chance(rng, 0.7):
        broken, how = damaged(rng, form, data)
        data, how = broken, how if broken != data else None
    ending = {'ours': '.safetensors', 'safetensors': '.safetensors'}.get(form, '.pth')
    path = folder/f'weights{".bin" if chance(rng, 0.1) else ending}'
    path.write_bytes(data)
    if form == 'ours': why = check_ours(path, kind, wrapping, how)
    else: why = check_official(path, kind, form, wrapping, how)
    fine = how is not None or why is None
    demand(fine, f'{form}, {wrapping}: refused, though nothing is wrong with it: {why}')
    demand([one.name for one in folder.iterdir()] == [path.name], 'loading left something behind')
    return 'right' if why is None else 'refused'
