"The networks: golden sizes and outputs, any height and width, what they refuse, weights of others."

import pytest
import torch

from irsde.cameras import LensNAFNet, RowAttention, StereoNAFNet, lens_number
from irsde.latent import LatentUNet
from irsde.nafnet import ConditionalNAFNet
from irsde.unet import ConditionalUNet, prepacked

from .conftest import fill, picture

SMALL_UNET = dict(width=8, depth=2, heads=2)
SMALL_NAFNET = dict(width=8, enc=(1, 2), mid=1, dec=(2, 1), fold=2, kernel=(3, 5, 3))


def small(kind, **more):
    return fill(
        ConditionalUNet(**SMALL_UNET, **more) if kind == "unet" else ConditionalNAFNet(**SMALL_NAFNET, **more)
    )


@pytest.mark.parametrize(
    "network, parameters",
    [
        (ConditionalUNet, 137_147_523),
        (ConditionalNAFNet, 76_608_387),
        (LensNAFNet, 131_467_716),
        (StereoNAFNet, 112_033_667),
    ],
)
def test_size_of_the_official_networks(network, parameters):
    with torch.device("meta"):
        net = network()
    assert sum(p.numel() for p in net.parameters()) == parameters


GOLDEN = {  # mean, std, and three pixels
    "unet {}": [-0.0362053, 0.159139, 0.164269, 0.00672777, -0.0854788],
    "unet {'full_attention': True}": [-0.0276426, 0.113907, 0.125959, -0.00679337, -0.0759018],
    "unet {'conditional': False}": [-0.0369808, 0.159263, 0.167841, -0.0166024, -0.0893143],
    "nafnet {}": [0.0421275, 0.65845, 0.527765, 0.100426, -0.712791],
    "nafnet {'conditional': False}": [0.146756, 1.59576, 1.93021, -0.353926, -0.620402],
}


@pytest.mark.parametrize(
    "kind, more",
    [
        ("unet", {}),
        ("unet", {"full_attention": True}),
        ("unet", {"conditional": False}),
        ("nafnet", {}),
        ("nafnet", {"conditional": False}),
    ],
)
def test_golden_output(kind, more):
    "Numbers of the code as it stood when the whole official state dicts were checked against it"
    net, name = small(kind, **more), f"{kind} {more}"
    with torch.no_grad():
        out = net(picture(1, 3, 13, 18), picture(1, 3, 13, 18, seed=1), 37)
    found = torch.stack([out.mean(), out.std(), out[0, 0, 0, 0], out[0, 1, 6, 9], out[0, 2, 12, 17]])
    torch.testing.assert_close(found, torch.tensor(GOLDEN[name]), rtol=1e-4, atol=1e-5)


SMALL_RELATIVE = dict(width=8, enc=(1, 2), mid=1, dec=(2, 1))
LENS = torch.tensor([[-14.0, 160.0, 37.0]])  # source lens, target lens, disparity
RELATIVES = {
    "haze": lambda **more: fill(ConditionalNAFNet(8, global_skip=True, **SMALL_RELATIVE, **more)),
    "lens": lambda **more: fill(LensNAFNet(4, **SMALL_RELATIVE, **more)),
    "stereo": lambda **more: fill(StereoNAFNet(6, **SMALL_RELATIVE, **more)),
}
GOLDEN_RELATIVES = {  # of the official definitions with these weights, in float64; as above
    "haze": [0.005066268, 1.070612, 1.93298, -0.7602893, -0.5138012],
    "lens": [-0.1275116, 0.3632323, 0.3139446, 0.1692137, -0.5946766],
    "stereo": [0.0067873, 0.3736692, 0.3494906, 0.009475964, -0.1110925],
    "latent": [-0.001621917, 0.0182147, 0.01035121, -0.01083728, 0.01627178],
    "autoencoder": [0.3009528, 10.98277, 28.49117, -0.5641917, 0.7777568],
}


def bound(kind, **more):
    "A relative that is called as model(x, mu, t)"
    net = RELATIVES[kind](**more)
    return net.through(LENS) if kind == "lens" else net


