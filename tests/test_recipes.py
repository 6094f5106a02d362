"What to train on, going on with other pictures or for longer, looking before a training, and scoring."

import json
import os
import warnings
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from irsde import metrics, recipes, scoring
from irsde.bridges import OUBridge
from irsde.checkpoint import load
from irsde.material import changes, going_on, pictures_of, read_table, sequences, split
from irsde.recipes import Recipe, check_task, demo, evaluate_task, resolve, train_command, train_task
from irsde.restore import Restorer
from irsde.results import trained
from irsde.runs import read_config
from irsde.schedule import ThetaSchedule
from irsde.scoring import name_of
from irsde.tasks import IRSDE_TASKS, TASKS
from irsde.training import Settings

SMALL = dict(budget="smoke", preset="tiny", iterations=2, batch=2, crop=16)


def save(path, size=(24, 24), seed=0, bands=3):
    "A picture of its own"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, bands), dtype=np.uint8)
    Image.fromarray(values[..., 0] if bands == 1 else values).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for k in range(10):
        save(folder / f"p{k}.png", seed=k)
    return folder


def recipe(photos, **more):
    return Recipe(**{"task": "deraining", "clean": str(photos), **SMALL, **more})


def go(asked, run, **how):
    return train_task(asked, run, cpu=True, progress=False, **how)


def used(run):
    "Name -> use of the pictures that are there"
    table = read_table(run / "pictures.csv").query("gone == ''")
    return dict(table[["name", "use"]].values)


def quiet(f, *args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **how)


def test_maps_smaller_than_the_photos_do_for_those_that_are_looked_at(tmp_path):
    "Measured masks of 256 and photos of 321: a validation looks at the middle of a photo, and so do they"
    for k in range(10):
        save(tmp_path / "photos" / f"p{k}.png", (321, 270), seed=k)
        save(tmp_path / "masks" / f"m{k}.png", (256, 256), seed=k, bands=1)
    masks = dict(measured=str(tmp_path / "masks"), measured_share=1.0)
    asked = recipe(tmp_path / "photos", task="inpainting", **masks)
    task, values = resolve(asked)
    ((x0, mu),) = pictures_of(asked, task, values["crop"]).held_out.values()
    assert x0.shape == mu.shape == (3, 256, 256)
    whole = np.asarray(Image.open(tmp_path / "photos" / "p5.png"))[32:288, 7:263]
    assert np.array_equal((x0 * 255).round().permute(1, 2, 0).numpy(), whole)


def state_of(path):
    return load(path)[0].state_dict()


# ---- other pictures


@pytest.mark.parametrize(
    "change, said",
    [
        ("gone", "8 pictures to train on, not 9: p2 is gone"),
        ("new", "10 pictures to train on, not 9: x is new"),
        ("renamed", "9 pictures to train on, as before: p2 is gone and x is new"),
        ("held", "8 pictures to train on, not 9: p5 is gone"),
    ],
)
def test_other_pictures_are_refused_and_taken_if_wanted(photos, tmp_path, change, said):
    run = tmp_path / "run"
    go(recipe(photos), run)
    assert [name for name, use in used(run).items() if use == "held out"] == ["p5"]
    if change in ("gone", "renamed"):
        (photos / "p2.png").rename(photos / "x.png" if change == "renamed" else tmp_path / "p2.png")
    if change == "new":
        save(photos / "x.png", seed=99)
    if change == "held":
        (photos / "p5.png").unlink()
    with pytest.raises(ValueError, match=f"trained on other pictures: {said}.*new_pictures=True"):
        go(recipe(photos, iterations=3), run, resume=True)
    with pytest.warns(UserWarning, match="goes on with other pictures|none of the pictures"):
        path = go(recipe(photos, iterations=3), run, resume=True, new_pictures=True)
    about, uses = load(path)[2], used(run)
    assert about["pictures"] == [*uses.values()].count("train") and about["new_pictures"][0].startswith(
        "after ste"
    )
    assert read_config(run)["about"]["new_pictures"] == about["new_pictures"]
    if change != "held":
        assert about["held_out"] == ["p5"] and uses["p5"] == "held out"
    quiet(go, recipe(photos, iterations=4), run, resume=True)  # nothing more to ask
    assert used(run) == uses and load(path)[2]["new_pictures"] == about["new_pictures"]


