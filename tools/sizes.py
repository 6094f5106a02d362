"""What a large picture costs: seconds and memory of restoring 1, 6 and 24 megapixels with given weights.

    python tools/sizes.py WEIGHTS [WEIGHTS ...] [--megapixels 1 6 24] [--steps N] [--threads N]

WEIGHTS is a file, or a task whose weights ship. The picture is made of the sample pictures, side by side, so
no file is needed. Each size is restored in a process of its own, whose memory the system tells at its end;
what the same process takes before it sees a picture, with the library imported and the weights read, stands
beside it. Appends a row a size to data/runs/sizes.csv, which the chapter
"Pieces that see enough" shows."""
import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "data/runs/sizes.csv"
COLUMNS = ["weights", "fingerprint", "kind", "parameters", "megapixels", "height", "width", "solver", "steps",
           "threads", "seconds", "cpu_seconds", "cpu_per_megapixel", "idle_mb", "peak_mb", "commit", "date",
           "device", "torch"]


def highest() -> float:
    "MB that this process has had at most, by the system's count"
    unit = 1 if sys.platform == "darwin" else 1024 # bytes there, kB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def tiled(megapixels: float) -> Any:
    "A picture of so many megapixels, 3 to 2, of the sample pictures: an array (h, w, 3) of bytes"
    import numpy as np

    from irsde.data import sample_images
    height, width = (round((ratio * megapixels * 1e6) ** 0.5) for ratio in (2 / 3, 3 / 2))
    squares = [(x.permute(1, 2, 0) * 255).round().byte().numpy() for x in sample_images(256).values()]
    picture = np.empty((height, width, 3), np.uint8)
    for row, top in enumerate(range(0, height, 256)):
        for column, left in enumerate(range(0, width, 256)):
            place = picture[top:top + 256, left:left + 256]
            place[:] = squares[(row + 2 * column) % len(squares)][:place.shape[0], :place.shape[1]]
    return picture


def measured(weights: str, megapixels: float, options: dict[str, Any], threads: int) -> dict[str, Any]:
    "The row of one size, in this process"
    import datetime

    import torch

    from irsde.ledger import this_commit
    from irsde.restore import Restorer
    torch.set_num_threads(threads)
    restorer = Restorer.from_pretrained(weights, "cpu")
    model: Any = restorer.model
    idle = highest()
    picture = tiled(megapixels)
    start, used = time.perf_counter(), time.process_time()
    restored = restorer(picture, **options)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    if restored.shape != picture.shape: raise AssertionError(f"{picture.shape} came back as {restored.shape}")
    how = {name: options.get(name) or restorer.setting(name) for name in ("solver", "steps")}
    return {"weights": Path(weights).stem, "fingerprint": restorer.weights,
            "kind": "latent" if restorer.latent else "pixels",
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "megapixels": megapixels, "height": picture.shape[0], "width": picture.shape[1], **how,
            "threads": threads, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
            "cpu_per_megapixel": round(cpu / megapixels, 2), "idle_mb": round(idle),
            "peak_mb": round(highest()), "commit": this_commit(), "date": f"{datetime.date.today()}",
            "device": f"{os.cpu_count()}-core CPU", "torch": torch.__version__}


def in_own_process(weights: str, megapixels: float, options: dict[str, Any], threads: int) -> dict[str, Any]:
    "The row of one size, measured by a process that does nothing else"
    words = [sys.executable, __file__, weights, "--one", str(megapixels), "--threads", str(threads),
             "--options", json.dumps(options)]
    told = subprocess.run(words, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    if told.returncode: raise SystemExit((told.stderr.strip().splitlines() or ["it was killed"])[-1])
    return json.loads(told.stdout.splitlines()[-1])


def append(row: dict[str, Any], table: Path) -> None:
    "One more row, in a table that is made if it is not there"
    import csv
    new = not table.exists()
    with open(table, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new: writer.writeheader()
        writer.writerow(row)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("weights", nargs="+", metavar="WEIGHTS", help="a file, or a task whose weights ship")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 6, 24])
    parser.add_argument("--steps", type=int, help="calls of the network; the weights' own if left out")
    parser.add_argument("--solver", help="the weights' own if left out")
    parser.add_argument("--tile", type=int, help="side of the pieces in pixels; the library's if left out")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=TABLE, help="the table, if it is to be another one")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.weights[0], args.one, args.options, args.threads)))
        return
    options = {name: getattr(args, name) for name in ("solver", "steps", "tile")}
    options = {name: value for name, value in options.items() if value is not None}
    for weights in args.weights:
        for megapixels in args.megapixels:
            row = in_own_process(weights, megapixels, options, args.threads)
            append(row, args.out)
            print(json.dumps(row))


if __name__ == "__main__": main()
