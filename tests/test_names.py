"Who belongs to whom: words of any script, numbers, scales, patterns, and which folder is which."

import itertools
from unicodedata import normalize

import pytest

from irsde.names import ROLES, match_names, name_key, pair_names, role, side_of


def refused(degraded, clean, **how):
    with pytest.raises(ValueError) as caught:
        pair_names(degraded, clean, **how)
    return str(caught.value)


# ---- keys


def test_names_of_a_pair_are_equal_without_their_roles():
    assert name_key("rain-001") == name_key("norain-1") == (1,)
    assert name_key("img_003_SRF_4_LR") == name_key("img_003_SRF_4_HR")
    assert name_key("baby_x4") == name_key("baby")
    assert name_key("baby_LRx4") == name_key("baby_HR") == ("baby",)


@pytest.mark.parametrize(
    "name, key",
    [
        ("GOPR0384/blur/000001", ("gopr", 384, 1)),
        ("1_1_0.90179", (1, 1, 0, 90179)),
        ("0801x4", (801,)),
        ("rain", ("rain",)),
        ("", ("",)),
        ("---", ("---",)),
        ("img٣", ("img", 3)),
        ("m²", ("m²",)),
        ("babyx4", ("babyx", 4)),
    ],
)
def test_keys(name, key):
    assert name_key(name) == key


# ---- words


WORDS = [
    "cat",
    "café",
    "мост",
    "雨",
    "東京",
    "が",
    "한국",
    "ไทย",
    "हिन्दी",
    "हन्द",
    "ß",
    "İzmir",
    "🌧",
    "🐱",
    "x",
    "a",
]


@pytest.mark.parametrize("scheme", ["{0}_{1}", "{1}_{0}", "{0} {1}", "{0}.{1}", "{0}{1}"])
def test_a_number_alone_makes_no_pair(scheme):
    names = [scheme.format(word, 7) for word in WORDS]
    for one, other in itertools.permutations(names, 2):
        assert match_names([f"{one}_lq"], [f"{other}_gt"]) == [None], (one, other)
    assert pair_names([f"{name}_lq" for name in names], names[::-1]) == [*range(len(names))][::-1]


def test_what_may_be_missing_are_words_for_the_side():
    assert pair_names(["rain-001"], ["001"]) == pair_names(["0801x4"], ["0801"]) == [0]
    assert match_names(["cat1", "dog_1", "foo-001"], ["1"]) == [None] * 3
    assert match_names(["cat/1", "dog/1"], ["dog/1"]) == [None, 0]


def test_accents_and_capitals():
    name = "Žluťoučký_café_3"
    for one, other in itertools.product(("NFC", "NFD"), repeat=2):
        assert pair_names([normalize(one, f"{name}_lq")], [normalize(other, name.upper())]) == [0]
    assert pair_names(["A", "a"], ["a", "A"]) == [1, 0]
    both = [normalize("NFC", "é"), normalize("NFD", "é")]
    assert pair_names(both, both[::-1]) == [1, 0]


def test_dots_belong_to_the_name():
    assert pair_names(["frame.0001.lq", "frame.0002.lq"], ["frame.0002", "frame.0001"]) == [1, 0]
    assert pair_names(["v1.0", "v1.1"], ["v1.1", "v1.0"]) == [1, 0]


# ---- pairs


def test_pairs_by_name():
    assert pair_names(["a_lq", "b_lq"], ["b_gt", "a_gt"]) == [1, 0]
    assert pair_names(["1400_1", "1400_2"], ["1400"]) == [0, 0]
    assert "1 of 2 degraded pictures have no clean one (c)" in refused(["a", "c"], ["a"])
    assert "1 of 2 clean pictures have no degraded one (b)" in refused(["a"], ["a", "b"])
    assert "may belong to" in refused(["a"], ["a_gt", "a_clean"])
    assert pair_names(["l1", "l2"], ["n2", "n1"], key=lambda name: name[1]) == [1, 0]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_scale_at_the_end_of_a_word(scale):
    names = ["baby", "bird", "img_001", "frame.12", "雨"]
    assert pair_names([f"{name}x{scale}" for name in names], names[::-1]) == [4, 3, 2, 1, 0]
    assert pair_names([f"LR/{name}X{scale}" for name in names], names) == [0, 1, 2, 3, 4]


