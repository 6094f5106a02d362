"Weights of the official networks as others hand them on: names, wrappings, refusals, damage."

import pickle
import re
import warnings
import zipfile

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from irsde import Restorer
from irsde.cameras import LensNAFNet, StereoNAFNet
from irsde.checkpoint import OFFICIAL_LAM, convert, describe, load, load_official, official_sde, save
from irsde.cli import main
from irsde.foreign import find_sets, split_name
from irsde.latent import LatentModel, LatentUNet
from irsde.nafnet import ConditionalNAFNet
from irsde.official import from_official, official_names
from irsde.unet import ConditionalUNet

from .conftest import fill, picture


def nafnet(**more):
    return fill(ConditionalNAFNet(width=8, enc=(1, 2), mid=1, dec=(1, 1), **more))


def unet(**more):
    return fill(ConditionalUNet(width=8, depth=2, **more))


def coder(**more):
    return fill(LatentUNet(**{"width": 8, "mult": (1, 2, 2), "embed": 4, **more}))


def lens(**more):
    return fill(LensNAFNet(**{"channels": 4, "width": 8, "enc": (1, 2), "mid": 1, "dec": (1, 1), **more}))


def stereo(**more):
    return fill(StereoNAFNet(6, 8, (1, 2), 1, (1, 1), **more))


def haze(**more):
    return nafnet(channels=8, **{"global_skip": True, **more})


NETWORKS = {
    "nafnet": nafnet,
    "nafnet-denoising": lambda: nafnet(conditional=False),
    "unet": unet,
    "unet-denoising": lambda: unet(conditional=False, full_attention=True),
}


def official(net):
    "The state dict as the official code would write it"
    names = official_names(net)
    return {
        names[k]: (p.reshape(1, -1, 1, 1) if names[k].endswith(".g") else p).detach().contiguous()
        for k, p in net.state_dict().items()
    }


def before(prefix, state):
    return {f"{prefix}{name}": p for name, p in state.items()}


def output(model):
    with torch.no_grad():
        return model(picture(1, 3, 16, 16), picture(1, 3, 16, 16, seed=1), 37)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


RELATIVES = {"haze": haze, "lens": lens, "stereo": stereo, "autoencoder": coder}


@pytest.fixture(scope="module")
def net():
    return nafnet()


@pytest.fixture(scope="module")
def state(net):
    return official(net)


@pytest.fixture(scope="module")
def other(state):
    return {name: p + 1 for name, p in state.items()}


def saved(path, content, **how):
    torch.save(content, path, **how)
    return path


def quiet(path, key=None):
    "The network, and the warnings that came with it"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        net = load_official(path, key)
    return net, [str(w.message) for w in said]


# ---- plain files


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_round_trip(tmp_path, make, prefix):
    net = make()
    loaded, said = quiet(saved(tmp_path / "a.pth", before(prefix, official(net))))
    assert torch.equal(output(loaded), output(net)) and not loaded.training
    assert bool(said) == bool(prefix)


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("ending", [".pth", ".pt", ".ckpt", ".bin", ""])
def test_formats_and_endings(tmp_path, net, state, how, ending):
    assert same(quiet(saved(tmp_path / f"a{ending}", state, **how))[0], net)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("tensors", [False, True])
