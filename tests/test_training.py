"The loop, a run's folder, and going on as if nothing had happened."

import contextlib
import csv
import errno
import io
import itertools
import json
import math
import signal
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from accelerate.tracking import GeneralTracker

from irsde import runs
from irsde.checkpoint import load, make_model
from irsde.losses import noise_matching_loss
from irsde.predict import LOSSES, clean_matching_loss, inner
from irsde.progress import Lines, meter
from irsde.runs import read_config, rebuild, train
from irsde.states import Log, read_state, states, write_state
from irsde.training import (
    Settings,
    Training,
    draw,
    learning_rate,
    make_optimiser,
    optimise,
    replanned,
    time_odds,
)

from .conftest import picture

SMALL = dict(width=8, enc=(1,), mid=1, dec=(1,))


def stream(start=0, part=(0, 1), n=2):
    rank, ranks = part
    k = start
    while True:
        x0 = torch.stack([picture(3, 8, 8, seed=k * n + i) for i in range(n)])[
            rank * n // ranks : (rank + 1) * n // ranks
        ]
        yield x0, 0.5 * x0
        k += 1


def settings(**more):
    return Settings(
        **{
            **dict(
                iterations=6,
                batch=2,
                lr=1e-3,
                save_every=2,
                validate_every=3,
                log_every=1,
                ema=(0.9, 1),
                compile=False,
            ),
            **more,
        }
    )


def model_for(sde):
    return make_model(sde, "nafnet", SMALL, "clean")


def weights(path):
    return inner(load(path)[0]).state_dict()


# ---- parts of the loop


def test_draws_depend_on_seed_and_step_alone(sde):
    t, noise = draw(3, 5, (4, 3, 2, 2), 100)
    again = draw(3, 5, (4, 3, 2, 2), 100)
    assert torch.equal(t, again[0]) and torch.equal(noise, again[1])
    assert not torch.equal(noise, draw(3, 6, (4, 3, 2, 2), 100)[1]) and not torch.equal(
        noise, draw(4, 5, (4, 3, 2, 2), 100)[1]
    )
    many = draw(0, 1, (20_000, 1), 100)[0]
    assert (
        many.min() == 1
        and many.max() == 100
        and abs(many.double().mean() - 50.5) < 6 * 28.9 / math.sqrt(20_000)
    )


def test_odds_of_times(sde):
    assert time_odds(sde, "uniform") is None
    start = time_odds(sde, "start")
    assert start[-1] / start.sum() == pytest.approx(0.5) and start[0] == start[1]
    level = time_odds(sde, "level")
    torch.testing.assert_close(
        level.cumsum(0).double(), torch.stack([sde.std(t) for t in range(1, 101)]).double()
    )
    many = draw(0, 1, (20_000, 1), 100, odds=start)[0]
    assert abs((many == 100).double().mean() - 0.5) < 0.02


def test_learning_rates():
    s = settings(iterations=100, schedule="cosine", lr=1e-2, lr_end=1e-4)
    assert learning_rate(s, 1) == pytest.approx(1e-2) and learning_rate(s, 51) == pytest.approx(
        (1e-2 + 1e-4) / 2
    )
    s = settings(iterations=100, schedule="multistep", milestones=(10, 20), lr=1e-2)
    assert [learning_rate(s, k) for k in (10, 11, 21)] == pytest.approx([1e-2, 5e-3, 2.5e-3])
    s = settings(iterations=100, warmup=10, lr=1e-2)
    assert [learning_rate(s, k) for k in (1, 5, 10, 50)] == pytest.approx([1e-3, 5e-3, 1e-2, 1e-2])


@pytest.mark.parametrize(
    "wrong",
    [
        dict(optimiser="sgd"),
        dict(iterations=0),
        dict(batch=3, accumulate=2),
        dict(lr=0),
        dict(lr=math.nan),
        dict(ema=(2, 1)),
        dict(ema=(0.9,)),
        dict(milestones=(5, 3)),
        dict(milestones=(10**6,)),
        dict(times="late"),
        dict(clip=0),
        dict(betas=(0.9, 1)),
        dict(warmup=-1),
        dict(lr_end=1),
        dict(precision="fp8"),
        dict(p=0),
        dict(weight_decay=-1),
        dict(seed=True),
        dict(patience=0),
        dict(keep=0),
    ],
)
def test_impossible_settings(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=name if name != "batch" else "accumulate"):
        settings(**wrong)


