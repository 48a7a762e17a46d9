"""The pickles in PyTorch's files, run by a machine that can describe tensors and do nothing else.

A pickle is a program. This machine knows the opcodes that torch.save writes for dictionaries of tensors, and
a few names, which stand for values of its own: nothing is imported, called or given an attribute on behalf of
a file. Everything else is refused by name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from ..errors import FormatError

MAX_OPCODES = 2_000_000  # 24 describe a tensor; the bound keeps their objects from filling memory

_STORAGES = tuple(
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
)
_REBUILD = ("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2")
_PARAMETER = "torch._utils _rebuild_parameter"
_DICT = "collections OrderedDict"
_SIZE = "torch Size"
_NAMES = {*_STORAGES, *_REBUILD, _PARAMETER, _DICT, _SIZE}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}


@dataclass(frozen=True)
class Storage:
    """`count` values of `kind` ("Float", ...), which the file holds under `key`."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class View:
    """The tensor with the value storage[offset + sum(index * strides)] at `index`; nothing is checked yet."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


@dataclass(frozen=True)
class _Name:
    """A global that the pickle may mention."""

    text: str


def interpret(stream: BytesIO) -> tuple[Any, dict[str, Storage]]:
    """The value of the pickle that starts where `stream` stands, and the storages it mentions, by key.

    The value is made of None, bool, int, float, str, tuple, list, dict and View. `stream` is left behind it.
    Raises FormatError for whatever is damaged or not needed to describe tensors.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == MAX_OPCODES:
                raise FormatError(f"the pickle has more than {MAX_OPCODES:,} opcodes")
            machine.step(opcode.name, argument)
        return machine.stack.pop(), machine.storages
    except FormatError:
        raise
    except (ValueError, IndexError, KeyError) as error:  # pickletools' and the machine's for a damaged pickle
        text = " ".join(str(error).split())[:100]
        raise FormatError(f"the pickle is cut off or damaged: {text}") from None


class _Machine:
    """A stack, the stacks below each mark, and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Do one opcode."""
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        else:
            raise FormatError(f"the pickle uses {opcode}, which no dictionary of tensors needs: refused")

    def mark(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """Everything above the last mark, taken off with it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_to_mark(self, _: None) -> None:
        items = tuple(self.to_mark())
        self.stack.append(items)

    def take(self, count: int) -> tuple[Any, ...]:
        """The `count` topmost values, taken off."""
        items = [self.stack.pop() for _ in range(count)]
        return tuple(reversed(items))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise FormatError(f"the pickle appends to a {_kind(target)}: refused")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise FormatError(f"the pickle sets {len(items)} keys and values of a {_kind(target)}: refused")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):  # the hash of a nested tuple can take for ever
                raise FormatError(f"the pickle has a {_kind(key)} as the key of a dictionary: refused")
            target[key] = value

    def global_name(self, text: str) -> None:
        if text not in _NAMES:
            name = ascii(text.replace(" ", "."))[1:-1]
            raise FormatError(
                f"the pickle asks for {name[:80]}, which builds no tensor: refused, not run "
                "(of a network of yours, save the state_dict())"
            )
        self.stack.append(_Name(text))

    def stack_global(self, _: None) -> None:
        module, name = self.take(2)
        self.global_name(f"{module} {name}" if type(module) is type(name) is str else _kind(name))

    def persistent(self, _: None) -> None:
        """("storage", kind, key, location, count) or, in the old format, with None behind."""
        pid = self.stack.pop()
        fits = type(pid) is tuple and len(pid) in (5, 6) and pid[0] == "storage" and pid[5:] in ((), (None,))
        if not fits or not isinstance(pid[1], _Name) or pid[1].text not in _STORAGES:
            raise FormatError(f"the pickle refers to a {_kind(pid)} that is no storage: refused")
        kind, key, count = pid[1].text[len("torch ") : -len("Storage")], pid[2], pid[4]
        if type(key) is not str or type(count) is not int or not 0 <= count < 1 << 60:
            raise FormatError(f"a storage has a {_kind(key)} as key and {str(count)[:40]} values: refused")
        storage = Storage(kind, key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise FormatError(f"storage {key[:40]!r} has two types or sizes")
        self.stack.append(storage)

    def reduce(self, _: None) -> None:
        name, arguments = self.take(2)
        if not isinstance(name, _Name) or type(arguments) is not tuple:
            raise FormatError(f"the pickle calls a {_kind(name)}: refused")
        match arguments:
            case () if name.text == _DICT:
                self.stack.append({})
            case (tuple(size),) if name.text == _SIZE:
                self.stack.append(size)
            case (Storage() as storage, offset, shape, strides, *_) if name.text in _REBUILD:
                self.stack.append(View(storage, offset, shape, strides))
            case (View() as view, *_) if name.text == _PARAMETER:
                self.stack.append(view)
            case _:
                kinds = ", ".join(map(_kind, arguments))[:80]
                raise FormatError(f"the pickle calls {_kind(name)} with ({kinds}): refused")

    def build(self, _: None) -> None:
        """The attributes of an OrderedDict (the _metadata of a state_dict): dropped."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise FormatError(f"the pickle sets attributes of a {_kind(self.stack[-1])}: refused")


def _kind(value: Any) -> str:
    """A word for a value that is safe to print: its own text could be endless."""
    return value.text.replace(" ", ".") if isinstance(value, _Name) else type(value).__name__.lower()


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "STOP": lambda m, _: None,
    "MARK": _Machine.mark,
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "TUPLE": _Machine.tuple_to_mark,
    "TUPLE1": lambda m, _: m.stack.append(m.take(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.take(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.take(3)),
    "APPEND": lambda m, _: m.append(list(m.take(1))),
    "APPENDS": lambda m, _: m.append(m.to_mark()),
    "SETITEM": lambda m, _: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, _: m.set_items(m.to_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "LONG_BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