def test_other_precisions(tmp_path, net, state, dtype, tensors):
    cast = {name: p.to(dtype) for name, p in state.items()}
    if tensors:
        save_file(cast, path := tmp_path / "a.safetensors")
    else:
        path = saved(tmp_path / "a.pth", cast)
    loaded, said = quiet(path)
    assert next(loaded.parameters()).dtype == torch.float32 and not said
    torch.testing.assert_close(output(loaded), output(net), rtol=0.1, atol=0.05)
    assert describe(path)["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_another_pickle_protocol_is_not_called_damage(tmp_path, state):
    with pytest.raises(ValueError, match="of a protocol"):
        load_official(saved(tmp_path / "a.pth", state, pickle_protocol=4))


# ---- wrappings

PREFIXES = [
    "module.",
    "module.module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "ema_model.",
    "ema_model.module.",
    "model.",
    "net.",
    "netG.",
    "generator.",
    "model.net.",
    "model.module._orig_mod.ema_model.",
    "somebody.elses.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("tensors", [False, True])
def test_any_chain_of_prefixes_is_taken_off_and_said(tmp_path, net, state, prefix, tensors):
    if tensors:
        save_file(before(prefix, state), path := tmp_path / "a.safetensors")
    else:
        path = saved(tmp_path / "a.pth", before(prefix, state))
    loaded, said = quiet(path)
    assert same(loaded, net) and len(said) == 1 and f"prefix {prefix} was taken off" in said[0]
    assert prefix in describe(path)["inside"]


def test_wrappers_inside_of_names(tmp_path, net, state):
    inside = {name.replace(".0.", ".0._orig_mod.", 1): p for name, p in state.items()}
    loaded, said = quiet(saved(tmp_path / "a.pth", inside))
    assert same(loaded, net) and "_orig_mod inside of names" in said[0]
    both = {**inside, "encoders.0.0.beta": torch.ones(1, 8, 1, 1)}
    with pytest.raises(ValueError, match="two tensors for the name encoders.0.0.beta"):
        load_official(saved(tmp_path / "b.pth", both))


WRAPPED = {
    "params": lambda s: {"params": s},
    "params_ema": lambda s: {"params_ema": s},
    "any word": lambda s: {"whatever": s},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "best_psnr": 30.5},
    "model": lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "epoch": 3},
    "named moments": lambda s: {"model": s, "optimizer": {"exp_avg": dict(s), "lr": 1e-4}},
    "lightning": lambda s: {
        "state_dict": before("model.", s),
        "pytorch-lightning_version": "2.0",
        "optimizer_states": [{"state": {}, "param_groups": [{"params": [0, 1]}]}],
        "hyper_parameters": {"encoders": [1, 2]},
    },
    "ema-pytorch": lambda s: {
        **before("ema_model.", s),
        "initted": torch.tensor(True),
        "step": torch.tensor(7),
    },
    "averaged model": lambda s: {**before("module.", s), "n_averaged": torch.tensor(3)},
    "counters": lambda s: {**s, "num_batches_tracked": torch.tensor(3), "epoch": 3, "name": "x"},
    "deep": lambda s: {"state": {"model": {"params": before("module.", s)}}},
    "a list": lambda s: [before("module.", s), {"epoch": 3}],
    "a name with grad in it": lambda s: {"degradation_net": s, "grad_scaler": {"scale": torch.ones(1)}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_one_set_of_weights_is_found_wherever_it_is(tmp_path, net, state, wrap):
    path = saved(tmp_path / "a.pth", wrap(state))
    loaded, said = quiet(path)
    assert same(loaded, net) and len(said) == 1 and "a.pth" in said[0]
    assert describe(path)["parameters"] == sum(p.numel() for p in net.parameters())


SEVERAL = {
    "BasicSR": (lambda a, b: {"params": a, "params_ema": b}, "params_ema", ["params", "params_ema"]),
    "ema-pytorch": (
        lambda a, b: {**before("online_model.", a), **before("ema_model.", b), "step": torch.tensor(1)},
        "ema_model",
        ["online_model", "ema_model"],
    ),
    "nested": (
        lambda a, b: {"step": 3, "model": a, "ema": {**before("module.ema_model.", b)}},
        "ema_model",
        ["model", "ema.module.ema_model"],
    ),
    "both ways": (lambda a, b: {**a, **before("module.", b)}, "module", ["", "module"]),
    "same tensors": (lambda a, b: {"params": b, "params_ema": b}, "params_ema", ["params", "params_ema"]),
}


@pytest.mark.parametrize("wrap, key, labels", SEVERAL.values(), ids=SEVERAL)
def test_several_sets_need_a_key(tmp_path, state, other, wrap, key, labels):
    path = saved(tmp_path / "a.pth", wrap(state, other))
    with pytest.raises(ValueError, match="2 sets of weights") as e:
        load_official(path)
    assert all(f'key="{label}" ({len(state)} tensors of ' in str(e.value) for label in labels)
    assert same(quiet(path, key)[0], from_official(other))
    assert same(quiet(path, labels[1])[0], from_official(other))
    with pytest.raises(ValueError, match="key='nothing'") as e:
        load_official(path, "nothing")
    assert all(f'key="{label}"' in str(e.value) for label in labels)
    found = describe(path)
    assert all("ConditionalNAFNet" in found[f"key {label}"] for label in labels)
    assert "ConditionalNAFNet" in describe(path, key)["network"]


def test_the_bare_set_has_the_empty_key(tmp_path, net, state, other):
    path = saved(tmp_path / "a.pth", {**state, **before("module.", other)})
    loaded, said = quiet(path, "")
    assert same(loaded, net) and "not read: module" in said[0]


def test_a_key_where_there_is_none(tmp_path, state):
    with pytest.raises(ValueError, match="under no key"):
        load_official(saved(tmp_path / "a.pth", state), "params_ema")


def test_tensors_beside_the_weights(tmp_path, net, state):
    path = saved(
        tmp_path / "a.pth", {"state_dict": {**before("model.", state), "loss.weight": torch.ones(3)}}
    )
    with pytest.raises(ValueError, match="there is loss.weight"):
        load_official(path)
    loaded, said = quiet(path, "state_dict.model")
    assert same(loaded, net) and "left out: loss.weight" in said[0]


@pytest.mark.parametrize("name", ["x.weight", "encoders.7.0.beta", "module.x.weight"])
def test_extra_tensors_are_refused(tmp_path, state, name):
    prefix = "module." if name.startswith("module.") else ""
    with pytest.raises(ValueError, match=re.escape(name.removeprefix("module."))):
        load_official(saved(tmp_path / "a.pth", {**before(prefix, state), name: torch.ones(3)}))


SMALLEST = {
    "nafnet": lambda: ConditionalNAFNet(width=4, enc=(1,), mid=1, dec=(1,)),
    "unet": lambda: ConditionalUNet(width=4, depth=1),
    "lens": lambda: LensNAFNet(4, 4, (1,), 1, (1,)),
    "stereo": lambda: StereoNAFNet(6, 4, (1,), 1, (1,)),
    "autoencoder": lambda: LatentUNet(width=4, mult=(1, 2), embed=4),
}


@pytest.mark.parametrize("kind", SMALLEST)
def test_the_missing_key_is_named_in_a_wrapped_file_too(kind):
    with torch.device("meta"):
        state = official(SMALLEST[kind]())
    for key in state:
        rest = before("model.module.", {k: p for k, p in state.items() if k != key})
        (found,) = find_sets("a.ckpt", {"state_dict": rest, "epoch": 1}).values()
        with pytest.raises(ValueError) as e:
            from_official(found.state)
        named = re.findall(r"([\w.]+),? (?:\([\d, ]*\)|with 4 axes,) is missing", str(e.value))
        assert named == [key] and "no place" not in str(e.value) and "has shape" not in str(e.value)


# ---- refusals

class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (self.path.write_text, ("x",))


def test_code_in_a_pickle_is_not_run(tmp_path, state):
    ran = tmp_path / "ran"
    files = [
        saved(tmp_path / "a.pth", {"a": Evil(ran)}),
        saved(tmp_path / "b.pth", {**state, "x": Evil(ran)}),
        saved(tmp_path / "c.pth", torch.nn.Linear(2, 2)),
    ]
    (tmp_path / "d.pth").write_bytes(pickle.dumps(Evil(ran), protocol=2))
    for path in [*files, tmp_path / "d.pth"]:
        with pytest.raises(ValueError, match="which is code"):
            load_official(path)
    assert not ran.exists()


CONTENTS = {
    "nothing": ({}, "no weights by name"),
    "a number": ({"a": 3}, "no official network"),
    "a list": ([1], "no weights by name: it has a list"),
    "a tensor": (torch.zeros(3), "holds a Tensor"),
    "another network": ({"x": torch.zeros(3)}, "no official network: it has x"),
    "a training": (
        {"epoch": 3, "iter": 7, "schedulers": [], "optimizers": [{"state": {}}]},
        "state of a training",
    ),
    "our names": (before("module.", nafnet().state_dict()), "irsde's own networks"),
}


@pytest.mark.parametrize("content, words", CONTENTS.values(), ids=CONTENTS)
def test_files_without_weights(tmp_path, content, words):
    path = saved(tmp_path / "a.pth", content)
    for call in (load_official, describe):
        with pytest.raises(ValueError, match=words) as e:
            call(path)
        assert "a.pth" in str(e.value)


@pytest.mark.parametrize(
    "value",
    [
        3,
        torch.ones(8, dtype=torch.int64),
        torch.ones(8).to_sparse(),
        torch.full((8,), float("nan")),
        torch.full((8,), 1e300, dtype=torch.float64),
        torch.ones(8, device="meta"),
        torch.ones(1).expand(8),
        torch.ones(8, dtype=torch.complex64),
    ],
)
def test_what_is_no_weight(tmp_path, state, value):
    with pytest.raises(ValueError, match="a.pth.*intro.bias"):
        load_official(saved(tmp_path / "a.pth", {**state, "intro.bias": value}))


FOREIGN = {
    "a.png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture, no checkpoint"),
    "b.pth": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", "a picture, no checkpoint"),
    "c.pth": (b"<!DOCTYPE html><html>", "a web page"),
    "d.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "e.pth.gz": (b"\x1f\x8b\x08\0" + bytes(20), "an archive"),
    "f.index.json": (b'{"weight_map": {}}', "several files"),
    "model-00001-of-00003.safetensors": (b"x", "several files"),
    "g.json": (b'{\n "encoders.0.0.beta": [1]}', "a JSON text"),
    "h.yml": (b"name: ir-sde\nuse_tb_logger: true\n", "a text"),
    "i.pth": (b"", "0 bytes"),
    "j.pth": (b"\1\2\3\4" * 10, "no checkpoint, or damaged"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_checkpoint_is_told_so(tmp_path, name):
    content, words = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    for call in (load_official, load, describe):
        with pytest.raises(ValueError, match=words) as e:
            call(tmp_path / name)
        assert name in str(e.value)


def test_folders_archives_and_missing_files(tmp_path, state):
    saved(tmp_path / "a.pth", state)
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        archive.extractall(tmp_path)
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.write(tmp_path / "a.pth", "a.pth")
    with pytest.raises(ValueError, match="zip archive of a.pth"):
        load_official(tmp_path / "weights.zip")
    for call in (load_official, load, describe):
        with pytest.raises(IsADirectoryError, match="give one of a.pth"):
            call(tmp_path)
        with pytest.raises(FileNotFoundError, match="none.pth"):
            call(tmp_path / "none.pth")
        with pytest.raises(IsADirectoryError, match="a file of torch.save that was unpacked"):
            call(tmp_path / "a")
        with pytest.raises(FileNotFoundError, match='Restorer.from_pretrained."deraining"'):
            call("deraining")


def test_one_shard_of_one_is_whole(tmp_path, net, state):
    save_file(state, path := tmp_path / "model-00001-of-00001.safetensors")
    assert same(quiet(path)[0], net)


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"params": before("module.", s)}], ids=["plain", "wrapped"]
)
def test_damage_is_noticed(tmp_path, net, state, wrap, rng):
    data = saved(tmp_path / "a.pth", wrap(state)).read_bytes()
    for place in rng.integers(len(data), size=60):
        broken = bytearray(data)
        broken[place] ^= 1 << rng.integers(8)
        for content in (broken, data[:place]):
            (tmp_path / "a.pth").write_bytes(content)
            try:
                assert same(quiet(tmp_path / "a.pth")[0], net)
            except ValueError as e:
                assert "a.pth" in str(e)


