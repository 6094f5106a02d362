"Scores by independent routes, and what a picture cannot have."

import math
import re

import numpy as np
import pytest
import torch

from irsde.metrics import PROTOCOLS, Protocol, backbone_path, lpips_distance, psnr, score, ssim

from .conftest import picture

PLAIN = Protocol(round=False)


@pytest.fixture
def pair():
    clean = picture(2, 3, 40, 44)
    return (clean + 0.1 * torch.sin(torch.arange(clean.numel())).reshape(clean.shape)).clamp(0, 1), clean


# ---- PSNR and SSIM


def test_psnr_by_hand(pair):
    restored, clean = pair
    wanted = [-10 * math.log10(((r - c).double() ** 2).mean()) for r, c in zip(restored, clean)]
    torch.testing.assert_close(
        psnr(restored, clean, PLAIN), torch.tensor(wanted, dtype=torch.float64), rtol=1e-6, atol=1e-6
    )
    assert psnr(clean, clean, PLAIN).isinf().all()


def test_border_and_rounding(pair):
    restored, clean = pair
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(
        psnr(restored, clean, Protocol(border=4)), psnr(restored[inner], clean[inner], Protocol())
    )
    rounded = (restored * 255).round() / 255, (clean * 255).round() / 255
    torch.testing.assert_close(psnr(restored, clean, Protocol()), psnr(*rounded, PLAIN), rtol=1e-5, atol=1e-5)


def test_one_eye_is_not_a_stereo_pair(pair):
    with pytest.raises(ValueError, match="3 channels are not those of 2 pictures"):
        psnr(*pair, "stereo-super-resolution")


def test_luma_is_bt601_in_studio_range():
    grey, white, red = (
        torch.tensor(c).reshape(1, 3, 1, 1).expand(1, 3, 12, 12).float()
        for c in ((0, 0, 0), (1, 1, 1), (1, 0, 0))
    )
    wanted = 20 * math.log10(255 / 219)
    assert psnr(white, grey, Protocol("y")).item() == pytest.approx(wanted)
    assert psnr(red, grey, Protocol("y", round=False)).item() == pytest.approx(20 * math.log10(255 / 65.481))


def test_centre_square(pair):
    restored, clean = pair
    torch.testing.assert_close(
        psnr(restored, clean, Protocol(centre=20)),
        psnr(restored[..., 10:30, 12:32], clean[..., 10:30, 12:32], Protocol()),
    )


def test_ssim_by_its_formula(pair):
    from scipy.ndimage import gaussian_filter

    restored, clean = (x[0, 0].double().numpy() * 255 for x in pair)

    def blur(x):
        return gaussian_filter(x, 1.5, truncate=3.5)

    a, b = blur(restored), blur(clean)
    va, vb, cov = blur(restored**2) - a**2, blur(clean**2) - b**2, blur(restored * clean) - a * b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    field = (2 * a * b + c1) * (2 * cov + c2) / ((a**2 + b**2 + c1) * (va + vb + c2))
    found = ssim(pair[0][:1, :1], pair[1][:1, :1], PLAIN).item()
    assert found == pytest.approx(field[5:-5, 5:-5].mean(), abs=1e-6)
    assert ssim(pair[1], pair[1], PLAIN).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda r, c: psnr(r, c * 255, PLAIN),
        lambda r, c: psnr(r, c[:1], PLAIN),
        lambda r, c: psnr(r * math.nan, c, PLAIN),
        lambda r, c: psnr(r[0], c[0], PLAIN),
        lambda r, c: psnr(r, c, "psnr-b"),
        lambda r, c: psnr(r, c, Protocol(centre=100)),
        lambda r, c: psnr(r[:, :2], c[:, :2], Protocol("y")),
        lambda r, c: ssim(r[..., :8], c[..., :8], PLAIN),
        lambda r, c: Protocol("rgba"),
        lambda r, c: Protocol(border=-1),
        lambda r, c: lpips_distance(r[..., :16], c[..., :16]),
    ],
)
def test_what_cannot_be_compared(pair, call):
    with pytest.raises(ValueError):
        call(*pair)


def test_official_protocols():
    assert PROTOCOLS["deraining"] == Protocol("y", border=4)
    assert PROTOCOLS["denoising"] == Protocol()
    assert PROTOCOLS["super-resolution"] == Protocol(border=4, centre=256)


# ---- LPIPS


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    "AlexNet's features with numbers of our own, where torch.hub looks for the true ones"
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = alexnet(weights=None).features.eval()
    path = backbone_path("alex")
    path.parent.mkdir(parents=True)
    torch.save({f"features.{name}": p for name, p in features.state_dict().items()}, path)
    return features


def test_lpips_by_its_formula(pair, backbone):
    "Distances of unit features after each ReLU, through the package's linear layers; [0, 1] ->  [-1, 1]"
    import lpips

    weights = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def layers(x):
        x, found = (2 * x - 1 - shift.reshape(3, 1, 1)) / scale.reshape(3, 1, 1), []
        for module in backbone[:12]:
            x = module(x)
            if isinstance(module, torch.nn.ReLU):
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    with torch.no_grad():
        wanted = sum(
            lin((a - b).square()).mean((1, 2, 3))
            for lin, a, b in zip(
                (weights.lin0, weights.lin1, weights.lin2, weights.lin3, weights.lin4), *map(layers, pair)
            )
        )
    torch.testing.assert_close(lpips_distance(*pair), wanted, rtol=1e-4, atol=1e-7)
    assert lpips_distance(pair[1], pair[1]).abs().max() < 1e-6
    assert (wanted > 1e-4).all()


