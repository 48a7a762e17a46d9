"""The API reference, one page a room, made of the docstrings: python tools/api.py FOLDER   (pip install '.[docs]')

Any warning of pdoc is an error: a name of an `__all__` that leads nowhere, an import that fails, an annotation that
cannot be read. So is a docstring that reads otherwise as Markdown than as text: stars that become emphasis, a table
whose rows have other cells than its head.
"""

import os
import re
import sys
import tempfile
import typing
import warnings
from pathlib import Path
from types import ModuleType

import pdoc

import elq_ref

STYLE = "main, header { width: calc(68rem + var(--sidebar-width)) !important } main pre { font-size: 0.75rem }"


def resolve(module: ModuleType) -> None:
    """Load what `module`, and what is shown of its parts, loads when it is first used: pdoc shows what is there."""
    for name in getattr(module, "__all__", ()):
        setattr(module, name, getattr(module, name))
    for value in list(vars(module).values()):
        if isinstance(value, type) and hasattr(value, "_field_defaults"):  # a NamedTuple's constructor knows no module
            value.__new__.__annotations__ = typing.get_type_hints(value)
    for part in pdoc.doc.Module(module).submodules:
        resolve(part.obj)


def flaws(page: str) -> list[str]:
    """What Markdown made of a docstring and nobody meant."""
    found = re.findall(r"<em>.*?</em>", page)
    for table in re.findall(r"<table>.*?</table>", page, re.S):
        rows = [len(re.findall(r"<t[hd]\b", row)) for row in table.split("</tr>")[:-1]]
        if len(set(rows)) > 1:
            found.append(f"a table with {rows} cells")
    return found


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    warnings.simplefilter("error")
    resolve(elq_ref)
    folder = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as templates:
        Path(templates, "custom.css").write_text(STYLE)
        pdoc.render.configure(docformat="markdown", template_directory=Path(templates))
        os.chdir(templates)  # away from a folder elq_ref, which pdoc would not know from the installed package
        pdoc.pdoc("elq_ref", output_directory=folder)
    wrong = [
        f"{page.relative_to(folder)}: {flaw}" for page in folder.rglob("*.html") for flaw in flaws(page.read_text())
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
