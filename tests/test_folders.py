"Folders in, folders out: names, formats, what is there already and what made it, and what goes wrong."

import errno
import json
import os
import sys
import unicodedata
import uuid
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import irsde.outputs
from irsde import Restorer
from irsde.degrade import Downscale, GaussianNoise
from irsde.folders import degrade_files, restore_files
from irsde.images import read
from irsde.outputs import RECORD, Record, alike, check_names, plan

from .conftest import fill


class Halved:
    "Says that the clean picture is mu / 2"

    def __init__(self, sde, factor=0.5):
        self.sde, self.factor = sde, factor

    def __call__(self, x, mu, t):
        return self.sde.noise_from_x0(x, mu, mu * self.factor, t)


@pytest.fixture
def restorer(sde):
    return Restorer(Halved(sde), sde, {"task": "deraining", "solver": "posterior", "steps": 1}, "cpu")


def save(path, grey=100, size=(12, 16), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = {"L": grey, "RGB": (grey, grey // 2, 20), "RGBA": (grey, 0, 0, 128)}[mode]
    Image.new(mode, size[::-1], colour).save(path)
    return path


def names(folder):
    return sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != RECORD
    )


def restored(*args, **how):
    "The table, and what was warned of"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = restore_files(*args, **how)
    return table, [str(w.message) for w in said]


# ---- where results go


def test_one_picture_and_the_name_of_a_file(restorer, tmp_path):
    "A file is written, not a folder of that name; also beside the picture, never over it"
    a = save(tmp_path / "in" / "a.png")
    restore_files(a, tmp_path / "new" / "result.jpg", restorer)
    assert names(tmp_path / "new") == ["result.jpg"]
    restore_files(a, tmp_path / "in" / "b.PNG", restorer)
    assert names(tmp_path / "in") == ["a.png", "b.PNG"]
    restore_files(a, f"{tmp_path}/folder.png/", restorer)
    assert names(tmp_path / "folder.png") == ["a.png"]
    restore_files(a, tmp_path / "folder.png", restorer)  # it is a folder already
    (tmp_path / "link.png").symlink_to(a)
    before = a.read_bytes()
    for inputs, out, message in (
        (a, a, "over an input"),
        (a, tmp_path / "link.png", "over an input"),
        (tmp_path / "in", tmp_path / "x.png", "out=FOLDER"),
        ([a, tmp_path / "in" / "b.PNG"], tmp_path / "x.png", "out=FOLDER"),
        (a, tmp_path / "x.gif", "not written as .gif"),
    ):
        with pytest.raises(ValueError, match=message):
            restore_files(inputs, out, restorer)
    assert a.read_bytes() == before and not list(tmp_path.glob("x.*"))


def test_the_tree_is_kept(restorer, tmp_path):
    for name in ("a.png", "1/a.png", "1/2/b.png", ".hidden/c.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "1" / "loop").symlink_to(tmp_path / "in")
    table, _ = restored(tmp_path / "in", tmp_path / "out", restorer, recursive=True)
    assert names(tmp_path / "out") == ["1/2/b.png", "1/a.png", "a.png"] and len(table) == 3
    flat, said = restored(tmp_path / "in", tmp_path / "flat", restorer)
    assert names(tmp_path / "flat") == ["a.png"] and "1 subfolder (recursive=True)" in said[0]
    again, _ = restored(tmp_path / "in", tmp_path / "out", restorer, recursive=True)
    assert again["status"].tolist() == ["skipped"] * 3 and again["notes"].tolist() == [""] * 3


def test_formats(restorer, tmp_path):
    for name in ("a.bmp", "b.jpg", "c.d.png"):
        save(tmp_path / "in" / name)
    restore_files(tmp_path / "in", tmp_path / "out", restorer, format="png")
    assert names(tmp_path / "out") == ["a.png", "b.png", "c.d.png"]
    low, high = (tmp_path / name for name in ("low", "high"))
    for out, quality in ((low, 5), (high, 100)):
        restore_files(tmp_path / "in" / "b.jpg", out, restorer, quality=quality)
    assert (low / "b.jpg").stat().st_size < (high / "b.jpg").stat().st_size
    for wrong in (dict(format="psd"), dict(format="gif"), dict(quality=0), dict(quality=101)):
        with pytest.raises(ValueError):
            restore_files(tmp_path / "in", tmp_path / "none", restorer, **wrong)
    save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="several inputs would be written as a.png"):
        restore_files(tmp_path / "in", tmp_path / "none", restorer, format=".PNG")
    assert not (tmp_path / "none").exists()


def test_a_format_that_is_only_read(restorer, tmp_path):
    "Its result is a PNG, under a name of its own, and a note says so before the work"
    Image.new("L", (16, 12), 90).save(tmp_path / "still.gif")
    save(tmp_path / "a.png")
    table, said = restored([tmp_path / "still.gif", tmp_path / "a.png"], tmp_path / "out", restorer)
    assert table["status"].tolist() == ["restored", "restored"]
    assert "PNG is written: still.gif to still.png" in said[0]
    assert names(tmp_path / "out") == ["a.png", "still.png"]
    save(tmp_path / "still.png")
    restored([tmp_path / "still.gif", tmp_path / "still.png"], tmp_path / "both", restorer)
    assert names(tmp_path / "both") == ["still.gif.png", "still.png"]
    restore_files(tmp_path / "still.gif", tmp_path / "tif", restorer, format="tif")
    assert names(tmp_path / "tif") == ["still.tif"]


def test_results_below_the_pictures(restorer, tmp_path):
    "A folder for results may lie in the pictures' own, and is not read as one of theirs"
    save(tmp_path / "a.png")
    save(tmp_path / "1" / "b.png")
    for _ in range(2):
        restore_files(tmp_path, tmp_path / "out", restorer, recursive=True, overwrite=True)
    assert names(tmp_path / "out") == ["1/b.png", "a.png"]
    with pytest.raises(ValueError, match="never written over"):
        restore_files(tmp_path, tmp_path, restorer)


def test_what_the_format_cannot_hold_is_known_before_the_network(sde, tmp_path):
    calls = []

    def model(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    save(tmp_path / "glass.png", mode="RGBA")
    table = restore_files(
        tmp_path / "glass.png",
        tmp_path / "out",
        Restorer(model, sde, {"task": "deraining"}, "cpu"),
        format="jpg",
    )
    assert "transparency" in table["error"][0] and not calls and not names(tmp_path / "out")


def test_maps_are_over_nothing(sde, tmp_path):
    net = Restorer(Halved(sde), sde, {"task": "deraining", "solver": "posterior", "steps": 1}, "cpu")
    for name in ("a.png", "a.jpg", "a-std.png", "b.png"):
        save(tmp_path / "in" / name)
    restore_files(tmp_path / "in", tmp_path / "out", net, samples=2)
    wanted = [
        "a-std-std.png",
        "a-std.png",
        "a.jpg",
        "a.jpg-std.png",
        "a.png",
        "a.png-std.png",
        "b-std.png",
        "b.png",
    ]
    assert names(tmp_path / "out") == wanted
    assert read(tmp_path / "out" / "a-std.png").values.dtype == np.uint8  # a result, not a map
    later = save(tmp_path / "later" / "b-std.png")
    for overwrite in (False, True):  # a result is not written over a map of another day
        table, _ = restored(later, tmp_path / "out", net, overwrite=overwrite)
        assert "map of b.png" in table["error"][0]
    save(tmp_path / "more" / "a-std.tif")
    planned = plan(tmp_path / "more", tmp_path / "out", maps=True)
    assert planned[0].map.name == "a-std.tif-std.png"  # nor a map over a map


@pytest.mark.parametrize(
    "pair", [("A.png", "a.png"), ("caf\u00e9.png", "cafe\u0301.png"), ("STRASSE.png", "stra\u00dfe.png")]
)
def test_names_that_some_file_systems_take_for_one(pair, tmp_path, monkeypatch):
    "Whether this one does is tried out"
    assert alike(pair[0]) == alike(pair[1])
    for name in pair:
        (tmp_path / name).write_text("")
    one = len(list(tmp_path.iterdir())) == 1
    assert irsde.outputs.merges(tmp_path / "none" / "yet", pair) == one
    monkeypatch.setattr(irsde.outputs, "merges", lambda folder, names: True)
    with pytest.raises(ValueError, match="several inputs"):
        check_names(pair, tmp_path)
    monkeypatch.setattr(irsde.outputs, "merges", lambda folder, names: False)
    check_names(pair, tmp_path)


def test_masks_are_inputs_too(sde, tmp_path):
    filler = Restorer(Halved(sde), sde, {"task": "inpainting", "steps": 1, "solver": "posterior"}, "cpu")
    save(tmp_path / "in" / "a.png")
    mask = tmp_path / "masks" / "a.png"
    mask.parent.mkdir()
    Image.fromarray(np.where(np.arange(16) < 4, 0, 255).astype(np.uint8)[None].repeat(12, 0)).save(mask)
    before = mask.read_bytes()
    for given, out in ((tmp_path / "masks", tmp_path / "masks"), (mask, mask), (mask, tmp_path / "masks")):
        with pytest.raises(ValueError, match="over the mask"):
            restore_files(tmp_path / "in" / "a.png", out, filler, mask=given, overwrite=True)
    assert mask.read_bytes() == before
    restore_files(tmp_path / "in", tmp_path / "out", filler, mask=mask)
    plain, turned = (
        restored(tmp_path / "in", tmp_path / "out", filler, mask=mask, invert_mask=invert)[0]["notes"][0]
        for invert in (False, True)
    )
    assert plain == "" and "without invert_mask=" in turned


def test_one_file_twice_and_an_empty_folder(restorer, tmp_path):
    a = save(tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    table, _ = restored([tmp_path / "in", a, tmp_path / "empty"], tmp_path / "out", restorer)
    assert len(table) == 1
    assert len(restore_files(str(tmp_path / "i*" / "*.png"), tmp_path / "two", restorer)) == 1


# ---- what is there already


def test_what_made_a_result(restorer, sde, tmp_path):
    a, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    first, _ = restored(a, out, restorer)
    assert first["status"].item() == "restored"

    def told(restorer=restorer, **how):
        table, said = restored(a, out, restorer, **how)
        assert table["status"].item() == "skipped" and not said
        return table["notes"].item()

    assert told() == "" == told(steps=1) == told(solver="posterior")
    assert told(steps=2) == "its result was made by steps=1: overwrite=True makes it anew"
    assert "seed=0" in told(seed=3) and "samples=1" in told(samples=2) and "without tile=" in told(tile=64)
    haze = Restorer(Halved(sde), sde, {**restorer.about, "task": "dehazing"}, "cpu")
    assert told(haze) == "its result was made by task=deraining: overwrite=True makes it anew"
    stat = a.stat()
    os.utime(a, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert told() == ""  # another time, the same bytes
    save(a, grey=50)
    assert "another picture" in told()
    restore_files(a, out, restorer, overwrite=True)
    assert told() == ""
    save(out / "a.png", grey=1)  # somebody else's
    table, said = restored(a, out, restorer)
    assert table["notes"].item() == "" and "made by something unknown" in said[0]


def test_weights_are_told_from_others(sde, tmp_path):
    from irsde.nafnet import ConditionalNAFNet
    from irsde.predict import CleanPrediction

    a, out, about = save(tmp_path / "a.png"), tmp_path / "out", {"task": "deraining", "steps": 1}
    nets = [fill(ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,))) for _ in range(2)]
    with torch.no_grad():
        next(nets[1].parameters()).add_(0.01)
    one, two = (Restorer(CleanPrediction(sde, net), sde, about, "cpu") for net in nets)
    restore_files(a, out, one)
    assert restored(a, out, one)[0]["notes"].item() == ""
    assert "by other weights" in restored(a, out, two)[0]["notes"].item()


def test_a_record_that_is_torn_or_early_harms_nobody(restorer, sde, tmp_path, monkeypatch):
    "Killed after the line and before the file, or in the middle of the line"
    other = Restorer(Halved(sde, 0.25), sde, restorer.about, "cpu")
    a, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    restore_files(a, out, restorer)

    replace = os.replace

    def killed(part, target):
        if target.name == "a.png":
            raise KeyboardInterrupt
        replace(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt, match="0 of 1"):
            restore_files(a, out, other, seed=9, overwrite=True)
    lines = [json.loads(line) for line in (out / RECORD).read_text().splitlines() if line]
    assert [line["by"]["seed"] for line in lines] == [0, 9]
    with open(out / RECORD, "a") as file:
        file.write('{"name": "a.png", "res')
    assert Record().made(out / "a.png")["by"]["seed"] == 0  # the file is still that of before
    assert names(out) == ["a.png"]
    restore_files(a, out, other, seed=9, overwrite=True)
    assert Record().made(out / "a.png")["by"]["seed"] == 9


def test_what_a_killed_program_was_writing_is_swept_away(restorer, tmp_path):
    a, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    old, young, mine = (save(out / f".{name}.png") for name in (uuid.uuid4().hex, uuid.uuid4().hex, "mine"))
    for path in (old, mine):
        os.utime(path, (0, 0))
    restore_files(a, out, restorer)
    assert not old.exists() and young.exists() and mine.exists()


def test_a_record_that_cannot_be_kept(restorer, tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "out" / RECORD).mkdir(parents=True)
    table, said = restored(tmp_path / "in", tmp_path / "out", restorer)
    assert table["status"].tolist() == ["restored"] * 2 and len(said) == 1 and "cannot be noted" in said[0]


# ---- what goes wrong


def test_a_full_disk_is_one_file_s_failure(restorer, tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name)
    fsync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return fsync(fd)

    monkeypatch.setattr(os, "fsync", full)
    table = restore_files(tmp_path / "in", tmp_path / "out", restorer)
    assert sorted(table["status"]) == ["failed", "restored", "restored"]
    error = table.loc[table["status"] == "failed", "error"].item()
    assert error.endswith("could not be written: No space left on device") and str(tmp_path / "out") in error
    assert len(names(tmp_path / "out")) == 2


def test_places_that_are_taken(restorer, tmp_path):
    for name in ("a.png", "b.png", "sub/c.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    (tmp_path / "out" / "sub").write_text("a file")
    table, _ = restored(tmp_path / "in", tmp_path / "out", restorer, recursive=True)
    assert table["status"].tolist() == ["failed", "restored", "failed"]
    assert "is a folder" in table["error"][0] and "sub" in table["error"][2]


def test_names_too_long_are_found_before_the_network(sde, tmp_path):
    calls = []

    def model(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    save(tmp_path / ("n" * 250 + ".png"))
    net = Restorer(model, sde, {"task": "deraining", "steps": 1, "solver": "posterior"}, "cpu")
    table = restore_files(next(tmp_path.glob("n*")), tmp_path / "out", net, samples=2)
    assert table["status"].item() == "failed" and not calls


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_that_is_no_unicode(restorer, tmp_path):
    a = save(tmp_path / "a.png")
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(odd, "wb") as file:
        file.write(a.read_bytes())
    path = os.fsdecode(odd)
    for run in (
        lambda out: restore_files(path, out, restorer),
        lambda out: degrade_files(path, out, GaussianNoise(0.1)),
    ):
        for status in ("ed", "skipped"):
            assert run(tmp_path / "out" / str(run))["status"].item().endswith(status)


def test_too_many_pixels(restorer, tmp_path):
    a = save(tmp_path / "a.png", size=(40, 50))
    assert "max_pixels" in restore_files(a, tmp_path / "out", restorer, max_pixels=1000)["error"].item()
    assert restore_files(a, tmp_path / "out", restorer, max_pixels=2000)["error"].item() == ""


def test_notes_of_reading_and_writing(restorer, tmp_path):
    rgb = np.full((12, 16, 3), 1.5, np.float32)
    import tifffile

    tifffile.imwrite(tmp_path / "hdr.tif", rgb, photometric="rgb")
    assert "1.5" in restore_files(tmp_path / "hdr.tif", tmp_path / "out", restorer)["notes"].item()


# ---- test pictures


def test_grey_stays_grey(tmp_path):
    grey = save(tmp_path / "in" / "g.png", mode="L", size=(64, 64))
    Image.open(grey).convert("RGB").save(tmp_path / "in" / "three.png")
    save(tmp_path / "in" / "c.png", size=(64, 64))
    degrade_files(tmp_path / "in", tmp_path / "out", GaussianNoise(0.1))
    shapes = {path.name: read(path).values.shape[0] for path in (tmp_path / "out").glob("*.png")}
    assert shapes == {"g.png": 1, "three.png": 3, "c.png": 3}
    three = read(tmp_path / "out" / "three.png").values
    assert (three == three[:1]).all() and three.std() > 5
    degrade_files(grey, tmp_path / "colour", GaussianNoise(0.1), channels=3)
    assert read(tmp_path / "colour" / "g.png").values.shape[0] == 3


def test_super_resolution_writes_the_small_picture(tmp_path):
    a = save(tmp_path / "a.jpg", size=(41, 64))
    table = degrade_files(a, tmp_path / "small", Downscale(4))
    assert read(tmp_path / "small" / "a.png").values.shape == (3, 11, 16)
    assert table[["width", "height"]].values.tolist() == [[16, 11]]
    degrade_files(a, tmp_path / "full", Downscale(4), full=True)
    assert read(tmp_path / "full" / "a.png").values.shape == (3, 41, 64)


def test_degraded_files_are_not_written_over(tmp_path):
    a, out = save(tmp_path / "in" / "sub" / "a.jpg"), tmp_path / "out"

    def told(**how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = degrade_files(tmp_path / "in", out, GaussianNoise(0.1), recursive=True, **how)
        return table["status"].item(), table["notes"].item()

    assert told() == ("degraded", "") and names(out) == ["sub/a.png"]
    before = (out / "sub" / "a.png").read_bytes()
    assert told() == ("skipped", "") and "seed=0" in told(seed=1)[1]
    assert (out / "sub" / "a.png").read_bytes() == before
    assert told(seed=1, overwrite=True)[0] == "degraded" and (out / "sub" / "a.png").read_bytes() != before
    alone = degrade_files(a, tmp_path / "alone", GaussianNoise(0.1), seed=1)
    assert alone["status"].item() == "degraded"  # the file's name decides, not its folder
    assert (tmp_path / "alone" / "a.png").read_bytes() == (out / "sub" / "a.png").read_bytes()
    told = degrade_files(a, tmp_path / "b.jpg", GaussianNoise(0.1), format="jpg")
    assert told["out"].item() == str(tmp_path / "b.jpg")


def test_the_seed_is_that_of_the_name(tmp_path):
    "As it always was: a sum over the name in UTF-8"
    from irsde.data import seeded
    from irsde.folders import name_seed

    path = save(tmp_path / "\u96e8.png")
    assert name_seed(path) == zlib.crc32("\u96e8.png".encode())
    degrade_files(path, tmp_path / "out", GaussianNoise(0.1), seed=4)
    clean = torch.from_numpy(read(path).values.copy()).float()[None] / 255
    wanted = GaussianNoise(0.1)(clean, seeded(4, name_seed(path), 0, 3))[0].clamp(0, 1)
    found = torch.from_numpy(read(tmp_path / "out" / path.name).values.copy()).float() / 255
    assert (found - wanted).abs().max() <= 0.5 / 255 + 1e-6
    assert unicodedata.is_normalized("NFC", path.name)


def test_transparency_that_is_kept_stays_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    degrade_files(tmp_path / "a.png", tmp_path / "out", GaussianNoise(0.1), alpha="keep")
    degrade_files(tmp_path / "a.png", tmp_path / "drop", GaussianNoise(0.1), alpha="drop")
    kept, dropped = (read(tmp_path / name / "a.png").values for name in ("out", "drop"))
    assert np.array_equal(kept[3], pixels[..., 3]) and np.array_equal(kept[:3], dropped)
    degrade_files(tmp_path / "a.png", tmp_path / "small", Downscale(2), alpha="keep")
    assert read(tmp_path / "small" / "a.png").values.shape == (4, 8, 8)
    pixels[..., 1:3] = pixels[..., :1]
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    degrade_files(tmp_path / "grey.png", tmp_path / "out", GaussianNoise(0.1), alpha="keep")
    grey = read(tmp_path / "out" / "grey.png").values
    assert grey.shape == (4, 16, 16) and (grey[1:3] == grey[:1]).all()
    assert np.array_equal(grey[3], pixels[..., 3])


def test_test_pictures_say_what_their_originals_say(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (48, 32), "teal").save(tmp_path / "a.jpg", icc_profile=profile)
    Image.fromarray(np.full((32, 48), 40000, np.uint16)).save(tmp_path / "deep.png")
    table = degrade_files([tmp_path / "a.jpg", tmp_path / "deep.png"], tmp_path / "out", Downscale(4))
    assert Image.open(tmp_path / "out" / "a.png").info["icc_profile"] == profile
    assert table["notes"].tolist() == ["", "it is written in 8 bits"]


# ---- what strangers do


def test_maps_of_a_result_that_was_there_before(restorer, tmp_path):
    "Gone with it, where the record knows them; what is not known stays, with a note"
    a, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    restore_files(a, out, restorer, samples=2)
    save(out / "b-std.png")
    assert names(out) == ["a-std.png", "a.png", "b-std.png"]
    table, _ = restored(a, out, restorer, overwrite=True)
    assert names(out) == ["a.png", "b-std.png"] and table["notes"].item() == ""
    restore_files(a, out, restorer, samples=2, overwrite=True)
    before = (out / "a-std.png").read_bytes()
    restore_files(a, out, restorer, samples=3, overwrite=True)
    assert names(out) == ["a-std.png", "a.png", "b-std.png"] and len(before)
    degrade_files(a, out, GaussianNoise(0.1), overwrite=True)
    assert names(out) == ["a.png", "b-std.png"]
    table, _ = restored(save(tmp_path / "in" / "b.png"), out, restorer)
    assert "b-std.png beside its result may be the map" in table["notes"].item()
    assert names(out) == ["a.png", "b-std.png", "b.png"]


def test_results_that_are_called_like_maps_stay(restorer, tmp_path):
    for name in ("a.png", "a-std.png"):
        save(tmp_path / "in" / name)
    for _ in range(2):
        table, _ = restored(tmp_path / "in", tmp_path / "out", restorer, overwrite=True)
        assert names(tmp_path / "out") == ["a-std.png", "a.png"] and table["notes"].tolist() == ["", ""]


def test_an_old_map_stays_until_the_new_result_is_whole(restorer, tmp_path, monkeypatch):
    a, out = save(tmp_path / "a.png"), tmp_path / "out"
    restore_files(a, out, restorer, samples=2)

    def full(*args, **how):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("irsde.work.write", full)
    table, _ = restored(a, out, restorer, overwrite=True)
    assert table["status"].item() == "failed" and names(out) == ["a-std.png", "a.png"]


def test_hidden_pictures_and_those_in_the_output_folder_are_told(restorer, tmp_path):
    for name in ("a.png", ".x.png", ".cache/c.png", "._a.png", "done/keep.png", "done/z.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (save if path.suffix == ".png" else type(path).touch)(path)
    for _ in range(2):  # its own results need no word
        how = dict(recursive=True, overwrite=True)
        _, said = restored(tmp_path / "in", tmp_path / "in" / "done", restorer, **how)
        assert said == ["left out: 1 file (.txt) and 2 hidden pictures and 1 picture in the output folder"]
    assert names(tmp_path / "in" / "done") == ["a.png", "keep.png", "z.txt"]


def test_a_quality_that_is_for_nothing(restorer, tmp_path):
    a = save(tmp_path / "a.png")
    for call, what in ((restore_files, restorer), (degrade_files, GaussianNoise(0.1))):
        with pytest.warns(UserWarning, match="quality= is for .jpg"):
            call(a, tmp_path / "out", what, quality=50)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(a, tmp_path / "out", what, quality=50, format="jpg", overwrite=True)
            call(a, tmp_path / "out", what, overwrite=True)


def hole(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(np.arange(16) < 4, 0, 255).astype(np.uint8)[None].repeat(12, 0)).save(path)
    return path


def test_masks_that_are_shared_or_are_the_pictures(sde, tmp_path):
    filler = Restorer(Halved(sde), sde, {"task": "inpainting", "steps": 1, "solver": "posterior"}, "cpu")
    for name in ("a/1.png", "b/1.jpg", "b/2.png"):
        save(tmp_path / "in" / name)
    for name in ("1.png", "2.png"):
        hole(tmp_path / "masks" / name)
    how = dict(mask=tmp_path / "masks", recursive=True)
    table, said = restored(tmp_path / "in", tmp_path / "out", filler, **how)
    assert len(said) == 1 and "masks/1.png is the mask of" in said[0] and "2.png" not in said[0]
    assert set(table["status"]) == {"restored"}
    hole(tmp_path / "masks" / "in" / "a" / "1.png")
    hole(tmp_path / "masks" / "in" / "b" / "1.png")
    assert not restored(tmp_path / "in", tmp_path / "out", filler, **how)[1]
    save(tmp_path / "beside" / "1.png")
    hole(tmp_path / "beside" / "1_mask.png")
    table, _ = restored(tmp_path / "beside", tmp_path / "two", filler, mask=tmp_path / "beside")
    assert table["error"].str.contains("its own mask").all() and not names(tmp_path / "two")
    one = hole(tmp_path / "one.png")
    table, _ = restored(one, tmp_path / "two", filler, mask=one)
    assert "its own mask" in table["error"].item()


def test_arguments_of_a_wrong_kind(restorer, sde, tmp_path):
    a, out, noise = save(tmp_path / "a.png"), tmp_path / "out", GaussianNoise(0.1)
    array = np.zeros((3, 8, 8), np.float32)
    for inputs, place, what, message in (
        (a, out, "deraining", "a Restorer, which .* makes, not a str"),
        (restorer, out, a, "a Restorer, which .* makes, not a PosixPath|not a WindowsPath"),
        (restorer, out, restorer, "inputs takes paths of files or folders, one or a list, not Restorer"),
        ([a, None], out, restorer, "one or a list, not NoneType"),
        (array, out, restorer, "one or a list, not ndarray"),
        (torch.zeros(()), out, restorer, "one or a list, not Tensor"),
        (a, None, restorer, "out takes paths, not NoneType"),
        (a, array, restorer, "out takes paths, not ndarray"),
    ):
        with pytest.raises(TypeError, match=message):
            restore_files(inputs, place, what)
    with pytest.raises(TypeError, match="such as Rain"):
        degrade_files(a, out, "deraining")
    for call, what in ((restore_files, restorer), (degrade_files, noise)):
        with pytest.raises(TypeError, match="format takes an ending"):
            call(a, out, what, format=3)
        for inputs, place in (("", out), (a, ""), ([a, ""], out)):
            with pytest.raises(ValueError, match="the path is empty"):
                call(inputs, place, what)
    for wrong in (dict(alpha="no"), dict(channels=2)):
        with pytest.raises(ValueError, match="known are"):
            degrade_files(a, out, noise, **wrong)
    filler = Restorer(Halved(sde), sde, {"task": "inpainting", "steps": 1, "solver": "posterior"}, "cpu")
    with pytest.raises(ValueError, match="the path is empty"):
        restore_files(a, out, filler, mask="")
    assert not out.exists()


def test_folders_that_look_like_files(restorer, tmp_path):
    a = save(tmp_path / "in" / "a.png")
    for name in ("y.pgn", "y.pnj", "y.jpgg", "y.JEPG", "y.txt", "y.csv", "y.psd", "y.exr", "y.svg", "y.mp4"):
        with pytest.raises(ValueError, match="a folder: give it with a / at its end"):
            restore_files(a, tmp_path / name, restorer)
        with pytest.raises(ValueError, match="a folder: give it"):
            degrade_files([a], tmp_path / name, GaussianNoise(0.1))
        assert not (tmp_path / name).exists()
    for name in ("v1.2", "results.new", "my.photos", "x.old", "y.pgn/", "y.pgn"):  # there by then
        restore_files(a, f"{tmp_path}/{name}", restorer)
        assert names(tmp_path / name) == ["a.png"]
    restore_files(tmp_path / "in", tmp_path / "z.pgn", restorer)  # of a folder, a folder


def test_a_file_where_a_folder_is_wanted(restorer, tmp_path):
    a = save(tmp_path / "a.png")
    (tmp_path / "blk").write_text("")
    for out in (tmp_path / "blk", tmp_path / "blk" / "new"):
        with pytest.raises(OSError, match="blk is a file, not a folder"):
            restore_files(a, out, restorer)


def test_what_another_verb_made(restorer, tmp_path):
    a = save(tmp_path / "a.png")
    degrade_files(a, tmp_path / "out", GaussianNoise(0.1))
    note = restored(a, tmp_path / "out", restorer)[0]["notes"].item()
    assert note == "its result was made by irsde degrade: overwrite=True makes it anew"
    restore_files(a, tmp_path / "out", restorer, overwrite=True)
    note = degrade_files(a, tmp_path / "out", GaussianNoise(0.1))["notes"].item()
    assert note.startswith("its result was made by irsde restore:")


def test_pictures_that_would_nearly_vanish(tmp_path):
    save(tmp_path / "in" / "a.png", size=(96, 96))
    save(tmp_path / "in" / "b.png", size=(96, 20))
    table = degrade_files(tmp_path / "in", tmp_path / "out", Downscale(4))
    assert table["status"].tolist() == ["degraded", "failed"]
    assert "a picture of 5x24, and 8x8 is the least: a smaller factor= leaves more" in table["error"][1]
    assert "1x1" in degrade_files(tmp_path / "in", tmp_path / "out2", Downscale(500))["error"][0]


def test_results_do_not_replace_the_masks_of_a_tree(sde, tmp_path):
    restorer = Restorer(Halved(sde), sde, {"task": "inpainting", "solver": "posterior", "steps": 1}, "cpu")
    save(tmp_path / "photos/day1/a.png")
    mask = save(tmp_path / "masks/day1/a.png", mode="L")
    before = mask.read_bytes()
    with pytest.raises(ValueError, match="written over the mask"):
        restore_files(tmp_path / "photos", tmp_path / "masks", restorer, mask=tmp_path / "masks",
                      recursive=True, overwrite=True)
    assert mask.read_bytes() == before


def test_a_picture_of_the_tree_is_not_replaced_by_a_result(restorer, tmp_path):
    save(tmp_path / "b.png")
    mine = save(tmp_path / "sub/b.png", grey=200)
    before = mine.read_bytes()
    with pytest.raises(ValueError, match="written over an input"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restore_files(tmp_path, tmp_path / "sub", restorer, recursive=True, overwrite=True)
    assert mine.read_bytes() == before


def test_other_material_is_another_degradation(tmp_path):
    from irsde.degrade import Either, Holes

    one, other = torch.zeros(1, 12, 16), torch.zeros(1, 12, 16)
    one[..., :8], other[..., 8:] = 1, 1
    save(tmp_path / "in/a.png")

    def run(masks, way=lambda holes: holes):
        return degrade_files(tmp_path / "in", tmp_path / "out", way(Holes(masks=masks))).iloc[0]

    assert run(one)["status"] == "degraded" and run(one)["error"] == ""
    assert run(one)["status"] == "skipped"
    assert "another degradation" in str(run(other)[["error", "notes"]].tolist())
    told = [irsde.outputs.told_of(Either((Holes(masks=masks),))) for masks in (one, other)]
    assert told[0] != told[1]


def test_strong_noise_is_written(tmp_path):
    save(tmp_path / "in/a.png", size=(64, 64))
    table = degrade_files(tmp_path / "in", tmp_path / "out", GaussianNoise(1.0))
    assert table["status"].tolist() == ["degraded"]


def test_what_a_degraded_file_loses_is_said(tmp_path):
    import tifffile

    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 60000, (16, 16, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in/a.tif", pixels, photometric="rgb", extrasamples=["unspecified"],
                     planarconfig="contig")
    table = degrade_files(tmp_path / "in", tmp_path / "out", GaussianNoise(0.1))
    assert "without its further bands" in table["notes"][0] and "carried over" not in table["notes"][0]


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 1), ("L", 3)])
def test_no_profile_of_another_kind(tmp_path, mode, channels):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if mode == "L":
        profile = profile[:16] + b"GRAY" + profile[20:]
    (tmp_path / "in").mkdir()
    Image.new(mode, (16, 16)).save(tmp_path / "in/a.png", icc_profile=profile)
    degrade_files(tmp_path / "in", tmp_path / "out", GaussianNoise(0.1), channels=channels)
    with Image.open(tmp_path / "out/a.png") as image:
        assert "icc_profile" not in image.info