def test_what_was_held_out_is_never_trained_on(photos, tmp_path):
    run = tmp_path / "run"
    go(recipe(photos), run)
    (photos / "p5.png").rename(tmp_path / "p5.png")
    save(photos / "a.png", seed=50)
    quiet(go, recipe(photos, iterations=3), run, resume=True, new_pictures=True)
    assert used(run)["a"] == "held out"  # new, so never trained on, as others would have been
    (tmp_path / "p5.png").rename(photos / "p5.png")
    quiet(go, recipe(photos, iterations=4), run, resume=True, new_pictures=True)
    assert used(run)["p5"] == "held out" and used(run)["a"] == "held out"
    assert len(load(run / "model.safetensors")[2]["new_pictures"]) == 2


def test_held_out_pictures_of_pairs_go_by_their_clean_one():
    rows = [("pairs", f"{c}_{k}", c, "train", "") for c in "abcd" for k in (1, 2)]
    rows += [("pairs", "e_1", "e", "held out", ""), ("pairs", "e_2", "e", "left out", "")]
    before = pd.DataFrame(rows, columns=["kind", "name", "clean", "use", "gone"])
    assert going_on([*"abcde"], before) == ({"e"}, set())
    assert going_on([*"abcdx"], before) == ({"x"}, set())
    with pytest.warns(UserWarning, match="none of the pictures that were held out is left"):
        assert going_on([*"abcd"], before) == (set(), set())  # of so few none
        going_on([*"abcd", *"abcd"], before)
    assert "paired otherwise" in changes(before.assign(clean="z"), before)


def test_a_first_run_holds_out_what_it_always_did(photos):
    task = TASKS["deraining"].at("smoke")
    table = pictures_of(recipe(photos), task, 16).table
    assert table.index[table["use"] == "train"].tolist() == split(list(range(10)))[0]


def test_a_run_without_a_table_goes_on(photos, tmp_path):
    "As runs of before had none"
    run = tmp_path / "run"
    go(recipe(photos), run)
    (run / "pictures.csv").unlink()
    config = read_config(run)
    for name in ("channels", "pattern", "skip_damaged"):
        del config["about"]["recipe"][name]
    (run / "config.json").write_text(json.dumps(config))
    whole = state_of(go(recipe(photos, iterations=4), tmp_path / "whole"))
    assert Recipe.of(config["about"]["recipe"]) == recipe(photos)
    again = state_of(quiet(go, Recipe.of(config["about"]["recipe"], iterations=4), run, resume=True))
    assert again.keys() == whole.keys() and (run / "pictures.csv").exists()
    (run / "pictures.csv").unlink()
    (photos / "p2.png").unlink()
    with pytest.raises(ValueError, match="8 pictures to train on, not 9.*new_pictures=True"):
        go(recipe(photos, iterations=5), run, resume=True)


def test_a_folder_that_moved_and_a_path_written_otherwise(photos, tmp_path, monkeypatch):
    run = tmp_path / "run"
    go(recipe(photos), run)
    monkeypatch.chdir(tmp_path)
    quiet(go, recipe("photos", iterations=3), run, resume=True)
    photos.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="clean is 'moved', not 'photos'. new_pictures=True"):
        go(recipe("moved", iterations=4), run, resume=True)
    with pytest.raises(ValueError, match="holds another run: upright is True, not False"):
        go(recipe("moved", iterations=4, upright=True), run, resume=True, new_pictures=True)
    quiet(go, recipe("moved", iterations=4), run, resume=True, new_pictures=True)
    assert used(run)["p5"] == "held out"


# ---- longer, and the same command again