def test_a_file_without_check_sums_loads(tmp_path, net, state):
    options = torch.serialization
    if not hasattr(options, "set_crc32_options"):
        pytest.skip("this torch always writes them")
    options.set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pth", state)
    finally:
        options.set_crc32_options(True)
    assert same(quiet(path)[0], net)


def test_cut_safetensors(tmp_path, state):
    save_file(state, path := tmp_path / "a.safetensors")
    data = path.read_bytes()
    for end in (5, 100, len(data) - 3):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="a.safetensors.*cut off"):
            load_official(path)


# ---- to files of ours


def test_a_file_with_official_names_says_how_it_is_converted(tmp_path, state):
    save_file(state, tmp_path / "a.safetensors")
    saved(tmp_path / "a.pth", state)
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        for call in (load, Restorer.from_pretrained):
            with pytest.raises(ValueError, match="irsde convert FILE --task TASK --out") as e:
                call(path)
            assert path.name in str(e.value)
    save_file({"x": torch.ones(2)}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="no irsde header.* but names x"):
        load(tmp_path / "b.safetensors")


def test_convert_and_describe(tmp_path, net, state, other):
    path = convert(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", "dehazing")
    model, sde, about = load(path, task="dehazing")
    assert sde.lam == 50 / 255 and sde.schedule.n_steps == 100 and about["solver"] == "posterior"
    assert same(model, net) and about["source"] == "official checkpoint a.pth"
    assert describe(path)["task"] == "dehazing" and "official" in describe(tmp_path / "a.pth")["format"]
    with pytest.raises(ValueError, match="already"):
        load_official(path)
    with pytest.raises(ValueError, match="key="):
        describe(path, "params")
    both = saved(tmp_path / "both.pth", {"params": state, "params_ema": other})
    with pytest.warns(UserWarning, match="read from params_ema"):
        model, _, about = load(convert(both, tmp_path / "b.safetensors", "dehazing", key="params_ema"))
    assert same(model, from_official(other)) and about["source"] == "official checkpoint both.pth, params_ema"


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"out": "."}, IsADirectoryError, "is a folder"),
        ({"out": "none/x.safetensors"}, FileNotFoundError, "no folder"),
        ({"out": "x.pth"}, ValueError, "ends in .safetensors"),
        ({"out": "x"}, ValueError, "ends in .safetensors"),
        ({"out": "there.safetensors"}, FileExistsError, "force=True"),
        (
            {"path": "there.safetensors", "out": "there.safetensors", "force": True},
            ValueError,
            "file to convert",
        ),
        ({"task": "snow"}, ValueError, "unknown task 'snow'"),
        ({"lam": 0}, ValueError, "lam"),
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"dtype": torch.bfloat16}, ValueError, "float32 or float16"),
        ({"path": "none.pth"}, FileNotFoundError, "none.pth"),
    ],
)
def test_convert_refuses_before_the_work(tmp_path, monkeypatch, state, change, error, words):
    monkeypatch.chdir(tmp_path)
    saved("a.pth", state)
    save_file(state, "there.safetensors")
    monkeypatch.setattr("irsde.foreign.contents", lambda path: pytest.fail("the weights were read"))
    kept = (tmp_path / "there.safetensors").read_bytes()
    with pytest.raises(error, match=words):
        convert(**{"path": "a.pth", "out": "x.safetensors", "task": "deraining", **change})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth", "there.safetensors"]
    assert (tmp_path / "there.safetensors").read_bytes() == kept


