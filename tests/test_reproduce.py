"""The chain from a command to a row, on pictures of its own making."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from irsde import planning, sources, studies
from irsde.recipes import Recipe, resolve
from irsde.reproduce import made_by, progress_of, report, reproduce, run_page, runs_asked, scored, work
from irsde.restore import Restorer
from irsde.studies import SCALES, STUDIES, Arm, central, recipe_of
from irsde.tasks import IRSDE_TASKS

TINY = ("net.width=8", "net.enc=1,", "net.mid=1", "net.dec=1,", "iterations=2", "validate_every=2")
PICTURES = {"clean": "photos"}


@pytest.fixture(scope="module")
def rain(tmp_path_factory):
    "A folder in which deraining was reproduced at smoke, as small as can be"
    out = tmp_path_factory.mktemp("rain")
    told = []
    table = reproduce("deraining", out=out, set=TINY, cpu=True, tell=told.append)
    return out, table, told


def test_a_row_for_each_way_and_its_pictures(rain):
    out, table, told = rain
    runs = [*planning.runs_of(STUDIES["deraining"], "smoke", None, out, TINY)]
    ways = sum(len(run.tests) for run in runs)
    rows, pictures = pd.read_csv(out / "scores.csv"), pd.read_csv(out / "pictures.csv")
    assert len(rows) == len(table) == ways + 1 and (rows["method"] == "input").sum() == 1
    rows = rows[rows["method"] != "input"]
    assert len(pictures) == rows["n_images"].sum()
    assert set(rows["loss"]) == {"likelihood", "clean", "regression"}
    assert set(rows["prediction"]) == {"noise", "clean"}
    assert (rows["train_steps"] == 2).all() and rows["weights"].str.startswith("sha256:").all()
    mean = pictures.groupby(["method", "solver", "steps"])["psnr"].mean()
    for row in rows.to_dict("records"):
        assert mean[row["method"], row["solver"], row["steps"]] == pytest.approx(row["psnr"], abs=1e-3)
    curves = pd.read_csv(out / "curves.csv")
    assert sorted(curves["step"].unique()) == [0, 2] and curves["psnr"].notna().all()
    assert told[-1].startswith("3 of 3: deraining, CNN-baseline")


def test_nothing_is_made_twice(rain):
    out, table, _ = rain
    before = (out / "scores.csv").read_bytes(), (out / "curves.csv").read_bytes()
    told = []
    again = reproduce("deraining", out=out, set=TINY, cpu=True, tell=told.append)
    pd.testing.assert_frame_equal(table, again)
    assert told == ["3 of 3 runs are done"]
    assert before == ((out / "scores.csv").read_bytes(), (out / "curves.csv").read_bytes())


def test_a_lost_row_is_scored_again_without_training(rain):
    out, table, _ = rain
    rows = pd.read_csv(out / "scores.csv")
    folder = next(planning.runs_of(STUDIES["deraining"], "smoke", None, out, TINY)).folder
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    whole = (out / "scores.csv").read_text()
    rows.drop(index=1).to_csv(out / "scores.csv", index=False)
    again = reproduce("deraining", out=out, set=TINY, cpu=True)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    lost, found = rows.iloc[1], pd.read_csv(out / "scores.csv").iloc[-1]
    assert found["psnr"] == lost["psnr"] and found["steps"] == lost["steps"]
    (out / "scores.csv").write_text(whole)
    assert len(again) == len(table)


def test_a_stopped_training_goes_on(tmp_path):
    run = next(planning.runs_of(STUDIES["deraining"], "smoke", None, tmp_path, TINY, arms=("CNN-baseline",)))
    whole = work(run, cpu=True, progress=False)
    other = replace(run, out=str(tmp_path / "other"))
    from irsde.recipes import train_task

    with pytest.raises(KeyboardInterrupt):
        train_task(other.recipe, other.folder, cpu=True, progress=False, validation=stop_at_1())
    again = work(other, cpu=True, progress=False)
    assert again.rows[0]["weights"] == whole.rows[0]["weights"]
    assert again.rows[0]["psnr"] == whole.rows[0]["psnr"]


def stop_at_1():
    "A validation that sends Ctrl-C to its own process before the first step"
    import os
    import signal

    def validate(model):
        os.kill(os.getpid(), signal.SIGINT)
        return {"psnr": 0.0}

    return validate


def test_paper_shrunk_goes_from_the_command_to_a_row(tmp_path):
    "The paper's layout, protocol and network class; two steps. The other tasks: .ci/check_reproduce.py"
    task = "dehazing"
    data = sources.make_samples(tmp_path / "data", "paper", size=64, tasks=[task])
    tiny = ("batch=2", "crop=32")
    arms, told = ("published",), []
    how = dict(set=tiny, shrink=100_000, arms=arms, cpu=True, tell=told.append)
    table = reproduce(task, "paper", data, tmp_path, **how)
    assert len(table) and table["psnr"].notna().all()
    assert "RESIDE SOTS indoor: clean pictures is 3, not 50" in told
    assert "published, batch=2" in table["method"].iloc[1]
    checkout = (Path(sources.__file__).parents[1] / "data/paper").is_dir()  # the package comes without it
    assert ("IR-SDE, published" in set(table["method"])) is checkout
    rows = pd.read_csv(tmp_path / "scores.csv").query("method != 'input'")
    assert set(rows["budget"].str.partition(",")[0]) == {"paper"}
    assert set(rows["prediction"]) == {"noise"} and set(rows["loss"]) == {"likelihood"}
    assert rows["network"].str.startswith("unet").all()


def test_only_the_named_thing_differs():
    base = resolve(recipe_of(studies.BASE, "quick", 0, PICTURES))[1]
    for group, key in (("loss", "loss"), ("theta", "theta"), ("lambda", "lam"), ("steps", "n_steps")):
        for arm in studies.ABLATIONS[group][1:]:
            values = resolve(recipe_of(arm, "quick", 0, PICTURES))[1]
            assert {name for name in values if values[name] != base[name]} == {key}, arm.name


def test_published_is_published():
    for task in STUDIES:
        if task not in sources.WHOLE:
            continue
        paper = resolve(recipe_of(central(task)[0], "paper", 0, PICTURES))[1]
        own = {"stereo-super-resolution": "stereo-nafnet", "bokeh": "lens-nafnet"}
        network = own.get(task, "unet" if task in IRSDE_TASKS else "nafnet")
        assert (paper["prediction"], paper["loss"], paper["network"]) == ("noise", "likelihood", network)
        assert paper["preset"] == "paper" and paper["iterations"] >= 400_000
        small = resolve(recipe_of(central(task)[0], "quick", 0, PICTURES))[1]
        # bokeh is in a latent at paper alone, and there the noise is half of the spread
        assert small["lam"] == (50 / 255 if task == "bokeh" else paper["lam"])
        assert small["loss"] == "likelihood"


def test_arms_of_a_task_see_as_much():
    for task in sources.SMALL:
        if task not in STUDIES:
            continue
        seen = set()
        for arm in central(task):
            values = resolve(recipe_of(arm, "quick", 0, PICTURES))[1]
            seen.add((values["iterations"], values["batch"], values["crop"], str(values["arguments"])))
        assert len(seen) == 1


def test_rows_belong_to_their_arm():
    arm = Arm("published", "deraining")
    assert made_by(arm, "published") and made_by(arm, "published, theta=linear, shrunk 9×")
    assert not made_by(arm, "published, light rain") and not made_by(arm, "published2")
    assert made_by(studies.ABLATIONS["optimiser"][2], "AdamW, cosine rate")


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown record 'table-9'"):
        reproduce("table-9")
    with pytest.raises(ValueError, match="figure-12 takes no training"):
        reproduce("figure-12")
    with pytest.raises(ValueError, match="cannot be reproduced: it takes pictures by other"):
        reproduce("figure-7")
    with pytest.raises(ValueError, match="the budget quick needs data=.*IRSDE_DATA"):
        reproduce("deraining", "quick", out=tmp_path)
    with pytest.raises(ValueError, match="unknown arm 'ourz': known are published"):
        reproduce("deraining", out=tmp_path, arms=("ourz",))
    with pytest.raises(FileNotFoundError, match="lacks Rain100H/train/lq, Rain100H/train/gt"):
        reproduce("table-1", "paper", tmp_path / "no", tmp_path)
    with pytest.raises(ValueError, match="unknown setting 'thet'"):
        reproduce("deraining", out=tmp_path, set=("thet=1",))
    with pytest.raises(ValueError, match="deraining is not drawn by a chapter alone"):
        run_page("deraining", tmp_path)


def test_what_is_refused_is_refused_before_anything_is_done(tmp_path):
    for words in ({"arms": ("ourz",)}, {"set": ("thet=1",)}, {"shrink": 9}):
        with pytest.raises(ValueError):
            runs_asked("deraining", "smoke", None, tmp_path, **words)
    assert runs_asked("figure-7", "smoke", None, tmp_path / "figure") == []
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


@pytest.mark.parametrize("lacking, wanted", [(ImportError, None), (FileNotFoundError, None), (None, 12.5)])
def test_a_hundred_pictures_have_a_fid_where_it_can_be_had(rain, monkeypatch, recwarn, lacking, wanted):
    "Fifty times two pictures stand for a hundred; FID itself is a number put in"
    run = next(planning.runs_of(STUDIES["deraining"], "smoke", None, rain[0], TINY, arms=("CNN-baseline",)))
    few = planning.cases_of(run, run.tests[0][0], 32)
    many = [replace(case, name=f"{case.name}-{k}") for case in few for k in range(50)]
    seen = []

    def check():
        if lacking:
            raise lacking("is not here")

    def stand_in(restored, clean):
        seen.extend((len(restored), len(clean)))
        return 12.5

    monkeypatch.setattr("irsde.scoring.check_fid", check)
    monkeypatch.setattr("irsde.metrics.fid", stand_in)
    monkeypatch.setattr("irsde.reproduce.cases_of", lambda *args: many)
    restorer = Restorer.from_pretrained(run.folder / "model.safetensors", "cpu")
    row = scored(run, restorer, *run.tests[0])[1]
    assert row.get("fid") == wanted and seen == ([100, 100] if wanted else [])
    assert ["no FID: is not here" in str(each.message) for each in recwarn].count(True) == (wanted is None)
    monkeypatch.setattr("irsde.reproduce.cases_of", lambda *args: many[:99])
    assert "fid" not in scored(run, restorer, *run.tests[0])[1]


def test_the_list_says_how_far_things_are(rain, tmp_path):
    found = progress_of("smoke", out=tmp_path).set_index("record")
    assert found.loc["deraining", "state"] == "to do"
    assert found.loc["figure-12", "state"] == "drawn on its page"
    assert "by other methods" in found.loc["figure-7", "state"] and found.loc["latent", "state"] == "to do"
    at_paper = progress_of("paper", tmp_path, tmp_path).set_index("record")
    assert "lacks Rain100H/test/gt" in at_paper.loc["table-1", "state"]
    assert report("table-3", out=tmp_path).empty


def test_costs_are_of_the_work(rain):
    run = next(planning.runs_of(STUDIES["deraining"], "smoke", None, rain[0]))
    more = next(planning.runs_of(STUDIES["deraining"], "smoke", None, rain[0], ("iterations=8",)))
    assert planning.training(more.recipe) == 2 * planning.training(run.recipe)
    keys = frozenset(planning.row_key(run, *way) for way in run.tests)
    assert planning.hours(run, keys, cpu=True) < planning.hours(run, cpu=True)
    assert set(SCALES) == {"smoke", "quick", "paper", "paper-bf16"}


def test_a_latent_that_is_trained_costs_nothing_more():
    recipe = Recipe("nonhomogeneous-dehazing", clean="x", budget="quick")
    whole, steps = planning.training(recipe), resolve(recipe)[1]["iterations"]
    assert planning.training(recipe, steps) == 0 and planning.training(recipe, steps // 2) < whole / 2


def test_sequences_keep_their_names(tmp_path):
    data = Path(sources.make_samples(tmp_path, "paper", size=32, tasks=["deblurring"]))
    assert sources.missing("deblurring", "paper", data) == []
    (data / "GoPro/test/sample/sharp/0100.png").unlink()
    with pytest.raises(ValueError):
        sources.sources_of("deblurring", "paper").tests[0].cases("deblurring", data)


@pytest.mark.parametrize("what, arms", [("denoising", None), ("denoising-ode", ("IR-SDE on noise",))])
def test_only_weights_that_denoise_are_told_the_level(what, arms, tmp_path):
    table = reproduce(what, out=tmp_path, set=TINY, arms=arms, cpu=True)
    names = {"published", "ours", "CNN-baseline"} if arms is None else set(arms)
    assert {name for name in names if table["method"].str.startswith(name).any()} == names


def test_ddpm_is_trained_and_restores(tmp_path):
    table = reproduce("table-5", out=tmp_path, set=TINY, arms=("DDPM",), cpu=True)
    assert table["method"].str.startswith("DDPM").sum() == 6 and table["psnr"].notna().all()


@pytest.mark.parametrize("size", [(344, 224), (344, 228), (644, 1024), (40, 60)])
def test_the_small_picture_is_cut_where_the_large_one_is(size):
    import torch

    from irsde.evaluate import Case

    x0 = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(1, *size).expand(3, -1, -1)
    made = planning.cut(Case("a", x0, x0, x0[:, ::4, ::4]), 192)
    assert torch.equal(made.given, made.x0[:, ::4, ::4]) and torch.equal(made.mu, made.x0)
    assert max(made.x0.shape[1:]) <= 192


def test_a_run_counts_as_done_last(rain, tmp_path, monkeypatch):
    from irsde import reproduce as module

    run = next(planning.runs_of(STUDIES["deraining"], "smoke", None, rain[0], TINY))
    found = work(run)
    monkeypatch.setattr(module, "keep_curve", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        module.keep(tmp_path, found)
    assert not (tmp_path / "scores.csv").exists()


def test_another_table_is_no_table_of_runs(tmp_path):
    (tmp_path / "scores.csv").write_text("name,score\na,1\n")
    with pytest.raises(ValueError, match="no table of runs"):
        planning.kept(tmp_path)


def test_samples_are_whole_or_not_there(tmp_path, monkeypatch):
    right, made = sources.write_image, []

    def stopping(path, image):
        made.append(path)
        if len(made) == 3: raise KeyboardInterrupt
        right(path, image)

    monkeypatch.setattr(sources, "write_image", stopping)
    with pytest.raises(KeyboardInterrupt):
        sources.make_samples(tmp_path, size=32, tasks=["deraining"])
    monkeypatch.setattr(sources, "write_image", right)
    sources.make_samples(tmp_path, size=32, tasks=["deraining"])
    sources.make_samples(tmp_path / "fresh", size=32, tasks=["deraining"])
    fresh = sorted(path.relative_to(tmp_path / "fresh") for path in (tmp_path / "fresh").rglob("*.png"))
    ours = [path for path in tmp_path.rglob("*.png") if "fresh" not in path.parts]
    again = sorted(path.relative_to(tmp_path) for path in ours)
    assert fresh == again
