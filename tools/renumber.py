"""Number the chapters in the order of the sidebar, which is the order of reading.

    python tools/renumber.py [--dry]

To add a chapter or move one: put it into nbs/sidebar.yml, with any number, and run this. It renames the
notebooks, and puts the new names and numbers wherever the repository speaks of them: `06_sampling` in links,
code and tables, "chapter 06" in sentences, "04 Going back" in the sidebar. A range of chapters in a sentence
("chapters 11 to 14") is rewritten by its two ends. Page addresses and modules have no numbers and stay.
Run nbdev_export afterwards."""
import re
import subprocess
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHAPTER = re.compile(r"\b(\d\d[a-z]{0,2})_([a-z]+(?:_[a-z]+)*)\b")
ENTRY = re.compile(r'text: "(\d\d[a-z]{0,2}) [^"]*", href: (\d\d[a-z]{0,2}_\w+)\.ipynb')
LABEL = re.compile(r"\[\d\d[a-z]{0,2}((?: [^\[\]\n]*)?)\]\((?=(?:[.\w]+/)*(\d\d)_)") # of a link: [06](06_…
SENTENCE = re.compile(r"\b([Cc]hapters?) (\d\d[a-z]{0,2})\b((?:(?:, | and | to |, and )\d\d[a-z]{0,2}\b)*)")
KEPT = ("CHANGELOG.md",) # tells of chapters as they were called then


def numbering(sidebar: str) -> dict[str, str]:
    "For each chapter of the sidebar, as 06_sampling, its name with the number of its place"
    names = [found[2] for found in ENTRY.finditer(sidebar)]
    twice = {name for name in names if names.count(name) > 1}
    if twice: raise ValueError(f"twice in the sidebar: {', '.join(sorted(twice))}")
    return {name: f"{k:02}_{name.partition('_')[2]}" for k, name in enumerate(names, 1)}


def rewritten(text: str, names: dict[str, str]) -> str:
    "A text with the new names and numbers of chapters"
    numbers = {old.partition("_")[0]: new.partition("_")[0] for old, new in names.items()}
    def number(found): return numbers.get(found[0], found[0])
    def sentence(found):
        return f"{found[1]} {numbers.get(found[2], found[2])}{re.sub(r'[0-9]{2}[a-z]*', number, found[3])}"
    text = CHAPTER.sub(lambda found: names.get(found[0], found[0]), text)
    return LABEL.sub(r"[\2\1](", SENTENCE.sub(sentence, text))


def resided(sidebar: str, names: dict[str, str]) -> str:
    "The sidebar, with the new numbers"
    def entry(found):
        new = names[found[2]]
        return found[0].replace(f'"{found[1]} ', f'"{new.partition("_")[0]} ').replace(found[2], new)
    return ENTRY.sub(entry, sidebar)


def tracked() -> list[Path]:
    "Files that may speak of chapters; what is generated is not among them"
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True)
    ends = (".ipynb", ".py", ".md", ".yml", ".yaml", ".csv", ".qmd", ".toml", ".ini", ".txt", ".mjs", ".js")
    return [ROOT/name for name in dict.fromkeys(listed.stdout.splitlines())
            if name.endswith(ends) and not name.startswith("irsde/") and name not in KEPT
            and (ROOT/name).is_file() and not (ROOT/name).is_symlink()]


def renumber(dry: bool = False) -> dict[str, str]:
    "Rename the chapters and rewrite what speaks of them; the names that change, old to new"
    path = ROOT/"nbs/sidebar.yml"
    sidebar = path.read_text()
    names = numbering(sidebar)
    moved = {old: new for old, new in names.items() if old != new}
    missing = [name for name in names if not (ROOT/f"nbs/{name}.ipynb").is_file()]
    if missing: raise FileNotFoundError(f"in the sidebar, but not in nbs: {', '.join(missing)}")
    if dry or not moved: return moved
    for file in tracked():
        text = file.read_text()
        new = resided(text, names) if file == path else rewritten(text, names)
        if new != text: file.write_text(new)
    for old in moved: (ROOT/f"nbs/{old}.ipynb").rename(ROOT/f"nbs/.{old}.moving") # two may swap their numbers
    for old, new in moved.items(): (ROOT/f"nbs/.{old}.moving").rename(ROOT/f"nbs/{new}.ipynb")
    return moved


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="only say what would be renamed")
    for old, new in renumber(parser.parse_args().dry).items(): print(f"{old} -> {new}")
