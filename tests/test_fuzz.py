"Random cases (.ci/fuzz.py): some of each kind hold, and a fault that is planted is found."

import sys
from pathlib import Path

import pytest

from irsde import checkpoint, images

CI = Path(__file__).parents[1] / ".ci"
KINDS = {"pictures": 80, "masks": 80, "folders": 10, "checkpoints": 40, "tables": 25, "names": 100}


@pytest.fixture(scope="module")
def fuzz():
    "The script as a module, which finds its neighbours"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CI)
        import fuzz

        for kind in KINDS:
            fuzz.case_of(kind)
        yield fuzz


@pytest.fixture
def found(fuzz, tmp_path):
    "What is wrong with the first cases of a kind"
    return lambda kind, n: [
        f"{kind} {seed}: {text}"
        for seed in range(n)
        for end, text in [fuzz.outcome(kind, seed, tmp_path)]
        if end == "failed"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_cases_hold(found, kind, tmp_path):
    assert not found(kind, KINDS[kind])
    assert not [*tmp_path.iterdir()]


def test_a_case_depends_on_its_number_alone(fuzz):
    from fuzz_pictures import png
    from fuzz_tools import random_for

    one, again, other = (png(random_for("pictures", seed)).data for seed in (3, 3, 4))
    assert one == again != other
    assert random_for("masks", 3).random() != random_for("names", 3).random()


def test_a_failure_keeps_its_files(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "picture_size", lambda path: (1, 1))
    ends = {seed: fuzz.outcome("pictures", seed, tmp_path)[0] for seed in range(20)}
    failed = {f"pictures-{seed}" for seed, end in ends.items() if end == "failed"}
    assert failed and {folder.name for folder in tmp_path.iterdir()} == failed


# ---- planted faults: the library does wrong, and the cases say so


def test_one_pixel_is_found(found, monkeypatch):
    right = images.read

    def read(path, **options):
        picture = right(path, **options)
        picture.values[0, 0, 0] = picture.top - picture.values[0, 0, 0]
        return picture

    monkeypatch.setattr(images, "read", read)
    assert any("with other numbers than" in text for text in found("pictures", 20))


def test_an_error_of_another_kind_is_found(found, monkeypatch):
    def read(path, **options):
        raise KeyError(path)

    monkeypatch.setattr(images, "read", read)
    assert all("KeyError" in text for text in found("pictures", 5)) and len(found("pictures", 5)) == 5


def test_a_file_half_written_is_found(found, monkeypatch):
    def write(path, picture, *rest, **options):
        Path(path).with_name(".part.png").write_bytes(b"half")
        raise OSError(f"{path} could not be written")

    monkeypatch.setattr(images, "write", write)
    assert any("lies about" in text for text in found("pictures", 20))


def test_the_opposite_of_a_mask_is_found(found, monkeypatch):
    module = sys.modules["fuzz_masks"]
    right = module.as_mask
    monkeypatch.setattr(module, "as_mask", lambda *given: ~right(*given))
    assert any("the other way round" in text for text in found("masks", 20))


def test_a_wrong_pair_is_found(found, monkeypatch):
    monkeypatch.setattr(
        sys.modules["fuzz_names"], "pair_names", lambda lq, gt, **how: [k % len(gt) for k in range(len(lq))]
    )
    texts = found("names", 60)
    assert any("was paired with" in text for text in texts)
    assert any("other pairs than were made" in text for text in texts)


def test_a_lost_row_is_found(found, monkeypatch):
    ledger = sys.modules["fuzz_tables"].ledger
    right = ledger.record

    def record(path, *rows, **about):
        table = right(path, *rows, **about)
        lines = Path(path).read_bytes().split(b"\n")
        Path(path).write_bytes(b"\n".join(lines[:1] + lines[2:]))
        return table

    monkeypatch.setattr(ledger, "record", record)
    assert any("rows" in text for text in found("tables", 20))


def test_a_changed_weight_is_found(found, monkeypatch):
    module = sys.modules["fuzz_checkpoints"]
    monkeypatch.setattr(checkpoint, "digest", lambda *given: "sha256:0")
    module.bytes_of.cache_clear()
    texts = found("checkpoints", 40)
    module.bytes_of.cache_clear()
    assert any("other weights" in text for text in texts)


def test_a_silence_about_files_is_found(found, monkeypatch):
    monkeypatch.setattr(images, "left_out", lambda *given, **options: "")
    assert any("left out are" in text for text in found("folders", 20))


# ---- killing


def test_a_torn_result_is_found(tmp_path, fuzz):
    from kill_restore import faults_of, held, make_pictures

    make_pictures(tmp_path, 12)
    wanted = held(tmp_path)
    assert len(wanted) == 12 and not faults_of(tmp_path, wanted)
    torn = tmp_path / "003.webp"
    torn.write_bytes(torn.read_bytes()[:-9])
    (tmp_path / "more.png").write_bytes(b"x")
    (tmp_path / ".part.png").write_bytes(b"x")
    assert faults_of(tmp_path, wanted) == ["003.webp is not whole", "more.png is none of the results"]
