"Items of several files: who lacks what, and the lenses of a text file."

import math

import numpy as np
import pytest
from PIL import Image

from irsde.knownsets import KNOWN_SETS, LAYOUTS, check_data, find_items, read_lenses


def touch(folder, *names, size=(16, 12)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 40)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "layout, names, item",
    [
        ("ISTD", [f"train/train_{part}/90-1.png" for part in "ABC"], "train/train/90-1"),
        ("ISTD", ["test_A/9.png", "test_C/9.png"], "test/9"),
        ("SRD", ["shadow/a.jpg", "shadow_free/a_no_shadow.jpg"], "a"),
        ("SRD", ["test_A/a.jpg", "test_C/a.jpg"], "test/a"),
        ("WSRD", ["input/0001.png", "gt/0001.png"], "0001"),
        ("NH-HAZE", ["01_hazy.png", "01_GT.png"], "01"),
        ("Flickr1024", ["Test/0001_L.png", "Test/0001_R.png"], "Test/0001"),
        ("Flickr1024", ["left/7.png", "right/7.png"], "7"),
        ("BETD", ["src/00000.src.jpg", "tgt/00000.tgt.jpg", "alpha/00000.alpha.png"], "00000"),
        ("BETD", ["00000.src.jpg", "00000.tgt.jpg", "00000.alpha.png"], "00000"),
    ],
)
def test_layouts(tmp_path, layout, names, item):
    items = find_items(touch(tmp_path, *names), layout)
    assert [*items.whole] == [item] and not items.missing
    assert {*items.whole[item]} == {*LAYOUTS[layout][0]}


def test_one_eye_missing_leaves_the_others(tmp_path):
    touch(tmp_path, "1_L.png", "1_R.png", "2_L.png", "3_R.png")
    items = find_items(tmp_path, "Flickr1024")
    assert [*items.whole] == ["1"]
    assert items.missing == {
        "2": "2_L.png has no right: 2_R is missing",
        "3": "3_R.png has no left: 3_L is missing",
    }


def test_a_lens_missing_names_the_item(tmp_path):
    touch(tmp_path, *(f"{k}.{part}.jpg" for part in ("src", "tgt") for k in "01"))
    (tmp_path / "meta.txt").write_text("0, Sony50mmf1.8BS, Sony50mmf16.0BS, 35\n")
    items = find_items(tmp_path, "BETD", tmp_path / "meta.txt")
    assert [*items.whole] == ["0"] and items.missing["1"].endswith("meta.txt has no line for 1")
    with pytest.raises(OSError, match="nowhere"):
        find_items(tmp_path, "BETD", tmp_path / "nowhere.txt")


def test_lenses(tmp_path):
    meta = tmp_path / "meta.txt"
    meta.write_text("00000,Sony50mmf1.8BS,Sony50mmf16.0BS,35\n\n00001 Canon50mmf1.4BS Sony50mmf1.8BS 20\n")
    assert read_lenses(meta) == {"00000": (1.8, 16.0, 35.0), "00001": (-1.4, 1.8, 20.0)}
    meta.write_text("name,camera,source,target\nebb2978,Canon 7D 50mm,f/16,f/1.8\n")
    ((source, target, disparity),) = read_lenses(meta).values()
    assert (source, target) == (16.0, 1.8) and math.isnan(disparity)
    meta.write_text("id,source,target,disparity\n3,f/16,f/1.8,7\n")
    assert read_lenses(meta) == {"3": (16.0, 1.8, 7.0)}


@pytest.mark.parametrize(
    "text, said",
    [
        ("0,f/2,f/4", "line 1: 4 fields are wanted"),
        ("0,f/2,f/4,1\n1,f/2,sharp,1", "line 2: 'sharp' is no lens"),
        ("0,f/0,f/4,1", "line 1: 'f/0' is no lens"),
        ("0,f/2,f/4,-1", "line 1: a disparity"),
        ("0,f/2,f/4,inf", "line 1: a disparity"),
        ("0,f/2,f/4,1\n0,f/2,f/4,1", "line 2: 0 stands there twice"),
        ("source,target\nf/2,f/4", "name"),
        ("\n \n", "no line with a lens"),
    ],
)
def test_wrong_lenses_are_named_by_their_line(tmp_path, text, said):
    meta = tmp_path / "meta.txt"
    meta.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_lenses(meta)


def test_sets_with_a_layout_are_checked(tmp_path):
    eyes = touch(tmp_path / "eyes", "1_L.png", "1_R.png", "2_L.png")
    told = check_data(eyes, "flickr1024-train").set_index("property")
    assert told.found["items"] == "1" and told.ok["items"] is False and told.ok["whole"] is False
    betd = touch(tmp_path / "betd", "0.src.png", "0.tgt.png", size=(1920, 1440))
    told = check_data(betd, "BETD").set_index("property")
    assert told.expected["items"].startswith("unknown") and told.ok["items"] is None and told.ok["sizes"]
    for name, known in KNOWN_SETS.items():
        assert not known.layout or known.layout in LAYOUTS, name
    haze = touch(tmp_path / "haze", "GT/01.png", "hazy/01.png", size=(1600, 1200))  # laid out otherwise
    assert check_data(haze, "NH-HAZE").set_index("property").ok["pairs"]


def test_a_link_back_up_is_followed_once(tmp_path):
    from irsde.knownsets import pictures_below
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(pictures_below(tmp_path)) == 1


@pytest.mark.parametrize("channel", ["RGB", "Y"])
def test_pairs_of_16_bits_have_the_score_of_8(channel):
    from irsde.knownsets import pair_psnr
    rng = np.random.default_rng(0)
    x0 = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    mu = np.clip(x0 + rng.normal(0, 5, x0.shape), 0, 255).astype(np.uint8)
    deep = [image.astype(np.uint16) * 257 for image in (mu, x0)]
    assert pair_psnr(*deep, channel) == pytest.approx(pair_psnr(mu, x0, channel), abs=1e-6)
