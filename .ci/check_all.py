"Run every check in turn and stop at the first that fails: `make test`."
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKS = [ # heading, script and arguments, what to do when it fails; the quick ones first
    ('Notebooks are clean', '.ci/check_clean.py',
     'Run `make export` and commit what it changes.'),
    ('irsde/ is what the notebooks export', '.ci/check_export.py',
     'Edit notebooks, never irsde/*.py; run `make export` and commit both.'),
    ('README.md is what nbs/index.ipynb says', 'tools/make_readme.py --check',
     'Edit nbs/index.ipynb, then run `make readme`.'),
    ('The model card is what the weights say', 'tools/make_card.py --check',
     'Run `make card`.'),
    ('Modules import only what the design allows', '.ci/check_imports.py',
     'The table of allowed imports is in .ci/check_imports.py.'),
    ('The code is in form', '.ci/check_lint.py',
     'Edit the line named above; `make lint` checks again.'),
    ('Pages that teach show pictures', '.ci/check_pages.py',
     'Draw what the section says, or fold what is not its subject; `--list` shows the counts.'),
    ('Types hold', '.ci/check_types.py',
     'Edit the line named above in its notebook; `make lint` checks again.'),
    ('Unit tests pass', '-m pytest -q -n 2 tests',
     'Run one alone: `.venv/bin/python -m pytest tests/test_sde.py -k name`.'),
    ('Published budgets run on a GPU, without one', '.ci/check_paper.py',
     'An operation of the task above mixes devices, types or shapes: tools/memory.py says how it is tried.'),
    ('The published method goes from the command to its rows', '.ci/check_reproduce.py',
     'Run the task above: `irsde reproduce TASK --budget paper --shrink 100000`, on samples.'),
    ('Random files are read right or refused', '.ci/fuzz.py --n 150',
     'The lines above make a case again; its files are in out/fuzz/.'),
    ('Every chapter runs', '.ci/check_chapters.py',
     'Run the chapter above in Jupyter, or `nbdev_test --path nbs/NN_x.ipynb`.'),
    ('The wheel installs and works on its own', '.ci/check_package.py',
     'Packaging is in settings.ini, setup.py and MANIFEST.in.'),
    ('The site can be built', '.ci/check_site.py',
     'Edit the page named above.'),
    ('Every page reads well in a browser', '.ci/check_browser.py',
     'Edit the page named above; `make preview` shows it.'),
]

def run(heading, command):
    "Whether a check passed, its output shown as it comes"
    print(f'\n== {heading} ==', flush=True)
    start = time.perf_counter()
    ok = subprocess.run([sys.executable, *command.split()], cwd=ROOT).returncode == 0
    print(f"{'PASS' if ok else 'FAIL'}: {heading} ({time.perf_counter() - start:.0f} s)", flush=True)
    return ok

if __name__ == '__main__':
    for heading, command, remedy in CHECKS:
        if not run(heading, command): sys.exit(f'\nStopped here. {remedy}')
    print('\nEvery check passed.')
