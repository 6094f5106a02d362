"Whether one run is better than another: hand values, coverage, and what cannot be compared."

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irsde.compare import EACH, KEY, ahead, interval, keep_pictures, paired, standard_error, verdict

ROW = {"task": "deraining", "test_set": "garden", "method": "irsde", "steps": 1, "protocol": "RGB", "seed": 0}


def scores_of(db, lpips=0.2, given=20.0):
    "A table as `evaluate` returns it, with its mean in the last row"
    names = [f"p{i}" for i in range(len(db))]
    table = {"name": [*names, "mean"], "input psnr": given, "psnr": [*db, np.mean(db)], "ssim": 0.8}
    return pd.DataFrame({**table, "lpips": lpips, "error": ""})


@pytest.fixture
def kept(tmp_path):
    "A table of pictures with as many runs as asked for: a row's other values, and its scores"

    def made(*runs, scenes=None):
        for change, scores in runs:
            keep_pictures(tmp_path / "pictures.csv", scores, {**ROW, **change}, scenes)
        return pd.read_csv(tmp_path / "pictures.csv")

    return made


def test_the_interval_of_hand_values():
    assert interval([1.0, 1.0, 1.0]) == (1.0, 1.0, 1.0)
    mean, low, high = interval([0.0, 2.0])  # Student's factor is so large that all of it is taken
    assert (mean, low, high) == (1.0, 0.0, 2.0)
    assert interval([1.0, 2.0, 4.0]) == interval([1.0, 2.0, 4.0], ["a", "b", "c"])
    assert interval([1.0, 2.0, 4.0], seed=1) != interval([1.0, 2.0, 4.0, 5.0], seed=1)
    one = interval([1.0, 3.0], ["a", "a"])
    assert one[0] == 2.0 and math.isnan(one[1]) and math.isnan(one[2])


def test_many_pictures_have_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3, 2, 2000)
    mean, low, high = interval(values)
    half = 1.96 * stats.sem(values)
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.1 * half)


@pytest.mark.parametrize("n,each", [(6, 1), (10, 1), (10, 4)])
def test_it_covers_what_it_says(n, each):
    "Of 300 tries: a standard error is 1.3 %, and the bootstrap of few may be some percent off"
    rng, groups = np.random.default_rng(n), np.repeat(np.arange(n), each)
    hits = 0
    for i in range(300):
        _, low, high = interval(rng.normal(0, 1, n)[groups] + rng.normal(0, 0.2, n * each), groups, seed=i)
        hits += low < 0 < high
    assert 0.90 < hits / 300 < 0.99


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match="no pictures"):
        interval([])
    with pytest.raises(ValueError, match="not finite"):
        interval([1.0, math.nan])
    with pytest.raises(ValueError, match="2 scenes for 3 pictures"):
        interval([1.0, 2.0, 3.0], ["a", "b"])


def test_the_standard_error_is_that_of_scenes():
    values = [0.1, 0.3, 0.2, 0.6]
    assert standard_error(values) == pytest.approx(stats.sem(values))
    assert standard_error([1.0, 1.0, 3.0, 3.0], [*"aabb"]) == pytest.approx(stats.sem([1.0, 3.0]))
    # r = -1, 0 + 1: of scenes a (one picture) and b (two); sqrt(2 / 1 * (1 + 1)) / 3
    assert standard_error([1.0, 2.0, 3.0], [*"abb"]) == pytest.approx(2 / 3)
    assert math.isnan(standard_error([1.0, 2.0], [*"aa"]))


def test_means_alone_cannot_tell_what_pairs_can(kept):
    hard = np.array([25.0, 26.0, 27.0, 28.0, 29.0, 26.5, 27.5, 25.5, 28.5, 27.0])
    better = hard + 0.15 + np.tile([0.05, -0.05], 5)
    table = kept(({"steps": 1}, scores_of(better)), ({"steps": 100}, scores_of(hard)))
    found = ahead(table, {"steps": 1}, {"steps": 100})
    assert found.psnr == pytest.approx(0.15) and found.psnr_error == pytest.approx(0.05 / 3)
    assert (found.by_psnr, found.by_lpips, found.n, found.scenes) == (True, None, 10, 10)
    assert ahead(table, {"steps": 100}, {"steps": 1}).by_psnr is False
    assert found.psnr < stats.sem(hard)  # the means alone
    assert str(found) == "+0.15 ± 0.03 dB, LPIPS +0.000 ± 0.000 (10 pictures)"


def test_less_lpips_is_better_and_none_is_no_verdict(kept):
    db = [25.0, 26.0, 27.0, 28.0]
    near = [0.1, 0.11, 0.12, 0.1, 0.1]
    table = kept(({"steps": 1}, scores_of(db, near)), ({"steps": 2}, scores_of(db)),
                 ({"steps": 3}, scores_of(db, math.nan)))
    found = ahead(table, {"steps": 1}, {"steps": 2})
    assert found.by_lpips is True and found.by_psnr is None and found.lpips < 0
    none = ahead(table, {"steps": 1}, {"steps": 3})
    assert none.by_lpips is None and math.isnan(none.lpips) and "LPIPS" not in str(none)


