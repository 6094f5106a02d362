"""Write data/subsets.csv: which pictures are measured on, and which the weights were trained on.

    python tools/make_subsets.py DATA [--check]

DATA holds the folders test, train and refusion, the test pairs of four more tasks. A row a file: what it is
for, its size and sha256, which scene it shows, and which public repository it comes from. What can be
measured is: two pictures show one scene where their thumbnails agree; a layer of rain is left out of training
where its streaks are those of a test picture. What only the eye tells stands in PLACES.
The package has the same table, irsde/subsets.csv, for `irsde check-data`; `make test` compares the two."""
import csv
import hashlib
import io
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
TABLES = ROOT/"data"/"subsets.csv", ROOT/"irsde"/"subsets.csv"
COLUMNS = "use task set role file width height sha256 scene source commit original left_out".split()


@dataclass(frozen=True)
class Origin:
    "Where the files of a pattern come from; {name}, {stem}, {number} and the groups of `parts` may be used"
    files: str          # Pattern below DATA
    task: str           # Empty: any
    set: str
    role: str           # lq, gt, left, right, clean, layer, mask, depth, kernels, lenses; gt-f2.8, gt-f8
    scene: str          # What names the scene of a file
    source: str         # Repository on GitHub, several with "; " between
    commit: str         # Of each
    original: str = ""  # The path there, where it is known
    parts: str = ""     # Regular expression over the name, with named groups


RAIN_H = "model/test/test_data/R100H/"
MASKS = "codes/config/inpainting/data/datasets/gt_keep_masks/"
REDS = r"(?P<split>\w+)_(?P<take>\d{3})_(?P<frame>\d+)\.png"
FACES = r"(?P<part>ref|src)_(?P<sex>\w+)_(?P<face>\d+)\.jpg"

def sides(files: str, task: str, name: str, scene: str, source: str, commit: str, originals: dict[str, str],
          parts: str = "") -> list[Origin]:
    "Files that lie in a folder for each role; role -> the path there, empty where it is not known"
    return [Origin(files.format(side=side), task, name, side, scene, source, commit, path, parts)
            for side, path in originals.items()]

def pair(files: str, task: str, name: str, scene: str, source: str, commit: str,
         lq: str = "", gt: str = "", parts: str = "") -> list[Origin]:
    "The two sides of a set of pairs"
    return sides(files, task, name, scene, source, commit, {"lq": lq, "gt": gt}, parts)

def mask(kind: str, scene: str, source: str, commit: str, original: str) -> Origin:
    "Training masks of one kind"
    files = f"train/masks/{kind}/*"
    return Origin(files, "inpainting", f"masks-{kind}", "mask", scene, source, commit, original)

def shadow(files: str, scene: str, source: str, commit: str, originals: dict[str, str]) -> list[Origin]:
    "Pictures with a shadow and without, and where it lies if that is known"
    return sides(f"refusion/shadow-removal/{{side}}/{files}", "shadow-removal", "srd-istd-11", scene, source,
                 commit, originals)

def haze(files: str, source: str, commit: str, folder: str = "") -> list[Origin]:
    "Pairs of haze that is thick here and thin there"
    lq, gt = (f"{folder}/{side}/{side}_{{number}}.png" if folder else "" for side in ("input", "target"))
    return pair(f"refusion/nonhomogeneous-haze/{{side}}/{files}", "nonhomogeneous-dehazing", "nh-haze-8",
                "{stem}", source, commit, lq, gt)

def eyes(name: str, source: str, commit: str, left: str, right: str) -> list[Origin]:
    "The two views of a stereo camera"
    return sides(f"refusion/stereo/{{side}}/{name}.png", "stereo-super-resolution", "stereo-4", "{stem}",
                 source, commit, {"left": left, "right": right})

def apertures(files: str, folder: str, parts: str, folders: dict[str, str]) -> list[Origin]:
    "One scene through a narrow aperture and through wider ones, and what is in focus; role -> folder there"
    originals = {role: f"Data/{folder}/{there}" for role, there in folders.items()}
    return sides(f"refusion/bokeh/{{side}}/{files}.*", "bokeh", "ebb-vabd-6", "{stem}",
                 "MoTong-AI-studio/VABM", "7a7796e1c9", originals, parts)

