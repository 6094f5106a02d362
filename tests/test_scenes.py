"Shadows, haze in patches, two eyes and lenses: their laws, the same from the same generator, any size."

import pickle

import numpy as np
import pytest
import torch

from irsde import scenes
from irsde.degrade import DEGRADATIONS, Downscale, Haze
from irsde.evaluate import FromClean
from irsde.images import write_image
from irsde.material import degradation_of
from irsde.scenes import SCENES, Lens, PatchyHaze, Shadow, TwoEyes, make_pair, random_scene
from irsde.views import (
    discs,
    in_layers,
    nearest_surface,
    other_eye,
    stereo_pair,
    through_lens,
    to_light,
    to_values,
)

from .conftest import picture

EVERY = {
    **SCENES,
    "polygon": Shadow(kind="polygon"),
    "blob": Shadow(kind="blob"),
    "foliage": Shadow(kind="foliage"),
    "masks": Shadow(masks=torch.rand(3, 11, 17, generator=torch.Generator().manual_seed(0))),
    "nothing": PatchyHaze(beta=0.0),
    "everything": PatchyHaze(beta=50.0, patchiness=3.0),
    "flat": TwoEyes(near=0.0),
    "wide": TwoEyes(near=0.5),
    "pinhole": Lens(128, 128),
    "glass": Lens(0.5, 0.5, 300),
}


def seeded(n):
    return torch.Generator().manual_seed(n)


@pytest.mark.parametrize("name", EVERY)
def test_a_pair_has_one_shape_and_follows_its_generator(name):
    photos, way = picture(2, 3, 40, 48), EVERY[name]
    before, state = photos.clone(), torch.random.get_rng_state()
    pair, again = make_pair(way, photos, seeded(1)), make_pair(way, photos, seeded(1))
    copy = make_pair(pickle.loads(pickle.dumps(way)), photos, seeded(1))
    assert pair.clean.shape == pair.mu.shape == (2, 6 if isinstance(way, TwoEyes) else 3, 40, 48)
    for part, other, third in zip(pair, again, copy):
        assert part is other is None or torch.equal(part, other) and torch.equal(part, third)
    assert torch.equal(photos, before) and torch.equal(state, torch.random.get_rng_state())
    for part in pair[:2]:
        assert part.dtype == photos.dtype and part.isfinite().all() and 0 <= part.min() <= part.max() <= 1


@pytest.mark.parametrize("name", SCENES)
def test_another_seed_is_another_scene(name):
    photos = picture(1, 3, 40, 48).expand(2, -1, -1, -1)
    pair, other = (make_pair(SCENES[name], photos, seeded(k)) for k in (1, 2))
    assert not torch.equal(pair.mu, other.mu) and not torch.equal(pair.mu[0], pair.mu[1])


