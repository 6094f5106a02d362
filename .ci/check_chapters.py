"Every chapter runs from top to bottom at the smoke budget, each in its own process; says how long each took. --keep writes that to data/runs/chapters.csv."
import os, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
WORKERS = 2

def run(nb):
    "Test one notebook: whether it passed, and the seconds it took"
    env = dict(os.environ, IRSDE_BUDGET='smoke', OMP_NUM_THREADS='1', MPLBACKEND='agg')
    start = time.perf_counter()
    res = subprocess.run([TOOLS/'nbdev_test', '--path', nb], cwd=ROOT, env=env, text=True, capture_output=True)
    ok = res.returncode == 0 and 'Success.' in res.stdout
    seconds = time.perf_counter() - start
    print(f"{'PASS' if ok else 'FAIL'}: {nb.name} ({seconds:.0f} s)", flush=True)
    if not ok: print(res.stdout, res.stderr, sep='\n', flush=True)
    return ok, seconds

def main(names):
    nbs = [ROOT/'nbs'/o for o in names] or sorted((ROOT/'nbs').glob('[!_.]*.ipynb'))
    with ThreadPoolExecutor(WORKERS) as pool: results = dict(zip(nbs, pool.map(run, nbs)))
    print('\nSeconds per chapter')
    for nb,(_,seconds) in sorted(results.items(), key=lambda o: -o[1][1]): print(f'{seconds:6.0f}  {nb.name}')
    return nbs and all(ok for ok,_ in results.values()), {nb.stem: round(seconds) for nb,(_,seconds) in results.items()}

if __name__ == '__main__':
    names, keep = [Path(o).name for o in sys.argv[1:] if o != '--keep'], '--keep' in sys.argv
    ok, seconds = main(names)
    if keep:
        path = ROOT/'data'/'runs'/'chapters.csv'
        known = dict(o.split(',') for o in path.read_text().splitlines()[1:]) if path.exists() else {}
        known |= {k: str(v) for k,v in seconds.items()}
        path.write_text('chapter,seconds\n' + ''.join(f'{k},{v}\n' for k,v in sorted(known.items())))
    sys.exit(not ok)