EBB = {"lq": "input/{id}.jpg", "gt": "target/{id}.jpg", "mask": "focal/{id}.jpg"}
VABD = {"lq": "input/{id}.JPG", "gt": "1_8/{id}.JPG", "gt-f2.8": "2_8/{id}.JPG", "gt-f8": "8/{id}.JPG",
        "mask": "focal/{id}.png"}
ID = r"\D+(?P<id>\d+)\.\w+"
DEHAZED = "Avanthikasuraj0327/Aerial-Image-Dehazing-pix2pix", "b4b0ebecdc"
STEREO = "jianwensong/EHFSSR", "66d96aa41c"

ORIGINS = [
    *pair("test/deraining/rain100h-10/{side}/*", "deraining", "rain100h-10", "rain100-{number}",
          "kuijiang94/MSPFN", "26e6073b16", RAIN_H + "inputcrop/{name}", RAIN_H + "cleancrop/{name}"),
    *pair("test/deraining/rain100l-10/{side}/*", "deraining", "rain100l-10", "rain100l-{number}",
          "Arvaesri/PreNet", "c12ee08192"),
    *pair("test/deblurring/gopro-10/{side}/[0-9]*", "deblurring", "gopro-10", "gopro-street",
          "matteorossil/ddpm_deblurring", "22354fc1f9"),
    *pair("test/deblurring/gopro-10/{side}/*_sharp1.png", "deblurring", "gopro-10", "{stem}",
          "SeungjunNah/DeepDeblur_release", "2d5a698560", gt="images/{name}"),
    Origin("test/denoising/cbsd68-10/gt/*", "denoising", "cbsd68-10", "gt", "bsd-{stem}", "cszn/FFDNet",
           "e787f46df2"),
    Origin("test/super-resolution/set5/gt/*", "super-resolution", "set5", "gt", "set5-{stem}",
           "tegg89/SRCNN-Tensorflow", "78be1a2469"),
    Origin("test/super-resolution/urban100-5/gt/*", "super-resolution", "urban100-5", "gt",
           "urban100-{number}", "majedelhelou/denoising_datasets", "58234876fe", "Urban100/{name}"),
    Origin("test/inpainting/celeba-hq-8/gt/*", "inpainting", "celeba-hq-8", "gt", "celeba-hq-{stem}",
           "zsyOAOA/ResShift", "3ce1d81e84", "testdata/inpainting/face/hq/{name}"),
    Origin("test/inpainting/celeba-hq-8/mask/*", "inpainting", "celeba-hq-8", "mask", "celeba-hq-{stem}",
           "zsyOAOA/ResShift", "3ce1d81e84", "testdata/inpainting/face/mask/{name}"),
    *pair("test/dehazing/sots-indoor-10/{side}/*", "dehazing", "sots-indoor-10", "sots-{number}",
          "square-moon/haze", "89a4fc1786", "data/RESIDE-IN/test/hazy/{name}"),
    *shadow("*.jpg", "srd-{stem}", "omkarnarveer/image-shadow-removal", "b3be82aadb", {"lq": "", "gt": ""}),
    *shadow("istd*.png", "istd-{number}", "nhchiu/Shadow-Removal-ISTD", "20681eb343",
            {"lq": "color_adjustment_code/114-5_shadow.png",
             "gt": "color_adjustment_code/114-5_shadow_free_original.png", "mask": ""}),
    *haze("ohaze??.png", "yellow444/SimpleDehaze", "c8e546fd12"),
    *(origin for name, title in (("nhhaze", "NH-Haze"), ("densehaze", "Dense-Haze"), ("ohaze", "O-Haze"))
      for origin in haze(f"{name}?-256.png", *DEHAZED, f"results/mixed dataset with {title} test")),
    *eyes("flickr0001", *STEREO, "datasets/STSR/train/HR/0001_L.png", "datasets/STSR/train/HR/0001_R.png"),
    *eyes("flickr-test0001", *STEREO, "datasets/STSR/test/Flickr1024/HR/0001/hr0.png",
          "datasets/STSR/test/Flickr1024/HR/0001/hr1.png"),
    *eyes("flickr0026", "The-Learning-And-Vision-Atelier-LAVA/PASSRnet", "acba757f46",
          "data/train/Flickr1024/0026_L.png", "data/train/Flickr1024/0026_R.png"),
    *eyes("motorcycle", "gangweiX/IGEV", "e61a675698", "IGEV-Stereo/demo-imgs/Motorcycle/im0.png",
          "IGEV-Stereo/demo-imgs/Motorcycle/im1.png"),
    *apertures("ebb2978", "EBB!/train", ID, EBB),
    *apertures("ebb45*", "EBB!/test", ID, EBB),
    *apertures("vabd00*", "VABD/train", ID, VABD),
    *apertures("vabd0101", "VABD/test", ID, VABD),
    Origin("refusion/bokeh/meta.txt", "bokeh", "ebb-vabd-6", "lenses", "", "MoTong-AI-studio/VABM",
           "7a7796e1c9"), # written after the README there
    Origin("train/clean/bsds500/*", "", "bsds500", "clean", "bsd-{stem}", "BIDS/BSDS500", "a04b7c6c3a"),
    Origin("train/clean/div2k/*", "", "div2k", "clean", "div2k-{stem}", "Guaishou74851/SCNet",
           "ce50ef4266", "data/DIV2K/{name}"),
    Origin("train/clean/faces/*", "", "faces", "clean", "celeba-hq-{stem}", "clovaai/stargan-v2",
           "875b70a150", "assets/representative/celeba_hq/{part}/{sex}/{face}.jpg", FACES),
    Origin("train/rain-streaks/*", "deraining", "rain-streaks", "layer", "streaks-{number}",
           "KaneWANG0816/RR", "1f771d53a6"),
    Origin("train/blur-kernels.npz", "deblurring", "blur-kernels", "kernels", "",
           "cszn/DPIR; csxmli2016/DFDNet; cszn/IRCNN", "15bca3fcc1; df949706b7; d9dcd537bd"),
    Origin("train/haze-depth/*", "dehazing", "haze-depth", "depth", "sots-{number}", "square-moon/haze",
           "89a4fc1786"),
    mask("irregular", "irregular-{stem}", "micbia/FORGER-21cm", "bb6036f0dd",
         "inputs/mask/testing_mask_dataset/{name}"),
    *(mask(kind, f"{kind}-{{stem}}", "Algolzw/image-restoration-sde", "2598d73cde", f"{MASKS}{kind}/{{name}}")
      for kind in ("thin", "thick")),
    *(mask(kind, kind, "Algolzw/image-restoration-sde", "2598d73cde", f"{MASKS}{kind}/{{name}}")
      for kind in ("genhalf", "ex64")), # one mask, sixty times
    *pair("train/pairs/deraining/{side}/*", "deraining", "pairs-deraining", "rain13k-{stem}",
          "kuijiang94/PCNet", "38f3e3418c", "model/Datasets/train/input/{name}",
          "model/Datasets/train/target/{name}"),
    *pair("train/pairs/deblurring/{side}/*", "deblurring", "pairs-deblurring", "reds-{split}-{take}",
          "FrancescoBonzi/DeblurringDeepLearningProject", "d1806725d9",
          "datasetREDs/{split}_blur/{take}_resized/{frame}.png",
          "datasetREDs/{split}_sharp/{take}_resized/{frame}.png", REDS),
    *pair("train/pairs/dehazing/{side}/*", "dehazing", "pairs-dehazing", "sots-{number}", "square-moon/haze",
          "89a4fc1786", "data/RESIDE-IN/test/hazy/{name}"),
]
HOUSES = ((1404, 1406), (1408, 1410), (1412, 1414), (1418, 1420), (1422, 1424), (1426, 1428), (1430, 1433),
          (1434, 1436), (1437, 1439)) # first and last picture of SOTS in a house of several
