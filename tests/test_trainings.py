"What is said of trainings: on made-up tables, against hand values and the same sums by another route."

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.checkpoint import read_header
from irsde.compare import EACH, KEY, ahead
from irsde.plots import curves_of
from irsde.restore import weights_path
from irsde.results import train_steps
from irsde.tasks import TASKS
from irsde.trainings import (
    Trainings,
    ahead_with_seeds,
    better,
    by_seed,
    curves,
    gained_after,
    run_table,
    scatter,
    seeds_of,
)

A, B = {"method": "a"}, {"method": "b"}


def pictures_of(apart, seeds=(0, 1, 2), n=9):
    "A made-up table of pictures: method b, and method a ahead of it by `apart[seed]` dB on every one, nearly"
    rows = []
    for seed in seeds:
        for i in range(n):
            told = dict.fromkeys(KEY, "") | {"task": "deraining", "test_set": "t", "train_seed": seed}
            told |= {"solver": "posterior", "steps": 1, "calls": 1, "seed": 0, "protocol": "p"}
            each = {"name": str(i), "scene": "", "input_psnr": 10.0, "ssim": 0.5}
            level = 20 + 3 * i
            for method, gain in (("a", apart[seed] + 0.01 * (-1) ** i), ("b", 0.0)):
                scores = {"psnr": level + gain, "lpips": 0.5 - 0.01 * gain}
                rows.append(told | {"method": method} | each | scores)
    return pd.DataFrame(rows)[[*KEY, *EACH]]


@pytest.mark.parametrize(
    "apart, wanted",
    [((0.3, 0.2, 0.4), True), ((-0.3, -0.2, -0.4), False), ((0.3, 0.2, -0.1), None), ((0, 0, 0), None)],
)
def test_better_means_with_every_seed(apart, wanted):
    a, b = {"method": "a"}, {"method": "b"}
    pictures = pictures_of(apart)
    assert better(pictures, a, b) is wanted and better(pictures, a, b, "lpips") is wanted
    assert [*by_seed(pictures, a, b).round(1)] == [*apart]


def test_fewer_seeds_cannot_tell():
    assert better(pictures_of((0.3, 0.3), (0, 1)), {"method": "a"}, {"method": "b"}) is None


def test_a_run_without_pictures_cannot_be_told():
    pictures = pictures_of((0.3, 0.2, 0.4))
    nobody = {"method": "nobody"}
    assert better(pictures, A, nobody) is None and ahead_with_seeds(pictures, nobody, A) is None
    assert ahead_with_seeds(pictures[:0], A, B) is None and by_seed(pictures, A, nobody).empty
    assert seeds_of(pictures, A) == {0, 1, 2} and seeds_of(pictures, nobody) == set()


def test_seeds_that_only_one_of_them_has_do_not_count():
    "Seed 3 of a, which is far ahead, has no partner"
    pictures = pictures_of((0.3, 0.2, 0.4, 9.0), (0, 1, 2, 3))
    alone = pictures[~((pictures["method"] == "b") & (pictures["train_seed"] == 3))]
    found = ahead_with_seeds(alone, A, B)
    assert found == ahead_with_seeds(pictures[pictures["train_seed"] != 3], A, B)
    assert found.psnr == pytest.approx(0.3, abs=0.01) and ahead_with_seeds(alone, A, B, 4) is None


def test_weights_without_a_seed_are_of_none():
    pictures = pictures_of((0.3, 0.2, 0.4))
    for nothing in ("", math.nan, None):
        lost = pictures.assign(train_seed=nothing)
        assert seeds_of(lost, A) == set() and ahead_with_seeds(lost, A, B) is None


def test_the_joint_error_is_that_of_scenes_and_of_seeds():
    "Differences drawn with luck of both kinds, two pictures a scene; the sums in NumPy"
    rng, seeds, scenes = np.random.default_rng(1), 4, 6
    apart = 0.3 * rng.normal(size=(seeds, 1, 1)) + 0.2 * rng.normal(size=(1, scenes, 1))
    apart = (apart + 0.1 * rng.normal(size=(seeds, scenes, 2))).reshape(seeds, -1)
    pictures = pictures_of((0.0,) * seeds, range(seeds), 2 * scenes)
    pictures["scene"] = pictures["name"].astype(int) // 2
    for (seed, i), value in np.ndenumerate(apart):
        at = (pictures["train_seed"] == seed) & (pictures["name"] == str(i))
        level = pictures.loc[at & (pictures["method"] == "b"), "psnr"].item()
        pictures.loc[at & (pictures["method"] == "a"), "psnr"] = level + value
    found = ahead_with_seeds(pictures, A, B, seeds)
    over_scenes = apart.mean(0).reshape(scenes, 2).mean(1).std(ddof=1) / scenes**0.5
    over_seeds = apart.mean(1).std(ddof=1) / seeds**0.5
    assert found.psnr == pytest.approx(apart.mean())
    assert found.psnr_error == pytest.approx(math.hypot(over_scenes, over_seeds))
    assert found.scenes == scenes and found.n == 2 * scenes


def test_one_seed_has_no_scatter():
    with pytest.raises(ValueError, match="seeds is a whole number from 2, not 1"):
        ahead_with_seeds(pictures_of((0.3, 0.3), (0, 1)), A, B, 1)


