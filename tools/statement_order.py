"""Mutants in which a statement that changes something comes later than it should."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

from operators import Mutant


def reordered(source: str, file: str) -> Iterator[Mutant]:
    """Every statement with an effect moved behind the next one that has one, where no local name stands in the way."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for number, body in enumerate(_bodies(tree)):
        for i, j in _moves(body):
            key = f"{file} line order: {_short(body[i])} | behind | {_short(body[j])}"
            seen[key] += 1
            suffix = f" ({seen[key]})" if seen[key] > 1 else ""
            yield Mutant(key + suffix, partial(_moved, tree, number, i, j))


def _moved(tree: ast.Module, number: int, i: int, j: int) -> str:
    """The source in which statement i of body `number` stands behind statement j."""
    changed = copy.deepcopy(tree)
    body = _bodies(changed)[number]
    body.insert(j, body.pop(i))
    return ast.unparse(ast.fix_missing_locations(changed))


def _bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements in functions, in order."""
    inside = ast.FunctionDef | ast.For | ast.While | ast.If | ast.With | ast.Try
    return [getattr(n, part, []) for n in ast.walk(tree) if isinstance(n, inside) for part in ("body", "orelse")]


def _moves(body: list[ast.stmt]) -> Iterator[tuple[int, int]]:
    """(statement, the next with an effect) that may change places."""
    effects = [i for i, statement in enumerate(body) if _has_effect(statement)]
    for i, j in pairwise(effects):
        bound = {n.id for n in ast.walk(body[i]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        used = {n.id for s in body[i + 1 : j + 1] for n in ast.walk(s) if isinstance(n, ast.Name)}
        later = {
            n.id
            for s in body[i + 1 : j + 1]
            for n in ast.walk(s)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        reads = {n.id for n in ast.walk(body[i]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if not bound & used and not later & reads:
            yield i, j


def _has_effect(statement: ast.stmt) -> bool:
    """Whether it changes what others see: an attribute, an element, or by a call on its own."""
    if isinstance(statement, ast.Return | ast.Raise | ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return False
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return True
    return False


def _short(statement: ast.stmt) -> str:
    return ast.unparse(statement).replace("\n", " ")[:90]
