"The workshop of the weights (tools/) and the checks (.ci/): what they decide, without data or training."

import ast
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from execnb.nbio import NbCell

from irsde import checkpoint
from irsde.images import write
from irsde.subsets import subset_table

ROOT = Path(__file__).parents[1]


def script(path):
    "A script as a module"
    name = f"script_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ship():
    return script(ROOT / "tools/ship.py")


@pytest.fixture(scope="module")
def tune():
    return script(ROOT / "tools/tune.py")


@pytest.fixture(scope="module")
def card():
    return script(ROOT / "tools/make_card.py")


@pytest.fixture
def files(ship, monkeypatch):
    "Path -> what the file of weights there says of itself, in place of files"
    known = {}
    monkeypatch.setattr(ship.checkpoint, "load", lambda path: (None, None, known[str(path)]))
    return known


def run(**recipe):
    return {"task": "deraining", "recipe": {"task": "deraining", "iters": 9, "init": None} | recipe}


# ---- ship: names in place of folders


def test_masked_reaches_every_text_and_leaves_the_value(ship):
    value = {"clean": "/data/a/*", "pairs": ["/data/lq", "/else"], "n": 3, "x": None, "y": [{"z": "/data"}]}
    wanted = {"clean": "$DATA/a/*", "pairs": ["$DATA/lq", "/else"], "n": 3, "x": None, "y": [{"z": "$DATA"}]}
    assert ship.masked(value, {Path("/data"): "$DATA"}) == wanted
    assert value["clean"] == "/data/a/*"


def test_masked_takes_names_in_their_order(ship):
    assert ship.masked("/data/haze/lq", {"/data/haze": "$HAZE", "/data": "$DATA"}) == "$HAZE/lq"
    assert ship.masked("/data/haze/lq", {"/data": "$DATA", "/data/haze": "$HAZE"}) == "$DATA/haze/lq"


def test_thinned_keeps_validations_and_every_fiftieth(ship):
    rows = [{"step": str(step), "val_psnr": "30.1" if step == 120 else ""} for step in range(10, 160, 10)]
    assert [row["step"] for row in ship.thinned(rows)] == ["50", "100", "120", "150"]
    assert [row["step"] for row in ship.thinned(rows, 70)] == ["70", "120", "140"]


# ---- ship: which run follows which


def test_before_names_what_a_run_began_from(ship):
    assert ship.before(run(init="/runs/a/model.safetensors"))["recipe"]["init"] == ship.BEFORE
    assert ship.before(run())["recipe"]["init"] is None
    about = run(init="deraining")
    ship.before(about)
    assert about["recipe"]["init"] == "deraining"


def test_a_run_from_nothing_or_from_another_task_follows_nobody(ship, files, tmp_path):
    assert not ship.follows(None, "deraining", {}, run(), tmp_path)
    assert not ship.follows("deraining", "dehazing", {}, run(init="deraining"), tmp_path)


def test_a_run_from_a_task_follows_it(ship, files, tmp_path):
    assert ship.follows("deraining", "deraining", {}, run(init="deraining"), tmp_path)


@pytest.fixture
def shipped(ship, files, tmp_path):
    "Weights that ship, made of /runs/a, whose recipe said /data"
    path = tmp_path / "irsde/weights/deraining.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    files[str(path)] = run(clean="$DATA/train")
    files["/runs/a/model.safetensors"] = run(clean="/data/train")
    files["/runs/other/model.safetensors"] = run(clean="/data/train", iters=10)
    return tmp_path


def test_a_run_follows_by_the_file_of_the_run_that_ships(ship, shipped):
    names = {"/data": "$DATA"}

    def follows(init):
        return ship.follows(init, "deraining", names, run(init=init, iters=20), shipped)

    assert follows("/runs/a/model.safetensors")
    assert not follows("/runs/other/model.safetensors")
    unmasked = ship.follows("/runs/a/model.safetensors", "deraining", {}, run(init="x", iters=20), shipped)
    assert not unmasked


