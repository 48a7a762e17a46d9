"""C as z3 reads it: functions of _ext, preprocessed and parsed, run on numbers of which some are unknown.

A number is an `Int`, of so many bits, signed or not, whose value is a Python integer or a z3 term; a vector register is
an unsigned Int of 128, 256 or 512 bits (c_vectors.py). Signed arithmetic that could overflow and shifts that could go
too far are noted in `Meaning.duties`, to be proved; products of two unknowns are `TIMES`, of which only bounds are
known (c_proof.py): z3 never multiplies.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import z3
from c_integers import ON_NUMBERS, TIMES, Int, Pointer, common, compared, convert, integer, promoted
from pycparser import c_ast, c_parser

EXT = Path(__file__).parents[1] / "_ext"
TYPES = {f"{u}int{bits}_t": (bits, not u) for u in ("", "u") for bits in (8, 16, 32, 64)}
TYPES |= {"char": (8, True), "short": (16, True), "int": (32, True), "unsigned": (32, False), "long": (64, True)}
TYPES |= {"ptrdiff_t": (64, True), "size_t": (64, False), "uintptr_t": (64, False), "elq_features": (64, False)}
TYPES |= {f"__m{bits}i": (bits, False) for bits in (128, 256, 512)} | {
    f"__mmask{bits}": (bits, False) for bits in (16, 64)
}
TYPES |= {
    f"{u}int{b}x{128 * h // b // 2}_t": (64 * h, False) for u in ("", "u") for b in (8, 16, 32, 64) for h in (1, 2)
}
BUILT_IN = {"char", "short", "int", "unsigned", "long"}
QUIET = ("-nostdinc", "-undef", "-D__attribute__(x)=", "-D__asm__(...)=", "-D__typeof__(x)=int", "-Doffsetof(a,b)=0")


class _Return(Exception):
    pass


def parsed(text: str, ext: Path = EXT, *options: str) -> c_ast.FileAST:
    """The syntax tree of C text that may include what _ext has; the system's headers are left out. options: -D..."""
    with tempfile.TemporaryDirectory() as empty:
        for name in ("assert", "stddef", "stdint", "string", "immintrin", "arm_neon", "stdlib", "limits"):
            Path(empty, f"{name}.h").touch()
        command = ["cc", "-E", "-P", *QUIET, *options, "-I", empty, "-I", str(ext), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    known = "".join(f"typedef int {name};\n" for name in TYPES if name not in BUILT_IN)
    return c_parser.CParser().parse(known + done.stdout)


def before_the_table(file: str, ext: Path = EXT) -> str:
    """A source of kernels up to its first kernel's entry in the table: the functions, without what only names them."""
    return re.split(r"^const elq_kernel", (ext / file).read_text(), maxsplit=1, flags=re.M)[0]


class Meaning:
    """The functions of a tree, ready to be called: `run(name, *arguments)`.

    hooks: functions on Ints and Pointers that stand for calls, by name. `duties`: (what, z3 Bool under which it is
    sound), of all that was run.
    """

    def __init__(self, tree: c_ast.FileAST, hooks: dict[str, Any]) -> None:
        self.functions = {n.decl.name: n for n in tree.ext if isinstance(n, c_ast.FuncDef)}
        self.hooks, self.duties, self.globals = hooks, [], {}
        self._turns: list[bool] | None = None  # to be taken where the way depends on what is unknown
        self._taken: list[z3.BoolRef] = []
        self.types = dict(TYPES)
        for node in tree.ext:
            if isinstance(node, c_ast.Typedef) and node.name not in TYPES:
                inner = node.type.type if isinstance(node.type, c_ast.TypeDecl) else None
                if isinstance(inner, c_ast.IdentifierType):
                    self.types[node.name] = self.type_of(node.type)
                elif isinstance(inner, c_ast.Struct) and inner.decls:
                    self.types[node.name] = [d.name for d in inner.decls]
            with contextlib.suppress(NotImplementedError):  # the size of a struct, which nobody here asks for
                for enum in _enums(node):
                    value = -1
                    for item in enum.values.enumerators:
                        value = self.eval(item.value, self.globals).value if item.value else value + 1
                        self.globals[item.name] = integer(value)

    def run(self, name: str, *arguments: Any) -> Any:
        function = self.functions[name]
        names = [p.name for p in function.decl.type.args.params]
        types = [self.type_of(p.type) for p in function.decl.type.args.params]
        passed = [self._as(a, t) for a, t in zip(arguments, types, strict=True)]
        scope = {**self.globals, **dict(zip(names, passed, strict=True))}
        try:
            self.execute(function.body, scope)
        except _Return as result:
            return self._as(result.args[0], self.type_of(function.decl.type.type))
        return None

    def ways(self, run: Callable[[], Int]) -> Int:
        """What `run` gives on every way through it, as one Int: for functions with an `if` on something unknown."""
        outcomes, turns = [], []
        while turns is not None:
            self._turns, self._taken, before = turns, [], len(self.duties)
            value = run()
            here = z3.And(*self._taken)
            self.duties[before:] = [(what, z3.Implies(here, sound)) for what, sound in self.duties[before:]]
            outcomes.append((here, value))
            while self._turns and not self._turns[-1]:
                self._turns.pop()
            turns = [*self._turns[:-1], False] if self._turns else None
        self._turns = None
        term = outcomes[-1][1].term()
        for here, value in outcomes[:-1]:
            term = z3.If(here, value.term(), term)
        return Int(outcomes[0][1].bits, outcomes[0][1].signed, term)

    def type_of(self, node: Any) -> Any:
        """(bits, signed), a struct's names, or None for a pointer, an array and whatever else has none."""
        if isinstance(node, c_ast.Typename | c_ast.TypeDecl):
            return self.type_of(node.type)
        if not isinstance(node, c_ast.IdentifierType):
            return None
        names = [n for n in node.names if n in self.types] or ["int"]
        bits = self.types["long" if "long" in names else names[-1]]
        return (bits[0], False) if "unsigned" in names and isinstance(bits, tuple) else bits

    def _as(self, value: Any, kind: Any) -> Any:
        return convert(value, *kind) if isinstance(kind, tuple) and isinstance(value, Int) else value

    # statements

    def execute(self, node: Any, scope: dict[str, Any]) -> None:
        match node:
            case c_ast.Compound():
                for item in node.block_items or []:
                    self.execute(item, scope)
            case c_ast.Decl():
                self._declare(node, scope)
            case c_ast.DeclList():
                for item in node.decls:
                    self.execute(item, scope)
            case c_ast.Return():
                raise _Return(None if node.expr is None else self.eval(node.expr, scope))
            case c_ast.If():
                chosen = node.iftrue if self.holds(node.cond, scope) else node.iffalse
                if chosen is not None:
                    self.execute(chosen, scope)
            case c_ast.For() | c_ast.While() | c_ast.DoWhile():
                self._loop(node, scope)
            case c_ast.EmptyStatement() | None:
                pass
            case _:
                self.eval(node, scope)

    def _declare(self, node: c_ast.Decl, scope: dict[str, Any]) -> None:
        kind = self.type_of(node.type)
        if isinstance(node.type, c_ast.ArrayDecl):
            init = node.init.exprs if isinstance(node.init, c_ast.InitList) else []
            kind = self.type_of(node.type.type)
            cells = {i: self._as(self.eval(e, scope), kind) for i, e in enumerate(init)}
            scope[node.name] = Pointer(cells, kind=kind if isinstance(kind, tuple) else None)
        elif node.init is not None:
            value = self.eval(node.init, scope)
            scope[node.name] = _struct(kind, value) if isinstance(kind, list) else self._as(value, kind)
        else:
            scope[node.name] = dict.fromkeys(kind) if isinstance(kind, list) else None

    def _loop(self, node: Any, scope: dict[str, Any]) -> None:
        if isinstance(node, c_ast.For) and node.init is not None:
            self.execute(node.init, scope)
        first = isinstance(node, c_ast.DoWhile)
        while first or node.cond is None or self.holds(node.cond, scope):
            first = False
            self.execute(node.stmt, scope)
            if isinstance(node, c_ast.For) and node.next is not None:
                self.eval(node.next, scope)

    def holds(self, node: Any, scope: dict[str, Any]) -> bool:
        """A condition, which must be known."""
        value = self.eval(node, scope)
        if isinstance(value, Pointer) or value is None:
            return value is not None
        if value.known:
            return value.value != 0
        assert self._turns is not None, f"{node.coord}: the way depends on what is unknown"
        if len(self._taken) == len(self._turns):
            self._turns.append(True)
        turn = self._turns[len(self._taken)]
        self._taken.append(value.term() != 0 if turn else value.term() == 0)
        return turn

    # expressions

    def eval(self, node: Any, scope: dict[str, Any]) -> Any:
        match node:
            case c_ast.ID():
                return scope[node.name]
            case c_ast.Constant(type=kind):
                if kind == "char":
                    return integer(ord(node.value[1]))
                digits = node.value.rstrip("uUlL")
                value = int(digits, 0)
                return integer(value, 64 if "long" in kind or value >= 1 << 31 else 32, "unsigned" not in kind)
            case c_ast.Cast():
                return self._as(self.eval(node.expr, scope), self.type_of(node.to_type))
            case c_ast.TernaryOp():
                return self._choose(node, scope)
            case c_ast.BinaryOp(op="&&" | "||"):
                left = self.holds(node.left, scope)
                return integer(int(self.holds(node.right, scope)) if left == (node.op == "&&") else int(left))
            case c_ast.BinaryOp():
                return self.binary(node.op, self.eval(node.left, scope), self.eval(node.right, scope))
            case c_ast.UnaryOp():
                return self._unary(node, scope)
            case c_ast.Assignment():
                value = self.eval(node.rvalue, scope)
                if node.op != "=":
                    value = self.binary(node.op[:-1], self.eval(node.lvalue, scope), value)
                return self._assign(node.lvalue, value, scope)
            case c_ast.ExprList():
                return [self.eval(e, scope) for e in node.exprs][-1]
            case c_ast.FuncCall():
                arguments = [] if node.args is None else [self.eval(e, scope) for e in node.args.exprs]
                hook = self.hooks.get(node.name.name)
                return hook(*arguments) if hook else self.run(node.name.name, *arguments)
            case c_ast.ArrayRef():
                return self.eval(node.name, scope).get(self.eval(node.subscript, scope).value)
            case c_ast.StructRef():
                whole = self.eval(node.name, scope)
                return (whole.get(0) if isinstance(whole, Pointer) else whole)[node.field.name]
            case c_ast.InitList():
                return [self.eval(e, scope) for e in node.exprs]
            case c_ast.CompoundLiteral():
                return _struct(self.type_of(node.type), self.eval(node.init, scope))
        raise NotImplementedError(f"{node.coord}: {type(node).__name__}")

    def _choose(self, node: c_ast.TernaryOp, scope: dict[str, Any]) -> Any:
        condition = self.eval(node.cond, scope)
        if isinstance(condition, Pointer) or condition.known:
            return self.eval(node.iftrue if self.holds(node.cond, scope) else node.iffalse, scope)
        a, b = self.eval(node.iftrue, scope), self.eval(node.iffalse, scope)
        bits, signed = common(a, b)
        return Int(bits, signed, z3.If(condition.value != 0, a.term(bits), b.term(bits)))

    def _unary(self, node: c_ast.UnaryOp, scope: dict[str, Any]) -> Any:
        if node.op in ("++", "--", "p++", "p--"):
            old = self.eval(node.expr, scope)
            new = self._assign(node.expr, self.binary("+" if "+" in node.op else "-", old, integer(1)), scope)
            return old if "p" in node.op else new
        if node.op == "sizeof":
            kind = self.type_of(node.expr)
            if not isinstance(kind, tuple):
                raise NotImplementedError(f"{node.coord}: the size of a struct")
            return integer(kind[0] // 8, 64, False)
        if node.op == "&":
            return Pointer([self.eval(node.expr, scope)])
        value = self.eval(node.expr, scope)
        if node.op == "*":
            return value.get(0)
        zero = integer(0)
        return {
            "+": lambda: self.binary("+", zero, value),
            "-": lambda: self.binary("-", zero, value),
            "~": lambda: self.binary("^", value, integer(-1)),
            "!": lambda: self.binary("==", value, zero),
        }[node.op]()

    def _assign(self, place: Any, value: Any, scope: dict[str, Any]) -> Any:
        match place:
            case c_ast.ID():
                old = scope.get(place.name)
                scope[place.name] = convert(value, old.bits, old.signed) if isinstance(old, Int) else value
                return scope[place.name]
            case c_ast.ArrayRef():
                self.eval(place.name, scope).put(self.eval(place.subscript, scope).value, value)
            case c_ast.StructRef():
                whole = self.eval(place.name, scope)
                (whole.get(0) if isinstance(whole, Pointer) else whole)[place.field.name] = value
            case _:
                raise NotImplementedError(f"{place.coord}: assignment to {type(place).__name__}")
        return value

    def binary(self, op: str, a: Any, b: Any) -> Any:
        if isinstance(a, Pointer):
            return a.moved(b.value if op == "+" else -b.value)
        if op in ("<<", ">>"):
            a, b = convert(a, *promoted(a)), convert(b, *promoted(b))
            return self._shift(op, a, b)
        bits, signed = common(a, b)
        a, b = convert(a, bits, signed), convert(b, bits, signed)
        if op in ("<", ">", "<=", ">=", "==", "!="):
            return compared(op, a, b)
        if a.known and b.known:
            exact = ON_NUMBERS[op](a.value, b.value)
            self._duty(f"{op} of {bits} bits", not signed or -(1 << bits - 1) <= exact < 1 << bits - 1)
            return integer(exact, bits, signed)
        if op in ("&", "|", "^"):
            return Int(bits, signed, ON_NUMBERS[op](a.term(), b.term()))
        if op == "*":
            return self._product(a, b)
        result = ON_NUMBERS[op](a.term(), b.term())
        if signed:
            wide = ON_NUMBERS[op](z3.SignExt(1, a.term()), z3.SignExt(1, b.term()))
            self._duty(f"{op} of {bits} bits", wide == z3.SignExt(1, result))
        return Int(bits, signed, result)

    def _product(self, a: Int, b: Int) -> Int:
        wide = a.term(64) * b.term(64) if a.known or b.known else TIMES(a.term(64), b.term(64))
        result = z3.Extract(a.bits - 1, 0, wide) if a.bits < 64 else wide
        if a.signed:
            fits = wide == z3.SignExt(64 - a.bits, result) if a.bits < 64 else z3.And(wide < 1 << 62, wide > -(1 << 62))
            self._duty(f"* of {a.bits} bits", fits)  # of 64 bits nothing is known where the bounds leave them
        return Int(a.bits, a.signed, result)

    def _shift(self, op: str, a: Int, b: Int) -> Int:
        """Of a negative number too, as gcc and clang define it: >> is floor, << keeps the low bits."""
        bits = a.bits
        self._duty(f"{op} of {bits} bits", z3.ULT(b.term(), bits) if not b.known else 0 <= b.value < bits)
        if a.known and b.known:
            return integer(a.value << b.value if op == "<<" else a.value >> b.value, bits, a.signed)
        by = convert(b, bits, False).term()
        if op == "<<":
            result = a.term() << by
            if a.signed:
                self._duty(f"<< of {bits} bits", result >> by == a.term())
        else:
            result = a.term() >> by if a.signed else z3.LShR(a.term(), by)
        return Int(bits, a.signed, result)

    def _duty(self, what: str, sound: Any) -> None:
        self.duties.append((what, z3.BoolVal(sound) if isinstance(sound, bool) else sound))


def _struct(kind: Any, values: Any) -> Any:
    return dict(zip(kind, values, strict=False)) if isinstance(kind, list) and isinstance(values, list) else values


def _enums(node: Any) -> list[Any]:
    inner = getattr(node, "type", None)
    inner = inner.type if isinstance(inner, c_ast.TypeDecl) else inner
    return [inner] if isinstance(inner, c_ast.Enum) and inner.values else []
