"""What a latent can do, in numbers: its identity, ceiling, result, and what goes past it.

    python tools/latent_numbers.py WEIGHTS --pairs LQ GT [--test-set NAME] [--steps N] [--out TABLE]
    python tools/latent_numbers.py WEIGHTS --clean GT    # degraded here, as the task does it

Prints a row a picture, and appends the mean to data/runs/latent-numbers.csv, which the chapter "How good can
a latent be?" explains and shows."""
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from irsde.ceilings import keep_numbers, latent_numbers, latent_of, numbers_row
from irsde.evaluate import FromClean, FromPairs
from irsde.restore import Restorer

TABLE = Path(__file__).parents[1] / "data/runs/latent-numbers.csv"


class Some:
    "The first few of some cases"
    def __init__(self, cases: Any, n: int):
        self.cases, self.n, self.task = cases, min(n, len(cases)), cases.task
        self.names = cases.names[:self.n]

    def __len__(self) -> int: return self.n
    def __getitem__(self, i: int) -> Any: return self.cases[range(self.n)[i]]


def cases_of(args: Any, task: str) -> tuple[Any, str]:
    "The pictures that are asked for, and what to call them"
    if args.pairs:
        lenses = {"lenses": args.lenses} if args.lenses else {}
        cases, folder = FromPairs(task, *args.pairs, **lenses), args.pairs[0]
    else: cases, folder = FromClean(task, args.clean, args.seed), args.clean
    name = args.test_set or Path(folder).resolve().parent.name
    return cases if args.limit is None else Some(cases, args.limit), name


def at_least_one(text: str) -> int:
    "A whole number from 1, for argparse"
    if text.isdigit() and int(text): return int(text)
    raise ArgumentTypeError(f"a whole number from 1, not {text!r}")


def options() -> ArgumentParser:
    "What can be said on the command line"
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="WEIGHTS", help="a file of `irsde train --latent`")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pairs", nargs=2, metavar=("LQ", "GT"), help="folders of degraded and clean ones")
    source.add_argument("--clean", metavar="GT", help="a folder of clean pictures, degraded here")
    parser.add_argument("--lenses", help="of bokeh: the file with a line for each pair")
    parser.add_argument("--test-set", help="what to call the pictures; the folder around LQ if left out")
    parser.add_argument("--solver", help="the weights' own if left out")
    parser.add_argument("--steps", type=at_least_one, help="likewise")
    parser.add_argument("--tile", type=int, help="side of the pieces of large pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler, and of degradations made here")
    parser.add_argument("--limit", type=at_least_one, help="only so many pictures, the first ones")
    parser.add_argument("--no-lpips", action="store_true", help="PSNR only")
    parser.add_argument("--out", type=Path, default=TABLE, help="the table, if it is to be another one")
    return parser


def main() -> None:
    args = options().parse_args()
    try:
        restorer = Restorer.from_pretrained(args.weights)
        latent_of(restorer)
        cases, test_set = cases_of(args, restorer.task or "")
        asked = {name: getattr(args, name) for name in ("solver", "steps", "tile")}
        asked = {name: value for name, value in asked.items() if value is not None}
        def told(done, n, name): print(f"{done}/{n} {name}", flush=True)
        how = {"lpips": not args.no_lpips, "progress": told, "seed": args.seed}
        numbers = latent_numbers(restorer, cases, **how, **asked)
        keep_numbers(args.out, numbers_row(restorer, numbers, test_set, **asked))
    except (ValueError, OSError) as error: raise SystemExit(f"error: {error}") from None
    print(numbers.round(3).to_string(index=False))


if __name__ == "__main__": main()
