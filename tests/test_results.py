"Tables of runs: what is written, and what is refused before the work."

import math
import os
import shlex
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde import ledger
from irsde.cli import main
from irsde.ledger import EARLIER, RUN_COLUMNS, check_table, made_by, record
from irsde.plots import new_axes
from irsde.results import (
    evaluate_command,
    input_row,
    keep_rows,
    kept_scores,
    measured_again,
    plot_scores,
    published,
    repeats,
    score_commands,
)

RUNS = Path(__file__).parents[1] / "data" / "runs"


@pytest.fixture(autouse=True)
def commit(monkeypatch):
    "No question to git for each row"
    monkeypatch.setattr(ledger, "this_commit", lambda: "abc1234")


ABOUT = dict(
    task="denoising",
    test_set="here",
    method="irsde",
    solver="posterior",
    steps=3,
    seed=7,
    budget="smoke",
    n_images=2,
    protocol="RGB",
    psnr=30.12345678,
    ssim=0.9,
)


def test_rows_are_appended_whole(tmp_path):
    path = tmp_path / "runs.csv"
    record(path, dict(ABOUT))
    record(
        path, [dict(ABOUT, seed=8), {**ABOUT, "method": "input", "solver": None, "steps": None, "seed": None}]
    )
    found = pd.read_csv(path)
    assert list(found) == RUN_COLUMNS and len(found) == 3
    assert found["seed"].tolist()[:2] == [7, 8] and math.isnan(found["seed"][2])
    assert found["psnr"][0] == 30.1235 and found["commit"].notna().all() and found["date"].notna().all()
    assert list(tmp_path.iterdir()) == [path]


