"The loop, a run's folder, and going on as if nothing had happened."

import json
import math

import pytest
import torch

from irsde.checkpoint import load, make_model
from irsde.losses import noise_matching_loss
from irsde.predict import LOSSES, clean_matching_loss, inner
from irsde.runs import read_config, rebuild, train
from irsde.training import Settings, Training, draw, learning_rate, make_optimiser, optimise, time_odds

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
