"The list of pictures: its rows, their scenes, a folder compared with it, and what a training does without."

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from irsde import subsets
from irsde.images import write

TESTS = ["rain100h-10", "rain100l-10", "gopro-10", "cbsd68-10", "set5", "urban100-5", "celeba-hq-8",
         "sots-indoor-10", "srd-istd-11", "nh-haze-8", "stereo-4", "ebb-vabd-6"]
FOLDERS = {"srd-istd-11": "shadow-removal", "nh-haze-8": "nonhomogeneous-haze", "stereo-4": "stereo",
           "ebb-vabd-6": "bokeh"}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def small(tmp_path, monkeypatch):
    "A set of two pairs of 8x6 whose sides share their names, and its list"
    rng, rows = np.random.default_rng(0), []
    for side in ("lq", "gt"):
        (tmp_path / "small" / side).mkdir(parents=True)
        for k in (1, 2):
            path = tmp_path / "small" / side / f"{k}.png"
            write(path, rng.integers(0, 255, (3, 6, 8), dtype=np.uint8))
            rows.append({"set": "small", "role": side, "file": f"test/any/small/{side}/{k}.png", "width": 8,
                         "height": 6, "sha256": digest(path), "scene": "house", "left_out": ""})
    monkeypatch.setattr(subsets, "subset_table", lambda: pd.DataFrame(rows))
    return tmp_path / "small"


def compared(folder, name="small", **options):
    return {what: (found, ok) for what, found, _, ok in subsets.compare_files(folder, name, **options)}


def test_the_table_is_whole():
    table = subsets.subset_table()
    assert [name for name in table["set"].unique() if name in TESTS] == TESTS
    assert table["file"].is_unique and set(table["use"]) == {"test", "train"}
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in table["sha256"])
    assert (table["source"] != "").all() and (table["commit"] != "").all()
    assert ((table["width"] > 0) & (table["height"] > 0)).sum() == len(table) - 2  # kernels, lenses
    tests = table[table["use"] == "test"]
    assert (table["scene"] == "").sum() == 2 and (tests["scene"] == "").sum() == 1  # the same
    assert not {*tests["scene"]} & {*table[table["use"] == "train"]["scene"]} - {""}
    train = {*table.query("use == 'train'")["sha256"]}
    assert not {*tests.query("role in ('lq', 'gt', 'left', 'right')")["sha256"]} & train


def test_scenes():
    heavy, light = subsets.scenes("rain100h-10"), subsets.scenes("rain100l-10")
    assert [heavy[str(k)] for k in range(1, 11)] == [light[f"norain-{k:03}"] for k in range(1, 11)]
    assert heavy["3"] == heavy["4"] and len({*heavy.values()}) == 9
    counts = {name: len({*subsets.scenes(name).values()}) for name in TESTS}
    assert [counts[name] for name in TESTS] == [9, 9, 3, 10, 5, 5, 8, 3, 10, 7, 4, 5]
    assert len({*subsets.scenes("pairs-deblurring").values()}) == 4
    assert subsets.scenes("Rain100H") == {}