def test_a_row_that_is_none_leaves_the_table_alone(tmp_path):
    path = tmp_path / "runs.csv"
    record(path, dict(ABOUT))
    before = path.read_bytes()
    for wrong in ({**ABOUT, "speed": 3}, {k: v for k, v in ABOUT.items() if k != "task"}):
        with pytest.raises(ValueError):
            record(path, [dict(ABOUT), wrong])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="columns"):
        record(tmp_path / "other.csv", dict(ABOUT))
    assert path.read_bytes() == before and (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def test_published_numbers_are_read_and_checked(tmp_path):
    head = "task,set,method,psnr,ssim,lpips,fid,calls,protocol,source\n"
    (tmp_path / "a.csv").write_text(
        head + "deraining,Rain100H,IR-SDE,31.65,.9041,.047,18.64,100,Y,a paper\n"
        "deraining,Rain100H,other,-,,,,,,b\n"
    )
    found = published(tmp_path, "deraining")
    assert found["psnr"][0] == 31.65 and np.isnan(found["psnr"][1]) and found["protocol"][1] == "not stated"
    with pytest.raises(ValueError, match="no published numbers for task 'dehazing'"):
        published(tmp_path, "dehazing")
    (tmp_path / "b.csv").write_text(head + "deraining,Rain100H,IR-SDE,131.65,,,,,,c\n")
    with pytest.raises(ValueError, match="psnr = 131.65"):
        published(tmp_path)
    with pytest.raises(FileNotFoundError):
        published(tmp_path / "none")


# ---- a table that went through other hands


@pytest.fixture
def table(tmp_path):
    "The path of a table with one row"
    record(tmp_path / "runs.csv", dict(ABOUT))
    return tmp_path / "runs.csv"


def add(path, way):
    "Append a row in one of the two ways"
    if way == "record":
        return record(path, dict(ABOUT, seed=9))
    keep_rows(path, dict(ABOUT, seed=9), dict(ABOUT, method="input", solver=None, steps=None, seed=9))


BOTH = pytest.mark.parametrize("way", ["record", "keep_rows"])
HARMLESS = {
    "byte order mark": lambda text: "\ufeff" + text,
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "both": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "no final newline": lambda text: text.rstrip("\n"),
    "quotes": lambda text: text.replace("denoising", '"denoising"').replace("task,", '"task",'),
    "blank lines at the end": lambda text: text + "\n\n",
}


@BOTH
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_a_spreadsheet_leaves_does_no_harm(table, change, way):
    before = change(table.read_text(encoding="utf-8")).encode()
    table.write_bytes(before)
    add(table, way)
    after = table.read_bytes()
    assert after.startswith(before)
    ends = {line.endswith(b"\r\n") for line in after.splitlines(keepends=True) if line.strip()}
    assert len(ends) == 1
    found = pd.read_csv(table)
    assert list(found) == RUN_COLUMNS and len(found) == (2 if way == "record" else 3)


@BOTH
@pytest.mark.parametrize("empty", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\r\n"])
def test_an_empty_file_is_a_new_one(tmp_path, empty, way):
    path = tmp_path / "runs.csv"
    path.write_bytes(empty)
    add(path, way)
    assert list(pd.read_csv(path)) == RUN_COLUMNS


DAMAGED = {
    "other columns": (lambda text: "name,score\na,1\n", "has other columns than a run"),
    "semicolons": (lambda text: text.replace(",", ";"), "semicolons where a table of runs has commas"),
    "tabs": (lambda text: text.replace(",", "\t"), "tabs where a table of runs has commas"),
    "one column less": (lambda text: text.replace("task,", "", 1), "has other columns"),
    "torn line": (lambda text: text + text.splitlines()[1][:40], "line 3: .* fields where a run has 29"),
    "torn in quotes": (lambda text: text + 'a,b,"c', "line 3"),
    "two lines in one": (lambda text: text.rstrip("\n") + text.splitlines()[1] + "\n", "line 2: 57 fields"),
    "decimal commas": (
        lambda text: text.replace("30.1235", '"30,1235"'),
        "line 2: psnr is no number: '30,12",
    ),
    "words for numbers": (lambda text: text.replace(",30.1235,", ",30 dB,"), "line 2: psnr is no number"),
    "a second head": (lambda text: text + text, "line 3"),
    "a merge": (lambda text: text + "<<<<<<< HEAD\n", "line 3: 1 fields"),
    "another encoding": (lambda text: text.replace("here", "Zoë"), "no text in UTF-8"),
    "zeros of a full disk": (lambda text: text + "\0" * 50, "line 3"),
}


@BOTH
@pytest.mark.parametrize("change,message", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_table_of_runs_is_refused_before_and_after(table, change, message, way):
    encoding = "latin-1" if "UTF-8" in message else "utf-8"
    before = change(table.read_text(encoding="utf-8")).encode(encoding)
    table.write_bytes(before)
    with pytest.raises(ValueError, match=message) as first:
        check_table(table)
    with pytest.raises(ValueError, match=message) as second:
        add(table, way)
    assert str(first.value) == str(second.value) and str(table) in str(first.value)
    assert table.read_bytes() == before and list(table.parent.iterdir()) == [table]


def test_the_check_makes_nothing_and_finds_what_cannot_be_written(tmp_path):
    check_table(tmp_path / "new" / "folder" / "runs.csv")
    assert not any(tmp_path.iterdir())
    with pytest.raises(OSError, match="is no file: name one"):
        check_table(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file is no folder"):
        check_table(tmp_path / "file" / "runs.csv")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_what_is_protected_is_told(table):
    table.chmod(0o444)
    with pytest.raises(OSError, match="cannot be written"):
        check_table(table)
    table.parent.chmod(0o555)
    with pytest.raises(OSError, match="cannot be written"):
        check_table(table.parent / "other.csv")
    table.parent.chmod(0o755)


def test_a_link_stays_a_link(table, tmp_path):
    link = tmp_path / "link.csv"
    try:
        link.symlink_to(table)
    except OSError:
        pytest.skip("no links here")
    record(link, dict(ABOUT))
    assert link.is_symlink() and len(pd.read_csv(table)) == 2


def test_scores_that_are_missing_are_empty(table):
    record(table, dict(ABOUT, ssim=math.nan, lpips=math.nan))
    assert table.read_text().splitlines()[-1].endswith(",30.1235,,,,RGB" + "," * 12)
    assert math.isnan(pd.read_csv(table)["ssim"].iloc[-1])


@pytest.mark.parametrize("test_set", ["2024", "NA", "null", "a,b", 'say "so"'])
def test_an_input_is_known_again_whatever_its_set_is_called(tmp_path, test_set):
    path = tmp_path / "runs.csv"
    for seed in (0, 0, 1):
        given = dict(ABOUT, method="input", test_set=test_set, seed=seed, solver=None, steps=None)
        keep_rows(path, dict(ABOUT, test_set=test_set, seed=seed), given)
    methods = pd.read_csv(path)["method"].tolist()
    assert methods == ["input", "irsde", "irsde", "input", "irsde"]


def test_a_mean_over_some_pictures_says_so_in_its_row(tmp_path):
    nan, inf = math.nan, math.inf
    rows = {"name": ["a", "b", "c", "mean"], "psnr": [20.0, inf, 30.0, 25.0], "ssim": [0.5, 1.0, nan, 0.75]}
    scores = pd.DataFrame({**rows, "lpips": nan, "input psnr": 20.0, "input ssim": [0.5, 0.5, nan, 0.5]})
    scores.attrs.update(protocol="RGB", n_images=3)
    assert made_by(scores)["protocol"] == "RGB, PSNR of 2 of 3, SSIM of 2 of 3"
    assert made_by(scores, "input ")["protocol"] == "RGB, SSIM of 2 of 3"
    assert scores.attrs["protocol"] == "RGB"


def test_what_a_table_says_of_itself_beside_its_columns_is_not_written(tmp_path):
    scores = pd.DataFrame([{"name": "mean", "input psnr": 20.0, "input ssim": 0.5, "input lpips": math.nan}])
    scores.attrs.update(protocol="RGB, grey", n_images=3, perfect={"psnr": 1}, grey=3, notes=["", "", ""])
    row = input_row(scores, "denoising", "here")
    assert set(row) <= set(RUN_COLUMNS) and row["protocol"] == "RGB, grey"
    record(tmp_path / "runs.csv", row)


@BOTH
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_table_of_earlier_columns_is_widened_once(tmp_path, change, way):
    path = tmp_path / "runs.csv"
    record(path, [dict(ABOUT, test_set='one, "quoted"'), dict(ABOUT, ssim=math.nan)])
    old = pd.read_csv(path, dtype=str)[EARLIER]
    path.write_bytes(change(old.to_csv(index=False)).encode())
    with pytest.warns(UserWarning, match="gets the columns that tables of runs have now"):
        add(path, way)
    first = path.read_bytes()
    found = pd.read_csv(path, dtype=str)
    assert list(found) == RUN_COLUMNS and len(found) == (3 if way == "record" else 4)
    pd.testing.assert_frame_equal(found[EARLIER].iloc[:2], old, check_dtype=False)
    assert first.startswith("\ufeff".encode()) == change("x").startswith("\ufeff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        add(path, way)
    assert path.read_bytes().startswith(first)


def test_a_torn_row_of_an_earlier_table_is_found(tmp_path):
    text = ",".join(EARLIER) + "\n" + ",".join(["x"] * 3) + "\n"
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(ValueError, match="line 2: 3 fields where a run has 17"):
        record(tmp_path / "runs.csv", dict(ABOUT))
    assert (tmp_path / "runs.csv").read_text() == text


# ---- back to the command


def parsed(command):
    "The options that `irsde evaluate` understands; a UsageError if it understands none of it"
    *told, command = command.splitlines()
    assert all(line.startswith("# ") for line in told)
    words = shlex.split(command)
    assert words[:2] == ["irsde", "evaluate"] and "nan" not in words
    verb = main.commands["evaluate"]
    return verb.make_context("evaluate", words[2:]).params


def test_every_row_of_our_scores_has_a_command_that_is_understood():
    rows = pd.read_csv(RUNS / "scores.csv").to_dict("records")
    for row in rows:
        found = parsed(evaluate_command(row, "--pairs LQ GT"))
        assert [Path(path).name for path in found["pairs"]] == ["LQ", "GT"]
        assert (found["task"] is None) != (found["weights"] is None)
        if row["method"] == "input":
            continue
        assert found["ensemble"] == repeats(row["method"]).get("ensemble")
        assert (found["solver"] or "") == (row["solver"] if isinstance(row["solver"], str) else "")
        assert found["steps"] == (row["steps"] if found["solver"] else None)
    assert any(row["weights"] == "ships" for row in rows)


def test_an_input_is_degraded_by_its_seed_again():
    row = {**dict.fromkeys(RUN_COLUMNS, math.nan), **ABOUT, "weights": "ships", "method": "input"}
    found = parsed(evaluate_command(row | {"seed": 1, "solver": "posterior", "steps": 9.0}, "--clean X"))
    assert found["seed"] == 1 and found["solver"] is None and found["steps"] is None
    assert "--seed" not in evaluate_command(row | {"seed": 0}, "--clean X")


def test_a_row_of_ones_own_weights_says_which_they_were():
    row = {**dict.fromkeys(RUN_COLUMNS, math.nan), **ABOUT, "weights": "sha256:0123456789abcdef"}
    row |= {"network": "unet, 2.10 M", "prediction": "noise", "train_steps": 3000.0, "changes": "lam=30/255"}
    told = evaluate_command(row, "--clean X")
    for word in ("sha256:0123456789abcdef", "unet, 2.10 M", "noise prediction", "3000 steps", "lam=30/255"):
        assert word in told.splitlines()[0]
    assert str(parsed(told)["weights"]).endswith("model.safetensors") and parsed(told)["steps"] == 3
    unsaid = evaluate_command({**row, "solver": math.nan, "steps": math.nan, "seed": math.nan}, "--clean X")
    assert "nan" not in unsaid and parsed(unsaid)["steps"] is None
    assert parsed(evaluate_command({**row, "weights": "ships"}, "--clean X"))["task"] == "denoising"
    placed = evaluate_command(row, "--clean X", "data/weights/w.safetensors")  # a place that is known
    assert len(placed.splitlines()) == 1 and str(parsed(placed)["weights"]).endswith("w.safetensors")
    assert "RUN" not in score_commands(pd.DataFrame([row | {"test_set": "x"}]), {"x": "--clean X"}, "w.st")


# ---- rows found, drawn and measured again


def test_rows_are_found_by_task_and_test_set(tmp_path):
    rows = kept_scores(RUNS / "scores.csv", "deraining", {"rain100h-10": "", "set5": ""})
    assert {*rows["test_set"]} == {"rain100h-10"} and {*rows["task"]} == {"deraining"}
    assert list(kept_scores(tmp_path / "none.csv", "deraining", ["x"])) == RUN_COLUMNS


def test_a_point_for_each_row_but_the_input():
    rows = kept_scores(RUNS / "scores.csv", "deraining", ["rain100h-10"])
    ax = plot_scores(rows, new_axes())
    restored = rows[rows["method"] != "input"]
    assert sum(len(line.get_xdata()) for line in ax.lines) == len(restored) == len(ax.texts)
    assert {text.get_text() for text in ax.texts} == {f"{n:.0f}" for n in restored["calls"]}
    words = {text.get_text() for text in ax.get_legend().get_texts()}
    assert "IR-SDE, posterior" in words and "CNN-baseline" in words


def test_rows_of_weights_that_ship_are_measured_again(tmp_path, monkeypatch):
    typed = []

    def run(command, env, check, capture_output):
        assert command[:2] == ["bash", "-c"] and check and env["DATA"] == str(tmp_path)
        typed.append(shlex.split(command[2].replace("$DATA", env["DATA"])))
        path, name = (Path(typed[-1][typed[-1].index(word) + 1]) for word in ("--csv", "--name"))
        row = dict(test_set=name, solver="posterior", steps=len(typed), n_images=1)
        scores = pd.DataFrame([row | dict(psnr=30, ssim=0.9, lpips=0.1)])
        scores.to_csv(path, mode="a", index=False, header=not path.exists())

    monkeypatch.setattr(subprocess, "run", run)
    rows = kept_scores(RUNS / "scores.csv", "deraining", ["rain100h-10"])
    found = measured_again(rows, {"rain100h-10": "--pairs $DATA/lq $DATA/gt"}, tmp_path)
    ships = rows[rows["weights"] == "ships"]
    assert 0 < len(ships) == len(found) < len(rows) - 1
    assert list(found) == ["test_set", "solver", "steps", "psnr", "ssim", "lpips"]
    assert all(parsed(shlex.join(words))["task"] == "deraining" for words in typed)
    assert all(words[5] == f"{tmp_path}/lq" and words[6] == f"{tmp_path}/gt" for words in typed)


def test_a_command_that_fails_is_an_error(tmp_path):
    rows = kept_scores(RUNS / "scores.csv", "deraining", ["rain100h-10"])
    with pytest.raises(subprocess.CalledProcessError):
        measured_again(rows, {"rain100h-10": "--pairs $DATA/lq $DATA/gt; exit 3;"}, tmp_path)
