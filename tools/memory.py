"""How much memory of a GPU a training takes at the published sizes, estimated without a GPU.

    python tools/memory.py            # writes data/runs/memory-training.csv, in some three minutes

PyTorch's fake tensors have a shape, a type and a device, and no memory: a step of training runs with them
in full size, and what each operation would allocate and free is counted. `measured` is the same count by
PyTorch's profiler in a real step on the CPU, for a network that is small enough: tests hold one against the
other. Not counted: what CUDA, cuDNN and a fragmented allocator take, for which a tenth of a card is kept.
Of a task that works in a latent the second training is estimated, on latents, without the autoencoder
that makes them."""
import contextlib
import gc
import weakref
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from irsde import nafnet, sampling, sde, unet
from irsde.cameras import asks_lens
from irsde.checkpoint import SHORT, make_model
from irsde.predict import LOSSES, Told
from irsde.recipes import Recipe, resolve
from irsde.schedule import ThetaSchedule
from irsde.tasks import TASKS
from irsde.training import Settings, Training, backward, make_optimiser, shorten

ROOT = Path(__file__).parents[1]
BUDGETS = ("paper", "paper-bf16", "Refusion")
CARDS = (8, 24, 48, 80) # GiB
USABLE = 0.9         # Of a card
GIB = 2**30
PRESETS = {name: (unet if name == "unet" else nafnet).PRESETS for name in SHORT}


