"""Operator mutants of Python code: each differs from it in one place.

Those of one node, here; those of a statement's place in tools/statement_order.py.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
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
    """A changed source, made when it is asked for; `key` names the place and the change, the same in every run."""

    key: str
    make: Callable[[], str]

    @property
    def source(self) -> str:
        return self.make()


def mutants(source: str, file: str) -> Iterator[Mutant]:
    """Every operator mutant of one node: swapped operators and comparisons, 0 and 1, other numbers doubled, True and
    False, min and max, any and all, a not, ~ or minus undone; rounding cut off, half up or half to even; the last of
    equal largest in place of the first; float32 in place of float64; a comparison that holds in stage 1 only.
    Annotations, error messages, decorators, zip(strict=) are left alone."""
    tree = ast.parse(source)
    _name_stages(tree)
    seen: Counter[str] = Counter()
    for number, (where, context, node) in enumerate(_walk(tree, "", tree)):
        for variant in range(_variants(node)):
            place = next(i for i, inner in enumerate(ast.walk(context)) if inner is node)
            changed = copy.deepcopy(context)
            _change(list(ast.walk(changed))[place], variant)
            key = f"{file} {where}: {ast.unparse(context)} -> {ast.unparse(changed)}"
            seen[key] += 1
            suffix = f" ({seen[key]})" if seen[key] > 1 else ""
            yield Mutant(key + suffix, partial(_changed, tree, number, variant))


def _changed(tree: ast.Module, number: int, variant: int) -> str:
    """The source with its node `number` changed."""
    changed = copy.deepcopy(tree)
    _change(next(itertools.islice(_walk(changed, "", changed), number, None))[2], variant)
    return ast.unparse(ast.fix_missing_locations(changed))


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


def _name_stages(tree: ast.Module) -> None:
    """Every comparison in a function that knows the stage gets the expression of it, `in_stage`."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = {a.arg: a.annotation for a in function.args.args}
            stage = "stage" if "stage" in names else "state.stage" if "state" in names else None
            for node in ast.walk(function):
                if isinstance(node, ast.Compare) and stage and stage not in ast.unparse(node):
                    node.in_stage = stage  # type: ignore[attr-defined]


def _variants(node: ast.AST) -> int:
    """How many mutants this node has."""
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            return int(type(op) in SWAPPED)
        case ast.Compare(ops=ops):
            return sum(type(op) in SWAPPED for op in ops) + hasattr(node, "in_stage")
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            return 1
        case ast.Constant(value=bool() | int() | float()):
            return 1
        case ast.Attribute(attr="float64"):
            return 1
        case ast.Call(func=ast.Name(id="round")):
            return 2
        case ast.Call(func=ast.Attribute(attr="floor"), args=[ast.BinOp(op=ast.Add(), right=ast.Constant(value=0.5))]):
            return 2
        case ast.Call(func=ast.Attribute(attr="argmax" | "argmin")):
            return 2
        case ast.Call(func=ast.Attribute(attr="argsort"), keywords=keywords):
            return int(any(k.arg == "kind" for k in keywords))
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return int(name in NAMES)
    return 0


def _change(node: ast.AST, variant: int) -> None:
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            node.op = SWAPPED[type(op)]()
        case ast.Compare(ops=ops) if variant == sum(type(op) in SWAPPED for op in ops):
            _become(node, f"({ast.unparse(node)}) and {node.in_stage} == 1")
        case ast.Compare(ops=ops):
            at = [i for i, op in enumerate(ops) if type(op) in SWAPPED][variant]
            ops[at] = SWAPPED[type(ops[at])]()
        case ast.UnaryOp(op=op, operand=operand):
            node.operand = ast.UnaryOp(op, operand)  # applied twice is not applied
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=value):
            node.value = type(value)({0: 1, 1: 0}.get(value, 2 * value))
        case ast.Attribute(attr="float64"):
            node.attr = "float32"
        case ast.Call(func=ast.Name(id="round"), args=[value]):
            _become(node, f"int({ast.unparse(value)})" if variant == 0 else f"int({ast.unparse(value)} + 0.5)")
        case ast.Call(
            func=ast.Attribute(attr="floor"), args=[ast.BinOp(op=ast.Add(), left=value, right=ast.Constant())]
        ):
            _become(node, f"np.{('floor', 'rint')[variant]}({ast.unparse(value)})")
        case ast.Call(func=ast.Attribute(attr="argmax" | "argmin" | "argsort" as name)) if variant == 0:
            _become(node, _last(node, name))
        case ast.Call(func=ast.Name(id=name)):
            node.func.id = NAMES[name]
        case ast.Call(func=ast.Attribute(attr=name)):
            node.func.attr = NAMES[name]


def _become(node: ast.AST, source: str) -> None:
    """Another expression in the place of `node`."""
    new = ast.parse(source, mode="eval").body
    node.__class__ = new.__class__  # type: ignore[assignment]
    for name in list(vars(node)):
        if name not in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            delattr(node, name)
    vars(node).update(dict(ast.iter_fields(new)))


def _last(node: ast.Call, name: str) -> str:
    """argmax, argmin or a stable argsort of an array that is turned round: of equal elements the last comes first."""
    of_module = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "np"
    array, *more = node.args if of_module else [node.func.value, *node.args]  # type: ignore[attr-defined]
    axis = next((ast.unparse(k.value) for k in node.keywords if k.arg == "axis"), "None")
    axis = ast.unparse(more[0]) if more else axis
    size = f"np.size({ast.unparse(array)}, {axis})"
    kind = ", kind='stable'" if name == "argsort" else ""
    return f"{size} - 1 - np.{name}(np.flip({ast.unparse(array)}, {axis}), {axis}{kind})"
