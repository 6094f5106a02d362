"Run every check in turn and stop at the first that fails: `make test`."
import subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).parent
CHECKS = [ # heading, script and arguments, what to do when it fails
    ('Notebooks are clean', 'check_clean.py', 'Run `make export` and commit what it changes.'),
    ('irsde/ is what the notebooks export', 'check_export.py', 'Edit notebooks, never irsde/*.py; run `make export` and commit both.'),
    ('README.md is what nbs/index.ipynb says', 'make_readme.py --check', 'Edit nbs/index.ipynb, then run `make readme`.'),
    ('The model card is what the weights say', 'make_card.py --check', 'Run `make card`.'),
    ('Modules import only what the design allows', 'check_imports.py', 'The table of allowed imports is in .ci/check_imports.py.'),
    ('The wheel installs and works on its own', 'check_package.py', 'Packaging is in settings.ini, setup.py and MANIFEST.in.'),
    ('The site can be built', 'check_site.py', 'Edit the page named above.'),
    ('Every page reads well in a browser', 'check_browser.py', 'Edit the page named above; `make preview` shows it.'),
    ('Every chapter runs', 'check_chapters.py', 'Run the chapter above in Jupyter, or `nbdev_test --path nbs/NN_x.ipynb`.'),
]

def run(heading, command):
    "Whether a check passed, its output shown as it comes"
    print(f'\n== {heading} ==', flush=True)
    start = time.perf_counter()
    script, *args = command.split()
    ok = subprocess.run([sys.executable, HERE/script, *args], cwd=HERE.parent).returncode == 0
    print(f"{'PASS' if ok else 'FAIL'}: {heading} ({time.perf_counter() - start:.0f} s)", flush=True)
    return ok

if __name__ == '__main__':
    for heading, command, remedy in CHECKS:
        if not run(heading, command): sys.exit(f'\nStopped here. {remedy}')
    print('\nEvery check passed.')
