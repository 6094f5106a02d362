"The list of pictures: its rows, their scenes, a folder compared with it, and what a training does without."

import hashlib
import re

import numpy as np
import pandas as pd
import pytest
import torch

from irsde import subsets
from irsde.images import write

TESTS = ["rain100h-10", "rain100l-10", "gopro-10", "cbsd68-10", "set5", "urban100-5", "celeba-hq-8",
         "sots-indoor-10"]


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
    assert ((table["width"] > 0) & (table["height"] > 0)).sum() == len(table) - 1  # kernels are no picture
    tests = table[table["use"] == "test"]
    assert not set(tests["scene"]) & set(table[table["use"] == "train"]["scene"])
    train = {*table.query("use == 'train'")["sha256"]}
    assert not {*tests.query("role in ('lq', 'gt')")["sha256"]} & train


def test_scenes():
    heavy, light = subsets.scenes("rain100h-10"), subsets.scenes("rain100l-10")
    assert [heavy[str(k)] for k in range(1, 11)] == [light[f"norain-{k:03}"] for k in range(1, 11)]
    assert heavy["3"] == heavy["4"] and len({*heavy.values()}) == 9
    counts = {name: len({*subsets.scenes(name).values()}) for name in TESTS}
    assert [counts[name] for name in TESTS] == [9, 9, 3, 10, 5, 5, 8, 3]
    assert len({*subsets.scenes("pairs-deblurring").values()}) == 4
    assert subsets.scenes("Rain100H") == {}


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
        write(tmp_path / f"{k}.png", np.full((1, 8, 8), 8000 * (k + 1), np.uint16))
    some = getattr(measured(task, tmp_path, without=[tmp_path / "1.png"]), attribute)
    assert isinstance(some, torch.Tensor) and len(some) == 2
