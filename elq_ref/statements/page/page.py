"""The page itself: a card for every statement, in chapters."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from ... import __version__, kernels
from ...files import atomic_write
from .. import CHAPTERS
from ..line import Line
from .mathml import mathml
from .pictures import PICTURES
from .sources import SOURCES, STANDING
from .style import SCRIPT, STYLE

ROOT = Path(__file__).resolve().parents[3]  # of the repository, where the package runs from one
DECADES = (-12, 2)  # of deviation / bound, from left to right


def write_page(lines: Sequence[Line], folder: str | os.PathLike[str], subject: str | None = None) -> Path:
    """Write index.html into `folder`, atomically; its path. The same lines give the same bytes.

    subject: the network that the statements about losses were checked on, where it is not the package's own: the
    pictures, which are of that one, are left out.
    """
    target = Path(folder) / "index.html"
    content = "\n".join(_parts(lines, target.parent, subject))
    with atomic_write(target) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="backslashreplace", newline="\n")
    return target


def _parts(lines: Sequence[Line], folder: Path, subject: str | None) -> Iterator[str]:
    failed = sum(not line.holds for line in lines)
    verdict = f"{len(lines) - failed} of {len(lines)} statements hold"
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>elq verify: {verdict}</title><style>{STYLE}</style></head><body>"
    yield f'<h1>elq verify</h1><p class="{"bad" if failed else "good"}">{verdict}</p>'
    yield (
        "<p>Each statement of the method, of a packed network and of its integers is computed in two ways that share "
        "nothing but their arguments; a statement holds where the two differ by no more than its bound.</p>"
    )
    made = f"elq_ref {__version__}, NumPy {np.__version__}, training kernels {kernels.info()['kernel']}"
    where = f"; losses on {subject}" if subject else ""
    yield f'<p class="soft small">{html.escape(made + where)}. The standing of a statement: {_standings()}.</p>'
    chapters = {key: [line for line in lines if line.chapter == key] for key in CHAPTERS}
    chapters = {key: found for key, found in chapters.items() if found}
    yield f'<nav aria-label="chapters">{"".join(_navigation(chapters, failed))}</nav><main>'
    number = 0
    for key, found in chapters.items():
        yield f'<section id="{key}" data-chapter="{key}"><h2>{_title(key)}</h2><div class="cards">'
        for line in found:
            number += 1
            yield "".join(_card(line, number, folder, subject is None))
        yield "</div></section>"
    yield f"</main><script>{SCRIPT}</script></body></html>\n"


def _standings() -> str:
    return "; ".join(f"{letter}, {html.escape(words)}" for letter, words in STANDING.items())


def _title(key: str) -> str:
    return html.escape(f"{key}. {CHAPTERS[key]}" if key.isdigit() else CHAPTERS[key])


def _navigation(chapters: dict[str, list[Line]], failed: int) -> Iterator[str]:
    """Links where nothing runs; buttons that show one chapter where scripts do."""
    yield '<button type="button" data-chapter="all" aria-pressed="true">All</button>'
    if failed:
        yield f'<button type="button" data-chapter="fails" aria-pressed="false">Fails ({failed})</button>'
    for key, found in chapters.items():
        name = f"{_title(key)} ({len(found)})"
        yield f'<a href="#{key}">{name}</a>'
        yield f'<button type="button" data-chapter="{key}" aria-pressed="false">{name}</button>'


def _card(line: Line, number: int, folder: Path, own: bool) -> Iterator[str]:
    verdict = '<span class="good">holds</span>' if line.holds else '<span class="bad">FAILS</span>'
    name = html.escape(line.statement.partition(" ")[2])
    yield f'<article id="s{number}"{"" if line.holds else " class=" + chr(34) + "fails" + chr(34)}>'
    name = name[:1].upper() + name[1:] if name[1:2].isalpha() or name.startswith("a ") else name
    yield f"<header><h3>{name}</h3>{verdict}</header>"
    yield f'<div class="math">{mathml(line.equation)}</div><p class="small">{html.escape(line.ways)}</p>'
    yield _bar(line)
    yield "<dl>"
    for term, value in _facts(line, folder):
        yield f"<dt>{term}</dt><dd>{value}</dd>"
    yield "</dl>"
    if own and line.statement in PICTURES:
        caption, draw = PICTURES[line.statement]
        yield f"<figure>{draw().svg(caption)}<figcaption>{html.escape(caption)}</figcaption></figure>"
    yield "</article>"


def _facts(line: Line, folder: Path) -> Iterator[tuple[str, str]]:
    """(term, HTML) of what stands below the equation."""
    if line.sides is not None:
        numbers = " and ".join(f'<span class="number">{value:.17g}</span>' for value in line.sides)
        yield "both sides", f"{numbers}, where they differ most"
        yield "deviation", f'<span class="number">{line.deviation:.2g}</span>, bound {line.bound:.2g}'
    else:
        cases = "none" if line.deviation == 0 else f"{line.deviation:g}"
        yield "contradictions", f'<span class="number">{cases}</span>, allowed none'
    yield "bound from", html.escape(line.why)
    source = SOURCES.get(line.statement)
    if source is not None:
        yield "standing", ", ".join(f"{html.escape(STANDING[letter])} ({letter})" for letter in source.standing.split())
        yield "function", link(source.function, folder)
        yield "test", link(source.test, folder)


def link(place: str, folder: Path) -> str:
    """PATH::NAME as a link: to the project's address if the package states one, else from `folder` to the file of a
    checkout; where there is neither, the words alone."""
    path, _, name = place.partition("::")
    words = html.escape(f"{path.removeprefix('elq_ref/')}: {name}" if name else path)
    target = address(path, folder)
    return f'<a href="{html.escape(target, quote=True)}">{words}</a>' if target else words


def address(path: str, folder: Path) -> str | None:
    """Where a file of the repository lies, or None."""
    source = _project_url()
    if source:
        return f"{source.rstrip('/')}/blob/v{__version__}/{path}"
    if not (ROOT / "tests").is_dir() or not (ROOT / path).is_file():
        return None
    return Path(os.path.relpath(ROOT / path, folder.resolve())).as_posix()


def _project_url() -> str | None:
    """The address of the sources in the metadata of the installed package."""
    try:
        stated = metadata.metadata("elq_ref").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    named = dict(entry.split(", ", 1) for entry in stated if ", " in entry)
    return next((named[key] for key in ("Source", "Repository", "Homepage") if key in named), None)


def _bar(line: Line) -> str:
    """deviation / bound on a logarithmic bar, the same for all statements: the bound is a mark at one place."""
    low, high = DECADES
    left, right, width = 4, 436, 432

    def at(power: float) -> float:
        return left + width * (min(max(power, low), high) - low) / (high - low)

    share = line.deviation / line.bound if line.bound else (math.inf if line.deviation else 0.0)
    share = math.inf if math.isnan(share) else share
    power = math.inf if math.isinf(share) else math.log10(share) if share > 0 else -math.inf
    colour = "var(--good)" if line.holds else "var(--bad)"
    parts = [f'<rect x="{left}" y="6" width="{right - left}" height="8" rx="4" fill="var(--line)"/>']
    if power > low:
        parts.append(f'<rect x="{left}" y="6" width="{at(power) - left:.1f}" height="8" rx="4" fill="{colour}"/>')
    else:
        parts.append(f'<circle cx="{left + 4}" cy="10" r="4" fill="{colour}"/>')
    parts.append(f'<path d="M{at(0):.1f} 1V19" stroke="var(--ink)" stroke-width="2"/>')
    for mark in (low, -9, -6, -3, 0, high):
        text = "bound" if mark == 0 else f"1e{mark}" if mark > low else "0"
        anchor = "start" if mark == low else "end" if mark == high else "middle"
        parts.append(f'<text x="{at(mark):.1f}" y="32" text-anchor="{anchor}">{text}</text>')
    label = f"deviation {share:.2g} times the bound" if line.bound else f"{line.deviation:g} contradictions"
    return f'<svg viewBox="0 0 440 36" role="img" aria-label="{label}">{"".join(parts)}</svg>'