PLACES = { # told by eye: views of one place, or of one thing -> its name
    **{f"sots-{k}": f"sots-{first}" for first, last in HOUSES for k in range(first, last + 1)},
    "rain13k-39": "rain13k-31",
    "srd-MG_3464": "srd-MG_3362", # a jacket on a lawn, outside and inside
    "nhhaze3-256": "nhhaze0-256", # lanes for mini-golf around a conifer
    "ebb4547": "ebb4545",         # a hedge of the same leaves in the same light
}
NAMED = ("gopro-10", "pairs-deblurring", "pairs-dehazing", "sots-indoor-10") # sets whose names tell the scene


def number(text: str) -> str:
    "The first number in a name, without zeros before it"
    found = re.search(r"\d+", text)
    return str(int(found[0])) if found else ""

def numerically(path: Path) -> list:
    "Sorts 2 before 10"
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]

def size_of(path: Path) -> tuple[int | str, int | str]:
    "Width and height in pixels; empty for what is no picture"
    if path.suffix in (".npz", ".txt"): return "", ""
    with Image.open(path) as image: return image.size

def row_of(origin: Origin, path: Path, data: Path) -> dict:
    "The row of a file"
    file = path.relative_to(data).as_posix()
    told = {"name": path.name, "stem": path.stem, "number": number(path.stem)}
    if origin.parts and (match := re.fullmatch(origin.parts, path.name)): told |= match.groupdict()
    scene = origin.scene.format(**told)
    width, height = size_of(path)
    use = "train" if file.startswith("train/") else "test"
    return {"use": use, "task": origin.task, "set": origin.set, "role": origin.role,
            "file": file, "width": width, "height": height,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "scene": PLACES.get(scene, scene),
            "source": origin.source, "commit": origin.commit,
            "original": origin.original.format(**told), "left_out": ""}