def test_weights_that_were_stopped_are_known_again(ship, shipped, files):
    files[str(shipped / "irsde/weights/deraining.safetensors")]["recipe"]["stopped"] = 5
    assert ship.follows("/runs/a/model.safetensors", "deraining", {"/data": "$DATA"}, run(iters=20), shipped)


def test_the_run_that_ships_is_itself(ship, shipped, files):
    about = run(init="/runs/0/model.safetensors", iters=7)
    files["/runs/0/model.safetensors"] = run(iters=1)
    files[str(shipped / "irsde/weights/deraining.safetensors")] = ship.before(about)
    assert ship.follows("/runs/0/model.safetensors", "deraining", {}, about, shipped)


def test_nobody_follows_where_nothing_ships(ship, files, tmp_path):
    assert not ship.follows("/runs/a/model.safetensors", "deraining", {}, run(init="x"), tmp_path)


# ---- ship: what the files say of themselves


SHIPPED = sorted(
    file for folder in ("irsde", "data") for file in (ROOT / folder / "weights").glob("*.safetensors")
)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_files_restore_as_their_record_says(ship, file):
    model, _, about = checkpoint.load(file)
    told = ship.as_record(about, model.autoencoder.scale if hasattr(model, "autoencoder") else 1)
    assert told == {"ensemble": 1} | about  # older files say nothing of an ensemble of one


# ---- ship: what becomes of the run before


@pytest.fixture
def records(shipped):
    folder = shipped / "data/runs"
    folder.mkdir(parents=True)
    for name in "curve-deraining.csv", "recipe-deraining.json":
        (folder / name).write_text(name)
    return shipped


def names_in(root):
    return sorted(path.name for path in (root / "data/runs").iterdir())


def test_earlier_numbers_what_was_recorded(ship, records, files):
    old = files[str(records / "irsde/weights/deraining.safetensors")]
    assert ship.earlier("deraining", run(iters=20), records) == [old["recipe"]]
    assert names_in(records) == ["curve-deraining-1.csv", "recipe-deraining-1.json"]
    assert (records / "data/runs/curve-deraining-1.csv").read_text() == "curve-deraining.csv"


def test_earlier_counts_on(ship, records, files):
    old = files[str(records / "irsde/weights/deraining.safetensors")]
    old["before"] = [{"iters": 1}, {"iters": 2}]
    assert ship.earlier("deraining", run(iters=20), records) == [{"iters": 1}, {"iters": 2}, old["recipe"]]
    assert names_in(records) == ["curve-deraining-3.csv", "recipe-deraining-3.json"]


def test_earlier_of_the_run_that_ships_already_moves_nothing(ship, records, files):
    old = files[str(records / "irsde/weights/deraining.safetensors")]
    old["before"] = [{"iters": 1}]
    assert ship.earlier("deraining", {"recipe": dict(old["recipe"])}, records) == [{"iters": 1}]
    assert names_in(records) == ["curve-deraining.csv", "recipe-deraining.json"]


def test_a_stopped_run_ships_only_if_told(ship):
    config = {"settings": {"iterations": 9}, "about": {"recipe": {}}}
    about = run() | {"step": 7}
    with pytest.raises(ValueError, match="7 of 9 steps"):
        ship.mark_stopped(about, config, allowed=False)
    ship.mark_stopped(about, config, allowed=True)
    assert about["recipe"]["stopped"] == config["about"]["recipe"]["stopped"] == 7
    about = run() | {"step": 9}
    ship.mark_stopped(about, config, allowed=False)
    assert "stopped" not in about["recipe"]


def test_chain_rewrites_recipe_and_command(ship):
    config = {"about": {"recipe": {}}, "made": [{"command": "irsde train --init deraining --iters 9"}]}
    about = run(init="deraining")
    ship.chain(about, config, "deraining")
    assert about["recipe"]["init"] == config["about"]["recipe"]["init"] == ship.BEFORE
    assert config["made"][0]["command"] == f"irsde train --init {ship.BEFORE} --iters 9"


