"The two networks: golden sizes and outputs, any height and width, what they refuse, weights of others."

import pytest
import torch

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
    "network, parameters", [(ConditionalUNet, 137_147_523), (ConditionalNAFNet, 76_608_387)]
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