def test_real_pairs_of_four_more_tasks():
    "Which files, of which task, and which pictures are of one scene"
    table = subsets.subset_table()
    real = table[table["file"].str.startswith("refusion/")]
    assert set(real["use"]) == {"test"} and list(real["set"].unique()) == list(FOLDERS)
    assert dict(real.groupby("set")["task"].unique().map(", ".join)) == {
        "srd-istd-11": "shadow-removal", "nh-haze-8": "nonhomogeneous-dehazing",
        "stereo-4": "stereo-super-resolution", "ebb-vabd-6": "bokeh"}
    assert all(f"refusion/{FOLDERS[name]}/" in file for name, file in zip(real["set"], real["file"]))
    roles = {name: dict(rows["role"].value_counts()) for name, rows in real.groupby("set")}
    assert roles == {"srd-istd-11": {"lq": 11, "gt": 11, "mask": 1}, "nh-haze-8": {"lq": 8, "gt": 8},
                     "stereo-4": {"left": 4, "right": 4},
                     "ebb-vabd-6": {"lq": 6, "gt": 6, "gt-f2.8": 3, "gt-f8": 3, "mask": 6, "lenses": 1}}
    pairs = real[real["role"] != "lenses"].assign(stem=real["file"].str.extract(r"([^/]+)\.\w+$")[0])
    assert (pairs.groupby(["set", "stem"])["scene"].nunique() == 1).all()  # every side of it
    assert (pairs.groupby(["set", "stem"])["width"].nunique() == 1).all()
    one = {"srd-istd-11": ["MG_3362", "MG_3464"], "nh-haze-8": ["nhhaze0-256", "nhhaze3-256"],
           "ebb-vabd-6": ["ebb4545", "ebb4547"]}
    for name in FOLDERS:
        found = pd.Series(subsets.scenes(name))
        shared = found[found.duplicated(keep=False)]
        assert list(shared.index) == one.get(name, []) and shared.nunique() == (name in one), name
    assert "meta" not in subsets.scenes("ebb-vabd-6") and subsets.scenes("blur-kernels") == {}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_names_are_those_of_the_scores(name):
    "What `irsde evaluate` calls a picture is a name that the list has"
    from irsde.scoring import known_scenes
    from irsde.sources import SMALL
    tests = {test.name: test for sources in SMALL.values() for test in sources.tests}
    assert tests[name].root.split("/")[1] == FOLDERS[name]
    assert known_scenes(name, [*subsets.scenes(name)]) == subsets.scenes(name)
    assert known_scenes(name, ["another"]) is None


@pytest.mark.parametrize("name", FOLDERS)
def test_real_pairs_are_the_listed_ones(name):
    folder = Path(os.environ.get("IRSDE_SHARED", "/nowhere"), "data", "refusion", FOLDERS[name])
    if not folder.is_dir():
        pytest.skip(f"the pictures of {name} are not here: set IRSDE_SHARED")
    assert all(ok for _, ok in compared(folder, name).values())


def test_eyes_and_apertures_with_their_lenses(tmp_path, monkeypatch):
    "Roles of other names, pictures of one name in all of them, and a text beside them that shows no scene"
    rng, rows = np.random.default_rng(0), []
    for role in ("left", "right", "gt", "gt-f8"):
        (tmp_path / role).mkdir()
        write(tmp_path / role / "1.png", rng.integers(0, 255, (3, 6, 8), dtype=np.uint8))
        rows.append({"set": "any", "role": role, "file": f"refusion/any/{role}/1.png", "width": 8,
                     "height": 6, "sha256": digest(tmp_path / role / "1.png"), "scene": "1", "left_out": ""})
    (tmp_path / "meta.txt").write_text("1 f/16 f/1.8 60")
    rows.append({"set": "any", "role": "lenses", "file": "refusion/any/meta.txt", "width": 0, "height": 0,
                 "sha256": digest(tmp_path / "meta.txt"), "scene": "", "left_out": ""})
    monkeypatch.setattr(subsets, "subset_table", lambda: pd.DataFrame(rows))
    assert subsets.scenes("any") == {"1": "1"}
    found = compared(tmp_path, "any")
    assert all(ok for _, ok in found.values()) and found["scenes"] == (1, True)
    assert {"left: files", "right: sha256", "gt-f8: sizes", "lenses: files"} < {*found}
    (tmp_path / "meta.txt").write_text("1 f/16 f/2.8 60")
    (tmp_path / "gt-f8/1.png").unlink()
    found = compared(tmp_path, "any")
    assert [what for what, (_, ok) in found.items() if not ok] == ["gt-f8: files", "lenses: sha256"]


def test_one_layer_is_left_out():
    rows = subsets.subset_table().query("left_out != ''")
    assert list(rows["file"]) == ["train/rain-streaks/norain-113.png"]
    assert "rain100h-10/6.png" in rows["left_out"].iloc[0]


def test_a_sound_copy(small):
    heard = []
    found = compared(small, progress=lambda *told: heard.append(told))
    assert all(ok for _, ok in found.values()) and found["scenes"][0] == 1
    assert heard[-1][:2] == (4, 4)
    (small / "gt").rename(small / "clean")  # what the folders are called does not matter
    assert all(ok for _, ok in compared(small).values())