def test_lpips_is_nan_with_a_warning_where_its_weights_are_missing(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match="LPIPS is NaN"):
        assert lpips_distance(*pair).isnan().all()


def test_a_wrong_backbone_is_refused(pair, backbone):
    torch.save({"features.0.weight": torch.zeros(1)}, backbone_path("alex"))
    with pytest.raises(OSError, match="does not hold the weights"):
        lpips_distance(*pair)


# ---- tables


def test_score_has_a_row_a_picture_and_their_mean(pair):
    table = score(*pair, PLAIN, names=["a", "b"], lpips=False)
    assert list(table["name"]) == ["a", "b", "mean"]
    assert table["psnr"].iloc[:2].tolist() == pytest.approx(psnr(*pair, PLAIN).tolist())
    assert table["psnr"].iloc[2] == pytest.approx(psnr(*pair, PLAIN).mean().item())
    with pytest.raises(ValueError, match="one clean picture"):
        score(pair[0], pair[1][:1], PLAIN)


@pytest.mark.parametrize("protocol", [Protocol(), Protocol("y"), Protocol("y", border=4), PLAIN])
def test_grey_scores_as_three_equal_channels(pair, protocol):
    grey = [x[:, :1] for x in pair]
    three = [x.expand(-1, 3, -1, -1) for x in grey]
    for measure in (psnr, ssim):
        torch.testing.assert_close(measure(*grey, protocol), measure(*three, protocol))
    one, other = (score(*x, protocol, lpips=False) for x in (grey, three))
    np.testing.assert_allclose(one[["psnr", "ssim"]], other[["psnr", "ssim"]])


def test_a_score_that_a_picture_cannot_have_is_nan_and_told_once(pair, backbone):
    restored, clean = pair
    small = [x[0, :, :16, :18] for x in pair]
    dot = [x[1, :, :6, :6] for x in pair]
    lists = [[*restored, small[0], dot[0]], [*clean, small[1], dot[1]]]
    with pytest.warns(UserWarning) as told:
        table = score(*lists, Protocol(border=4), names=["a", "b", "small", "dot"])
    assert len(told) == 1 and "small: no SSIM: its window is 11x11" in str(told[0].message)
    assert table["psnr"].isna().tolist() == [False, False, False, True, False]
    assert table["ssim"].isna().tolist() == [False, False, True, True, False]
    assert table["lpips"].isna().tolist() == [False, False, True, True, False]
    for name, n in {"psnr": 3, "ssim": 2, "lpips": 2}.items():
        assert table[name].iloc[-1] == pytest.approx(table[name].iloc[:n].mean())
    alone = psnr(small[0][None], small[1][None], Protocol(border=4)).item()
    assert table["psnr"].iloc[2] == pytest.approx(alone)
    assert table.attrs["n_images"] == 4
    assert [bool(note) for note in table.attrs["notes"]] == [False, False, True, True]
    assert "too small for the protocol" in table.attrs["notes"][3]


def test_a_column_that_no_picture_can_have_is_nan(pair):
    small = [x[..., :10, :10] for x in pair]
    with pytest.warns(UserWarning, match="no picture has one") as told:
        table = score(*small, Protocol(), lpips=False)
    assert len(told) == 1 and table["ssim"].isna().all() and table["psnr"].notna().all()
    with pytest.warns(UserWarning, match="PSNR, SSIM is missing"):
        assert score(*pair, Protocol(centre=100), lpips=False)[["psnr", "ssim"]].isna().all(axis=None)


def test_a_perfect_picture_does_not_hide_the_mean(pair):
    restored, clean = pair
    with pytest.warns(UserWarning, match="the mean PSNR leaves out 1 of 2 pictures") as told:
        table = score([restored[0], clean[1]], clean, PLAIN, lpips=False)
    assert len(told) == 1 and table.attrs["perfect"] == {"psnr": 1}
    assert table["psnr"].iloc[-1] == table["psnr"].iloc[0] and math.isinf(table["psnr"].iloc[1])
    assert table["ssim"].iloc[-1] == pytest.approx(table["ssim"].iloc[:2].mean())


def test_all_perfect_is_infinite_without_a_word(pair, recwarn):
    table = score(pair[1], pair[1], PLAIN, lpips=False)
    assert math.isinf(table["psnr"].iloc[-1]) and not len(recwarn)


def test_an_error_names_its_picture_whatever_its_name(pair):
    restored, clean = pair
    names = ["a", "frame {i} {b} 100%"]
    with pytest.raises(ValueError, match=re.escape(f"restored {names[1]} holds NaN")):
        score([restored[0], restored[1] * math.nan], clean, PLAIN, names)
    with pytest.raises(ValueError, match=re.escape(f"{names[1]} differ in shape")):
        score([restored[0], restored[1, :, 1:]], clean, PLAIN, names)