def test_comparisons_stay_outside_of_the_package(ship, tmp_path):
    assert ship.shipped("deraining", tmp_path) == tmp_path / "irsde/weights/deraining.safetensors"
    assert ship.shipped("deraining-cnn", tmp_path) == tmp_path / "data/weights/deraining-cnn.safetensors"


# ---- tune and rooms: tables


def test_ways_are_known_and_asked_once(tune):
    from irsde.sampling import SOLVERS

    assert len(set(tune.WAYS)) == len(tune.WAYS)
    assert all(solver in SOLVERS and steps >= 1 and copies in (1, 2) for solver, steps, copies in tune.WAYS)
    assert {0, 1} <= set(tune.SHARES)


def test_every_default_is_among_the_ways(tune):
    for name, task in tune.TASKS.items():
        solvers = [task.solver] if task.steps > 1 else ["exp-ode-2", "posterior"]  # one call: the same by any
        assert any((solver, task.steps, task.ensemble or 1) in tune.WAYS for solver in solvers), name


def test_measured_material_is_of_tasks(tune):
    assert set(tune.MEASURED) <= set(tune.TASKS)


def test_kept_tables_have_the_ways_and_shares(tune):
    kept, pools = pd.read_csv(tune.KEPT), pd.read_csv(tune.POOLS)
    for name, rows in kept.groupby("task"):
        ways = rows[["solver", "steps", "ensemble"]].itertuples(index=False, name=None)
        assert set(ways) == set(tune.WAYS), name
    for name, rows in pools.groupby("task"):
        assert set(rows["pool"]) == set(tune.SHARES), name
    for table in kept, pools:
        assert set(tune.SCORES) <= set(table.columns)


def test_with_rows_replaces_a_task_and_leaves_the_others(tune):
    known = pd.DataFrame({"task": ["a", "b", "a"], "psnr": [1, 2, 3]})
    both = tune.with_rows(known, pd.DataFrame({"task": ["a"], "psnr": [9]}))
    assert both.values.tolist() == [["b", 2], ["a", 9]]
    assert tune.with_rows(known[:0], known).equals(known)


def test_rooms_hold_out_every_third():
    rooms = script(ROOT / "tools/rooms.py")
    assert rooms.held_out(["1406", "1400", "1402", "1401", "1409"]) == ["1401", "1409"]
    assert set(rooms.SCORED) <= set(rooms.ALL_DENSITIES)


def test_rooms_go_on_with_a_run(tmp_path):
    rooms = script(ROOT / "tools/rooms.py")
    begin = rooms.train_command(Path("data"), tmp_path)
    assert begin[begin.index("--clean") + 1] == "data/train/clean/*" and "--resume" not in begin
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").touch()
    assert rooms.train_command(Path("data"), tmp_path)[-1] == "--resume"


# ---- the card and the README


def test_stale_card(card, tmp_path):
    path = tmp_path / "README.md"
    assert "is not what" in card.stale(path, "text")
    path.write_text("text", encoding="utf-8")
    assert card.stale(path, "text") == ""
    assert "is not what" in card.stale(path, "other")


def test_card_rows(card):
    about = {"solver": "exp-ode-2", "steps": 1, "ensemble": 2}

    def row(method, psnr, steps):
        return {
            "task": "deraining",
            "test_set": "rain",
            "method": method,
            "solver": "exp-ode-2",
            "steps": steps,
            "n_images": 10,
            "psnr": psnr,
            "ssim": 0.5,
            "lpips": 0.25,
            "protocol": "Y",
        }

    scores = pd.DataFrame(
        [
            row("input", 20, None),
            row("irsde, ensemble of 2", 30, 1),
            row("irsde", 29, 1),
            row("irsde, ensemble of 2", 28, 2),
        ]
    )
    given, best = "20.00 / 0.500 / 0.250", "30.00 / 0.500 / 0.250"
    assert list(card.rows_of(scores, "deraining", about)) == [
        f"| deraining | rain | 10 | {given} | {best} | exp-ode-2, 1 × 2 copies | Y |"
    ]
    assert not list(card.rows_of(scores, "dehazing", about))


