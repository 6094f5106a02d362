"Files that say what they are: round trips, refusals, damage."

import json
import struct

import pytest
import torch

from irsde import DenoisingSDE, ThetaSchedule
from irsde.checkpoint import load, make_model, save
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction, inner
from irsde.unet import ConditionalUNet

from .conftest import fill, picture


def unet(**more):
    return fill(ConditionalUNet(width=8, depth=2, heads=1, **more))


def nafnet(**more):
    return fill(ConditionalNAFNet(width=8, enc=(1, 2), mid=1, dec=(1, 1), **more))


def output(model):
    with torch.no_grad():
        return model(picture(1, 3, 16, 16), picture(1, 3, 16, 16, seed=1), 37)


@pytest.fixture
def file(tmp_path, sde):
    return save(tmp_path / "a.safetensors", CleanPrediction(sde, nafnet()), sde, task="deraining", steps=3)


def header_of(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def with_header(path, change):
    "The same file with another header of ours"
    tensors, data = header_of(path)
    ours = json.loads(tensors["__metadata__"]["irsde"])
    change(ours)
    tensors["__metadata__"]["irsde"] = json.dumps(ours)
    text = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# ---- round trip


@pytest.mark.parametrize(
    "make", [unet, nafnet, lambda: unet(conditional=False), lambda: nafnet(fold=2, kernel=5)]
)
def test_round_trip(tmp_path, sde, make):
    model = make()
    path = save(tmp_path / "a.safetensors", model, sde, task="deraining", note=[1, None])
    again, of_sde, about = load(path)
    assert torch.equal(output(again), output(model)) and of_sde == sde and not again.training
    assert about["task"] == "deraining" and about["note"] == [1, None]
    assert list(tmp_path.iterdir()) == [path]


def test_round_trip_of_a_prediction_in_half_precision(tmp_path, sde):
    model = CleanPrediction(sde, nafnet())
    again, _, _ = load(save(tmp_path / "a.safetensors", model, sde, torch.float16))
    assert isinstance(again, CleanPrediction) and next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(output(again), output(model), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sde: dict(model=torch.nn.Conv2d(3, 3, 1)),
        lambda sde: dict(sde=3),
        lambda sde: dict(dtype=torch.float64),
        lambda sde: dict(note={1, 2}),
        lambda sde: dict(note=float("nan")),
        lambda sde: dict(model=CleanPrediction(DenoisingSDE(ThetaSchedule(), 0.1), nafnet())),
    ],
)
def test_what_a_file_cannot_hold(tmp_path, sde, spoil):
    with pytest.raises(ValueError):
        save(**{"path": tmp_path / "a.safetensors", "model": nafnet(), "sde": sde, **spoil(sde)})
    assert not list(tmp_path.iterdir())


def test_infinite_weights_are_not_kept(tmp_path, sde):
    net = nafnet()
    net.stem.weight.data[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="stem.weight"):
        save(tmp_path / "a.safetensors", net, sde, torch.float16)
    assert not list(tmp_path.iterdir())


# ---- loading refuses


def test_as_asked(file, sde):
    load(file, sde=sde, network=nafnet(), task="deraining")
    for wrong in (dict(task="dehazing"), dict(network=unet()), dict(sde=DenoisingSDE(sde.schedule, sde.lam))):
        with pytest.raises(ValueError, match="is not what was asked for"):
            load(file, **wrong)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(header=99),
        lambda h: h.pop("header"),
        lambda h: h["network"].update(name="Other"),
        lambda h: h["network"]["arguments"].update(width=16),
        lambda h: h["network"]["arguments"].update(enc=[1, 10**9]),
        lambda h: h["sde"].update(lam=-1),
        lambda h: h.update(range=[-1, 1]),
        lambda h: h.update(prediction="x"),
        lambda h: h.pop("sde"),
        lambda h: h.update(about=3),
    ],
)
def test_headers_that_do_not_fit(file, change):
    with_header(file, change)
    with pytest.raises(ValueError, match="a.safetensors"):
        load(file)


def test_a_tensor_too_few_or_too_many(tmp_path, sde):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = save(tmp_path / "a.safetensors", nafnet(), sde)
    with safe_open(path, "pt") as f:
        about = f.metadata()
    tensors = load_file(path)
    for change, word in (
        (lambda d: d.pop("stem.bias"), "stem.bias .* is missing"),
        (lambda d: d.update(x=torch.zeros(1)), "x .* has no place"),
        (lambda d: d.update({"stem.bias": torch.zeros(9)}), "stem.bias has shape"),
    ):
        changed = dict(tensors)
        change(changed)
        save_file(changed, path, about)
        with pytest.raises(ValueError, match=word):
            load(path)


def test_every_damaged_byte_of_the_tensors_is_noticed(file, rng):
    data = bytearray(file.read_bytes())
    (n,) = struct.unpack("<Q", bytes(data[:8]))
    for place in rng.integers(8 + n, len(data), 40):
        broken = bytearray(data)
        broken[place] ^= 1 << rng.integers(8)
        file.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged"):
            load(file)
    file.write_bytes(data)
    load(file)


def test_a_file_without_a_digest_loads(file):
    "Files of older versions have none"
    found = []
    with_header(file, lambda h: found.append(h.pop("digest")))
    assert found and load(file)[2]["task"] == "deraining"


def test_damaged_and_foreign_files(tmp_path, file):
    data = file.read_bytes()
    for content in (b"", data[:100], data[:-10], b"PK\x03\x04" + b"\0" * 20):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="a.safetensors"):
            load(file)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_shipped_weights_load():
    from irsde.restore import weights_path

    for task in ("deraining", "deblurring", "denoising", "super-resolution", "inpainting", "dehazing"):
        assert load(weights_path(task))[2]["task"] == task


# ---- networks by name


def test_make_model_depends_on_its_seed_alone(sde):
    one, two, other = (
        make_model(sde, "nafnet", dict(width=8, enc=(1,), dec=(1,)), "clean", seed) for seed in (1, 1, 2)
    )
    weight = [inner(m).stem.weight for m in (one, two, other)]
    assert (
        torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2]) and inner(one).conditional
    )
    assert not inner(make_model(DenoisingSDE(sde.schedule, 0.1), "unet", dict(width=8, depth=1))).conditional
    for wrong in (("resnet", {}), ("unet", {}, "what")):
        with pytest.raises(ValueError, match="unknown"):
            make_model(sde, *wrong)