@pytest.mark.parametrize("kind", GOLDEN_RELATIVES)
def test_relatives_give_the_official_outputs(kind):
    "To 2e-5 of the output's standard deviation"
    with torch.no_grad():
        if kind in RELATIVES:
            net = bound(kind)
            size = (1, net.channels, 21, 34)
            out = net(picture(*size), picture(*size, seed=1), 37)
        else:
            coder, x = fill(LatentUNet(width=8, mult=(1, 2, 2), embed=4)), picture(1, 3, 21, 34)
            out = coder(x) if kind == "autoencoder" else coder.encode(x)[0]
    h, w = out.shape[2:]
    pixels = out[0, 0, 0, 0], out[0, 1, h // 2, w // 2], out[0, -1, -1, -1]
    found = torch.stack([out.mean(), out.std(), *pixels])
    want = torch.tensor(GOLDEN_RELATIVES[kind])
    torch.testing.assert_close(found, want, rtol=0, atol=2e-5 * want[1].item())


@pytest.mark.parametrize("kind", RELATIVES)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 40)])
def test_relatives_take_any_size_and_do_not_mix_pictures(kind, size):
    net = bound(kind)
    x, mu = picture(2, net.channels, *size), picture(2, net.channels, *size, seed=1)
    with torch.no_grad():
        both = net(x, mu, torch.tensor([3, 70]))
        assert both.shape == x.shape and both.isfinite().all()
        for i, t in enumerate((3, 70)):
            one = net(x[i : i + 1], mu[i : i + 1], t)
            torch.testing.assert_close(both[i : i + 1], one, rtol=1e-4, atol=1e-5)


def test_the_global_skip_is_kept_in_the_arguments_only_where_it_is():
    plain, skip = small("nafnet"), RELATIVES["haze"]()
    assert "global_skip" not in plain.arguments and skip.arguments["global_skip"] is True
    assert ConditionalNAFNet(**skip.arguments).global_skip
    with pytest.raises(ValueError, match="global_skip is False, here True"):
        skip.take_over(fill(ConditionalNAFNet(8, **SMALL_RELATIVE)))


def test_each_number_of_the_lens_counts():
    net, x, mu = RELATIVES["lens"](), picture(2, 4, 8, 8), picture(2, 4, 8, 8, seed=1)
    lens = torch.cat([LENS, LENS + torch.tensor([[1.0, 2.0, 3.0]])])
    with torch.no_grad():
        out = net(x, mu, 5, lens)
        torch.testing.assert_close(net.through(lens)(x, mu, 5), out)
        for i in range(2):
            one = net.through(lens[i].tolist())
            torch.testing.assert_close(one(x[i : i + 1], mu[i : i + 1], 5), out[i : i + 1])
        for i in range(3):
            other = lens.clone()
            other[:, i] += 1
            assert (net(x, mu, 5, other) - out).abs().amax((1, 2, 3)).min() > 1e-6


def test_what_is_missing_of_lenses_and_eyes_is_named():
    lens, stereo, x = RELATIVES["lens"](), RELATIVES["stereo"](), picture(2, 6, 8, 8)
    with pytest.raises(ValueError, match="source lens, target lens, disparity are missing"):
        lens(x[:, :4], x[:, :4], 5)
    with pytest.raises(ValueError, match="target lens and disparity missing"):
        lens.through((1.0, None, float("nan")))
    with pytest.raises(ValueError, match="for each of the 2 pictures: got shape .3, 3."):
        lens(x[:, :4], x[:, :4], 5, torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"got shape \(2,\)"):
        lens.through((1.0, 2.0))
    with pytest.raises(ValueError, match="one eye is missing"):
        stereo(x[:, :3], x[:, :3], 5)
    with pytest.raises(ValueError, match="one eye is missing"):
        stereo(x, x[:, :3], 5)
    with pytest.raises(ValueError, match="an even number, not 5"):
        StereoNAFNet(5)
    assert lens_number("Canon50mmf1.4BS") == -14 and lens_number("Sony50mmf16.0BS") == 160
    with pytest.raises(ValueError, match="Nikon"):
        lens_number("Nikon50mmf2BS")


def test_row_attention_stays_in_its_row_and_looks_at_the_other_eye():
    rows = fill(RowAttention(6))
    x = picture(2, 6, 16, 24)
    changed = x.clone()
    changed[1, :, 4:8] += picture(6, 4, 24, seed=3)  # one quarter row of the right eye
    with torch.no_grad():
        moved = (rows(changed) - rows(x))[0].abs().amax((0, 2))
    assert moved[4:8].min() > 0 and moved[:4].max() == moved[8:].max() == 0


@pytest.mark.parametrize("kind", ["unet", "nafnet"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (17, 40)])
def test_any_size(kind, size):
    net = small(kind)
    with torch.no_grad():
        out = net(picture(2, 3, *size), picture(2, 3, *size, seed=1), torch.tensor([1, 100]))
    assert out.shape == (2, 3, *size) and out.isfinite().all()


@pytest.mark.parametrize("kind", ["unet", "nafnet"])
def test_pictures_of_a_batch_do_not_mix(kind):
    net, x, mu = small(kind), picture(2, 3, 12, 12), picture(2, 3, 12, 12, seed=1)
    with torch.no_grad():
        both = net(x, mu, torch.tensor([3, 70]))
        for i, t in enumerate((3, 70)):
            torch.testing.assert_close(both[i : i + 1], net(x[i : i + 1], mu[i : i + 1], t))
        assert not torch.allclose(net(x, mu, 3), net(x, mu, 70))