def test_readme_speaks_as_github_does():
    readme = script(ROOT / "tools/make_readme.py")
    links, note = "[a](01_toy.ipynb) [b](https://c) [d](#e)", "::: {.callout-note}\n## Head\ntwo\nlines\n:::"
    assert readme.as_github(links) == "[a](nbs/01_toy.ipynb) [b](https://c) [d](#e)"
    assert readme.as_github(note) == "> [!NOTE]\n> **Head.** two\n> lines"
    with pytest.raises(SystemExit, match="fig-alt"):
        readme.as_image("#| label: fig-a\n#| fig-cap: b\n", "image/png", {})


# ---- the checks of form


@pytest.fixture(scope="module")
def lint():
    return script(ROOT / ".ci/check_lint.py")


@pytest.mark.parametrize(
    "code, lines",
    [
        ("[o for o in x]", []),
        ("{o: 1 for o in x}", []),
        ("y = [a(o)\n     for o in x]", [2]),
        ("print(o)", []),
        ("[p for p in [o for o in x]]", []),
        ("for o in x: pass", [1]),
        ("o = 1", [1]),
        ("lambda o: o", [1]),
        ("def f(o): pass", [1]),
        ("with x as o: pass", [1]),
        ("import a as o", [1]),
        ("if (o := 1): pass", [1]),
        ("try: pass\nexcept E as o: pass", [2]),
    ],
)
def test_o_is_no_name(lint, code, lines):
    assert [line for line, _ in lint.nameless(ast.parse(code))] == lines


def test_long_functions(lint):
    def code(n):
        return "def f():\n" + "    pass\n" * (n - 1)

    assert not list(lint.long_functions(ast.parse(code(40))))
    assert [line for line, _ in lint.long_functions(ast.parse("x = 1\n" + code(41)))] == [2]


def test_modules_and_names(lint):
    def faults(**modules):
        return list(lint.faults_of_modules(modules))

    names = [f"name{i}" for i in range(75)]
    small, long = f"__all__ = {names}\n", "x = 1\n" * 400
    assert not faults(a=small, degrade=long)
    assert "400 lines" in faults(a=long)[0]
    assert "150 public names" in faults(a=small, b=small)[0]


def test_code_that_is_none_is_named(lint):
    assert lint.faults_of("nbs/x.ipynb cell 3", "a b")[0].startswith("nbs/x.ipynb cell 3:1")


# ---- pages: what a telephone scrolls


@pytest.mark.parametrize(
    ("source", "kind", "size", "becomes"),
    [
        ("x", "jpeg", (900, 200), "#| classes: wide\nx"),
        ("#| classes: library\nx", "jpeg", (900, 200), "#| classes: library wide\nx"),
        ("x", "jpeg", (640, 200), "#| classes: wide\nx"),  # four photographs
        ("x", "jpeg", (639, 200), "x"),  # three beside each other
        ("x", "png", (600, 260), "#| classes: wide\nx"),  # two drawings
        ("x", "png", (600, 261), "x"),  # one
        ("x", "png", (500, 100), "x"),  # small
        ("x", "png", None, "x"),  # a size that is not told
    ],
)
def test_rows_of_drawings_and_of_four_photographs_are_wide(source, kind, size, becomes):
    facts = dict(zip(("width", "height"), size)) if size else {}
    output = {"metadata": {f"image/{kind}": facts}}
    cell = NbCell(0, {"cell_type": "code", "source": source, "outputs": [output]})
    script(ROOT / ".ci/site_pages.py").WidePictures.cell(None, cell)
    assert cell.source == becomes


