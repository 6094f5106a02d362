"The numbers of a latent: by hand, by pieces, with failures, in a table, from the command line; sizes."

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from irsde import checkpoint, metrics
from irsde.ceilings import COLUMNS, NUMBERS, keep_numbers, latent_numbers, numbers_row, variant_of
from irsde.evaluate import Case, FromPairs
from irsde.images import write_image
from irsde.latent import LatentModel, LatentUNet
from irsde.nafnet import ConditionalNAFNet
from irsde.predict import CleanPrediction
from irsde.restore import Restorer
from irsde.schedule import ThetaSchedule
from irsde.sde import IRSDE

ROOT = Path(__file__).parents[1]
SDE = IRSDE(ThetaSchedule("cosine", 100, 0.005), 0.5)


def picture(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def model(**sizes):
    torch.manual_seed(0)
    net = LatentUNet(**{"width": 4, "attention": False, **sizes})
    return LatentModel(net, SDE, CleanPrediction(SDE, ConditionalNAFNet(4, 8, (1,), 1, (1,)))).eval()


def restorer(**sizes):
    about = {"task": "dehazing", "steps": 2, "solver": "posterior", "recipe": {"seed": 3}}
    return Restorer(model(**sizes), SDE, about, "cpu")


def case(name="a", size=(40, 52)):
    mu = picture(3, *size, seed=1)
    return Case(name, picture(3, *size), mu, mu)


@pytest.fixture(scope="module")
def numbers():
    return latent_numbers(restorer(), [case("a"), case("b", (33, 48))], lpips=False)


def by_hand(one):
    "Number -> the picture that it is of, and what that is compared with"
    net, x0, mu = model(), one.x0[None], one.mu[None]
    with torch.no_grad():
        (z_0, h_0), (z_mu, h_mu) = net.autoencoder.encode(x0), net.autoencoder.encode(mu)
        return {
            "input": (mu, x0),
            "identity": (net.autoencoder.decode(z_mu, h_mu, (40, 52)), mu),
            "ceiling": (net.autoencoder.decode(z_0, h_mu, (40, 52)), x0),
            "past": (net.autoencoder.decode(z_mu, h_0, (40, 52)), x0),
            "result": (restorer()(one.mu)[None], x0),
        }


def test_the_numbers_by_hand(numbers):
    for name, (x, target) in by_hand(case()).items():
        psnr = float(metrics.psnr(x.clamp(0, 1), target, "dehazing"))
        assert numbers[f"{name} psnr"][0] == pytest.approx(psnr, abs=1e-3), name
        assert numbers[f"{name} psnr"].iloc[-1] == pytest.approx(numbers[f"{name} psnr"][:2].mean(), abs=1e-6)
    assert numbers["name"].tolist() == ["a", "b", "mean"] and numbers.attrs["n_images"] == 2


def test_lpips_by_hand():
    if not metrics.backbone_path("alex").exists():
        pytest.skip("SKIPPED: no weights for LPIPS: set TORCH_HOME to a folder that has them")
    found = latent_numbers(restorer(), [case()])
    columns = [f"{name} {key}" for key in ("psnr", "lpips") for name in NUMBERS]
    assert [*found] == ["name", *columns, "error", "notes"]
    for name, (x, target) in by_hand(case()).items():
        pair = [(255 * part.clamp(0, 1)).round() / 255 for part in (x, target)]  # as a file holds them
        lpips = float(metrics.lpips_distance(*pair))
        assert found[f"{name} lpips"].tolist() == pytest.approx([lpips] * 2, abs=1e-4) and lpips > 0.01, name
    row = numbers_row(restorer(), found, "made")
    assert row["past_lpips"] == pytest.approx(found["past lpips"][0], abs=1e-4)


def test_options_reach_the_restorer_and_pieces_change_nothing_else(numbers):
    other = latent_numbers(restorer(), [case()], lpips=False, steps=1, tile=16)
    assert other["result psnr"][0] != numbers["result psnr"][0]
    for name in ("input", "identity", "ceiling", "past"):
        assert other[f"{name} psnr"][0] == pytest.approx(numbers[f"{name} psnr"][0], abs=1e-3)


def test_a_picture_that_fails_is_left_out(numbers):
    mixed = latent_numbers(restorer(), [case(), case("icon", (5, 40))], lpips=False)
    assert "smaller than the 8 pixels" in mixed["error"][1] and np.isnan(mixed["past psnr"][1])
    assert mixed["past psnr"].iloc[-1] == numbers["past psnr"][0] and mixed.attrs["n_images"] == 1


def test_a_restorer_without_a_latent_is_refused():
    plain = Restorer(
        CleanPrediction(SDE, ConditionalNAFNet(3, 8, (1,), 1, (1,))), SDE, {"task": "dehazing"}, "cpu"
    )
    with pytest.raises(ValueError, match="works on pixels"):
        latent_numbers(plain, [case()])


@pytest.mark.parametrize(
    "sizes, variant",
    [({}, "skips"), ({"skips": False}, "no skips"), ({"skips": False, "variational": True}, "vae")],
)
def test_without_skips_nothing_comes_past(sizes, variant):
    net = restorer(**sizes)
    assert variant_of(net.model) == variant
    found = latent_numbers(net, [case()], lpips=False).iloc[0]
    with torch.no_grad():  # what the latent of the degraded picture gives, whatever is beside it
        own = float(
            metrics.psnr(net.model.autoencoder(case().mu[None]).clamp(0, 1), case().x0[None], "dehazing")
        )
    assert (found["past psnr"] == pytest.approx(own, abs=1e-4)) == (variant != "skips")


def test_rows_are_kept_and_other_tables_are_not_touched(numbers, tmp_path):
    path, row = tmp_path / "new" / "numbers.csv", numbers_row(restorer(), numbers, "two", steps=2)
    keep_numbers(path, row)
    path.write_text(path.read_text().rstrip("\n"))  # as some editors leave it
    keep_numbers(path, row)
    read = pd.read_csv(path)
    assert list(read) == COLUMNS and len(read) == 2
    assert read[["task", "variant", "seed", "n", "steps"]].iloc[1].tolist() == ["dehazing", "skips", 3, 2, 2]
    assert read["ceiling"][0] == pytest.approx(numbers["ceiling psnr"].iloc[-1], abs=1e-4)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns"):
        keep_numbers(tmp_path / "other.csv", row)
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_appends_a_row(tmp_path, monkeypatch, capsys):
    path = checkpoint.save(
        tmp_path / "both.safetensors", model(), SDE, task="dehazing", steps=2, solver="posterior"
    )
    for part, seed in (("lq", 1), ("gt", 0)):
        (tmp_path / part).mkdir()
        for k in range(2):
            write_image(tmp_path / part / f"{k}.png", picture(3, 24, 32, seed=seed + 2 * k))
    pairs, out = [str(tmp_path / "lq"), str(tmp_path / "gt")], tmp_path / "numbers.csv"
    words = [
        str(path),
        "--pairs",
        *pairs,
        "--out",
        str(out),
        "--no-lpips",
        "--limit",
        "1",
        "--test-set",
        "made",
    ]
    tool = script("latent_numbers")
    monkeypatch.setattr(sys, "argv", ["latent_numbers.py", *words])
    tool.main()
    row = pd.read_csv(out).iloc[0]
    assert (row["task"], row["variant"], row["test_set"], row["n"]) == ("dehazing", "skips", "made", 1)
    assert row["weights"] == checkpoint.fingerprint(path) and "ceiling psnr" in capsys.readouterr().out
    right = latent_numbers(Restorer.from_pretrained(path), FromPairs("dehazing", *pairs), lpips=False)
    assert row["past"] == pytest.approx(right["past psnr"][0], abs=1e-4)
    monkeypatch.setattr(sys, "argv", ["latent_numbers.py", "deraining", *words[1:]])
    with pytest.raises(SystemExit, match="works on pixels"):
        tool.main()


def test_sizes_measures_in_a_process_of_its_own(tmp_path):
    path = checkpoint.save(
        tmp_path / "both.safetensors", model(), SDE, task="dehazing", steps=1, solver="posterior"
    )
    out = tmp_path / "sizes.csv"
    words = [sys.executable, ROOT / "tools/sizes.py", path, "--megapixels", "0.02", "0.05", "--threads", "1"]
    subprocess.run([*words, "--out", out], check=True, capture_output=True)
    rows = pd.read_csv(out)
    assert rows["megapixels"].tolist() == [0.02, 0.05] and (rows["kind"] == "latent").all()
    assert (rows["height"] * rows["width"]).tolist() == pytest.approx([2e4, 5e4], rel=0.02)
    assert (rows["peak_mb"] >= rows["idle_mb"]).all() and (rows["cpu_seconds"] >= 0).all()
