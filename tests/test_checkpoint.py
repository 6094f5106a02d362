"Files that say what they are: round trips, refusals, damage."

import json
import struct

import pytest
import torch

from irsde import IRSDE, DenoisingSDE, Restorer, ThetaSchedule, sample
from irsde.bridges import CURVES, Member, OUBridge, TwoCurves
from irsde.checkpoint import describe, load, make_model, remake, save, settings
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import PREDICTIONS, CleanPrediction, inner
from irsde.schedule import THETAS
from irsde.sde import DDPM
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


# ---- relatives of the SDE


RELATIVES = [
    OUBridge(ThetaSchedule("linear", 30), 50 / 255, 1 / 255),
    *(Member(ThetaSchedule(n_steps=30), 40 / 255, curve) for curve in CURVES),
    DDPM(ThetaSchedule(n_steps=30), 0.5),
    DenoisingSDE(ThetaSchedule(n_steps=30, delta=0.04), 70 / 255),
]


def restored(model, sde):
    mu, generator = picture(1, 3, 16, 16), torch.Generator().manual_seed(3)
    with torch.no_grad():
        return sample(sde, model, mu, "posterior", 5, generator=generator)


@pytest.mark.parametrize("sde", RELATIVES, ids=repr)
@pytest.mark.parametrize("prediction", ["noise", "clean"])
def test_relatives_restore_alike_once_loaded(tmp_path, sde, prediction):
    model = PREDICTIONS[prediction](sde, nafnet(conditional=not isinstance(sde, DenoisingSDE))).eval()
    again, of_sde, _ = load(save(tmp_path / "a.safetensors", model, sde))
    assert of_sde == sde and type(of_sde) is type(sde) and again.sde == sde
    assert torch.equal(restored(again, of_sde), restored(model, sde))
    begun, of_sde = remake(settings(model, sde))
    assert of_sde == sde and type(begun) is type(model)


def test_a_bridge_is_restored_with_and_told_of(tmp_path):
    sde = OUBridge(ThetaSchedule(n_steps=10), 50 / 255, 1 / 255)
    path = save(tmp_path / "a.safetensors", CleanPrediction(sde, nafnet()), sde, task="deraining", steps=2)
    restorer = Restorer.from_pretrained(path, "cpu")
    assert restorer.sde == sde
    again = Restorer.from_pretrained(restorer.save_pretrained(tmp_path / "b.safetensors"), "cpu")
    x = picture(3, 16, 16)
    assert torch.equal(again(x, seed=1), restorer(x, seed=1)) and again.sde == sde
    told = describe(path)["sde"]
    assert told == "OUBridge(lam=50/255, end=1/255, theta=cosine, n_steps=10, delta=0.005)"
    flow = Member(sde.schedule, 50 / 255, "flow")
    path = save(tmp_path / "c.safetensors", nafnet(), flow)
    assert describe(path)["sde"] == "Member(lam=50/255, curve=flow, theta=cosine, n_steps=10, delta=0.005)"
    for wrong in (sde, Member(sde.schedule, 50 / 255, "shift"), Member(sde.schedule, 40 / 255, "flow")):
        with pytest.raises(ValueError, match="is not what was asked for: sde"):
            load(path, sde=wrong)


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(beginning=0.1), "the settings of this OUBridge are name, lam, end, theta, n_steps, delta"),
        (dict(end=None), "end, a noise level of at most lam"),
        (dict(end=0.9), "end, a noise level of at most lam"),
        (dict(name="Member"), "the settings of this Member are name, lam, curve"),
        (dict(name="IRSDE"), "the settings of an SDE are"),
        (dict(name="TwoCurves"), "known are IRSDE, DenoisingSDE, DDPM, Member, OUBridge"),
        (dict(name=None), "unknown SDE None"),
        (dict(theta="mine"), "unknown schedule 'mine'"),
    ],
)
def test_headers_of_a_bridge_that_do_not_fit(tmp_path, change, why):
    sde = OUBridge(ThetaSchedule(), 50 / 255, 1 / 255)
    path = save(tmp_path / "a.safetensors", nafnet(), sde)
    with_header(path, lambda h: h["sde"].update(change))
    with pytest.raises(ValueError, match=f"a.safetensors.*{why}"):
        load(path)


def test_an_unknown_curve_is_named(tmp_path):
    path = save(tmp_path / "a.safetensors", nafnet(), Member(ThetaSchedule(), 0.1, "flow"))
    with_header(path, lambda h: h["sde"].update(curve="mine"))
    with pytest.raises(ValueError, match="unknown curve 'mine': known are mean-reverting, flow"):
        load(path)


def test_a_curve_of_your_own_is_kept_once_it_has_a_name(tmp_path, monkeypatch):
    class Bent(TwoCurves):
        def std(self, t):
            return self.lam * (1 - self.alpha(t)) ** 2

    def speed(t, n_steps):
        return 1 + t

    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="a Bent cannot be kept.*irsde.bridges.CURVES by a name"):
        save(path, nafnet(), Bent(ThetaSchedule(), 0.1))
    with pytest.raises(ValueError, match="speed of the schedule is a function of your own.*schedule.THETAS"):
        save(path, nafnet(), Member(ThetaSchedule(speed), 0.1, "flow"))
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(CURVES, "bent", lambda a: (1 - a) ** 2)
    monkeypatch.setitem(THETAS, "mine", speed)
    sde = Member(ThetaSchedule(speed), 0.1, "bent")
    assert torch.equal(sde.std(50), Bent(ThetaSchedule(speed), 0.1).std(50))
    assert load(save(path, nafnet(), sde))[1] == sde


def test_files_of_before_load_as_before(tmp_path, sde):
    "The header of an IRSDE has the five values that it always had"
    path = save(tmp_path / "a.safetensors", nafnet(), sde)
    ours = json.loads(header_of(path)[0]["__metadata__"]["irsde"])
    five = dict(name="IRSDE", lam=sde.lam, theta="cosine", n_steps=sde.schedule.n_steps, delta=0.005)
    assert ours["sde"] == five and ours["header"] == 1 and type(load(path)[1]) is IRSDE


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

    for file in weights_path("").parent.glob("*.safetensors"):
        assert load(file)[2]["task"] == file.stem


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