def test_three_views_of_a_house_are_one_witness(kept):
    db = np.array([20.0, 21.0, 22.0, 23.0, 24.0, 25.0])
    gains = np.array([0.5, 0.5, 0.5, -0.1, -0.1, -0.1])
    scenes = {f"p{i}": "ab"[i // 3] for i in range(6)}
    table = kept(({"steps": 1}, scores_of(db + gains)), ({"steps": 2}, scores_of(db)), scenes=scenes)
    found = ahead(table, {"steps": 1}, {"steps": 2})
    assert (found.n, found.scenes, found.by_psnr) == (6, 2, None) and "6 pictures of 2 scenes" in str(found)
    assert verdict(1.0, 0.1, 3) and verdict(1.0, 0.1, 2) is None


def test_a_block_is_replaced_and_the_others_stand(kept, tmp_path):
    table = kept(({}, scores_of([25.0, 26.0])), ({"steps": 2}, scores_of([27.0, 28.0])))
    text = (tmp_path / "pictures.csv").read_text()
    assert list(table) == [*KEY, *EACH] and len(table) == 4
    table = kept(({}, scores_of([25.0, 26.0])))
    assert sorted((tmp_path / "pictures.csv").read_text().splitlines()) == sorted(text.splitlines())
    table = kept(({"steps": 1.0, "solver": math.nan}, scores_of([35.0])))  # as pandas reads the same row
    assert table["psnr"].tolist() == [27.0, 28.0, 35.0]
    assert [*tmp_path.iterdir()] == [tmp_path / "pictures.csv"]


def test_failed_pictures_are_left_out_and_perfect_ones_not_compared(kept):
    broken = scores_of([25.0, 26.0, 27.0])
    broken.loc[0, "error"] = "torn"
    table = kept(({"steps": 1}, broken), ({"steps": 2}, scores_of([25.0, math.inf, 28.0])))
    assert len(table) == 5
    assert paired(table, {"steps": 1}, {"steps": 2})["name"].tolist() == ["p2"]


def test_seeds_of_training_are_averaged_first(kept):
    runs = [({"steps": 1, "train_seed": seed, "weights": f"sha256:{seed}"}, scores_of([25.0 + seed, 26.0]))
            for seed in range(3)]
    table = kept(*runs, ({"steps": 2, "train_seed": 0}, scores_of([25.0, 27.0])))
    found = paired(table, {"steps": 1}, {"steps": 2})
    assert found["a"].tolist() == [26.0, 26.0] and found["difference"].tolist() == [1.0, -1.0]
    assert paired(table, {"steps": 1, "train_seed": 2}, {"steps": 2})["a"].tolist() == [27.0, 26.0]


def test_what_cannot_be_compared_is_refused(kept, tmp_path):
    table = kept(({"steps": 1}, scores_of([25.0])), ({"steps": 2}, scores_of([25.0], given=19.0)),
                 ({"steps": 3, "protocol": "Y"}, scores_of([25.0])))
    with pytest.raises(ValueError, match="no pictures are kept of steps=9"):
        paired(table, {"steps": 9}, {"steps": 1})
    with pytest.raises(ValueError, match="say which, since steps is 1, 2"):
        paired(table, {"protocol": "RGB"}, {"steps": 1})
    with pytest.raises(ValueError, match="p0 was degraded otherwise"):
        paired(table, {"steps": 1}, {"steps": 2})
    with pytest.raises(ValueError, match="protocol is RGB and Y"):
        paired(table, {"steps": 1}, {"steps": 3})
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="own.csv has other columns than a table of pictures"):
        keep_pictures(tmp_path / "own.csv", scores_of([25.0]), ROW)
    assert (tmp_path / "own.csv").read_text() == "a,b\n1,2\n"


def test_a_protocol_that_is_missing_in_both_is_the_same(kept):
    table = kept(*(({"steps": n, "protocol": ""}, scores_of([25.0 + n])) for n in (1, 2)))
    assert table["protocol"].isna().all()
    told = ({"steps": 2}, {"steps": 1})
    for nothing in (math.nan, "", None):
        assert paired(table.assign(protocol=nothing), *told)["difference"].tolist() == [1.0]
    mixed = kept(({"steps": 3}, scores_of([25.0])))
    assert paired(mixed, *told)["difference"].tolist() == [1.0]
    with pytest.raises(ValueError, match="protocol is RGB and unknown"):
        paired(mixed, {"steps": 3}, {"steps": 1})


def test_our_pictures_are_those_of_our_scores():
    "Each block of data/runs/pictures.csv has the means, the gain and the scenes of its row in scores.csv"
    runs = Path(__file__).parents[1] / "data" / "runs"
    rows, pictures = pd.read_csv(runs / "scores.csv"), pd.read_csv(runs / "pictures.csv")
    names = ["test_set", "method", "solver", "steps"]
    rows = rows.set_index(names).sort_index()
    blocks = dict([*pictures[pictures["method"] != "smooth filling"].groupby(names)])
    assert len(blocks) > 20
    for key, block in blocks.items():
        row = rows.loc[key]
        row = row.iloc[0] if isinstance(row, pd.DataFrame) else row
        assert len(block) == row["n_images"] and block["scene"].nunique() == row["scenes"], key
        for score in ("psnr", "ssim", "lpips"):
            assert block[score].mean() == pytest.approx(row[score], abs=1e-4), key
        found = interval(block["psnr"] - block["input_psnr"], [*block["scene"]])
        assert found == pytest.approx(tuple(row[["gain", "gain_low", "gain_high"]]), abs=1e-3), key
        row_of_it = {**dict(zip(names, key)), "protocol": row["protocol"]}
        assert len(paired(pictures, row_of_it, row_of_it)) == len(block)


def test_a_perfect_picture_does_not_make_runs_incomparable(kept):
    whole, some = scores_of([20.0, 21.0, 22.0]), scores_of([21.0, 22.0, math.inf])
    table = kept(({"method": "a"}, whole), ({"method": "b", "protocol": "RGB, PSNR of 2 of 3"}, some))
    assert len(paired(table, {"method": "a"}, {"method": "b"})) == 2