def test_a_scale_may_belong_to_the_word():
    boxes = ["box2", "box3", "box4"]
    assert pair_names(boxes, boxes[::-1]) == [2, 1, 0]
    assert pair_names([f"{name}_lq" for name in boxes], [f"{name}_gt" for name in boxes]) == [0, 1, 2]
    assert pair_names(["bo_lq", "box4"], ["box4", "bo"]) == [1, 0]
    assert pair_names(["box4x4", "box2x4"], ["box2", "box4"]) == [1, 0]
    assert "box4 may belong to bo, box" in refused(["box4"], ["bo", "box"])
    assert "have no clean one (box5)" in refused(["box5"], ["bo"])


# ---- patterns


@pytest.mark.parametrize(
    "pattern, degraded, clean",
    [
        ("{}x4", "babyx4", "baby"),
        ("LR_{}", "LR_baby", "baby"),
        ("LR_{}.png", "LR_baby", "baby"),
        ("{}_hazy_0.5", "a.b_hazy_0.5", "a.b"),
        ("LR_{}", "set/LR_baby", "set/baby"),
        ("LR/{}x4", "LR/babyx4", "HR/baby"),
        ("LR/{}x4", "set/LR/babyx4", "set/HR/baby"),
        ("blur/{}", "blur/set/1", "set/1"),
        ("LR_bicubic/X4/{}x4", "babyx4", "baby"),
        (r"LR\{}x4", "LR/babyx4", "baby"),
        ("{}/{}_lq", "baby/baby_lq", "baby"),
        ("{}_tief", normalize("NFD", "größe_tief"), "größe"),
    ],
)
def test_patterns(pattern, degraded, clean):
    assert pair_names([degraded], [clean], pattern=pattern) == [0]


def test_a_pattern_alone_decides():
    assert 'pairs are made by pattern="{}x8"' in refused(["babyx4"], ["baby"], pattern="{}x8")
    assert "have no clean one (baby)" in refused(["baby"], ["baby"], pattern="{}x4")
    assert pair_names(["1", "2"], ["2", "1"], pattern="{}") == [1, 0]
    assert pair_names(["s/a4", "t/a4"], ["t/a", "s/a"], pattern="{}4") == [1, 0]
    assert "may belong to" in refused(["a_lq"], ["s/a", "t/a"], pattern="{}_lq")


@pytest.mark.parametrize("wrong", ["x4", "", "{0}x4", "{name}", "*x4", 4, ("{}x4",)])
def test_what_is_no_pattern(wrong):
    assert "pattern is how a degraded picture is called" in refused(["ax4"], ["a"], pattern=wrong)


def test_the_way_out_is_named():
    assert 'pattern="{}_lq"' in refused(["downa"], ["a"])
    assert 'pattern="{}_lq"' in refused(["a"], ["a_gt", "a_clean"])


# ---- sides


@pytest.mark.parametrize("words", sorted(ROLES["degraded"] | ROLES["clean"]))
def test_folders_named_by_a_role(words):
    side = "degraded" if words in ROLES["degraded"] else "clean"
    assert (
        role(words) == side_of(words) == side_of(f"{words}/sub") == side_of(f"Train_{words.upper()}1") == side
    )


def test_sides():
    told = {"LR_bicubic/X4": "degraded", "X4": "degraded", "Set5/X4/HR": "clean", "noise_free": "clean"}
    told |= {
        "GoPro/*/blur": "degraded",
        "photos": None,
        "": None,
        "targets": "clean",
        "rain_data/photos": "degraded",
    }
    assert {folder: side_of(folder) for folder in told} == told
