"""The types of the extension, which mypy reads in _infer.pyi, name what the extension has."""

import ast
from pathlib import Path

import pytest

import elq_ref

infer = pytest.importorskip("elq_ref._infer", reason="the extension _infer is not built")


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stub_names_what_is_there():
    tree = ast.parse((Path(elq_ref.__file__).parent / "_infer.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, node in classes.items():
        members = {m.target.id if isinstance(m, ast.AnnAssign) else m.name for m in node.body}
        assert public(members) == public(vars(getattr(infer, name)))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert all(callable(getattr(infer, name)) for name in functions)
    assert all(name in {*classes, *functions} for name in dir(infer) if isinstance(getattr(infer, name), type))