def thumbnail(path: Path, side: int = 32) -> np.ndarray:
    "(side * side,) grey values of mean 0 and length 1"
    with Image.open(path) as image: grey = np.asarray(image.convert("L").resize((side, side)), float).ravel()
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-9)

def join_scenes(rows: list[dict], data: Path, least: float = 0.98) -> None:
    "Where the thumbnails of two clean pictures correlate by `least`, both are of the scene of the first"
    clean = [row for row in rows if row["role"] in ("gt", "left", "clean") and row["set"] not in NAMED]
    if not clean: return
    thumbnails = np.stack([thumbnail(data/row["file"]) for row in clean])
    like = thumbnails @ thumbnails.T >= least
    same = {row["scene"]: clean[int(like[i].argmax())]["scene"] for i, row in enumerate(clean)}
    for row in rows: row["scene"] = same.get(row["scene"], row["scene"])

def grey(path: Path) -> np.ndarray:
    "(h, w) grey values"
    with Image.open(path) as image: return np.asarray(image.convert("L"), float)

def correlation(a: np.ndarray, b: np.ndarray) -> float:
    "Of two (h, w) arrays where both are; 0 where one is flat"
    h, w = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    a, b = a[:h, :w], b[:h, :w]
    if not (a.std() and b.std()): return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

def drop_shared_streaks(rows: list[dict], data: Path, least: float = 0.3) -> None:
    "Leave out the layers whose streaks are those of a rainy test picture: a correlation from `least`"
    layers = [(row, grey(data/row["file"])) for row in rows if row["role"] == "layer"]
    for test in rows:
        if (test["use"], test["task"], test["role"]) != ("test", "deraining", "lq"): continue
        lq = data/test["file"]
        rain = grey(lq) - grey(lq.parents[1]/"gt"/lq.name)
        for row, layer in layers:
            if correlation(rain, layer) < least: continue
            row["left_out"] = f"shares streaks with the test picture {test['set']}/{lq.name}"

def files_of(data: Path) -> Iterator[tuple[Origin, Path]]:
    "Every file with its origin; a ValueError names files of which none is known, and patterns without files"
    known: set[Path] = set()
    for origin in ORIGINS:
        found = sorted(data.glob(origin.files), key=numerically)
        if not found: raise ValueError(f"no file {origin.files} in {data}: the set {origin.set} is not there")
        for path in found:
            if path in known: raise ValueError(f"{path} has two origins: {origin.files} and an earlier one")
            known.add(path)
            yield origin, path
    there = {path for part in ("test", "train", "refusion") for path in (data/part).rglob("*")
             if path.is_file() and path.name != "README.md"}
    if strange := sorted(there - known):
        raise ValueError(f"the origin of {len(strange)} files is not known, {strange[0]} among them: "
                         "add it to ORIGINS")

def rows_of(data: Path) -> list[dict]:
    "A row a file"
    rows = [row_of(origin, path, data) for origin, path in files_of(data)]
    join_scenes(rows, data)
    drop_shared_streaks(rows, data)
    return rows

def as_text(rows: list[dict]) -> str:
    "The table as a CSV"
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with test, train and refusion")
    parser.add_argument("--check", action="store_true", help="only compare, with status 1 if they differ")
    asked = parser.parse_args()
    text = as_text(rows_of(asked.data))
    if asked.check:
        wrong = [path for path in TABLES if not path.exists() or path.read_text(encoding="utf-8") != text]
        for path in wrong: print(f"{path.relative_to(ROOT)} is not what {asked.data} says")
        raise SystemExit(bool(wrong))
    for path in TABLES: path.write_text(text, encoding="utf-8")


if __name__ == "__main__": main()