def walk(values, **told):
    "A learning curve"
    rows = {"task": "deraining", "method": "published", "budget": "quick", "train_seed": 0, "lpips": 0.3}
    return pd.DataFrame({"step": 1000 * np.arange(len(values)), "psnr": values, **rows, **told})


def test_curves_by_hand():
    assert scatter(walk([0, 9, 1, 3, 1])) == pytest.approx(8**0.5)  # of +2 and -2, the rest is early
    assert scatter(walk([0, 9, 1, 3, 1]).sample(frac=1, random_state=0)) == pytest.approx(8**0.5)
    line = pd.DataFrame({"step": [0, 5, 7], "psnr": [0.0, 5.0, 9.0]})
    assert gained_after(line) == 4 and math.isnan(gained_after(line[:0]))


def test_steadiness_and_lateness(tmp_path):
    "Jumps of 1 and of 2 dB either way, with three seeds; the second seed's are twice as large"
    parts = []
    for seed, size in enumerate((1, 2, 1)):
        for method, jump in (("published", 1), ("noise matching", 2)):
            ups = size * jump * np.array([0, 0, 0, 0, 1, 0, 1])
            parts.append(walk(20 + ups, method=method, train_seed=seed))
    pd.concat(parts).to_csv(tmp_path / "curves.csv", index=False)
    found = Trainings(tmp_path)
    ratio, error = found.steadiness("loss", ["published"], ["noise matching"])
    assert ratio == pytest.approx(math.log(2))
    logs = np.log([1.0, 2.0, 1.0])
    assert error == pytest.approx(2**0.5 * logs.std(ddof=1) / 3**0.5)
    assert np.isnan(found.steadiness("loss", ["published"], ["noise matching"], seeds=4)).all()
    gained, error = found.late(4 / 6)
    assert gained == pytest.approx(0) and error == pytest.approx(0)
    gained, error = found.late(5 / 6)
    assert gained == pytest.approx(4 / 3) and error == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="unknown arm 'ourz': known are published, noise matching"):
        found.steadiness("loss", ["ourz"], ["published"])
    assert len(curves("loss", "quick", tmp_path)) == 42 and curves("loss", "smoke", tmp_path).empty


def test_an_empty_folder(tmp_path):
    found = Trainings(tmp_path / "none")
    a, b = (found.run("baseline", arm, "dehazing") for arm in ("published", "CNN-baseline"))
    assert found.seeds(a) == set() and found.compare(a, b) is None and found.curves("loss").empty
    assert np.isnan([*found.late(), *found.steadiness("loss", ["published"], ["noise matching"])]).all()


def test_only_its_own_budget(tmp_path):
    pictures = pictures_of((0.3, 0.2, 0.4)).assign(budget="quick, 3000 steps")
    more = [pictures.assign(budget=other) for other in ("smoke, 4 steps", "quickly", "")]
    pd.concat([pictures, *more]).to_csv(tmp_path / "pictures.csv", index=False)
    found = Trainings(tmp_path)
    assert len(found.pictures) == len(pictures)
    assert found.compare(A, B).psnr == pytest.approx(ahead(pictures, A, B).psnr)
    pictures.assign(budget="").to_csv(tmp_path / "pictures.csv", index=False)
    assert Trainings(tmp_path).pictures.empty


def test_the_names_of_runs(tmp_path):
    found = Trainings(tmp_path)
    noise = {"task": "denoising", "test_set": "cbsd68-10, middle 192²", "method": "published", "steps": 100}
    assert found.run("denoising-ode", "published") == noise | {"solver": "reverse-ode"}
    assert found.run("denoising-ode", "published", way=1) == noise | {"solver": "reverse-sde"}
    for words, message in (
        (("table-9", "published"), "unknown record 'table-9'"),
        (("loss", "ourz"), "unknown arm 'ourz': known are published, noise matching"),
        (("loss", "published", "dehazing"), "unknown task 'dehazing': known are deraining"),
        (("baseline", "published"), "baseline has published for deraining, .*: say task="),
        (("loss", "published", None, 99), "way is a whole number from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            found.run(*words)
    with pytest.raises(ValueError, match="unknown budget 'huge'"):
        Trainings(tmp_path, "huge")


# ---- the runs behind weights

RUNS = Path(__file__).parents[1] / "data/runs"


@pytest.mark.parametrize("task", [task for task in TASKS if weights_path(task).is_file()])
def test_the_table_of_runs_is_what_the_weights_say(task):
    about, n = read_header(weights_path(task))[0]["about"], len(curves_of(RUNS, task))
    table = run_table(about, RUNS, [*"abcdefghijkl"[:n]]).data
    assert [*table["run"]] == [*range(1, n + 1)] and [*table["what changed"]] == [*"abcdefghijkl"[:n]]
    assert table["steps"].sum() == train_steps(about)
    assert table["PSNR, ended"].iloc[-1] > table["PSNR, begun"].iloc[0]
    plain = run_table(about, RUNS, [""] * n, measured=False, crop=48).data
    assert "measured" in table and "measured" not in plain
    own = [run.get("crop") for run in (*about.get("before", []), about["recipe"])]
    assert [*plain["crop"]] == [crop or 48 for crop in own]
    with pytest.raises(ValueError, match=f"{n} runs, {n} curves, 0 words on what changed"):
        run_table(about, RUNS, [])