def test_a_task_is_trained_longer(photos, tmp_path):
    run = tmp_path / "run"
    go(recipe(photos), run)
    with pytest.raises(ValueError, match="this run already, finished after 2 steps: iterations=MORE"):
        go(recipe(photos), run)
    with pytest.warns(UserWarning, match="finished after 2 steps.*init="):
        go(recipe(photos), run, resume=True)
    with pytest.warns(UserWarning, match="stretched"):
        path = go(recipe(photos, iterations=4), run, resume=True)
    assert load(path)[2]["step"] == 4 and read_config(run)["about"]["recipe"]["iterations"] == 4
    kept = Recipe.of(read_config(run)["about"]["recipe"])
    with pytest.warns(UserWarning, match="finished after 4 steps"):
        go(kept, run, resume=True)
    with pytest.raises(ValueError, match="has done 4 steps, so iterations=3 is too few"):
        go(recipe(photos, iterations=3), run, resume=True)


# ---- damaged pictures


def spoil(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_damaged_picture_and_the_ways_on(photos, tmp_path):
    spoil(photos / "p2.png")
    run = tmp_path / "run"
    asked = recipe(photos, iterations=9)
    with pytest.raises(OSError, match="p2.*skip_damaged=True.*--check"):
        quiet(go, asked, run)
    with pytest.warns(UserWarning):
        path = go(recipe(photos, iterations=9, skip_damaged=True), run, resume=(run / "config.json").exists())
    assert load(path)[2]["step"] == 9 and "p2" not in used(run)
    assert "--skip-damaged" in train_command(load(path)[2]["recipe"])


def test_a_look_at_everything_beforehand(photos, tmp_path):
    fine = check_task(recipe(photos))
    assert len(fine) == 0 and fine.attrs["pictures"] == 10 and fine.attrs["notes"] == []
    spoil(photos / "p2.png")
    save(photos / "q.png", bands=4)
    save(photos / "tiny.png", size=(8, 9))
    seen = []
    table = check_task(recipe(photos), progress=lambda *told: seen.append(told))
    assert sorted(table["name"]) == ["p2", "q"] and list(table) == ["name", "fault"] and seen
    assert 'alpha="drop"' in table.set_index("name")["fault"]["q"]
    assert ["1 of 11 pictures" in note and "tiny" in note for note in table.attrs["notes"]] == [True]
    assert check_task(recipe(photos, alpha="drop"))["name"].tolist() == ["p2"]
    alone = check_task(Recipe("deraining", pairs=(str(photos), str(tmp_path / "none")), **SMALL))
    assert len(alone) == 1 and "none" in alone["fault"][0]


# ---- one channel, a pattern, small pictures


@pytest.mark.parametrize("task", [*IRSDE_TASKS, "shadow-removal"])
def test_weights_for_grey(photos, tmp_path, task):
    path = go(recipe(photos, task=task, channels=1), tmp_path / "run")
    net, _, about = load(path)
    assert about["recipe"]["channels"] == 1
    restorer = Restorer.from_pretrained(path, "cpu")
    assert restorer.channels == 1
    how = {"mask": np.arange(24) % 8 * np.ones((24, 1)) > 0} if task == "inpainting" else {}
    how |= {"sigma": 0.1} if task == "denoising" else {}
    for bands in (1, 3):
        picture = save(tmp_path / f"{bands}.png", bands=bands)
        assert np.asarray(restorer(Image.open(picture), **how)).ndim == (2 if bands == 1 else 3)
    scores = quiet(evaluate_task, weights=path, clean=photos, lpips=False, device="cpu", out=tmp_path / "out")
    assert (scores["error"] == "").all() and scores["psnr"].notna().all()
    assert len(list((tmp_path / "out").glob("*.png"))) == 10


def test_new_fields_of_a_recipe(photos):
    for wrong, said in (
        ({"channels": 2}, "known are 1, 3"),
        ({"channels": True}, "channels"),
        ({"pattern": "{}x4"}, "pattern= is for pairs="),
        ({"pairs": ("a", "b"), "pattern": "x4"}, "pattern"),
        ({"skip_damaged": "yes"}, "skip_damaged"),
    ):
        with pytest.raises(ValueError, match=said):
            recipe(photos, **wrong)
    asked = recipe("my photos", pairs=("lq", "gt"), pattern="{}x4", channels=1, skip_damaged=True)
    command = train_command(asked)
    for words in (
        '--clean "my photos"',
        '--pattern "{}x4"',
        "--channels 1",
        "--skip-damaged",
        "--pairs lq gt",
    ):
        assert words in command
    plain = train_command(recipe("photos"))
    assert not any(word in plain for word in ("channels", "pattern", "skip"))
    assert Recipe.of(json.loads(json.dumps(asdict(asked)))) == asked


def test_pairs_of_super_resolution_by_pattern(tmp_path):
    for k in range(5):
        save(tmp_path / "HR" / f"{k}0.png", size=(66, 65), seed=k)  # not a multiple of the factor
        save(tmp_path / "LR" / f"small-{k}0.png", size=(16, 16), seed=k)
    pairs = (str(tmp_path / "LR"), str(tmp_path / "HR"))
    asked = Recipe("super-resolution", pairs=pairs, pattern="small-{}", **SMALL)
    path = go(asked, tmp_path / "run")
    assert load(path)[2]["step"] == 2
    for k in range(5):
        save(tmp_path / "X4" / f"{k}0.png", size=(16, 16), seed=k)
    with pytest.raises(ValueError, match="larger than its clean one"):
        swapped = (str(tmp_path / "HR"), str(tmp_path / "X4"))
        go(Recipe("super-resolution", pairs=swapped, **SMALL), tmp_path / "swapped")
    scores = quiet(evaluate_task, weights=path, pairs=pairs, pattern="small-{}", lpips=False, device="cpu")
    assert len(scores) == 6 and (scores["error"] == "").all()


@pytest.mark.parametrize("side", [28, 16, 8])
def test_pictures_too_small_for_a_metric_train(tmp_path, side, monkeypatch):
    for k in range(6):
        save(tmp_path / "small" / f"{k}.png", size=(side, side), seed=k)
    path = quiet(go, recipe(tmp_path / "small", crop=side), tmp_path / "run")
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert load(path)[2]["step"] == 2 and log["val_psnr"].notna().sum() == (2 if side > 8 else 0)
    if side < 28:
        assert log["val_ssim"].isna().all()


def test_a_validation_that_fails_stops_nothing(photos, tmp_path, monkeypatch):
    def evaluate(*args, **how):
        raise ValueError("none of 1 pictures could be scored")

    monkeypatch.setattr(recipes, "evaluate", evaluate)
    with pytest.warns(UserWarning, match="held out could not be scored"):
        path = go(recipe(photos), tmp_path / "run")
    assert load(path)[2]["step"] == 2


# ---- scoring


@pytest.fixture
def weights(photos, tmp_path):
    return go(recipe(photos), tmp_path / "weights")


def test_a_table_that_is_none_is_refused_first(photos, weights, tmp_path, monkeypatch):
    (tmp_path / "own.csv").write_text("a;b\n1;2\n")
    monkeypatch.setattr(scoring, "evaluate", lambda *args, **how: pytest.fail("the work has begun"))
    with pytest.raises(ValueError, match="own.csv"):
        evaluate_task(weights=weights, clean=photos, csv=tmp_path / "own.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        evaluate_task(weights=weights, clean=photos, out=tmp_path / "file" / "out")


def test_scores_are_never_lost(photos, weights, tmp_path, monkeypatch):
    def keep_rows(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(scoring, "keep_rows", keep_rows)
    how = dict(weights=weights, clean=photos, lpips=False, device="cpu")
    scores = quiet(evaluate_task, csv=tmp_path / "runs.csv", **how)
    assert scores.attrs["csv_error"] == "No space left on device" and scores.iloc[-1]["psnr"] > 0

    real = scoring.write_image

    def write_image(path, image):
        if path.stem == "p3":
            raise OSError("No space left on device")
        real(path, image)

    monkeypatch.setattr(scoring, "write_image", write_image)
    scores = quiet(evaluate_task, out=tmp_path / "out", **how)
    row = scores.set_index("name").loc["p3"]
    assert "not written: No space left" in row["error"] and row["psnr"] > 0
    assert len(list((tmp_path / "out").iterdir())) == 9 and "csv_error" not in scores.attrs


def test_names_that_nest_make_folders(weights, tmp_path):
    for part in ("s1", "s2"):
        save(tmp_path / "nest" / part / "a.png")
    how = dict(weights=weights, clean=f"{tmp_path}/nest/*/*.png", out=tmp_path / "out", lpips=False)
    scores = quiet(evaluate_task, csv=tmp_path / "runs.csv", device="cpu", **how)
    assert len(scores) == 3 and len(list((tmp_path / "out").rglob("a.png"))) == 2
    assert set(pd.read_csv(tmp_path / "runs.csv")["test_set"]) == {"nest"}


def test_what_does_not_go_together(photos, weights):
    for wrong, said in (
        (dict(blind=True), "blind= is for denoising"),
        (dict(pattern="{}x4"), "pattern= is for pairs="),
        (dict(invert_mask=True), "invert_mask"),
    ):
        with pytest.raises(ValueError, match=said):
            evaluate_task(weights=weights, clean=photos, lpips=False, **wrong)


def test_names_of_test_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [name_of(path) for path in ("x/rain100h/lq", "x/set5", ".", "x/set5/*/a?.png", "a/b/[ab]*/x")] == [
        "rain100h",
        "set5",
        tmp_path.name,
        "set5",
        "b",
    ]
    assert name_of(os.sep) == "pictures"
    assert name_of("my\\set") == ("my\\set" if os.sep == "/" else "set")  # a backslash is no wildcard


def test_damaged_files_are_left_out_of_a_score(photos, weights):
    spoil(photos / "p2.png")
    how = dict(weights=weights, clean=photos, lpips=False, device="cpu")
    assert "p2" in quiet(evaluate_task, **how).query("error != ''")["name"].tolist()
    scores = quiet(evaluate_task, skip_damaged=True, **how)
    assert "p2" not in scores["name"].tolist() and scores.attrs["n_images"] == 9


def test_names_that_moved_are_where_they_were():
    assert demo is scoring.demo and evaluate_task is scoring.evaluate_task
    assert recipes.degradation_of("deraining") and metrics.PROTOCOLS and torch.get_num_threads() >= 1


# ---- videos, workers, validation, trackers


def films(folder, n=20, frames=6, first="{film:03}/{frame:08}.png"):
    for film in range(n):
        for frame in range(frames):
            save(folder / first.format(film=film, frame=frame), seed=100 * film + frame)
    return f"{folder}/*"


def test_of_videos_whole_sequences_are_held_out(tmp_path):
    folder, run = films(tmp_path / "films"), tmp_path / "run"
    go(recipe(folder), run)
    table = read_table(run / "pictures.csv")
    film = table["name"].str.partition("/")[0]
    assert {*film[table["use"] != "train"]} == {"010"}  # no frame of it on the other side
    assert (table["use"] == "held out").sum() == 4 and (table["use"] == "train").sum() == 114
    before = used(run)
    quiet(go, recipe(folder, iterations=3), run, resume=True)
    assert used(run) == before


def test_a_video_that_was_held_out_stays_so(tmp_path):
    folder, run = films(tmp_path / "films"), tmp_path / "run"
    go(recipe(folder), run)
    held = [name for name, use in used(run).items() if use == "held out"]
    save(tmp_path / "films/010/00000099.png", seed=7)  # a new frame of it
    save(tmp_path / "films/003/00000099.png", seed=8)  # and one of a film that was trained on
    quiet(go, recipe(folder, iterations=3), run, resume=True, new_pictures=True)
    now = used(run)
    assert now["010/00000099"] == "left out" and now["003/00000099"] == "train"
    assert [name for name, use in now.items() if use == "held out"] == held
    for name in held:
        (tmp_path / f"films/{name}.png").unlink()
    quiet(go, recipe(folder, iterations=4), run, resume=True, new_pictures=True)
    now = used(run)
    assert {name[:3] for name, use in now.items() if use != "train"} == {"010"}
    assert [*now.values()].count("held out") == 3  # those that were left out till now


def test_a_run_of_before_keeps_its_held_out_frames(tmp_path):
    "Its table decides, though frames of one film are on both sides"
    folder, run = films(tmp_path / "films"), tmp_path / "run"
    go(recipe(folder), run)
    table = read_table(run / "pictures.csv")
    table["use"] = "train"
    table.loc[[15, 45], "use"] = "held out"
    table.to_csv(run / "pictures.csv", index=False)
    before = used(run)
    quiet(go, recipe(folder, iterations=3), run, resume=True, new_pictures=True)
    assert used(run) == before


@pytest.mark.parametrize(
    "names, groups",
    [
        ([f"{k:03}/{i:04}" for k in range(5) for i in range(3)], 5),
        ([f"GOPR{k}_11_00_{i:06}" for k in range(5) for i in range(k, k + 3)], 5),
        ([f"{k:03}/{i:04}" for k in range(3) for i in range(5)], 15),  # three films are too few
        ([f"set{k}/{k}{i:03}" for k in range(5) for i in range(3)], 15),  # numbered on and on
        ([f"{i:04}" for i in range(20)], 20),
        ([f"n{k}/cat" for k in range(6)], 6),
        ([], 0),
    ],
)
def test_what_looks_like_a_video(names, groups):
    assert len({*sequences(names)}) == groups


@pytest.mark.parametrize(
    "cores, processes, workers", [(96, "8", 11), (8, None, 7), (2, "4", 1), (16, "x", 15), (1, "1", 1)]
)
def test_each_process_has_its_share_of_the_cores(monkeypatch, cores, processes, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(cores), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert recipes.own_workers() == workers


def test_the_cache_is_as_large_as_asked(photos, tmp_path, monkeypatch):
    seen = []
    whole = recipes.pictures_of
    monkeypatch.setattr(recipes, "pictures_of", lambda *args: seen.append(args[4]) or whole(*args))
    go(recipe(photos), tmp_path / "a")
    go(recipe(photos), tmp_path / "b", cache=0)
    assert seen == [2**30, 0]
    with pytest.raises(ValueError, match="cache is a whole number from 0, not -1"):
        go(recipe(photos), tmp_path / "c", cache=-1)


def test_a_paper_budget_is_validated_in_few_calls(monkeypatch):
    seen = []
    fake = pd.DataFrame([{"psnr": 1.0, "ssim": 1.0, "lpips": 1.0}])
    monkeypatch.setattr(recipes, "evaluate", lambda restorer, *_, **how: seen.append(restorer.about) or fake)
    model = torch.nn.Conv2d(1, 1, 1)
    about = {"solver": "reverse-sde", "steps": None, "ensemble": 1}
    for budget in ("paper", "quick"):
        values = TASKS["deraining"].settings(budget)
        recipes.validation_of(TASKS["deraining"].sde(), values, about, {})(model)
    paper, quick = seen
    assert (paper["solver"], paper["steps"]) == ("posterior", 10)
    assert (quick["solver"], quick["steps"]) == ("reverse-sde", None)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_there_is_refused_before_anything_is_made(photos, tmp_path, monkeypatch, name):
    monkeypatch.setattr("irsde.training.get_available_trackers", lambda: [])
    with pytest.raises(ImportError, match=f'tracker {name} needs a package.*pip install "irsde.{name}."'):
        go(recipe(photos), tmp_path / "run", tracker=name)
    with pytest.raises(ValueError, match="unknown tracker 'tensorbord'"):
        go(recipe(photos), tmp_path / "run", tracker="tensorbord")
    assert not (tmp_path / "run").exists()


def test_a_tracker_on_the_command_line(photos, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from irsde.cli import main

    monkeypatch.setattr("irsde.training.get_available_trackers", lambda: [])
    run = ["train", "--task", "deraining", "--clean", str(photos), "--out", str(tmp_path / "run")]
    for words in (["--tensorboard"], ["--tracker", "tensorboard"]):
        answer = CliRunner().invoke(main, [*run, *words])
        assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit)
        assert 'pip install "irsde[tensorboard]"' in answer.stderr and len(answer.stderr.splitlines()) == 1
    answer = CliRunner().invoke(main, [*run, "--tensorboard", "--tracker", "wandb"])
    assert answer.exit_code == 2 and "two trackers" in answer.stderr
    assert not (tmp_path / "run").exists()


def test_set_reaches_every_value_of_a_task_or_a_training():
    asked = Recipe(
        "deraining", clean="x", set=["theta=linear", "lam=30/255", "save_every=7", "betas=0.5,0.6"]
    )
    task, values = resolve(asked)
    assert (task.theta, values["save_every"], values["betas"]) == ("linear", 7, (0.5, 0.6))
    assert task.sde().lam == pytest.approx(30 / 255)
    settings = Settings.of(values)
    assert (settings.save_every, settings.betas) == (7, (0.5, 0.6))
    again = Recipe.of(json.loads(json.dumps(asdict(asked))))
    assert again == asked and resolve(again)[1] == values
    assert 'set "x' not in train_command(asked) and "--set theta=linear" in train_command(asked)


@pytest.mark.parametrize(
    "wrong, why",
    [
        ("thet=linear", "unknown setting 'thet'"),
        ("lr=1", "an option of its own: --lr"),
        ("theta", "theta has no value"),
        ("theta=quick", "unknown"),
        ("lam=2", "lam is a noise level"),
        ("lam=1/0", "lam is a noise level"),
        ("network=resnet", "unknown network 'resnet': known are unet, nafnet"),
        ("optimiser=sgd", "unknown optimiser 'sgd'"),
    ],
)
def test_set_refuses(wrong, why):
    with pytest.raises(ValueError, match=why):
        _, values = resolve(Recipe("deraining", clean="x", set=[wrong]))
        Settings.of(values)


def test_a_field_that_has_to_be_said():
    with pytest.raises(ValueError, match="seed cannot be None"):
        Recipe("deraining", clean="x", seed=None)


def test_a_network_by_its_arguments():
    asked = Recipe("inpainting", clean="x", preset="tiny", set={"network": "unet", "net.width": 4})
    assert resolve(asked)[1]["arguments"] == {"width": 4, "depth": 3, "heads": 1}


def test_ddpm_is_a_kind():
    task, _ = resolve(Recipe("denoising", clean="x", kind="ddpm", set={"prediction": "noise"}))
    assert (type(task.sde()).__name__, task.sde().lam, task.conditional) == ("DDPM", 0.5, True)


def test_a_bridge_is_trained_and_restores(photos, tmp_path):
    path = go(recipe(photos, iterations=2, kind="ou-bridge"), tmp_path / "a")
    sde = load(path)[1]
    assert sde == OUBridge(ThetaSchedule(), TASKS["deraining"].lam, 1 / 255)
    x = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert Restorer.from_pretrained(path, "cpu")(x).isfinite().all()
    longer = recipe(photos, iterations=3, kind="ou-bridge")
    assert load(quiet(go, longer, tmp_path / "a", resume=True))[1] == sde


def test_a_file_knows_the_trainings_before_it(photos, tmp_path):
    "All steps are counted through --init, and a resumed run says the same"
    first = go(recipe(photos, iterations=3), tmp_path / "a")
    second = recipe(photos, init=str(first))
    path = go(second, tmp_path / "b")
    (earlier,) = load(path)[2]["before"]
    assert earlier["iterations"] == 3 and "stopped" not in earlier and earlier["init"] is None
    assert trained(load(path)[2]) == "smoke, 5 steps"
    path = quiet(go, replace(second, iterations=4), tmp_path / "b", resume=True)
    assert trained(load(path)[2]) == "smoke, 7 steps"