def test_official_sde():
    assert official_sde(nafnet(conditional=False), "denoising").schedule.n_steps == 1000
    assert official_sde(unet(conditional=False), "denoising").schedule.n_steps == 100
    assert official_sde(unet(), "deraining").lam == 10 / 255 and len(OFFICIAL_LAM) == 10
    with pytest.raises(ValueError, match="denoising"):
        official_sde(nafnet(), "denoising")
    with pytest.raises(ValueError, match="not for deraining"):
        official_sde(nafnet(conditional=False), "deraining")


# ---- relatives, and two files that are one


@pytest.mark.parametrize("make", RELATIVES.values(), ids=RELATIVES)
@pytest.mark.parametrize("prefix", ["", "module.model."])
def test_relatives_round_trip(tmp_path, make, prefix):
    net = make()
    loaded, said = quiet(saved(tmp_path / "a.pth", before(prefix, official(net))))
    assert same(loaded, net) and loaded.arguments == net.arguments and type(loaded) is type(net)
    assert len(said) == bool(prefix or make is haze)
    assert type(net).__name__ in describe(tmp_path / "a.pth")["network"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: coder(channels=1, mult=(3,), embed=2, attention=False),
        lambda: coder(mult=(2, 1, 3, 2), embed=8),
        lambda: LensNAFNet(3, 4, (2, 0), 1, (0, 1)),
        lambda: StereoNAFNet(2, 4, (1,), 0, (3,), conditional=False),
    ],
)
def test_sizes_of_relatives_from_shapes(make):
    net = make()
    assert from_official(official(net)).arguments == net.arguments