def test_a_spoilt_copy(small):
    (small / "gt/1.png").unlink()
    write(small / "gt/2.png", np.zeros((3, 5, 5), np.uint8))
    with open(small / "lq/2.png", "ab") as file:
        file.write(b"more")
    write(small / "lq/new.png", np.zeros((3, 5, 5), np.uint8))
    (small / "lq/notes.txt").write_text("no picture")
    found = compared(small)
    assert found["gt: files"] == ("1 of 2, missing: 1.png", False)
    assert found["gt: sizes"] == ("1 differ: 2.png is 5x5, not 8x6", False)
    assert found["gt: sha256"] == ("1 differ: 2.png", False)
    assert found["lq: files"] == ("2 of 2", True) and found["lq: sizes"][1]
    assert found["lq: sha256"] == ("1 differ: 2.png", False)
    assert found["other pictures"] == ("1: new.png", False)
    (small / "gt/2.png").write_bytes(b"broken")
    assert compared(small)["gt: sizes"] == ("1 differ: 2.png cannot be read", False)


def test_sides_that_are_exchanged(small):
    (small / "lq").rename(small / "aside")
    (small / "gt").rename(small / "lq")
    (small / "aside").rename(small / "gt")
    assert all(ok for _, ok in compared(small).values())  # by content, so that nothing is claimed twice
    for path in (small / "gt").iterdir():
        path.unlink()
    found = compared(small)
    assert found["gt: files"] == ("2 of 2", True) and found["lq: files"][1] is False
    assert "lq: sizes" not in found


def test_an_empty_folder_and_other_sets(small, tmp_path):
    (tmp_path / "empty").mkdir()
    found = compared(tmp_path / "empty")
    assert found["gt: files"] == ("0 of 2, missing: 1.png, 2.png", False) and found["scenes"] == (0, False)
    with pytest.raises(ValueError, match="unknown set 'large': known are small"):
        compared(small, "large")


def test_check_data_knows_the_list(small):
    from irsde.knownsets import check_data
    report = check_data(small, "small")
    assert list(report) == ["property", "found", "expected", "ok"] and report.ok.all()
    with pytest.raises(ValueError, match="Set5.*small"):
        check_data(small, "Small")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        check_data(small / "gone", "small")


def test_a_training_does_without(tmp_path, monkeypatch):
    from irsde.degrade import measured
    from irsde.material import degradation_of
    layers = tmp_path / "layers"
    layers.mkdir()
    for k in range(3):
        write(layers / f"{k}.png", np.full((1, 8, 8), 50 * k, np.uint8))
    rows = pd.DataFrame({"sha256": [digest(layers / "1.png")], "left_out": ["is a test picture's"]})
    (layers / "1.png").rename(layers / "z.png")  # its name does not matter
    monkeypatch.setattr(subsets, "subset_table", lambda: rows)
    assert subsets.left_out_of_training(layers) == {layers / "z.png": "is a test picture's"}
    assert subsets.left_out_of_training(tmp_path / "kernels.npz") == {}
    with pytest.warns(UserWarning, match="z.png is not trained on: it is a test picture's"):
        lossy = degradation_of("deraining", measured=layers)
    values = sorted(lossy.layers.amax((1, 2)).tolist())
    assert values == pytest.approx([0, 100 / 255])
    assert len(measured("deraining", layers).layers) == 3
    with pytest.raises(ValueError, match="beside 3 to be left out"):
        measured("deraining", layers, without=[*layers.iterdir()])


@pytest.mark.parametrize(("task", "attribute"), [("inpainting", "masks"), ("dehazing", "depth")])
def test_other_material_can_be_left_out_too(tmp_path, task, attribute):
    from irsde.degrade import measured
    for k in range(3):
        picture = np.full((1, 8, 8), 8000 * (k + 1), np.uint16)
        picture[..., 4:] = 65535
        write(tmp_path / f"{k}.png", picture)
    some = getattr(measured(task, tmp_path, without=[tmp_path / "1.png"]), attribute)
    assert isinstance(some, torch.Tensor) and len(some) == 2