@pytest.mark.parametrize("size", [(8, 8), (8, 61), (37, 9), (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", EVERY)
def test_any_size_and_any_grey(name, size):
    for value in (0.0, 0.5, 1.0):
        pair = make_pair(EVERY[name], torch.full((1, 3, *size), value), seeded(3))
        assert pair.mu.shape[2:] == size
        assert pair.mu.isfinite().all() and 0 <= pair.mu.min() <= pair.mu.max() <= 1


@pytest.mark.parametrize("name", SCENES)
def test_half_precision(name):
    photos = picture(1, 3, 24, 32)
    half = make_pair(SCENES[name], photos.bfloat16(), seeded(2))
    assert half.mu.dtype == torch.bfloat16
    assert (half.mu.float() - make_pair(SCENES[name], photos, seeded(2)).mu).abs().mean() < 0.01


@pytest.mark.parametrize("name", EVERY)
def test_pictures_of_0_to_255_are_refused(name):
    for wrong in (picture(1, 3, 12, 12) * 255, picture(3, 12, 12), picture(1, 3, 12, 12) * torch.nan):
        with pytest.raises(ValueError):
            make_pair(EVERY[name], wrong)
        with pytest.raises(ValueError):
            EVERY[name](wrong)


@pytest.mark.parametrize("name", ["shadow-removal", "nonhomogeneous-dehazing", "bokeh"])
def test_grey_pictures_stay_grey(name):
    assert SCENES[name](picture(2, 1, 16, 20), seeded(0)).shape == (2, 1, 16, 20)


def test_light_is_srgb():
    for value, light in ((0.0, 0.0), (0.04045, 0.04045 / 12.92), (0.5, 0.21404), (1.0, 1.0)):
        torch.testing.assert_close(to_light(torch.tensor(value)), torch.tensor(light), atol=1e-5, rtol=0)
    values = torch.linspace(0, 1, 256)
    torch.testing.assert_close(to_values(to_light(values)), values, atol=1e-5, rtol=0)


def test_discs_have_area_one_and_their_width():
    disc = discs(torch.tensor([0.0, 0.7, 20.0]))
    torch.testing.assert_close(disc.sum((1, 2)), torch.ones(3))
    assert (disc[:2, 10, 10] == 1).all() and (disc >= 0).all()
    profile, x = disc[2].sum(0), torch.arange(-10, 11.0)
    assert abs((profile * x**2).sum().sqrt() - 5) < 0.1  # a quarter of the diameter
    assert discs(torch.zeros(2)).shape == (2, 1, 1)


def test_a_full_shadow_leaves_its_share_of_light():
    photos = picture(1, 3, 20, 24)
    dark = Shadow(0.25, 1.44, masks=torch.ones(1, 4, 4))(photos, seeded(0))
    share = torch.tensor([0.25 / 1.2, 0.25, 0.25 * 1.2]).view(1, 3, 1, 1)
    torch.testing.assert_close(to_light(dark), to_light(photos) * share, atol=1e-5, rtol=0)
    torch.testing.assert_close(Shadow(1.0, 1.0)(photos, seeded(0)), photos, atol=1e-5, rtol=0)


def test_shadows_cover_a_part_and_have_soft_edges():
    for kind in ("polygon", "blob", "foliage"):
        mask = Shadow(kind=kind, penumbra=0.1).mask(30, (40, 60), seeded(1))
        assert 0 <= mask.min() and mask.max() <= 1
        assert 0.002 < mask.mean((1, 2, 3)).min() and mask.mean((1, 2, 3)).max() < 0.97
        assert ((mask > 0.1) & (mask < 0.9)).float().mean() > 0.02
        hard = Shadow(kind=kind, penumbra=0.0).mask(3, (40, 60), seeded(1))
        torch.testing.assert_close(hard, hard.round(), atol=1e-5, rtol=0)


def test_even_haze_is_haze_and_patches_have_mean_one():
    photos, depth = picture(1, 3, 20, 20), torch.linspace(0.5, 1, 400).reshape(20, 20)
    even = PatchyHaze(1.2, 0.9, depth, patchiness=0.0, tint=1.0)
    torch.testing.assert_close(even(photos, seeded(0)), Haze(1.2, 0.9, depth)(photos, seeded(0)))
    patches = PatchyHaze(patchiness=0.7).density(4, (30, 40), seeded(0))
    torch.testing.assert_close(patches.mean((1, 2, 3)), torch.ones(4))
    torch.testing.assert_close(patches.log().std((1, 2, 3)), torch.full((4,), 0.7), rtol=1e-3, atol=0)


def test_each_fog_of_a_batch_is_its_own():
    "A density's mean is 1 in every picture, whatever stands beside it in the batch"
    t = PatchyHaze(2.0, depth=torch.ones(16, 16)).transmission(picture(5, 3, 16, 16), seeded(0))
    torch.testing.assert_close(-t.log().mean((1, 2, 3)), torch.full((5,), 2.0))


def test_the_nearest_surface_is_seen_and_holes_come_from_behind():
    row = torch.arange(20.0).div(20).expand(1, 1, 4, 20).clone()
    shift = torch.full((1, 1, 4, 20), 2.0)
    shift[..., 10:14] = 5.0  # pixels 10 to 13 go to 5 to 8, 14 on to 12 on: 9, 10, 11 were not seen
    found = nearest_surface(shift)[0, 0, 0]
    wanted = [2.0] * 5 + [5.0] * 4 + [-1.0] * 3 + [2.0] * 6 + [-1.0] * 2
    np.testing.assert_array_equal(found, wanted)
    right, seen = other_eye(row, shift)
    torch.testing.assert_close(right[0, 0, 0, 5:9] * 20, torch.arange(10.0, 14))
    assert (~seen[0, 0, 0]).nonzero().flatten().tolist() == [9, 10, 11, 18, 19]
    torch.testing.assert_close(right[0, 0, 0, 9:12] * 20, torch.tensor([16.0, 15, 14]))  # mirrored
    torch.testing.assert_close(right[0, 0, 0, 18:] * 20, torch.tensor([19.0, 18]))


def test_two_eyes_see_one_photo():
    photo = picture(3, 20, 30)
    pairs = [stereo_pair(photo, seeded(k)).unflatten(0, (2, 3)) for k in range(12)]
    which = [[torch.equal(eye, photo) for eye in pair] for pair in pairs]
    assert [True, False] in which and [False, True] in which and [False, False] not in which
    clean = torch.cat([photo, photo.flip(-1)])[None]
    torch.testing.assert_close(TwoEyes()(clean)[:, :3], Downscale()(photo[None]))
    assert TwoEyes(near=0.0).pair(photo[None]).clean.unflatten(1, (2, 3)).std(1).max() == 0


def test_nothing_out_of_focus_nothing_changes():
    photos = picture(2, 3, 30, 36)
    layers, defocus = random_scene(2, (30, 36), seeded(0))
    assert (layers.sum(1) == 1).all() and (defocus[:, 2] == 0).all()
    sharp = through_lens(photos, layers, torch.zeros(2, 4))
    torch.testing.assert_close(sharp, photos, atol=1e-4, rtol=0)


def test_the_circle_of_confusion():
    "A point behind the subject is a disc of D / N |1 - 1 / z|, and keeps its light"
    lamp, depth = torch.zeros(1, 1, 61, 61), torch.full((1, 1, 61, 61), 4.0)
    lamp[..., 30, 30] = 1
    pair = Lens(8, 2, 40).pair(lamp, seeded(0), depth)
    x = torch.arange(61) - 30.0
    for view, n in ((pair.mu, 8), (pair.clean, 2)):
        light = to_light(view)[0, 0]
        width = 4 * (light.sum(0) * x**2).sum().sqrt()
        assert abs(light.sum() - 1) < 1e-2 and abs(width - 40 / n * (1 - 1 / 4)) < 0.5
    torch.testing.assert_close(pair.lenses, torch.tensor([[8.0, 2.0, 40.0]]))


def test_the_subject_of_a_mask_stays_sharp():
    photos, subject = picture(1, 3, 40, 40), torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    subject[..., 10:30, 12:28] = True
    pair = Lens().pair(photos, seeded(0), torch.where(subject, 1.0, torch.inf))
    inside = subject.expand_as(photos)
    torch.testing.assert_close(pair.clean[inside], photos[inside], atol=1e-4, rtol=0)
    assert (pair.clean - photos)[~inside].abs().mean() > (pair.mu - photos)[~inside].abs().mean()


def test_a_depth_is_cut_from_far_to_near():
    depth = torch.linspace(0.5, 4, 90).reshape(1, 1, 9, 10)
    layers, defocus = in_layers(depth, 5)
    assert (layers.sum(1) == 1).all() and (defocus.diff() < 0).all()
    error = (layers * defocus[..., None, None]).sum(1, keepdim=True) - (1 - 1 / depth)
    assert error.abs().max() <= (1 - 1 / 4 - (1 - 1 / 0.5)) / 5 + 1e-6


def test_other_degradations_make_pairs_too():
    photos = picture(1, 3, 16, 16)
    pair = make_pair(DEGRADATIONS["dehazing"], photos, seeded(0))
    assert pair.clean is photos and pair.lenses is None
    assert torch.equal(pair.mu, DEGRADATIONS["dehazing"](photos, seeded(0)))


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Shadow(light=1.5), "light"),
        (lambda: Shadow(tint=0), "tint"),
        (lambda: Shadow(penumbra=(0.3, 0.1)), "penumbra"),
        (lambda: Shadow(kind="tree"), "kind"),
        (lambda: Shadow(masks=torch.ones(1, 4, 4) * 255), "255"),
        (lambda: PatchyHaze(patchiness=-1), "patchiness"),
        (lambda: PatchyHaze(octaves=0), "octaves"),
        (lambda: PatchyHaze(depth=torch.zeros(4, 4)), "depth"),
        (lambda: TwoEyes(near=0.7), "near"),
        (lambda: TwoEyes(factor=0.5), "factor"),
        (lambda: TwoEyes()(torch.ones(1, 3, 8, 8)), "stereo_pair"),
        (lambda: TwoEyes().pair(torch.ones(1, 1, 8, 8)), "3 channels"),
        (lambda: stereo_pair(torch.ones(1, 3, 8, 8)), "batch"),
        (lambda: other_eye(torch.ones(1, 3, 8, 8), torch.full((1, 1, 8, 8), -1.0)), "pixels"),
        (lambda: Lens(source=0), "source"),
        (lambda: Lens(target="f/2"), "target"),
        (lambda: Lens(disparity=-3), "disparity"),
        (lambda: Lens().pair(torch.ones(1, 3, 8, 8), None, torch.zeros(1, 1, 8, 8)), "depth"),
        (lambda: Lens().pair(torch.ones(1, 3, 8, 8), None, torch.ones(1, 1, 4, 4)), "layers"),
        (lambda: through_lens(torch.ones(1, 3, 8, 8), torch.ones(1, 2, 8, 8), torch.ones(2)), "diameters"),
        (lambda: in_layers(torch.full((1, 1, 4, 4), torch.nan)), "depth"),
    ],
)
def test_impossible_settings_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_measured_outlines_and_depth(tmp_path):
    "Shadows from outlines in files, for a test set as for a training; bokeh says that it takes none"
    outline = torch.zeros(1, 24, 24)
    outline[:, :, :12] = 1
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "masks" / "half.png", outline)
    shadow = scenes.measured("shadow-removal", tmp_path / "masks")
    x0 = torch.full((1, 3, 24, 24), 0.8)
    mu = shadow(x0, torch.Generator().manual_seed(0))
    assert mu[..., 2].mean() < 0.7 and (mu[..., -2] - 0.8).abs().max() < 0.05
    assert degradation_of("shadow-removal", measured=tmp_path / "masks").masks.shape == (1, 24, 24)
    case = FromClean("shadow-removal", {"grey": x0[0]}, measured=tmp_path / "masks")[0]
    assert case.mu.min() < 0.7 < case.x0.min()
    with pytest.raises(ValueError, match="takes no measured material"):
        scenes.measured("bokeh", tmp_path / "masks")