def test_settings_survive_json():
    s = settings(milestones=(2, 4), schedule="multistep")
    from dataclasses import asdict

    assert Settings.of({**json.loads(json.dumps(asdict(s))), "other": 3}) == s


def test_running_mean_begins_as_a_plain_one(sde):
    "Its decay grows as n / (n + 9), up to the one that is asked for"
    training = Training(torch.nn.Linear(1, 1), settings(ema=(0.2, 1)))
    wanted = training.ema.weight.item()
    for n in (1, 2, 3, 4):
        with torch.no_grad():
            training.model.weight.fill_(float(n))
        training.average()
        decay = min(0.2, n / (n + 9))
        wanted = wanted * decay + n * (1 - decay)
        assert training.ema.weight.item() == pytest.approx(wanted, rel=1e-5)
    assert decay == 0.2 and training.averaged == 4


def test_optimisers():
    p = [torch.nn.Parameter(torch.zeros(1))]
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        made = make_optimiser(p, settings(optimiser=name, betas=(0.5, 0.6), weight_decay=0.1))
        assert (
            type(made) is kind
            and made.defaults["betas"] == (0.5, 0.6)
            and made.defaults["weight_decay"] == 0.1
        )


def test_parts_of_a_batch_add_up(sde):
    found = []
    for parts in (1, 2):
        training = Training(model_for(sde), settings(accumulate=parts))
        steps = list(optimise(training, sde, clean_matching_loss, stream()))
        found.append(([s.loss for s in steps], torch.cat([p.flatten() for p in training.model.parameters()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-4)


def test_long_gradients_are_shortened(sde):
    training = Training(model_for(sde), settings(clip=1e-6, iterations=1, optimiser="adam"))
    lengths = []

    def loss(*args):
        value = 1000 * clean_matching_loss(*args)
        return value

    real = training.optimiser.step
    training.optimiser.step = lambda *a, **k: (
        lengths.append(
            torch.stack([p.grad.norm() for p in training.model.parameters() if p.grad is not None])
            .norm()
            .item()
        ),
        real(*a, **k),
    )
    step = next(optimise(training, sde, loss, stream()))
    assert step.norm > 1e-3 and lengths[0] == pytest.approx(1e-6, rel=0.02)


def test_a_step_that_is_not_finite_changes_nothing(sde):
    training, count = Training(model_for(sde), settings(patience=2, iterations=9)), []
    before = [p.clone() for p in training.model.parameters()]

    def loss(*args):
        count.append(1)
        return noise_matching_loss(*args) * math.nan

    with pytest.raises(FloatingPointError, match="2 steps in a row"):
        list(optimise(training, sde, loss, stream()))
    assert (
        all(torch.equal(a, b) for a, b in zip(before, training.model.parameters()))
        and len(count) == 2
        and training.skipped == 2
    )


@pytest.mark.parametrize("batch", [None, (picture(2, 3, 8, 8),) * 2, "255", "odd", "nan"])
def test_bad_batches_are_named_with_their_step(sde, batch):
    x = picture(2, 3, 8, 8)
    bad = (
        {"255": (x * 255, x), "odd": (x, x[..., 1:]), "nan": (x, x * math.nan)}.get(batch, batch)
        if isinstance(batch, str)
        else batch
    )
    batches = iter(
        [(x, x)]
        + (
            []
            if bad is None
            else [bad if isinstance(bad, tuple) and isinstance(batch, str) else (x[:1], x[:1])]
        )
    )
    with pytest.raises(ValueError, match="step 2"):
        list(optimise(Training(model_for(sde), settings()), sde, clean_matching_loss, batches))


# ---- a run


def test_a_run_keeps_all_it_needs(tmp_path, sde):
    path = train(
        tmp_path / "run",
        model_for(sde),
        sde,
        LOSSES,
        stream,
        settings(loss="clean"),
        about={"task": "deraining"},
        progress=False,
        cpu=True,
    )
    assert path == tmp_path / "run" / "model.safetensors"
    _, of_sde, about = load(path, task="deraining")
    assert of_sde == sde and about["step"] == 6 and about["training"]["iterations"] == 6
    config = read_config(tmp_path / "run")
    model, again, s = rebuild(config)
    assert (
        again == sde
        and s == settings(loss="clean")
        and torch.equal(inner(model).stem.weight, inner(model_for(sde)).stem.weight)
    )
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(rows) == 7 and rows[0].startswith("step,loss")
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_stopped_and_resumed_is_the_same(tmp_path, sde, at):
    how = dict(about={}, progress=False, cpu=True)
    whole = weights(
        train(tmp_path / "whole", model_for(sde), sde, clean_matching_loss, stream, settings(), **how)
    )

    class Stopped(Exception):
        pass

    def broken(start=0, part=(0, 1)):
        for k, batch in enumerate(stream(start, part), start):
            if k == at:
                raise Stopped
            yield batch

    with pytest.raises(Stopped):
        train(tmp_path / "run", model_for(sde), sde, clean_matching_loss, broken, settings(), **how)
    path = train(
        tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, settings(), resume=True, **how
    )
    assert all(torch.equal(a, whole[k]) for k, a in weights(path).items())


def test_a_folder_of_something_else_is_left_alone(tmp_path, sde):
    how = dict(progress=False, cpu=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds files and no run"):
        train(tmp_path, model_for(sde), sde, clean_matching_loss, stream, settings(), **how)
    with pytest.raises(FileNotFoundError):
        train(
            tmp_path / "new", model_for(sde), sde, clean_matching_loss, stream, settings(), resume=True, **how
        )
    train(tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, settings(), **how)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds this run already"):
        train(tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, settings(), **how)
    with pytest.raises(ValueError, match="another run.*lr"):
        train(
            tmp_path / "run",
            model_for(sde),
            sde,
            clean_matching_loss,
            stream,
            settings(lr=1e-2),
            resume=True,
            **how,
        )
    with pytest.raises(ValueError, match="unknown loss"):
        train(tmp_path / "x", model_for(sde), sde, LOSSES, stream, settings(loss="best"), **how)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before and (
        tmp_path / "notes.txt"
    ).read_text() == "mine"


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, sde):
    how = dict(progress=False, cpu=True)
    s = settings(schedule="constant")
    whole = weights(train(tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, s, **how))
    newest = sorted((tmp_path / "run" / "states").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="trying the one before"):
        path = train(
            tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, s, resume=True, **how
        )
    assert all(torch.equal(a, whole[k]) for k, a in weights(path).items())


def test_validation_goes_into_the_log(tmp_path, sde):
    def validation(model):
        return {"psnr": 12.5, "strip": torch.rand(3, 8, 8)}

    train(
        tmp_path / "run",
        model_for(sde),
        sde,
        clean_matching_loss,
        stream,
        settings(),
        validation,
        progress=False,
        cpu=True,
    )
    assert (tmp_path / "run" / "log.csv").read_text().count("12.5") == 3
    assert [p.name for p in sorted((tmp_path / "run" / "strips").iterdir())] == [
        "00000000.png",
        "00000003.png",
        "00000006.png",
    ]


# ---- a disk that is full


@contextlib.contextmanager
def no_room(*steps):
    "Writing the state of some steps fails, as on a full disk; what was written of it stays for `replacing`"
    real = Path.write_bytes

    def write(path, data):
        if path.parent.name == "states" and step_now[0] in steps:
            real(path, bytes(data)[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    step_now, packed = [0], torch.save

    def pack(state, file):
        step_now[0] = state["step"]
        return packed(state, file)

    with patch.object(Path, "write_bytes", write), patch("torch.save", pack):
        yield


def said(caught):
    return [str(warning.message) for warning in caught]


def go(folder, sde, s, **more):
    how = dict(progress=False, cpu=True)
    return train(folder, model_for(sde), sde, clean_matching_loss, stream, s, **{**how, **more})


def agree(run):
    "The step of the newest state, which is also the model's"
    step = read_state(states(run)[0])["step"]
    assert load(Path(run, "model.safetensors"))[2]["step"] == step
    assert not [path for path in Path(run).rglob(".*") if path.is_file()]
    return step


def test_a_full_disk_costs_no_step(tmp_path, sde):
    whole = weights(go(tmp_path / "whole", sde, settings(iterations=7)))
    with no_room(4), pytest.warns(UserWarning) as caught:
        path = go(tmp_path / "run", sde, settings(iterations=7))
    assert said(caught) == [
        "step 4 could not be saved (No space left on device); the state of step 2 is whole: "
        "training goes on and saves again in 2 steps"
    ]
    assert agree(tmp_path / "run") == 7
    assert all(torch.equal(a, whole[k]) for k, a in weights(path).items())


@pytest.mark.parametrize("full, kept", [((4, 6), 2), ((2, 4, 6), 0)])
def test_a_disk_full_to_the_end_says_how_to_go_on(tmp_path, sde, full, kept):
    whole = weights(go(tmp_path / "whole", sde, settings()))
    with no_room(*full), pytest.warns(UserWarning, match="training goes on"):
        with pytest.raises(OSError, match=f"step 6 could not be saved.*resume=True goes on from step {kept}"):
            go(tmp_path / "run", sde, settings())
    if kept:
        assert agree(tmp_path / "run") == kept
    alone = weights(tmp_path / "run" / "model-6.safetensors")  # smaller than a state, so it found room
    assert all(torch.equal(a, whole[k]) for k, a in alone.items())
    path = go(tmp_path / "run", sde, settings(), resume=True)
    assert agree(tmp_path / "run") == 6
    assert all(torch.equal(a, whole[k]) for k, a in weights(path).items())


def test_a_model_that_cannot_be_written_keeps_the_state_back(tmp_path, sde, monkeypatch):
    "Both files of a save, or none"
    from irsde import checkpoint

    real = checkpoint.save

    def save(path, model, sde, **about):
        if about["step"] == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, model, sde, **about)

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.warns(UserWarning, match="step 4 could not be saved"):
        with pytest.raises(RuntimeError, match="bad luck"):

            def unlucky(start=0, part=(0, 1)):
                for k, batch in enumerate(stream(start, part), start):
                    if k == 4:
                        raise RuntimeError("bad luck")
                    yield batch

            train(
                tmp_path / "run",
                model_for(sde),
                sde,
                clean_matching_loss,
                unlucky,
                settings(),
                progress=False,
                cpu=True,
            )
    assert agree(tmp_path / "run") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of a file there")
def test_a_real_limit_is_survived(tmp_path, sde):
    "No file may grow beyond half a state: torch.save alone would raise a RuntimeError, and spoil the old one"
    import resource

    go(tmp_path / "run", sde, settings(iterations=2))
    state = states(tmp_path / "run")[0]
    before, size = state.read_bytes(), state.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_state(state, {"weights": torch.zeros(size)})
        with (
            pytest.warns(UserWarning, match="could not be saved"),
            pytest.raises(OSError, match="resume=True"),
        ):
            go(tmp_path / "run", sde, settings(iterations=6, schedule="constant"), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state.read_bytes() == before and agree(tmp_path / "run") == 2
    go(tmp_path / "run", sde, settings(iterations=6, schedule="constant"), resume=True)
    assert agree(tmp_path / "run") == 6


def test_a_kill_between_the_two_files_is_settled(tmp_path, sde):
    go(tmp_path / "run", sde, settings(iterations=2))
    old = (tmp_path / "run" / "model.safetensors").read_bytes()
    go(tmp_path / "run", sde, settings(iterations=4), resume=True)
    wanted = weights(tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "model.safetensors").write_bytes(old)
    with pytest.warns(UserWarning, match="finished after 4 steps"):
        path = go(tmp_path / "run", sde, settings(iterations=4), resume=True)
    assert agree(tmp_path / "run") == 4
    assert all(torch.equal(a, wanted[k]) for k, a in weights(path).items())


def test_log_and_strips_that_cannot_be_written_stop_nothing(tmp_path, sde, monkeypatch):
    def validation(model):
        return {"psnr": 12.5, "ssim": math.nan, "strip": torch.rand(3, 8, 8)}

    real, fail = runs.write_image, [True]

    def write_image(path, picture):
        if fail[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, picture)

    def write_all(log):
        if fail[0] and log.rows[-1]["step"] < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        fail[0] = False
        return Log.kept(log)

    monkeypatch.setattr(runs, "write_image", write_image)
    monkeypatch.setattr(Log, "kept", Log.write_all, raising=False)
    monkeypatch.setattr(Log, "write_all", write_all)
    with pytest.warns(UserWarning) as caught:
        go(tmp_path / "run", sde, settings(), validation=validation)
    assert [len([text for text in said(caught) if word in text]) for word in (".png", "log.csv")] == [2, 1]
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [row["step"] for row in rows] == [str(k) for k in range(7)]
    assert rows[0]["val_psnr"] == "12.5" and rows[0]["val_ssim"] == ""  # what could not be had is empty
    assert [path.name for path in (tmp_path / "run" / "strips").iterdir()] == ["00000006.png"]


def test_a_log_is_whole_after_a_full_disk_and_a_crash(tmp_path):
    log = Log(tmp_path / "log.csv")
    log.add(step=1, loss=0.5)

    class Full(csv.DictWriter):
        def writerow(self, row):
            self.writer.writerow([1])
            raise OSError(errno.ENOSPC, "No space left on device")

    with patch("irsde.states.csv.DictWriter", Full), pytest.warns(UserWarning, match="next row"):
        log.add(step=2, loss=0.4)
    assert log.path.read_text().splitlines() == ["step,loss", "1,0.5"]
    log.add(step=3, loss=0.3)
    with log.path.open("a") as file:
        file.write("4,0.2")  # of 0.25: its line has no end
    again = Log(log.path, after=9)
    assert [row["step"] for row in again.rows] == ["1", "2", "3"]
    log.path.write_bytes(log.path.read_bytes() + b"\0\0\0\0\n\xff,1\n")
    assert len(Log(log.path, after=9).rows) == 3


def test_a_tracker_that_fails_is_left_alone(tmp_path, sde):
    class Failing(GeneralTracker):
        name, requires_logging_directory = "failing", False

        def __init__(self):
            super().__init__()
            self.calls = 0

        tracker = property(lambda self: None)

        def store_init_configuration(self, values):
            pass

        def log(self, values, step):
            self.calls += 1
            raise OSError("no space for events")

        def finish(self):
            raise AssertionError("it is left alone")

    tracker = Failing()
    with pytest.warns(UserWarning, match="the tracker has stopped .no space for events"):
        go(tmp_path / "run", sde, settings(), tracker=tracker)
    assert tracker.calls == 1 and agree(tmp_path / "run") == 6


# ---- longer than planned


@pytest.mark.parametrize("at", [3, 6])
def test_a_run_is_trained_longer(tmp_path, sde, at):
    "With a constant rate it is the longer run, whether it was stopped or finished"
    whole = weights(go(tmp_path / "whole", sde, settings(iterations=9)))
    with contextlib.suppress(KeyboardInterrupt):
        train(
            tmp_path / "run",
            model_for(sde),
            sde,
            clean_matching_loss,
            lambda start=0, part=(0, 1): interrupted(start, part, at),
            settings(),
            progress=False,
            cpu=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing to say: the rate is as it was
        path = go(tmp_path / "run", sde, settings(iterations=9), resume=True)
    assert all(torch.equal(a, whole[k]) for k, a in weights(path).items()) and agree(tmp_path / "run") == 9
    config = read_config(tmp_path / "run")
    assert config["settings"]["iterations"] == 9
    assert [(made["after"], made["iterations"]) for made in config["made"]] == [(0, 6), (at, 9)]


def interrupted(start, part, at):
    for k, batch in enumerate(stream(start, part), start):
        if k == at - 1 and at < 6:
            signal.raise_signal(signal.SIGINT)
        yield batch


@pytest.mark.parametrize("schedule", [dict(schedule="cosine"), dict(schedule="multistep", milestones=(3,))])
def test_a_shape_is_stretched_and_told(tmp_path, sde, schedule):
    go(tmp_path / "run", sde, settings(**schedule))
    longer = {**schedule, **({"milestones": (6,)} if "milestones" in schedule else {}), "iterations": 12}
    with pytest.warns(UserWarning, match="stretched over the new length") as caught:
        go(tmp_path / "run", sde, settings(**longer), resume=True)
    now, before = learning_rate(settings(**longer), 7), learning_rate(settings(**schedule), 6)
    assert f"goes on from {now:.3g}, where it was {before:.3g}" in said(caught)[0]
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    found = [float(row["lr"]) for row in rows if row["lr"]]
    wanted = [learning_rate(settings(**(schedule if k < 7 else longer)), k) for k in range(1, 13)]
    assert found == pytest.approx(wanted, rel=1e-4)
    assert all(float(row["loss"]) < 1 for row in rows if row["loss"])


def test_other_lengths(tmp_path, sde):
    s = settings(schedule="cosine")
    go(tmp_path / "run", sde, s)
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(ValueError, match="has done 6 steps, so iterations=5 is too few"):
        go(tmp_path / "run", sde, settings(schedule="cosine", iterations=5), resume=True)
    with pytest.warns(UserWarning, match="finished after 6 steps: iterations=MORE with resume=True.*init="):
        go(tmp_path / "run", sde, s, resume=True)
    with pytest.raises(
        ValueError, match="this run already, finished after 6 steps: iterations=MORE with resume"
    ):
        go(tmp_path / "run", sde, s)
    assert (tmp_path / "run" / "config.json").read_text() == before
    text = replanned(settings(**vars(s)), settings(**{**vars(s), "iterations": 8}), 0)
    assert text == ""  # a run that has not begun is planned anew


def test_another_run_is_told_apart_by_each_value_once(tmp_path, sde):
    go(tmp_path / "run", sde, settings(), about={"recipe": {"lr": 1e-3}})
    with pytest.raises(ValueError) as error:
        go(tmp_path / "run", sde, settings(lr=1e-2), about={"recipe": {"lr": 1e-2}}, resume=True)
    assert str(error.value).count("lr is 0.001, not 0.01") == 1
    go(
        tmp_path / "run",
        sde,
        settings(iterations=8),
        about={"recipe": {}},
        resume=True,
        may_change=("recipe",),
    )


def test_states_of_a_future_that_was_given_up_go(tmp_path, sde):
    "A damaged newest state does not push the good ones out"
    s = settings(keep=1)
    go(tmp_path / "run", sde, settings(keep=2))
    newest = states(tmp_path / "run")[0]
    newest.write_bytes(b"damaged")
    (tmp_path / "run" / "states" / "step-mine.pt").write_bytes(b"a copy")
    with pytest.warns(UserWarning, match="trying the one before"):
        with pytest.raises(KeyboardInterrupt):
            train(
                tmp_path / "run",
                model_for(sde),
                sde,
                clean_matching_loss,
                lambda start=0, part=(0, 1): interrupted(start, part, 5),
                s,
                resume=True,
                progress=False,
                cpu=True,
            )
    assert [path.name for path in states(tmp_path / "run")] == ["step-00000005.pt"] and agree(
        tmp_path / "run"
    ) == 5
    assert (tmp_path / "run" / "states" / "step-mine.pt").exists()


# ---- progress, trackers


class Said(io.StringIO):
    "A stream that is a terminal, or none"

    def __init__(self, terminal=False):
        super().__init__()
        self.isatty = lambda: terminal


def test_a_log_has_a_line_a_minute():
    clock, log = [0.0], Said()
    with Lines(100, initial=40, unit=" steps", stream=log, clock=lambda: clock[0]) as lines:
        for _ in range(60):
            clock[0] += 7
            lines.show(loss=0.123456)
            lines.update()
    said = log.getvalue().splitlines()
    assert said[0] == "49 of 100 steps, loss 0.1235, 5 min 57 s left"
    assert said[-1] == "100 of 100 steps, loss 0.1235, 7 min 0 s in all"
    assert len(said) == 7  # 420 s, in steps of 63, and the end


def test_quick_work_says_nothing():
    log = Said()
    with Lines(3, stream=log, clock=lambda: 0.0) as lines:
        lines.update(3)
    assert log.getvalue() == ""


@pytest.mark.parametrize("terminal, progress, kind", [(True, None, "Bar"), (False, None, "Lines")])
def test_a_bar_in_a_terminal_and_lines_elsewhere(monkeypatch, terminal, progress, kind):
    stream = Said(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    shown = meter(5, progress, unit=" steps")
    shown.show(loss=1.0)
    shown.update(5)
    shown.close()
    assert type(shown).__name__ == kind and shown.n == 5
    assert ("5/5" in stream.getvalue()) == terminal


def test_no_progress_where_none_is_wanted(monkeypatch):
    for terminal in (True, False):
        stream = Said(terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        with meter(5, False) as shown:
            shown.update(5)
        assert stream.getvalue() == "" and shown.n == 5
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(meter(5), Lines)


def test_a_training_without_a_terminal_tells_how_far_it_is(tmp_path, sde, monkeypatch):
    log, clock = Said(), itertools.count(0, 30)
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(runs, "meter", lambda *args, **how: Lines(args[0], clock=lambda: next(clock), **how))
    validation = iter(range(9))

    def scored(model):
        return {"psnr": 20.0 + next(validation)}

    train(tmp_path / "run", model_for(sde), sde, clean_matching_loss, stream, settings(), scored, cpu=True)
    said = log.getvalue().splitlines()
    assert said and said[-1].startswith("6 of 6 steps, loss ") and "val_psnr 22" in said[-1]


def test_a_tracker_that_does_not_start_leaves_no_folder(tmp_path, sde):
    class Closed(GeneralTracker):
        name, requires_logging_directory = "closed", False
        tracker = property(lambda self: None)

        def store_init_configuration(self, values):
            pass

        def log(self, values, step):
            pass

        def start(self):
            raise RuntimeError("no account\nlog in first")

    with pytest.raises(ValueError, match="the tracker closed does not start: no account log in first"):
        go(tmp_path / "run", sde, settings(), tracker=Closed())
    assert not (tmp_path / "run").exists()
    go(tmp_path / "run", sde, settings())
    with pytest.raises(ValueError, match="does not start"):
        go(tmp_path / "run", sde, settings(iterations=8), tracker=Closed(), resume=True)
    assert agree(tmp_path / "run") == 6  # what was done is still there


def test_settings_take_what_a_budget_says():
    numbers = {"iterations": 9, "save_every": 4, "validate_every": 5, "accumulate": 2}
    found = Settings.of({**numbers, "precision": "no", "lam": 0.1, "validate_solver": "posterior"})
    assert (found.save_every, found.validate_every, found.precision, found.accumulate) == (4, 5, "no", 2)


def test_a_level_that_falls_again_is_drawn_too():
    from irsde.bridges import OUBridge
    from irsde.schedule import ThetaSchedule

    odds = time_odds(OUBridge(ThetaSchedule(), 0.2, 1 / 255), "level")
    assert (odds >= 0).all() and odds.sum() > 0


@pytest.mark.parametrize(("name", "value", "said"), [("ema", 0.9, "ema is"), ("betas", 0.9, "betas is")])
def test_a_lone_number_is_not_two(name, value, said):
    with pytest.raises(ValueError, match=said):
        Settings(**{name: value})


def test_a_second_training_in_a_folder_is_refused(tmp_path):
    from irsde.states import locked

    with locked(tmp_path, "taken"), pytest.raises(ValueError, match="taken"):
        with locked(tmp_path, "taken"):
            raise AssertionError("two are inside")
    with locked(tmp_path, "taken"):
        pass