# ---- a chapter uses only what the reader has met


@pytest.fixture
def early(tmp_path):
    "The check of the order, on a book of three chapters and a tool: faults found, with one more line in one"
    order = script(ROOT / ".ci/check_imports.py")
    book = {
        "01_one": ("The road", ["#| default_exp one", "#| export\nTABLE = {}\ndef first(): pass"]),
        "02_two": ("The road", ["#| default_exp two", "#| exporti one\ndef second(): pass", "%pip list"]),
        "03_three": ("The road", ["#| default_exp three", "#| export\nclass Third: pass"]),
        "04_tool": ("Tools", ["#| default_exp tool", "#| exports\ndef spanner(): pass"]),
        "05_more": ("Inside the library", ["#| exports one\nTABLE = TABLE | {1: 2}\nfree: int = 3"]),
    }

    def faults(chapter="01_one", line=""):
        sidebar = {}
        for name, (part, cells) in book.items():
            codes = [*cells, line] if name == chapter else cells
            cells = [{"cell_type": "code", "source": code.splitlines(keepends=True)} for code in codes]
            (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
            sidebar.setdefault(part, []).append(f"          - {{text: x, href: {name}.ipynb}}")
        lines = [line for part in sidebar for line in (f"      - section: {part}", *sidebar[part])]
        (tmp_path / "sidebar.yml").write_text("\n".join(lines))
        return list(order.early_uses(tmp_path, order.parts_of(tmp_path)))

    return faults


@pytest.mark.parametrize(
    "chapter, line, fault",
    [
        ("01_one", "from irsde.one import first, second", "uses one.second, which 02_two.ipynb introduces"),
        ("01_one", "from irsde import one as done\ndone.second()", "uses one.second, which 02_two.ipynb"),
        ("01_one", "import irsde.one\nirsde.one.second()", "uses one.second, which 02_two.ipynb introduces"),
        ("01_one", "def f():\n    from irsde.two import x", "uses two.x, which 02_two.ipynb introduces"),
        ("01_one", "from irsde import two", "uses two, which 02_two.ipynb introduces"),
        ("02_two", "import irsde.three as m", "uses three, which 03_three.ipynb introduces"),
        ("02_two", "if 1:\n    from irsde.three import (\n    Third,\n)", "uses three.Third, which 03_three"),
        ("01_one", "from irsde.one import TABLE\nimport irsde.tool\nfrom irsde.one import free", None),
        ("03_three", "from irsde.one import TABLE, first, second", None),
        ("05_more", "from irsde.three import Third", None),
    ],
)
def test_what_comes_later_is_not_used(early, chapter, line, fault):
    found = early(chapter, line)
    assert len(found) == (fault is not None) and all(f"{chapter}.ipynb {fault}" in one for one in found)


def test_the_package_gives_names_their_homes():
    order = script(ROOT / ".ci/check_imports.py")
    code = "import irsde\nfrom irsde import TASKS, sde\nirsde.load('x')"
    used = {("tasks", "TASKS"), ("sde", None), ("checkpoint", "load")}
    assert set(order.names_used(ast.parse(code))) == used


def test_no_skips(monkeypatch, capsys):
    chapters = script(ROOT / ".ci/check_chapters.py")
    assert chapters.skips("a\nSKIPPED: no weights\n'SKIPPED: set TORCH_HOME'\nnot SKIPPED\n") == [
        "SKIPPED: no weights",
        "SKIPPED: set TORCH_HOME",
    ]

    class Done:
        returncode, stdout, stderr = 0, "SKIPPED: set TORCH_HOME\nSuccess.\n", ""

    monkeypatch.setattr(chapters.subprocess, "run", lambda *args, **kw: Done)
    assert chapters.main(["23_metrics.ipynb"])[0]
    assert not chapters.main(["23_metrics.ipynb"], no_skips=True)[0]
    assert not chapters.main(["23_metrics.ipynb"], no_skips=True, may_skip=["IRSDE_SHARED"])[0]
    assert chapters.main(["23_metrics.ipynb"], no_skips=True, may_skip=["TORCH_HOME"])[0]
    assert "FAIL: 23_metrics.ipynb" in capsys.readouterr().out


def test_the_longest_chapters_come_first(tmp_path):
    chapters = script(ROOT / ".ci/check_chapters.py")
    chapters.write({"01_a": 3, "02_b": 9}, tmp_path / "chapters.csv")
    chapters.write({"03_c": 3}, tmp_path / "chapters.csv")
    took = chapters.kept(tmp_path / "chapters.csv")
    assert took == {"01_a": 3, "02_b": 9, "03_c": 3}
    nbs = [Path(f"{name}.ipynb") for name in ("03_c", "01_a", "04_new", "02_b")]
    assert [nb.stem for nb in chapters.longest_first(nbs, took)] == ["04_new", "02_b", "01_a", "03_c"]


def test_types_may_be_skipped_at_home_only(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    types = script(ROOT / ".ci/check_types.py")
    monkeypatch.setattr(types.shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    assert types.main()
    monkeypatch.setenv("CI", "true")
    assert not types.main()


# ---- make_subsets: every file, its scene, and what it shares with a test picture


@pytest.fixture(scope="module")
def make_subsets():
    return script(ROOT / "tools/make_subsets.py")


@pytest.fixture
def research(tmp_path, make_subsets, monkeypatch):
    "A test set of three pairs, of which two show one photograph; two clean pictures; two layers, one shared"
    rng = np.random.default_rng(1)

    def noise(high=200):
        return rng.integers(0, high, (1, 40, 60), dtype=np.uint8)
    a, b, streaks = noise(), noise(), noise(50)
    pairs = {"10": (a, noise(50)), "9": (a, noise(50)), "2": (b, streaks)}
    tops = {f"test/deraining/small/lq/{k}.png": gt + rain for k, (gt, rain) in pairs.items()}
    tops |= {f"test/deraining/small/gt/{k}.png": gt for k, (gt, _) in pairs.items()}
    tops |= {"train/clean/c_1.png": noise(), "train/clean/c_2.png": b, "train/layers/8.png": noise(50),
             "train/layers/7.png": np.pad(streaks, ((0, 0), (0, 1), (0, 1))),
             "refusion/left/1.png": a, "refusion/right/1.png": noise()}
    for name, values in tops.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, values)
    (tmp_path / "refusion/meta.txt").write_text("1 f/16 f/1.8 60")
    (tmp_path / "refusion/README.md").write_text("where they are had")
    Origin, pairs = make_subsets.Origin, "test/deraining/small/{side}/*"
    monkeypatch.setattr(make_subsets, "ORIGINS", [
        *make_subsets.pair(pairs, "deraining", "small", "s-{number}", "us/a", "1", gt="p/{name}"),
        Origin("train/clean/*", "", "clean", "clean", "{letter}{digit}", "us/b", "2", "{digit}/{stem}.png",
               r"(?P<letter>\w)_(?P<digit>\d)\.png"),
        Origin("train/layers/*", "deraining", "layers", "layer", "l-{number}", "us/c", "3"),
        *make_subsets.sides("refusion/{side}/*", "stereo", "eyes", "e-{number}", "us/d", "4",
                            {"left": "L.png", "right": ""}),
        Origin("refusion/meta.txt", "stereo", "eyes", "lenses", "", "us/d", "4")])
    return tmp_path


def test_the_list_is_made(make_subsets, research):
    rows = {row["file"]: row for row in make_subsets.rows_of(research)}
    assert list(rows)[:3] == [f"test/deraining/small/lq/{k}.png" for k in (2, 9, 10)]
    gt = rows["test/deraining/small/gt/10.png"]
    assert (gt["scene"], gt["original"], gt["width"], gt["height"]) == ("s-9", "p/10.png", 60, 40)
    assert gt["sha256"] == hashlib.sha256((research / gt["file"]).read_bytes()).hexdigest()
    assert rows["test/deraining/small/lq/10.png"]["scene"] == "s-9"  # as its clean picture
    assert [rows[f"train/clean/c_{k}.png"]["scene"] for k in (1, 2)] == ["c1", "s-2"]
    assert rows["train/clean/c_1.png"]["original"] == "1/c_1.png"
    shared, other = (rows[f"train/layers/{k}.png"]["left_out"] for k in (7, 8))
    assert (shared, other) == ("shares streaks with the test picture small/2.png", "")
    assert rows["refusion/left/1.png"]["scene"] == rows["refusion/right/1.png"]["scene"] == "s-9"
    eye, lenses = rows["refusion/left/1.png"], rows["refusion/meta.txt"]
    assert (eye["use"], eye["role"], eye["original"]) == ("test", "left", "L.png")
    assert (lenses["use"], lenses["width"], lenses["scene"]) == ("test", "", "")
    text = make_subsets.as_text(list(rows.values()))
    assert text.splitlines()[0] == ",".join(subset_table().columns)
    assert len(text.splitlines()) == 1 + len(rows)


def test_files_without_an_origin_are_named(make_subsets, research):
    write(research / "train/new.png", np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="the origin of 1 files is not known, .*new.png"):
        make_subsets.rows_of(research)
    (research / "train/new.png").rename(research / "refusion/new.png")
    with pytest.raises(ValueError, match="the origin of 1 files is not known, .*refusion/new.png"):
        make_subsets.rows_of(research)
    (research / "refusion/new.png").unlink()
    for path in (research / "train/layers").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="the set layers is not there"):
        make_subsets.rows_of(research)


def test_the_tool_compares(make_subsets, research, monkeypatch, tmp_path):
    monkeypatch.setattr(make_subsets, "TABLES", (tmp_path / "table.csv", tmp_path / "packed.csv"))
    monkeypatch.setattr(make_subsets, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_subsets.py", str(research)])
    make_subsets.main()
    assert (tmp_path / "table.csv").read_bytes() == (tmp_path / "packed.csv").read_bytes()
    monkeypatch.setattr(sys, "argv", ["make_subsets.py", str(research), "--check"])
    with pytest.raises(SystemExit, match="False"):
        make_subsets.main()
    write(research / "train/layers/8.png", np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(SystemExit, match="True"):
        make_subsets.main()


def test_the_package_has_the_same_table():
    assert (ROOT / "data/subsets.csv").read_bytes() == (ROOT / "irsde/subsets.csv").read_bytes()


# ---- memory of a training


@pytest.fixture(scope="module")
def memory():
    pytest.importorskip("torch._subclasses.fake_tensor")
    return script(ROOT / "tools/memory.py")


@pytest.mark.parametrize("rows, parts", [(4, 1), (2, 2)])
@pytest.mark.parametrize("task", ["deraining", "denoising"])
def test_the_estimate_is_what_a_real_step_takes(memory, task, rows, parts):
    "Within 2%, at the smoke budget, on the CPU"
    values, process = memory.TASKS[task].settings("smoke"), memory.TASKS[task].at("smoke").sde()
    guess = memory.estimated(values, process, rows, parts)
    assert guess == pytest.approx(memory.measured(values, process, rows, parts), rel=0.02)


def test_parts_are_as_few_as_fit(memory, monkeypatch):
    sizes = {(1, 1): 3, (4, 1): 6, (8, 1): 10, (4, 2): 7}  # GiB: 1 a picture, 2 beside, 1 more for waiting
    monkeypatch.setattr(memory, "estimated", lambda values, sde, rows, parts=1: sizes[rows, parts] * 2**30)
    need = memory.Need({"batch": 16, "precision": "no"}, None)
    assert [need.at(parts) for parts in (1, 2, 4, 16)] == [18, 11, 7, 4]
    assert [need.least(card) for card in (24, 16, 8, 4.5, 4)] == [1, 2, 4, 16, None]


def test_the_committed_table_has_all_published_budgets(memory):
    table = pd.read_csv(ROOT / "data/runs/memory-training.csv")
    assert [*zip(table["task"], table["budget"])] == [
        (task, budget) for task in memory.TASKS for budget in memory.BUDGETS
    ]
    for row in table.itertuples():
        values = memory.settings_of(row.task, row.budget)
        assert (row.batch, row.crop, row.precision) == (values["batch"], values["crop"], values["precision"])
    by = table.set_index(["task", "budget"])
    full, half = (by["picture_gib"].xs(budget, level="budget") for budget in ("paper", "paper-bf16"))
    assert (half < 0.7 * full).all()


def test_a_gradient_that_is_lost_is_named(memory):
    values, process = memory.TASKS["deraining"].settings("smoke"), memory.TASKS["deraining"].at("smoke").sde()
    with memory.without_values():
        training = memory.training_of(values, process, "cpu", batch=1)
        training.model.idle = memory.nn.Linear(1, 1)
        with pytest.raises(AssertionError, match="no gradient reaches idle.weight, idle.bias"):
            memory.step(training, process, "cpu", 32)


def test_published_budgets_run_on_a_gpu_that_is_not_there(memory, monkeypatch):
    "One here; .ci/check_paper.py has all"
    monkeypatch.syspath_prepend(ROOT / "tools")
    check = script(ROOT / ".ci/check_paper.py")
    check.check("inpainting", "paper-bf16")
    monkeypatch.setattr(check, "CALLS", 0)
    with pytest.raises(ValueError):
        check.check("inpainting", "paper-bf16")
    with pytest.raises(AssertionError, match="the loss is 1, not 2"):
        check.expect("the loss", 1, 2)


@pytest.fixture
def book(tmp_path, monkeypatch):
    "Three chapters in the order c, a, b of the sidebar, and texts that speak of them"
    renumber = script(ROOT/"tools/renumber.py")
    monkeypatch.setattr(renumber, "ROOT", tmp_path)
    monkeypatch.setattr(renumber, "tracked", lambda: [*tmp_path.rglob("*.ipynb"), *tmp_path.rglob("*.yml")])
    (tmp_path/"nbs").mkdir()
    places = {"03_c": "C", "01_a": "A", "01b_b": "B"}
    for name, title in places.items():
        text = f"I am {title}; see [chapter 03](03_c.ipynb), [01](01_a.ipynb), [03 C](nbs/03_c.ipynb)"
        (tmp_path/f"nbs/{name}.ipynb").write_text(text)
    lines = [f'  - {{text: "{name.partition("_")[0]} {title}", href: {name}.ipynb}}'
             for name, title in places.items()]
    (tmp_path/"nbs/sidebar.yml").write_text("\n".join(lines))
    return renumber, tmp_path/"nbs"


def test_chapters_take_the_numbers_of_their_places(book):
    renumber, nbs = book
    assert renumber.renumber(dry=True) == {"03_c": "01_c", "01_a": "02_a", "01b_b": "03_b"}
    assert (nbs/"03_c.ipynb").exists()
    renumber.renumber()
    assert sorted(path.stem for path in nbs.iterdir()) == ["01_c", "02_a", "03_b", "sidebar"]
    text = "I am A; see [chapter 01](01_c.ipynb), [02](02_a.ipynb), [01 C](nbs/01_c.ipynb)"
    assert (nbs/"02_a.ipynb").read_text() == text
    assert '"02 A", href: 02_a.ipynb' in (nbs/"sidebar.yml").read_text()
    assert renumber.renumber() == {}


def test_a_chapter_that_is_not_there_stops_the_numbering(book):
    renumber, nbs = book
    (nbs/"01_a.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="01_a"):
        renumber.renumber()
    assert (nbs/"03_c.ipynb").exists()