@pytest.mark.parametrize("kind", ["encoder.0.1.block1.proj.bias", "encoder.1.2.x", "decoder.module.0.3.bias"])
def test_encoder_and_decoder_are_official_words_only_before_numbers(kind):
    assert split_name(f"model.{kind}") == ("model", kind.replace("module.", ""))
    assert split_name("encoder.layers.0.bias") is None and split_name("decoder.0.weight") is None
    assert split_name("encoder.encoders.0.0.beta") == ("encoder", "encoders.0.0.beta")


def test_the_global_skip_is_taken_from_the_channels_unless_told(tmp_path):
    path = saved(tmp_path / "a.pth", official(haze()))
    with pytest.warns(UserWarning, match="as it has 8 channels, .*: global_skip=False says that it does not"):
        assumed = load_official(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told, without = (load_official(path, global_skip=skip) for skip in (True, False))
        assert not load_official(saved(tmp_path / "b.pth", official(nafnet()))).global_skip
        assert load_official(tmp_path / "b.pth", global_skip=True).global_skip
    assert assumed.global_skip and told.global_skip and not without.global_skip
    x, mu = picture(1, 8, 8, 8), picture(1, 8, 8, 8, seed=1)
    with torch.no_grad():
        assert torch.equal(assumed(x, mu, 5), told(x, mu, 5))
        assert (assumed(x, mu, 5) - without(x, mu, 5)).abs().max() > 1e-3
    assert "global_skip" not in without.arguments and told.arguments["global_skip"] is True
    with pytest.raises(ValueError, match="a.pth holds an official U-Net"):
        load_official(saved(tmp_path / "a.pth", official(unet())), global_skip=True)


@pytest.fixture
def halves(tmp_path):
    nets = dict(net8=haze(), net4=lens(), coder8=coder(embed=8), coder4=coder(), plain=nafnet())
    nets["eyes"] = stereo()
    return {name: saved(tmp_path / f"{name}.pth", official(net)) for name, net in nets.items()}


@pytest.mark.filterwarnings("ignore:.*8 channels")
@pytest.mark.parametrize(
    "names, task", [(("net8", "coder8"), "nonhomogeneous-dehazing"), (("net4", "coder4"), "bokeh")]
)
def test_a_pair_becomes_one_file(tmp_path, halves, names, task):
    net, outer = (halves[name] for name in names)
    pair = load_official(net, autoencoder=outer)
    assert isinstance(pair, LatentModel) and not pair.training and official_sde(pair, task).lam == 50 / 255
    path = convert(net, tmp_path / "a.safetensors", task, autoencoder=outer, lam=0.25)
    again, sde, about = load(path)
    assert sde.lam == again.sde.lam == 0.25 and about["task"] == task
    assert about["source"] == f"official checkpoint {net.name} and {outer.name}"
    assert same(again.autoencoder, pair.autoencoder) and same(again.model, pair.model)
    x = picture(1, 3, 16, 24)
    with torch.no_grad():
        z = again.encode(x)
        torch.testing.assert_close(again.decode(z, x), pair.autoencoder(x))
        bound = again.model.through((-14, 160, 37)) if task == "bokeh" else again
        assert bound(z, z, 7).shape == z.shape
    assert "LatentUNet" in describe(path)["autoencoder"]


@pytest.mark.filterwarnings("ignore:.*8 channels")
def test_a_key_holds_for_both_files_that_have_it(tmp_path, halves):
    "BasicSR writes the raw and the averaged weights of either half"
    def both(name):
        state = torch.load(halves[name], weights_only=True)
        raw = {key: p + 1 for key, p in state.items()}
        return saved(tmp_path / f"both-{name}.pth", {"params": raw, "params_ema": state})

    net, outer = both("net8"), both("coder8")
    wanted = load_official(halves["net8"], autoencoder=halves["coder8"])
    for inner, around in ((net, outer), (net, halves["coder8"])):
        pair = load_official(inner, "params_ema", autoencoder=around)
        assert same(pair.model, wanted.model) and same(pair.autoencoder, wanted.autoencoder)
    with pytest.raises(ValueError, match="both-coder8.pth has 2 sets"):
        load_official(halves["net8"], autoencoder=outer)


@pytest.mark.filterwarnings("ignore:.*8 channels")
@pytest.mark.parametrize(
    "names, words",
    [
        (("net8", "coder4"), "net8.pth and .*coder4.pth are of two pairs.* of 8 channels, .* of 4"),
        (("coder8", "net8"), "coder8.pth is an autoencoder: the network for its latents comes first"),
        (("net8", "plain"), "plain.pth is no autoencoder, but a ConditionalNAFNet"),
        (("plain", "coder4"), "of two pairs"),
    ],
)
def test_halves_that_make_no_pair(halves, names, words):
    with pytest.raises(ValueError, match=words):
        load_official(halves[names[0]], autoencoder=halves[names[1]])


@pytest.mark.filterwarnings("ignore:.*8 channels")
@pytest.mark.parametrize(
    "name, task, words",
    [
        ("net8", "nonhomogeneous-dehazing", "latents of 8 channels, and its autoencoder is miss"),
        ("net4", "bokeh", "latents of 4 channels, and its autoencoder is missing"),
        ("coder8", "nonhomogeneous-dehazing", "this is an autoencoder"),
        ("eyes", "super-resolution", "a StereoNAFNet is no network for super-resolution"),
        ("plain", "stereo-super-resolution", "a ConditionalNAFNet is no network for stereo-super-resolution"),
    ],
)
def test_half_a_pair_and_the_wrong_task_are_not_converted(tmp_path, halves, name, task, words):
    with pytest.raises(ValueError, match=words):
        convert(halves[name], tmp_path / "a.safetensors", task)
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.filterwarnings("ignore:.*8 channels")
def test_pairs_from_a_shell(tmp_path, halves):
    out, task = tmp_path / "a.safetensors", "nonhomogeneous-dehazing"
    words = ["convert", str(halves["net8"]), "--task", task, "--out", str(out)]
    done = CliRunner().invoke(main, [*words, "--no-global-skip"])
    assert done.exit_code == 1 and "give it by --autoencoder FILE" in done.stderr and not out.exists()
    done = CliRunner().invoke(main, [*words, "--autoencoder", str(halves["coder8"]), "--no-global-skip"])
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    model, _, about = load(out)
    assert isinstance(model, LatentModel) and about["task"] == task and not model.model.global_skip


def test_a_missing_autoencoder_file_is_named(tmp_path, halves):
    with pytest.raises(FileNotFoundError, match="none.pth"):
        convert(halves["net8"], tmp_path / "a.safetensors", "bokeh", autoencoder=tmp_path / "none.pth")


def test_stereo_is_converted(tmp_path, halves):
    model, sde, _ = load(convert(halves["eyes"], tmp_path / "a.safetensors", "stereo-super-resolution"))
    assert isinstance(model, StereoNAFNet) and sde.lam == 50 / 255


def test_a_file_of_ours_is_no_official_one(tmp_path, net, sde):
    with pytest.raises(ValueError, match="irsde.load reads it"):
        load_official(save(tmp_path / "a.safetensors", net, sde))
