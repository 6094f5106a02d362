"""Write README.md and its pictures from nbs/index.ipynb, so that GitHub and the site open on the same page.

    python tools/make_readme.py [--check]
"""
import base64
import html
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Made from nbs/index.ipynb by `make readme`: edit that. -->\n"
IMAGES = "nbs/images"
HIDDEN = re.compile(r"^#\|\s*(hide|include:\s*false)\b", re.MULTILINE)
SILENT = re.compile(r"^#\|\s*echo:\s*false\b", re.MULTILINE)
OPTION = re.compile(r'^#\|\s*([\w-]+):\s*"?(.*?)"?\s*$', re.MULTILINE)
DIRECTIVE = re.compile(r"^#\|.*\n", re.MULTILINE) # to Quarto
RELATIVE = re.compile(r'(\]\(|(?:src|href)=")(?![a-z]+:|#|/)') # in nbs/; in the README, relative to the top
CALLOUT = re.compile(r"^::: *\{\.callout-(\w+)[^}]*\}\n+#+ (.*?)\n(.*?)\n:::$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^:::.*\n?", re.MULTILINE)


def picture_of(cell: NotebookNode):
    "The kind of picture that a cell shows, and its output; None if it shows none"
    return next(((kind, output) for output in cell.get("outputs", [])
                 for kind in output.get("data", {}) if kind.startswith("image/")), None)


def as_github(text: str) -> str:
    "Quarto's callouts as GitHub's, its other fences away, and links as from the top"
    def alert(found):
        return f"> [!{found[1].upper()}]\n> **{found[2]}.** " + found[3].strip().replace("\n", "\n> ")
    return RELATIVE.sub(r"\1nbs/", FENCE.sub("", CALLOUT.sub(alert, text)))


def as_image(source: str, kind: str, output: NotebookNode) -> tuple[str, bytes, str]:
    "The picture of a cell as a file of IMAGES, and the line that shows it at its own size with its caption"
    options = dict(OPTION.findall(source))
    missing = [option for option in ("label", "fig-cap", "fig-alt") if not options.get(option)]
    if missing:
        raise SystemExit(f'nbs/index.ipynb: a picture without a "#| {missing[0]}: ..." line: {source[:60]!r}')
    name = f"{options['label'].removeprefix('fig-')}.{'jpg' if kind == 'image/jpeg' else 'png'}"
    width = output.get("metadata", {}).get(kind, {}).get("width")
    sized = f' width="{width}"' if width else ""
    tag = f'<img src="{IMAGES}/{name}" alt="{html.escape(options["fig-alt"])}"{sized}>'
    return name, base64.b64decode(output.data[kind]), f"{tag}\n\n*{options['fig-cap']}*"


def prepare(cell: NotebookNode) -> dict[str, bytes]:
    "Make a cell ready for GitHub, in place; name -> content of the pictures that its outputs held"
    pictures = {}
    if cell.cell_type == "markdown":
        cell.source = as_github(cell.source)
        return pictures
    if shown := picture_of(cell):
        name, pictures[name], line = as_image(cell.source, *shown)
        cell.outputs = [nbformat.v4.new_output("display_data", {"text/markdown": line})]
    elif cell.outputs and "text/markdown" in cell.outputs[-1].get("data", {}): # a table with links
        data = cell.outputs[-1].data
        data["text/markdown"] = RELATIVE.sub(r"\1nbs/", data["text/markdown"])
    if SILENT.search(cell.source): # nbconvert's word for: output only
        cell.metadata["transient"] = nbformat.from_dict({"remove_source": True})
    cell.source = DIRECTIVE.sub("", cell.source)
    return pictures


def made(root: Path = ROOT) -> dict[Path, bytes]:
    "Path -> content of README.md and of the pictures that its outputs hold"
    from nbconvert import MarkdownExporter  # takes a second to load
    nb = nbformat.read(root/"nbs"/"index.ipynb", as_version=4)
    nb.cells = [cell for cell in nb.cells if not HIDDEN.search(cell.source)]
    nb.metadata.language_info = {"name": "python"}
    pictures = {}
    for cell in nb.cells: pictures |= prepare(cell)
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r"\n{3,}", "\n\n", text)
    text = re.sub(r"\n```\s+```python\n", "\n\n", text) # code that follows code is one block
    readme = (NOTE + text.strip() + "\n").encode()
    return {root/"README.md": readme, **{root/IMAGES/name: data for name, data in pictures.items()}}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, with status 1 if they differ")
    check, files = parser.parse_args().check, made()
    if check:
        wrong = [path for path, data in files.items() if not path.exists() or path.read_bytes() != data]
        for path in wrong: print(f"{path.relative_to(ROOT)} is not what nbs/index.ipynb says")
        raise SystemExit(bool(wrong))
    for path, data in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__": main()
