"""Where in a PyTorch file the tensors of the network are: training scripts put them beside notes of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ..errors import FormatError
from .torch_pickle import Opaque, View

_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net", "network", "module",
    "weights", "params", "checkpoint",
)  # fmt: skip
_DEPTH = 8
_LISTED = 8

_Path = tuple[str, ...]


def tensors_of(value: dict[str, Any], key: str | None) -> dict[str, View]:
    """The tensors by name of the dictionary that was saved: those under `key`, or where scripts put a network's.

    They are in an entry with a usual name, however deep; else in the dictionary itself; else in the only entry that
    has any. key: names, of a list numbers, joined by "/". Raises FormatError that lists the entries with tensors where
    none is the one.
    """
    if key is not None:
        found = [inside for path, inside in _dictionaries(value) if len(path) and _is(path, key)]
        if not found:
            raise FormatError(f"it has no entry {key[:80]!a}; {_listed(value)}")
        value = found[0]
    chosen = _usual(value, 0, set())
    if chosen:
        return chosen
    holding = [inside for _, inside in _dictionaries(value) if _views(inside)]
    if len(holding) == 1 and not _refused(value):
        return _views(holding[0])
    raise FormatError(f"it holds no tensors by name where a network's are: {_refused(value)}{_listed(value)}")


def _views(entries: dict[str, Any]) -> dict[str, View]:
    return {name: value for name, value in entries.items() if isinstance(value, View)}


def _usual(entries: dict[str, Any], depth: int, seen: set[int]) -> dict[str, View]:
    """The tensors of the first entry with a usual name that has some, or of the dictionary itself; perhaps none."""
    seen.add(id(entries))
    for name in _WRAPPERS:
        inside = entries.get(name)
        if isinstance(inside, dict) and id(inside) not in seen and depth < _DEPTH:
            found = _usual(inside, depth + 1, seen)
            if found:
                return found
    return _views(entries)


def _dictionaries(value: dict[str, Any]) -> Iterator[tuple[_Path, dict[str, Any]]]:
    """Every dictionary that is not empty, to some depth, once, with the names that lead to it; the nearest first."""
    queue: deque[tuple[_Path, Any]] = deque([((), value)])
    seen = {id(value)}
    while queue:
        path, entries = queue.popleft()
        if isinstance(entries, dict):
            yield path, entries
        for name, inside in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if inside and isinstance(inside, dict | list | tuple) and id(inside) not in seen and len(path) < _DEPTH:
                seen.add(id(inside))
                queue.append(((*path, str(name)), inside))


def _is(path: _Path, key: str) -> bool:
    return sum(map(len, path)) + len(path) - 1 == len(key) and "/".join(path) == key


def _refused(value: dict[str, Any]) -> str:
    """What of the usual entries was not built."""
    for name in _WRAPPERS:
        entry = value.get(name)
        if isinstance(entry, Opaque):
            return (
                f"its {name!r} asks for {entry.name}, which builds no tensor: refused, not run "
                "(of a network of yours, save the state_dict()); "
            )
    return ""


def _listed(value: dict[str, Any]) -> str:
    """The entries that hold tensors, for people to choose from."""
    found = [(path, len(_views(inside))) for path, inside in _dictionaries(value) if path and _views(inside)]
    if not found:
        return "no tensors by name in any entry, wanted a state_dict()"
    names = [f"{ascii('/'.join(part[:40] for part in path))[1:-1][:80]} ({count})" for path, count in found[:_LISTED]]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"tensors are in {', '.join(names)}{more}; choose one by its key (--key)"