def settings_of(task: str, budget: str) -> dict[str, Any]:
    "All values of a budget; where it works in a latent, with the latent's channels and its sides of squares"
    values = resolve(Recipe(task, clean="photos", budget=budget))[1]
    scale = 2 ** (len(values["autoencoder"]["mult"]) - 1) if values["latent"] else 1
    return {**values, "crop": values["crop"] // scale}


def sde_of(task: str, budget: str) -> Any:
    "The process of a budget"
    return resolve(Recipe(task, clean="photos", budget=budget))[0].sde()


def for_fakes(times: FakeTensor) -> Tensor:
    "What a table says of times without values"
    return torch.empty(times.shape, dtype=torch.float64)


def with_values(method: Any, fake: bool = False) -> Any:
    "A function of times, computed with values; where the times have none it runs as it is, or is `fake`"
    def call(*arguments: Any, **how: Any) -> Any:
        if without := [value for value in arguments if isinstance(value, FakeTensor)]:
            return for_fakes(without[-1]) if fake else method(*arguments, **how)
        with unset_fake_temporarily(): return method(*arguments, **how)
    return call


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    "Tensors that are made here have no values; the clock, whose tables lie on the CPU, keeps its own"
    with contextlib.ExitStack() as stack:
        for name in ("at", "elapsed"):
            own = with_values(getattr(ThetaSchedule, name), fake=True)
            stack.enter_context(patch.object(ThetaSchedule, name, own))
        check = ThetaSchedule.check
        def checked(self, t, low=0): return t if isinstance(t, FakeTensor) else check(self, t, low)
        stack.enter_context(patch.object(ThetaSchedule, "check", checked))
        kinds = {part for kind in sde.SDES.values() for part in kind.__mro__ if hasattr(sde, part.__name__)}
        for kind in kinds:
            for name in {"alpha", "std", "dispersion", "posterior_weights"} & {*vars(kind)}:
                stack.enter_context(patch.object(kind, name, with_values(vars(kind)[name])))
        stack.enter_context(patch.object(sampling, "contraction", with_values(sampling.contraction)))
        stack.enter_context(patch.object(sampling, "check_finite", lambda flags: None))
        stack.enter_context(patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        stack.enter_context(patch("torch.cuda.is_bf16_supported", lambda *args, **how: True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


def network_of(values: dict[str, Any], process: Any) -> nn.Module:
    "The network of a task's settings, on the device that PyTorch has as its default"
    arguments = PRESETS[values["network"]][values["preset"]] | values["arguments"]
    return make_model(process, values["network"], arguments, values["prediction"], 0)


def put_on(model: nn.Module, device: str) -> None:
    "Give a model of the device `meta` tensors without values on a device"
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is not None:
                new = torch.empty_like(old, device=device)
                module._parameters[name] = nn.Parameter(new, requires_grad=old.requires_grad)
        for name, old in module._buffers.items():
            if old is not None: module._buffers[name] = torch.empty_like(old, device=device)


def training_of(values: dict[str, Any], process: Any, device: str, **changes: Any) -> Training:
    "A training without values, within `without_values`"
    with unset_fake_temporarily(), torch.device("meta"):
        training = Training(network_of(values, process), Settings.of(values, **changes))
    for model in (training.model, training.ema): put_on(model, device)
    training.optimiser = make_optimiser(training.model.parameters(), training.settings)
    return training


class OneProcess:
    "What a step needs of accelerate's Accelerator, for one process and any precision that needs no scaler"
    num_processes, scaler = 1, None
    def __init__(self, device: str, precision: str): self.device, self.half = device, precision == "bf16"
    def no_sync(self, model: nn.Module) -> Any: return contextlib.nullcontext()
    def backward(self, value: Tensor) -> None: value.backward()
    def clip_grad_norm_(self, weights: Any, longest: float) -> Tensor:
        return nn.utils.clip_grad_norm_(weights, longest)

    def prepare_model(self, model: nn.Module) -> Any:
        "In half precision where asked for, with an output in float32, as accelerate has it"
        def call(x: Tensor, mu: Tensor, t: Any, **told: Tensor) -> Tensor:
            with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
                return model(x, mu, t, **told).float()
        return call


def forward(training: Training, process: Any, device: str, crop: int) -> tuple[OneProcess, tuple[Any, ...]]:
    "What `training.backward` takes beside the settings, with random pictures"
    s, alone = training.settings, OneProcess(device, training.settings.precision)
    net: Any = training.model.net
    x0, mu, noise = (torch.rand(s.batch, net.channels, crop, crop, device=device) for _ in range(3))
    t = torch.randint(1, process.schedule.n_steps + 1, (s.batch,))
    lens = [torch.rand(s.batch, 3, device=device)] if asks_lens(training.model) else []
    return alone, (alone.prepare_model(training.model), LOSSES[s.loss], process, s, x0, mu, t, noise, *lens)


def loss_of(model: Any, loss: Any, process: Any, s: Settings, *batch: Tensor) -> Tensor:
    "The loss of a whole batch, as `training.backward` has it of each part"
    pictures, lens = batch[:4], batch[4:]
    return loss(process, Told(model, lens=lens[0]) if lens else model, *pictures, s.p)


def step(training: Training, process: Any, device: str, crop: int) -> Tensor:
    "A step of training, as in `training.optimise`; its loss"
    alone, batch = forward(training, process, device, crop)
    value = backward(alone, *batch)
    lost = [name for name, weights in training.model.named_parameters() if weights.grad is None]
    if lost: raise AssertionError(f"no gradient reaches {', '.join(lost)}")
    shorten(alone, training)
    training.update(training.step + 1, True)
    return value


class Count(TorchDispatchMode):
    "Bytes of the storages on a device that operations have made and that are still there, and their peak"
    def __init__(self, device: str):
        super().__init__()
        self.device, self.now, self.peak, self.known = device, 0, 0, set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        "Call it, and see what there is then"
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made): self.see(leaf)
        return made

    def see(self, tensor: Any) -> None:
        "Count a tensor's storage from now until it is freed, once"
        if not isinstance(tensor, Tensor) or tensor.device.type != self.device: return
        storage = tensor.untyped_storage()
        if id(storage) in self.known: return
        unit = 512 if self.device == "cuda" else 1 # CUDA's memory is given in blocks
        size = -(-storage.nbytes() // unit) * unit
        self.known.add(id(storage))
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.forget, id(storage), size)

    def forget(self, which: int, size: int) -> None:
        "It is freed"
        self.known.discard(which)
        self.now -= size


def estimated(values: dict[str, Any], process: Any, rows: int, parts: int = 1, device: str = "cpu") -> int:
    "Bytes at the peak of two steps, without values: of `parts` parts with so many pictures each"
    with without_values(), Count(device) as counted:
        training = training_of(values, process, device, batch=rows * parts, accumulate=parts)
        for _ in range(2): step(training, process, device, values["crop"])
    return counted.peak


def held(values: dict[str, Any], process: Any, rows: int, device: str) -> int:
    "Bytes at the peak of the way forward, without values"
    with without_values(), Count(device) as counted:
        training = training_of(values, process, device, batch=rows)
        _, (model, loss, _, s, *batch) = forward(training, process, device, values["crop"])
        kept = loss_of(model, loss, process, s, *batch) # with all that its gradient needs
    del kept
    return counted.peak


def measured(values: dict[str, Any], process: Any, rows: int, parts: int = 1) -> int:
    "Bytes at the peak of two real steps on the CPU, as PyTorch's profiler has them"
    gc.collect()
    settings = Settings.of(values, batch=rows * parts, accumulate=parts)
    on_the_cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=on_the_cpu, profile_memory=True) as seen:
        training = Training(network_of(values, process), settings)
        for _ in range(2): step(training, process, "cpu", values["crop"])
    results: Any = seen.profiler
    changes = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


class Need:
    "What a budget needs: bytes grow with the pictures of a part along a straight line, from a floor"
    def __init__(self, values: dict[str, Any], process: Any):
        few, many = (estimated(values, process, rows) for rows in (4, 8))
        waiting = estimated(values, process, 4, 2) # gradients wait while the next part is computed
        self.batch, self.each = values["batch"], (many - few) // 4
        fixed = -4 * self.each
        if values["precision"] != "no": # casts on the GPU, not on the CPU: the weights in half precision stay
            fixed += held(values, process, 4, "cuda") - held(values, process, 4, "cpu")
        self.fixed = {1: few + fixed, 2: waiting + fixed}
        self.floor = estimated(values, process, 1) # at the optimiser, if a part is small

    def at(self, parts: int) -> float:
        "GiB with the batch in so many parts"
        return max(self.floor, self.fixed[min(parts, 2)] + self.each * self.batch // parts) / GIB

    def least(self, card: float) -> int | None:
        "The fewest parts with which the batch fits on a card; None if none do"
        known = [parts for parts in range(1, self.batch + 1) if self.batch % parts == 0]
        return next((parts for parts in known if self.at(parts) <= USABLE * card), None)


@cache
def need(key: str, name: str, budget: str) -> Need:
    "The need of a budget; tasks with the same `key` share it"
    return Need(settings_of(name, budget), sde_of(name, budget))


def key_of(values: dict[str, Any]) -> str:
    "What memory depends on"
    names = ("network", "preset", "arguments", "conditional", "crop", "batch", "loss", "prediction",
             "optimiser", "precision", "clip")
    return repr([values[name] for name in names])


def table(budgets: tuple[str, ...] = BUDGETS) -> pd.DataFrame:
    "A row a task and budget: GiB of the weights and all that goes with them, of each picture, and parts"
    rows = []
    for name in TASKS:
        for budget in budgets:
            values = settings_of(name, budget)
            found = need(key_of(values), name, budget)
            row = {"task": name, "budget": budget, "batch": values["batch"], "crop": values["crop"],
                   "precision": values["precision"], "least_gib": round(found.floor / GIB, 2),
                   "picture_gib": round(found.each / GIB, 3), "whole_batch_gib": round(found.at(1), 1)}
            rows.append(row | {f"accumulate_{card}": found.least(card) for card in CARDS})
    return pd.DataFrame(rows).astype({f"accumulate_{card}": "Int64" for card in CARDS})


if __name__ == "__main__":
    made = table()
    made.to_csv(ROOT / "data/runs/memory-training.csv", index=False, lineterminator="\n")
    print(made.to_string(index=False))