@pytest.mark.parametrize("kind", ["unet", "nafnet"])
def test_mu_counts_if_the_network_is_conditional(kind):
    x, mu, other = (picture(1, 3, 8, 8, seed=i) for i in range(3))
    with torch.no_grad():
        net = small(kind)
        assert not torch.allclose(net(x, mu, 5), net(x, other, 5))
        net = small(kind, conditional=False)
        assert torch.equal(net(x, mu, 5), net(x, other, 5))
        assert torch.equal(net(x, mu, 5), net(x, None, 5))


@pytest.mark.parametrize("kind", ["unet", "nafnet"])
def test_refusals(kind):
    net, x = small(kind), picture(1, 3, 8, 8)
    for call in (
        lambda: net(x, x[:, :1], 5),
        lambda: net(x[0], x[0], 5),
        lambda: net(x[:, :1], x[:, :1], 5),
        lambda: net(x, x, 0),
        lambda: net(x, x, torch.tensor([1, 2])),
        lambda: net(x, x, torch.ones(1, 1)),
    ):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConditionalUNet(width=7),
        lambda: ConditionalUNet(depth=0),
        lambda: ConditionalUNet(heads=0),
        lambda: ConditionalNAFNet(width=7),
        lambda: ConditionalNAFNet(enc=(1,), dec=(1, 1)),
        lambda: ConditionalNAFNet(fold=0),
        lambda: ConditionalNAFNet(kernel=4),
        lambda: ConditionalNAFNet(kernel=(3, 3)),
    ],
)
def test_impossible_networks(make):
    with pytest.raises(ValueError), torch.device("meta"):
        make()


@pytest.mark.parametrize("kind", ["unet", "nafnet"])
def test_prepacked_is_the_same_network(kind):
    net, x, mu = small(kind), picture(1, 3, 16, 24), picture(1, 3, 16, 24, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(prepacked(net)(x, mu, 5), net(x, mu, 5), rtol=1e-4, atol=1e-5)


def test_multiple_is_the_side_of_the_coarsest_pixel():
    assert small("nafnet").multiple == 8
    assert ConditionalNAFNet(width=8, enc=(1,), dec=(1,)).multiple == 2


def test_pooling_window(generator):
    net, x, mu = small("nafnet"), picture(1, 3, 64, 64), picture(1, 3, 64, 64, seed=1)
    with torch.no_grad():
        whole = net(x, mu, 5)
        assert torch.equal(net.pool_over(64)(x, mu, 5), whole)
        assert not torch.allclose(net.pool_over(16)(x, mu, 5), whole)
        assert torch.equal(net.pool_over(None)(x, mu, 5), whole)
    with pytest.raises(ValueError):
        net.pool_over(0)


def test_each_level_pools_over_the_same_part_of_the_picture():
    "A window of 16 pixels is 8 folded ones, then 4, then 2"
    net = small("nafnet").pool_over(16)
    blocks = [net.encoders[0][0], net.encoders[1][0], net.middle[0], net.decoders[0][0], net.decoders[1][0]]
    assert [block.pool.window for block in blocks] == [8, 4, 2, 4, 8]


def test_reach_is_the_farthest_pixel_that_counts():
    net = small("nafnet").double()
    for block in [m for m in net.modules() if hasattr(m, "channel_attention")]:
        block.channel_attention.weight.data.zero_()  # it sees the whole picture
    far, found = net.reach(), []
    centre = net.multiple * (far // net.multiple + 2)
    for column in range(centre, centre + net.multiple):
        x = torch.zeros(1, 3, 16, 2 * centre, dtype=torch.float64, requires_grad=True)
        net(x, x.detach(), 5)[0, :, 8, column].sum().backward()
        found.append(x.grad.abs().sum((0, 1, 2)).nonzero().max().item() - column)
    assert max(found) == far


def test_take_over(generator):
    old = small("nafnet")
    new = fill(ConditionalNAFNet(**{**SMALL_NAFNET, "enc": (2, 3), "kernel": (5, 5, 3)}))
    for block in [m for m in new.modules() if hasattr(m, "beta")]:
        block.beta.data.zero_()
        block.gamma.data.zero_()
    new.take_over(old)
    x, mu = picture(1, 3, 16, 16), picture(1, 3, 16, 16, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(new(x, mu, 5), old(x, mu, 5))
    with pytest.raises(ValueError, match="width"):
        new.take_over(fill(ConditionalNAFNet(**{**SMALL_NAFNET, "width": 4})))
    with pytest.raises(ValueError, match="kernel"):
        old.take_over(new)
