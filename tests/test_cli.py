"The command line and the recipes behind it, on pictures of 16 by 16."

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import irsde.shell as irsde_shell
from irsde import Restorer
from irsde.checkpoint import load
from irsde.cli import main
from irsde.evaluate import Case, FromClean, FromPairs, evaluate, race
from irsde.images import read
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction
from irsde.recipes import Recipe, evaluate_task, train_command, train_task
from irsde.shell import ARGUMENT, for_shell, options_of

from .conftest import fill, picture

ALONE = ["deraining", "deblurring", "denoising", "super-resolution", "inpainting", "dehazing",
         "shadow-removal", "nonhomogeneous-dehazing", "bokeh"]  # of one picture each
SMALL = dict(budget="smoke", iterations=2, batch=2, crop=16)


@pytest.fixture
def photos(tmp_path, rng):
    (tmp_path / "gt").mkdir()
    for k in range(3):
        pixels = np.kron(rng.integers(0, 200, (4, 4, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(pixels).save(tmp_path / "gt" / f"p{k}.png")
    return tmp_path / "gt"


@pytest.fixture
def weights(tmp_path, sde):
    net = fill(ConditionalNAFNet(width=8, enc=(1,), mid=1, dec=(1,)))
    about = {
        "task": "deraining",
        "solver": "posterior",
        "steps": 2,
        "protocol": "deraining-whole",
        "budget": "smoke",
    }
    return (
        Restorer(CleanPrediction(sde, net), sde, about).save_pretrained(tmp_path / "w.safetensors")
        or tmp_path / "w.safetensors"
    )


def irsde(*words, code=0):
    "Run a command; what it printed on stdout and stderr"
    done = CliRunner().invoke(main, [str(w) for w in words])
    if done.exit_code != code and done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


# ---- verbs


def test_help_names_every_verb():
    out = irsde("--help").output
    for verb in (
        "demo",
        "restore",
        "degrade",
        "train",
        "evaluate",
        "convert",
        "info",
        "check-data",
        "solvers",
    ):
        assert verb in out
    for verb in ("restore", "train", "evaluate"):
        assert "--task" in irsde(verb, "--help").output
    assert irsde("--version").output.strip() == f"irsde {sys.modules['irsde'].__version__}"
    assert "exp-ode-2" in irsde("solvers").output


@pytest.mark.parametrize("task", ALONE)
def test_degrade(photos, tmp_path, task):
    out = irsde("degrade", photos, "--out", tmp_path / "lq", "--task", task)
    assert len(out.stdout.split()) == 3 and "3 done" in out.stderr
    assert sorted(p.name for p in (tmp_path / "lq").glob("p*")) == ["p0.png", "p1.png", "p2.png"]


def test_restore(photos, tmp_path, weights):
    out = irsde("restore", photos, "--out", tmp_path / "out", "--weights", weights, "--steps", 1)
    assert len(out.stdout.split()) == 3
    wanted = Restorer.from_pretrained(weights)
    irsde("restore", photos / "p0.png", "--out", tmp_path / "two", "--weights", weights, "--seed", 5)
    assert read(tmp_path / "two" / "p0.png").values.shape == (3, 32, 32) and wanted.task == "deraining"
    same = ("restore", photos, "--out", tmp_path / "out", "--weights", weights)
    assert "3 skipped, as they have a result" in irsde(*same, "--steps", 1).stderr
    other = irsde(*same, code=1)
    assert "3 skipped: its result was made by --steps 1: --overwrite makes it anew" in other.stderr
    (photos / "p1.png").write_bytes(b"x")
    failed = irsde("restore", photos, "--out", tmp_path / "out", "--weights", weights, "--overwrite", code=1)
    assert "p1.png" in failed.stderr and "2 done, 1 failed" in failed.stderr


@pytest.mark.parametrize(
    "words, message, code",
    [
        ("", "name what to reproduce", 2),
        ("foo", "unknown record 'foo': known are deraining, deblurring", 2),
        ("deraining --budget huge", "'huge' is not one of 'smoke', 'quick'", 2),
        ("deraining --arms ourz", "unknown arm 'ourz': known are published, ours, CNN-baseline", 2),
        ("deraining --set thet=1", "unknown setting 'thet'", 2),
        ("deraining --shrink 9", "--shrink 9 is for the budget paper", 2),
        ("deraining --budget quick", "the budget quick needs --data", 2),
        ("deraining --budget quick --data none", "none lacks train/clean/*", 1),
        ("figure-7", "figure-7 cannot be reproduced: it takes pictures by other methods", 1),
    ],
)
def test_wrong_words_of_reproduce_are_2_and_what_cannot_be_is_1(words, message, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = irsde("reproduce", *words.split(), code=code)
    assert message in done.stderr and not done.stdout and "Traceback" not in done.output
    assert not (tmp_path / "reproduced" / "runs").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["restore", "nowhere", "--out", "o", "--task", "deraining"], "nowhere does not exist"),
        (["restore", "gt", "--out", "o"], "--task or --weights"),
        (["restore", "gt", "--out", "o", "--task", "derain"], "derain"),
        (["restore", "gt", "--out", "o", "--weights", "none.safetensors"], "none.safetensors"),
        (["restore", "gt", "--out", "gt", "--task", "deraining"], "written over"),
        (["restore", "gt", "--out", "o", "--task", "deraining", "--solver", "heun"], "heun"),
        (["restore", "gt", "--out", "o", "--task", "deraining", "--device", "gpu9"], "gpu9"),
        (
            ["degrade", "gt", "--out", "o", "--task", "deraining", "--sigma", "25/255"],
            "--sigma belongs to denoising",
        ),
        (["degrade", "gt", "--out", "o", "--task", "denoising", "--sigma", "25"], "25"),
        (["train", "--out", "o"], "--task"),
        (["train", "--out", "o", "--task", "deraining"], "--clean, --pairs or both"),
        (["train", "--out", "o", "--resume"], "o"),
        (["evaluate", "--task", "deraining"], "one of the two"),
        (["info", "none"], "none"),
        (["convert", "none.pth", "--out", "x.safetensors", "--task", "deraining"], "none.pth"),
        (["check-data", "gt", "--set", "Set6"], "Set6"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(photos, words, message, monkeypatch):
    monkeypatch.chdir(photos.parent)
    before = sorted(photos.parent.rglob("*"))
    done = CliRunner().invoke(main, words)
    assert done.exit_code in (1, 2) and message in done.output and "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)
    assert [p for p in sorted(photos.parent.rglob("*")) if p.name != "o"] == before


def test_info_and_check_data(weights, photos):
    out = irsde("info", weights).output
    assert "deraining" in out and "ConditionalNAFNet" in out
    assert "OFF" in irsde("check-data", photos, "--set", "Set5", code=1).output


# ---- training by recipe


def test_train_evaluate_and_make_again(photos, tmp_path):
    run = tmp_path / "run"
    out = irsde(
        "train",
        "--task",
        "deraining",
        "--clean",
        photos,
        "--out",
        run,
        "--budget",
        "smoke",
        "--iters",
        2,
        "--batch",
        2,
        "--crop",
        16,
        "--cpu",
    )
    path = out.stdout.strip().splitlines()[-1]
    _, _, about = load(path, task="deraining")
    recipe = about["recipe"]
    assert recipe["iterations"] == 2 and recipe["clean"] == str(photos) and about["step"] == 2
    command = train_command(recipe)
    assert (
        "--iters 2" in command
        and f"--clean {photos}" in command
        and "--budget smoke" in command
        and "--seed" not in command
    )
    irsde("train", "--config", run / "config.json", "--out", tmp_path / "again", "--cpu")
    a, b = (load(p / "model.safetensors")[0].state_dict() for p in (run, tmp_path / "again"))
    assert all(torch.equal(v, b[k]) for k, v in a.items())
    csv = tmp_path / "runs.csv"
    out = irsde(
        "evaluate",
        "--weights",
        path,
        "--clean",
        photos,
        "--csv",
        csv,
        "--steps",
        1,
        "--solver",
        "posterior",
        "--seed",
        3,
    )
    assert "mean" in out.stdout
    rows = pd.read_csv(csv)
    assert (
        rows["method"].tolist() == ["input", "irsde"]
        and rows["seed"].tolist()[1] == 3
        and rows["steps"].tolist()[1] == 1
    )
    irsde("evaluate", "--weights", path, "--clean", photos, "--csv", csv, "--seed", 3)
    methods = pd.read_csv(csv)["method"].tolist()  # the weights' own setting asks two copies
    assert methods == ["input", "irsde", "irsde, ensemble of 2"]


@pytest.mark.parametrize("task", ALONE)
def test_every_task_trains(photos, tmp_path, task):
    path = train_task(
        Recipe(task=task, clean=str(photos), **SMALL), tmp_path / "run", cpu=True, progress=False
    )
    restorer = Restorer.from_pretrained(path)
    assert restorer.task == task
    options = {"mask": np.arange(32) % 8 * np.ones((32, 1)) > 0} if task == "inpainting" else {}
    options |= {"lens": (16, 1.8, 20)} if task == "bokeh" else {}
    assert np.asarray(restorer(photos / "p0.png", **options)).shape == (
        (128, 128, 3) if task == "super-resolution" else (32, 32, 3)
    )


@pytest.mark.parametrize("loss", ["noise", "likelihood", "clean", "regression"])
def test_every_loss_trains(photos, tmp_path, loss):
    path = train_task(
        Recipe(task="deraining", clean=str(photos), loss=loss, **SMALL),
        tmp_path / "run",
        cpu=True,
        progress=False,
    )
    assert load(path)[2]["training"]["loss"] == loss


@pytest.mark.parametrize(
    "wrong",
    [
        dict(task="derain"),
        dict(clean=None),
        dict(measured_share=0.0),
        dict(preset="huge"),
        dict(budget="big"),
        dict(loss="best"),
        dict(kind="sde"),
        dict(iterations=0),
    ],
)
def test_impossible_recipes(photos, tmp_path, wrong):
    with pytest.raises((ValueError, TypeError)):
        train_task(
            Recipe(**{"task": "deraining", "clean": str(photos), **SMALL, **wrong}),
            tmp_path / "run",
            cpu=True,
            progress=False,
        )
    assert not (tmp_path / "run").exists()


def test_a_recipe_is_plain_json(photos):
    recipe = Recipe(task="deraining", pairs=("a", "b"), upright=True, **SMALL)
    from dataclasses import asdict

    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
    assert "--pairs a b" in train_command(recipe) and "--upright" in train_command(recipe)


def test_training_begins_with_other_weights(photos, tmp_path, weights):
    init = train_task(
        Recipe(task="deraining", clean=str(photos), **SMALL), tmp_path / "one", cpu=True, progress=False
    )
    train_task(
        Recipe(task="dehazing", clean=str(photos), init=str(init), **SMALL),
        tmp_path / "two",
        cpu=True,
        progress=False,
    )
    with pytest.raises(ValueError):
        train_task(
            Recipe(task="dehazing", clean=str(photos), init=str(weights), **SMALL),
            tmp_path / "three",
            cpu=True,
            progress=False,
        )


# ---- scoring


def test_evaluate_by_hand():
    from irsde.metrics import Protocol, psnr

    x0 = picture(3, 40, 40)
    cases = [Case(str(k), x0, (x0 * 0.9), (x0 * 0.9)) for k in range(2)]
    scores = evaluate(lambda image, **how: image / 0.9 * 0.99, cases, Protocol(), lpips=False)
    scores = getattr(scores, "table", scores)
    assert scores["psnr"].iloc[-1] == pytest.approx(
        psnr(x0[None] * 0.99, x0[None], Protocol()).item(), rel=1e-5
    )
    assert scores["input psnr"].iloc[0] == pytest.approx(
        psnr(x0[None] * 0.9, x0[None], Protocol()).item(), rel=1e-5
    )


def test_a_case_that_fails_is_named_and_left_out():
    x0 = picture(3, 40, 40)

    def restore(image, **how):
        if image.shape[1] == 36:
            raise ValueError("too small")
        return image

    scores = evaluate(
        restore,
        [Case("a", x0, x0 * 0.9, x0 * 0.9), Case("b", x0[:, :36], x0[:, :36], x0[:, :36])],
        "denoising",
        lpips=False,
    )
    table = getattr(scores, "table", scores)
    assert "too small" in table.set_index("name").loc["b", "error"] and table["error"].iloc[0] == ""
    assert scores.attrs["n_images"] == 1


def test_cases_know_what_the_restorer_gets(photos):
    for task in ALONE:
        case = FromClean(task, photos)[0]
        assert case.x0.shape == case.mu.shape == (3, 32, 32)
        assert case.given.shape == ((3, 8, 8) if task == "super-resolution" else (3, 32, 32))
        assert ("mask" in case.options) == (task == "inpainting") and ("sigma" in case.options) == (
            task == "denoising"
        )
    assert len(FromPairs("deraining", photos, photos)) == 3
    with pytest.raises(ValueError):
        FromClean("derain", photos)
    with pytest.raises(ValueError, match="sigma= is for"):
        FromClean("deraining", photos, sigma=0.1)


def test_a_row_of_pairs_keeps_its_seed(photos, weights, tmp_path):
    "Nothing was degraded here, but the restorer drew noise"
    csv = tmp_path / "runs.csv"
    irsde("evaluate", "--weights", weights, "--pairs", photos, photos, "--seed", 4, "--csv", csv)
    rows = pd.read_csv(csv).set_index("method")
    assert rows.loc["irsde", "seed"] == 4


def test_sets_take_turns():
    "A picture of each set in turn; the smaller one comes round again, in its next epoch"
    from irsde.material import Turns

    class Named:
        def __init__(self, name, n):
            self.name, self.n = name, n

        def __len__(self):
            return self.n

        def __getitem__(self, key):
            return (self.name, *key)

    both = Turns(Named("a", 3), Named("b", 2))
    assert len(both) == 6
    wanted = [("a", 0, 0), ("b", 0, 0), ("a", 0, 1), ("b", 0, 1), ("a", 0, 2), ("b", 1, 0)]
    assert [both[0, i] for i in range(6)] == wanted
    assert both[1, 1] == ("b", 1, 1)


def test_race_tells_the_best_turn(weights):
    "A clock that stands still but while the network is asked: 5, 1 and 3 seconds"
    readings = iter([0, 5, 5, 6, 6, 9])

    def clock():
        return next(readings)

    x0 = picture(3, 40, 40)
    found = race(
        Restorer.from_pretrained(weights),
        [Case("a", x0, x0, x0)],
        [("posterior", 1)],
        repeats=3,
        clock=clock,
        protocol="denoising",
        lpips=False,
    )
    assert found["seconds"].tolist() == [1.0]


def test_evaluate_task_refuses(photos, weights):
    for wrong in (
        dict(),
        dict(clean=photos),
        dict(weights=weights),
        dict(weights=weights, clean=photos, pairs=(photos, photos)),
        dict(weights=weights, pairs=(photos, photos), measured="x"),
        dict(weights=weights, task="dehazing", clean=photos),
    ):
        with pytest.raises(ValueError):
            evaluate_task(**wrong)


def test_scoring_never_writes_over_its_pictures(photos, weights, tmp_path):
    before = {path: path.read_bytes() for path in photos.iterdir()}
    for how in (("--clean", photos), ("--pairs", photos, photos)):
        out = irsde("evaluate", "--weights", weights, *how, "--out", photos, code=1)
        assert "never written over" in out.stderr
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    irsde("evaluate", "--weights", weights, "--clean", photos, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_config_of_any_name_is_the_one_that_is_read(photos, tmp_path):
    train_task(
        Recipe(task="deraining", clean=str(photos), **SMALL), tmp_path / "run", cpu=True, progress=False
    )
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["about"]["recipe"]["iterations"] = 3
    (tmp_path / "mine.json").write_text(json.dumps(config))
    out = irsde("train", "--config", tmp_path / "mine.json", "--out", tmp_path / "again", "--cpu")
    assert load(out.stdout.strip().splitlines()[-1])[2]["step"] == 3
    irsde("train", "--config", tmp_path / "none.json", "--out", tmp_path / "x", "--cpu", code=1)


# ---- in the words of the shell


def every_option():
    "The arguments that some verb has an option for"
    verbs = main.commands.values()
    return {
        p.name for verb in verbs for p in verb.get_params(click.Context(verb)) if isinstance(p, click.Option)
    }


PYTHON_ONLY = {"fit", "strength", "layers", "size", "download"}  # no verb has them: for who writes Python


def spoken(path):
    "The texts of a module's errors and warnings"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        warned = isinstance(node, ast.Call) and "warn" in ast.unparse(node.func)
        if isinstance(node, ast.Raise) or warned:
            parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            yield from (text for text in parts if isinstance(text, str))


def test_what_the_library_says_can_be_said_in_the_shell():
    known = every_option() | PYTHON_ONLY
    said = [
        (path.name, text) for path in Path(irsde_shell.__file__).parent.glob("*.py") for text in spoken(path)
    ]
    assert len(said) > 300
    lost = [(name, text) for name, text in said for match in ARGUMENT.finditer(text) if match[1] not in known]
    assert not lost, "no verb has such an option: add one, or say it in words"


@pytest.mark.parametrize(
    "verb, said, wanted",
    [
        ("degrade", 'say alpha="drop" to ignore it', "say --alpha drop to ignore it"),
        (
            "train",
            "resume=True goes on, iterations=MORE to more steps",
            "--resume goes on, --iters MORE to more steps",
        ),
        ("train", "start by init=FILE.", "start by --init FILE."),
        ("train", 'alpha="keep" or loss=best', 'alpha="keep" or loss=best'),
        ("restore", "pass mask=, white", "pass --mask, white"),
        ("restore", "give sigma=25/255", "give --sigma 25/255"),
        ("restore", '(format="png" writes PNG)', "(--format png writes PNG)"),
        ("evaluate", 'pattern="{}x4"; skip_damaged=True', "--pattern '{}x4'; --skip-damaged"),
        ("evaluate", 'fit="centre" and overwrite=True', 'fit="centre" and overwrite=True'),
        ("convert", 'key="params_ema" or force=True', "--key params_ema or --force"),
        ("convert", "global_skip=False says no, force=False", "--no-global-skip says no, force=False"),
    ],
)
def test_words_of_the_shell(verb, said, wanted):
    command = main.commands[verb]
    assert for_shell(said, options_of(click.Context(command))) == wanted


def test_wrong_options_are_refused_once(photos, tmp_path):
    for task, words in (
        ("deraining", ["--sigma", "25/255"]),
        ("denoising", ["--samples", 3]),
        ("deraining", ["--mask", photos]),
        ("deraining", ["--enlarged"]),
        ("inpainting", ["--invert-mask"]),
        ("deraining", ["--seed", -1]),
        ("deraining", ["--quality", 0]),
        ("deraining", ["--ensemble", 3]),
    ):
        out = irsde("restore", photos, "--out", tmp_path / "o", "--task", task, *words, code=2)
        assert out.stderr.count("Error") == 1 and not out.stdout and not (tmp_path / "o").exists()
    irsde("evaluate", "--task", "deraining", "--clean", photos, "--sigma", ".1", code=2)
    irsde("degrade", photos, "--out", tmp_path / "o", "--task", "deraining", "--full", code=2)


def test_notes_and_failures_name_the_file_first(photos, tmp_path):
    Image.new("RGBA", (32, 32)).save(photos / "glass.png")
    (photos / "p1.png").write_bytes(b"x")
    (photos / "notes.txt").write_text("")
    out = irsde("degrade", photos, "--out", tmp_path / "o", "--task", "deraining", code=1)
    lines = out.stderr.splitlines()
    assert lines[0] == "note: left out: 1 file (.txt)" and lines[-1] == "2 done, 2 failed"
    assert lines[1].startswith(f"{photos}/glass.png: has an alpha channel: say --alpha drop")
    assert lines[2].startswith(f"{photos}/p1.png: cannot be read")


def test_slips_of_a_shell(photos, tmp_path, monkeypatch):
    "A variable that is not set, a file that begins with a dash, an ending that is mistyped"
    one = ("degrade", photos / "p0.png", "--task", "deraining")
    for words in (
        [*one, "--out", ""],
        ["degrade", "", "--task", "deraining", "--out", tmp_path / "o"],
        ["restore", photos, "--task", "inpainting", "--mask", "", "--out", tmp_path / "o"],
        ["restore", photos, "--weights", "", "--out", tmp_path / "o"],
        ["evaluate", "--task", "deraining", "--clean", photos, "--csv", ""],
        ["train", "--task", "deraining", "--clean", "", "--out", tmp_path / "o"],
        ["train", "--task", "deraining", "--pairs", photos, "", "--out", tmp_path / "o"],
        ["info", ""],
    ):
        assert "the path is empty" in irsde(*words, code=2).stderr and not (tmp_path / "o").exists()
    assert "/ at its end" in irsde(*one, "--out", tmp_path / "y.pgn", code=1).stderr
    monkeypatch.chdir(tmp_path)
    for name in ("-dash.png", "--out.png"):
        (photos / "p0.png").rename(tmp_path / name) if name[1] == "d" else Image.new("RGB", (32, 32)).save(
            name
        )
        said = irsde("degrade", name, "--task", "deraining", "--out", "o", code=2).stderr
        assert f"write ./{name}, or -- before it" in said.replace("\n", " ")
    irsde("degrade", "--task", "deraining", "--out", "o", "--", "-dash.png", "./--out.png")
    assert "--" not in irsde("degrade", "-none.png", "--out", "o", code=2).stderr.split("Error")[1]


def test_an_option_that_is_zero_is_given(photos, tmp_path, weights, monkeypatch):
    from irsde import cli

    assert cli.given(dict(tile=0, seed=0, mask=None, full=False, inputs=())) == dict(tile=0, seed=0)


def test_notes_of_a_run(photos, tmp_path, weights):
    words = ("--weights", weights, "--out", tmp_path / "o")
    said = irsde("restore", photos / "p0.png", *words, "--quality", 50).stderr
    assert said.count("note: --quality is for .jpg and .avif") == 1
    out = irsde(
        "degrade", photos, "--task", "super-resolution", "--out", tmp_path / "s", "--factor", 9, code=1
    )
    assert "8x8 is the least: a smaller --factor leaves more" in out.stderr
    out = irsde("degrade", photos, "--task", "deraining", "--out", tmp_path / "o", code=1)
    assert "1 skipped: its result was made by irsde restore: --overwrite makes it anew" in out.stderr


def test_transparent_pictures_are_no_truth(photos, weights):
    Image.new("RGBA", (32, 32)).save(photos / "glass.png")
    said = irsde("evaluate", "--weights", weights, "--clean", photos, code=1).stderr
    assert "save them without transparency" in said and "drop" not in said


def test_one_picture_to_one_file(photos, tmp_path, weights):
    one = ("restore", photos / "p0.png", "--weights", weights)
    assert irsde(*one, "--out", tmp_path / "r.jpg").stdout.strip() == str(tmp_path / "r.jpg")
    error = irsde("restore", photos, "--weights", weights, "--out", tmp_path / "r2.png", code=1).stderr
    assert "--out FOLDER" in error
    sub = photos.parent / "tree" / "sub"
    sub.mkdir(parents=True)
    (sub / "a.png").write_bytes((photos / "p0.png").read_bytes())
    there = irsde(
        *one[:1], photos.parent / "tree", *one[2:], "--out", tmp_path / "t", "--recursive", "--format", "tif"
    )
    assert there.stdout.strip() == str(tmp_path / "t" / "sub" / "a.tif")


def test_info_of_a_task():
    assert "deraining" in irsde("info", "deraining").stdout


def test_a_check_before_training(photos, tmp_path):
    words = ("train", "--task", "deraining", "--clean", photos, "--check", "--crop", 16)
    assert "0 of 3" in irsde(*words).stderr
    (photos / "p1.png").write_bytes((photos / "p1.png").read_bytes()[:80])
    out = irsde(*words, code=1)
    assert "p1" in out.stdout and "1 of 3" in out.stderr
    irsde("train", "--task", "deraining", "--clean", photos, code=2)


def test_a_table_of_runs_that_fails_costs_no_score(photos, weights, tmp_path, monkeypatch):
    from irsde import scoring

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scoring, "keep_rows", full)
    out = irsde("evaluate", "--weights", weights, "--clean", photos, "--csv", tmp_path / "runs.csv", code=1)
    assert "mean" in out.stdout and f"{tmp_path}/runs.csv: " in out.stderr and "No space left" in out.stderr


TOOL = """
import click
from irsde.shell import Verbs, put
@click.group(cls=Verbs)
def tool(): pass
@tool.command()
def say():
    for i in range(20000): put(f"\u96e8 {i}")
tool(prog_name="tool")
"""


def bash(line):
    call = f"set -o pipefail; PYTHONIOENCODING=cp1252 {sys.executable} {line}"
    return subprocess.run(["bash", "-c", call], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="of this system's streams")
def test_results_are_whole_where_stdout_fails(photos, tmp_path):
    for k in range(3):
        (photos / f"p{k}.png").rename(photos / f"\u96e8{k}.png")
    done = bash(f"-m irsde.cli degrade {photos} --task deraining --out {tmp_path}/o > /dev/full")
    assert len(list((tmp_path / "o").glob("*.png"))) == 3 and done.returncode == 1
    assert done.stderr.count("stdout failed") == 1 and "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="of this system's streams")
def test_a_closed_stderr_costs_no_result(photos, tmp_path):
    done = bash(f"-m irsde.cli degrade {photos} --task deraining --out {tmp_path}/o 2>&-")
    assert len(list((tmp_path / "o").glob("*.png"))) == len(done.stdout.splitlines()) == 3
    assert done.returncode == 0 and bash(f"-m irsde.cli degrade {photos} --out o 2>&-").returncode == 2


@pytest.mark.skipif(sys.platform != "linux", reason="of this system's streams")
@pytest.mark.parametrize("end", ["say > /dev/full", "say | head -1", "say >&-", "--help > /dev/full"])
def test_streams_that_fail(tmp_path, end):
    (tmp_path / "tool.py").write_text(TOOL, encoding="utf-8")
    done = bash(f"{tmp_path}/tool.py {end}")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "stdout failed" in done.stderr
    assert done.stdout == ("\\u96e8 0\n" if "head" in end else "")


# ---- rows that know their weights


def test_a_row_and_its_pictures_say_what_made_them(photos, weights, tmp_path):
    runs, each = tmp_path / "runs.csv", tmp_path / "pictures.csv"
    for _ in range(2):
        irsde("evaluate", "--weights", weights, "--clean", photos, "--csv", runs, "--per-picture", each)
    rows, pictures = pd.read_csv(runs), pd.read_csv(each)
    row = rows.iloc[-1]
    assert rows["method"].tolist() == ["input", "irsde", "irsde"]
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:16]
    assert row["weights"] == f"sha256:{digest}" and (pictures["weights"] == row["weights"]).all()
    assert row["network"].startswith("nafnet, ") and (row["prediction"], row["calls"]) == ("clean", 2)
    assert len(pictures) == row["n_images"]  # the second block took the first one's place
    gains = pictures["psnr"] - pictures["input_psnr"]
    assert row["gain"] == pytest.approx(gains.mean(), abs=2e-4)
    assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    assert pd.isna(rows["gain"].iloc[0]) and pd.isna(rows["weights"].iloc[0])  # of the input


def test_tables_that_cannot_be_kept_are_refused_first(photos, weights, tmp_path):
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    words = ["evaluate", "--weights", weights, "--clean", photos, "--per-picture", tmp_path / "own.csv"]
    said = irsde(*words, code=1)
    assert "has other columns than a table of pictures" in said.stderr and not said.stdout


def test_fid_is_of_the_whole_set_and_only_where_it_can_be_had(photos, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pytest.importorskip("torch_fidelity")
    with pytest.raises(FileNotFoundError, match="FID needs Inception's weights"):
        evaluate_task(weights=weights, clean=photos, fid=True)
    seen = []

    def stand_in(restored, clean):
        seen.extend([restored, clean])
        return 12.5

    monkeypatch.setattr("irsde.scoring.check_fid", lambda: None)
    monkeypatch.setattr("irsde.metrics.fid", stand_in)
    csv = tmp_path / "runs.csv"
    scores = evaluate_task(weights=weights, clean=photos, fid=True, csv=csv, lpips=False)
    assert [len(pictures) for pictures in seen] == [len(scores) - 1] * 2 and scores.attrs["fid"] == 12.5
    assert [x.shape for x in seen[0]] == [x.shape for x in seen[1]]
    assert pd.read_csv(csv)["fid"].tolist()[-1] == 12.5 and pd.isna(pd.read_csv(csv)["fid"].iloc[0])


def test_no_latent_is_asked_for(photos, monkeypatch):
    from irsde import cli

    asked = []
    monkeypatch.setattr(cli, "check_pictures", asked.append)
    for flag in ((), ("--no-latent",), ("--latent",)):
        done = CliRunner().invoke(main, ["train", "--task", "nonhomogeneous-dehazing", "--clean",
                                         str(photos), "--check", *flag])
        assert done.exit_code == 0, done.output
    assert [each.latent for each in asked] == [None, False, True]


def test_first_weights_are_not_lost_before_the_first_state(photos, tmp_path, monkeypatch):
    "A run that is killed at once begins from the same weights when it goes on"
    from irsde import recipes

    first = train_task(Recipe("deraining", clean=str(photos), **SMALL), tmp_path / "first", cpu=True)
    began = Recipe("deraining", clean=str(photos), init=str(first), **SMALL)
    seen, right = [], recipes.train

    def killed(run, model, *args, **how):
        seen.append(next(model.parameters()).detach().clone())
        if len(seen) == 2: return right(run, model, *args, **how)
        (tmp_path / "second").mkdir()
        for name in ("config.json", "pictures.csv"):
            (tmp_path / "second" / name).write_bytes(other[name])
        raise SystemExit

    monkeypatch.setattr(recipes, "train", right)
    train_task(began, tmp_path / "whole", cpu=True)
    other = {name: (tmp_path / "whole" / name).read_bytes() for name in ("config.json", "pictures.csv")}
    monkeypatch.setattr(recipes, "train", killed)
    with pytest.raises(SystemExit):
        train_task(began, tmp_path / "second", cpu=True)
    train_task(began, tmp_path / "second", resume=True, cpu=True)
    assert torch.equal(*seen)


def test_one_file_is_not_both_tables(photos, tmp_path):
    table = tmp_path / "a.csv"
    with pytest.raises(ValueError, match="give them two names"):
        evaluate_task("deraining", clean=photos, csv=table, per_picture=table)


@pytest.mark.parametrize(("change", "said"), [("solver=nonsense", "solver"), ("protocol=foo", "protocol"),
                                              ("net.foo=3", r"net\.\* are the arguments")])
def test_values_without_sense_are_named(photos, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        name, _, value = change.partition("=")
        recipe = Recipe("deraining", clean=str(photos), set={name: value}, **SMALL)
        train_task(recipe, tmp_path / "run", cpu=True)
