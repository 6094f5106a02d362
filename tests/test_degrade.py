"Six ways to lose a picture: formulas, pictures of a batch by themselves, the same from the same generator."

import math

import numpy as np
import pytest
import torch

from irsde.degrade import (
    DEGRADATIONS,
    Downscale,
    Either,
    GaussianNoise,
    Haze,
    Holes,
    MotionBlur,
    Rain,
    depth_field,
)

from .conftest import picture


def seeded(n):
    return torch.Generator().manual_seed(n)


@pytest.mark.parametrize("task", list(DEGRADATIONS))
def test_each_keeps_shape_and_follows_its_generator(task):
    clean, degradation = picture(2, 3, 40, 48), DEGRADATIONS[task]
    mu = degradation(clean, seeded(1))
    assert mu.shape == clean.shape and mu.dtype == clean.dtype and mu.isfinite().all()
    assert torch.equal(mu, degradation(clean, seeded(1)))
    assert not torch.equal(mu, clean)
    if task != "super-resolution":
        assert not torch.equal(mu, degradation(clean, seeded(2)))
    before = torch.random.get_rng_state()
    degradation(clean, seeded(1))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("task", list(DEGRADATIONS))
def test_pictures_of_0_to_255_are_refused(task):
    with pytest.raises(ValueError):
        DEGRADATIONS[task](picture(1, 3, 40, 48) * 255)
    with pytest.raises(ValueError):
        DEGRADATIONS[task](picture(3, 40, 48))


def test_noise_has_its_level():
    clean = torch.full((1, 3, 100, 100), 0.5)
    noise = GaussianNoise(25 / 255)(clean, seeded(0)) - clean
    assert abs(noise.std().item() * 255 - 25) < 0.6
    assert abs(noise.mean().item()) < 0.003


def test_rain_only_adds_light():
    clean = picture(1, 3, 64, 64) * 0.5
    mu = Rain()(clean, seeded(0))
    assert (mu - clean).min() > -1e-6 and (mu - clean).max() > 0.05


def test_blur_keeps_the_light_of_a_flat_picture():
    flat = torch.full((2, 3, 50, 50), 0.4)
    torch.testing.assert_close(MotionBlur()(flat, seeded(0)), flat)
    kernel = MotionBlur(15).kernel(3, seeded(0))
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(3))
    assert kernel.min() >= 0


def test_blur_by_a_known_kernel_is_a_shift():
    kernel = torch.zeros(3, 3)
    kernel[1, 1] = 1
    clean = picture(1, 3, 20, 20)
    torch.testing.assert_close(MotionBlur(kernels=[kernel])(clean, seeded(0)), clean)


def test_downscale_keeps_means_and_sizes():
    clean = picture(1, 3, 40, 50)
    small = Downscale(4).shrink(clean)
    assert small.shape == (1, 3, 10, 13)
    assert abs(small.mean() - clean.mean()) < 0.01
    nearest = Downscale(2, "nearest")(torch.rand(1, 1, 8, 8, generator=seeded(0)))
    assert torch.equal(nearest[..., ::2, ::2], nearest[..., 1::2, 1::2])


def test_holes_keep_what_the_mask_keeps():
    clean, holes = picture(2, 3, 40, 40) * 0.9, Holes(fill=1.0)
    keep = holes.mask(2, (40, 40), seeded(0))
    filled = holes.fill_in(clean, keep)
    known = (keep > 0.5).expand_as(clean)
    assert torch.equal(filled[known], clean[known]) and (filled[~known] == 1).all()
    assert 0.02 < 1 - keep.mean() < 0.9


def test_haze_is_the_scattering_formula():
    clean, depth = picture(1, 3, 20, 20), torch.linspace(0.5, 1, 400).reshape(20, 20)
    mu = Haze(1.2, 0.9, depth)(clean, seeded(0))
    t = torch.exp(-1.2 * depth)
    torch.testing.assert_close(mu, clean * t + 0.9 * (1 - t))


def test_each_depth_of_a_batch_is_its_own():
    "The farthest point of every picture is 1, whatever stands beside it in the batch"
    depth = depth_field(5, (24, 32), seeded(0))
    torch.testing.assert_close(depth.amax((1, 2, 3)), torch.ones(5))
    assert depth.min() > 0 and depth[:, :, 0].mean() > depth[:, :, -1].mean()


def test_either_draws_by_its_odds():
    dark, light = (
        (lambda value: lambda clean, generator: torch.full_like(clean, value))(0.0),
        lambda c, g: torch.ones_like(c),
    )
    mu = Either((dark, light), (3, 1))(torch.rand(4000, 1, 1, 1), seeded(0))
    assert abs(mu.mean().item() - 0.25) < 6 * math.sqrt(0.25 * 0.75 / 4000)
    for wrong in (dict(parts=()), dict(parts=(dark,), odds=(0,)), dict(parts=(dark, light), odds=(1,))):
        with pytest.raises(ValueError):
            Either(**wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(-1),
        lambda: GaussianNoise(25),
        lambda: MotionBlur((5, 2)),
        lambda: MotionBlur(kernels=[torch.ones(3, 3)]),
        lambda: MotionBlur(gamma=0),
        lambda: Downscale(0.5),
        lambda: Downscale(upscale="cubic"),
        lambda: Haze(airlight=2),
        lambda: Haze(depth=torch.zeros(4, 4)),
    ],
)
def test_impossible_settings(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize("value", [1, 0, 255])
def test_masks_that_keep_all_or_nothing_are_refused(tmp_path, value):
    from irsde.degrade import load_masks
    from irsde.images import write

    picture = np.full((1, 8, 8), value, np.uint8)
    if value == 1:
        picture[..., 4:] = 0  # of 0 and 1 it is black
    write(tmp_path / "a.png", picture)
    with pytest.raises(ValueError, match=r"a.png keeps (nothing|everything): a mask is black \(0\)"):
        load_masks(tmp_path)


def test_layers_of_0_and_1_are_refused(tmp_path):
    from irsde.degrade import load_layers
    from irsde.images import write

    write(tmp_path / "a.png", np.eye(8, dtype=np.uint8)[None])
    with pytest.raises(ValueError, match="a.png is black: its largest value is 0.0039 of white"):
        load_layers(tmp_path)


def test_frames_a_little_below_black_have_a_mean():
    from irsde.degrade import average_frames

    frames = torch.tensor([-5e-5, 0.5]).reshape(2, 1, 1, 1)
    assert average_frames(frames).isfinite().all()
    with pytest.raises(ValueError, match="frames are"):
        average_frames(torch.rand(3, 8, 8))


def test_a_range_has_an_end():
    from irsde.degrade import Haze

    with pytest.raises(ValueError, match="beta"):
        Haze(beta=(0.5, float("inf")))
