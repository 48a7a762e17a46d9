"""Operator mutants of Python code: each differs from it in one place."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_SWAPS: list[tuple[type, type]] = [
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
    (ast.And, ast.Or),
]
SWAPPED = {a: b for pair in _SWAPS for a, b in (pair, pair[::-1])} | {ast.Pow: ast.Mult}
NAMES = {"min": "max", "minimum": "maximum", "argmin": "argmax"}
NAMES |= {b: a for a, b in NAMES.items()} | {"any": "all", "all": "any"}


class Mutant(NamedTuple):
    """A changed source; `key` names the place and the change, the same in every run."""

    key: str
    source: str


def mutants(source: str, file: str) -> Iterator[Mutant]:
    """Every operator mutant: swapped operators and comparisons, 0 and 1, other numbers doubled, True and False, min and
    max, any and all, a not, ~ or minus undone. Annotations, error messages, decorators, zip(strict=) are left alone."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for number, (where, context) in enumerate(_places(tree)):
        for variant in range(_variants(_node(tree, number))):
            changed = copy.deepcopy(tree)
            _change(_node(changed, number), variant)
            before, after = ast.unparse(context), ast.unparse(_places(changed)[number][1])
            key = f"{file} {where}: {before} -> {after}"
            seen[key] += 1
            suffix = f" ({seen[key]})" if seen[key] > 1 else ""
            yield Mutant(key + suffix, ast.unparse(ast.fix_missing_locations(changed)))


def _places(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """(function, expression to show) of every node that may be changed, in order."""
    return [(where, context) for where, context, _ in _walk(tree, "", tree)]


def _node(tree: ast.Module, number: int) -> ast.AST:
    return [node for _, _, node in _walk(tree, "", tree)][number]


def _walk(node: ast.AST, where: str, context: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    if isinstance(node, ast.Raise | ast.JoinedStr) or (
        isinstance(node, ast.keyword) and node.arg in ("strict", "repr")
    ):
        return
    whole = isinstance(node, ast.BinOp | ast.Compare | ast.BoolOp | ast.AugAssign | ast.UnaryOp | ast.Call)
    yield where, node if whole else context, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "op", "ops", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, where, node if isinstance(node, ast.expr | ast.keyword) else child)


def _variants(node: ast.AST) -> int:
    """How many mutants this node has."""
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            return int(type(op) in SWAPPED)
        case ast.Compare(ops=ops):
            return sum(type(op) in SWAPPED for op in ops)
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            return 1
        case ast.Constant(value=bool() | int() | float()):
            return 1
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return int(name in NAMES)
    return 0


def _change(node: ast.AST, variant: int) -> None:
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            node.op = SWAPPED[type(op)]()
        case ast.Compare(ops=ops):
            at = [i for i, op in enumerate(ops) if type(op) in SWAPPED][variant]
            ops[at] = SWAPPED[type(ops[at])]()
        case ast.UnaryOp(op=op, operand=operand):
            node.operand = ast.UnaryOp(op, operand)  # applied twice is not applied
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=value):
            node.value = type(value)({0: 1, 1: 0}.get(value, 2 * value))
        case ast.Call(func=ast.Name(id=name)):
            node.func.id = NAMES[name]
        case ast.Call(func=ast.Attribute(attr=name)):
            node.func.attr = NAMES[name]
