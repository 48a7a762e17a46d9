"""The pickles in PyTorch's files, run by a machine that can describe tensors and do nothing else.

A pickle is a program. This machine knows a few names, which stand for values of its own: nothing is imported, called
or given an attribute on behalf of a file. What any other name builds is an Opaque, a value that says the name and has
no content: notes beside the weights are made of such things. Whatever would change a tensor is honoured or refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from ..errors import FormatError
from . import torch_dtypes

MAX_OPCODES = 2_000_000  # 24 describe a tensor; the bound keeps their objects from filling memory
UNTYPED = "Untyped"  # the kind of a storage of bytes, whose tensors say their dtype

_STORAGES = {f"{module} {kind}Storage": kind for module in ("torch", "torch.cuda") for kind in torch_dtypes.KINDS} | {
    "torch.storage UntypedStorage": UNTYPED,
    "torch UntypedStorage": UNTYPED,
}
_FIRST, _SECOND, _THIRD = (f"torch._utils _rebuild_tensor{suffix}" for suffix in ("", "_v2", "_v3"))
_REBUILD = (_FIRST, _SECOND, _THIRD)
_PARAMETER, _STATEFUL = "torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state"
_OLD_PARAMETER = "torch.nn.parameter Parameter"
_TENSORS = {
    f"torch {kind}Tensor": kind for kind in torch_dtypes.KINDS
}  # of the first PyTorch: made empty, then given a state
_TENSORS |= {"torch Tensor": "Float", "torch._tensor Tensor": "Float", _OLD_PARAMETER: "Float"}
_MOVED = "torch._utils _rebuild_device_tensor_from_cpu_tensor"  # of devices without storages, such as XLA's
_SUBCLASS = ("torch._tensor _rebuild_from_type_v2", "torch.tensor _rebuild_from_type_v2")
_PLAIN = ("torch._tensor Tensor", "torch Tensor", _OLD_PARAMETER, "torch.nn.parameter Buffer")
_CHANGES = ("data", "real", "imag")  # attributes of a tensor that are its values
_DICT, _COUNTER, _SIZE = "collections OrderedDict", "collections Counter", "torch Size"
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """`count` values of `kind` ("Float", ...) from the `start`-th of those that the file holds under `key`.

    part_of: how many the file holds, where those are but a part.
    """

    kind: str
    key: str
    count: int
    start: int = 0
    part_of: int | None = None

    @property
    def size(self) -> int:
        """Bytes that the file holds under the key."""
        itemsize = 1 if self.kind == UNTYPED else torch_dtypes.size(torch_dtypes.KINDS[self.kind]) or 1
        return itemsize * (self.count if self.part_of is None else self.part_of)


@dataclass(eq=False)
class View:
    """The tensor with the value storage[offset + sum(index * strides)] at `index`; nothing is checked yet.

    dtype: of the tensor where the storage has none; negated, conjugated: what PyTorch has put off until it is read.
    """

    storage: Storage | None  # None: a tensor of nothing that waits for its state
    offset: Any
    shape: Any
    strides: Any
    dtype: str | None = None
    negated: bool = False
    conjugated: bool = False


@dataclass(frozen=True, eq=False)
class Opaque:
    """What the file would have built with `name`, "module.name", and was not."""

    name: str


@dataclass(frozen=True, eq=False)
class _Name:
    """A global that the pickle mentions."""

    text: str


def interpret(stream: BytesIO) -> tuple[Any, dict[str, Storage]]:
    """The value of the pickle that starts where `stream` stands, and the storages it mentions, by key.

    The value is made of None, bool, int, float, str, tuple, list, View, Opaque and dict, which keeps the entries whose
    key is a text and no others. `stream` is left behind it. Raises FormatError for whatever is damaged or changes a
    tensor in a way that is not known.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == MAX_OPCODES:
                raise FormatError(f"the pickle has more than {MAX_OPCODES:,} opcodes")
            machine.step(opcode.name, argument)
        value = machine.stack.pop()
    except FormatError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError):  # pickletools' and the machine's; they may print it all
        raise FormatError(f"the pickle is cut off or damaged, before byte {stream.tell():,}") from None
    return (Opaque(_dotted(value.text)) if isinstance(value, _Name) else value), machine.storages


class _Machine:
    """A stack, the stacks below each mark, and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.slices: dict[str, Storage] = {}
        self.copied = 0

    def step(self, opcode: str, argument: Any) -> None:
        """Do one opcode."""
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        else:
            raise FormatError(f"the pickle uses {opcode}, which no file of PyTorch's needs: refused")

    def mark(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """Everything above the last mark, taken off with it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def pack(self, kind: type) -> None:
        """The values above the last mark as a tuple or a list."""
        items = kind(self.to_mark())
        self.stack.append(items)

    def pack_items(self, _: None) -> None:
        items = self.to_mark()
        self.stack.append({})
        self.set_items(items)

    def drop(self, _: None) -> None:
        """POP: the topmost value, or the mark where there is none above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    def drop_to_mark(self, _: None) -> None:
        self.to_mark()

    def frozenset(self, _: None) -> None:
        self.to_mark()
        self.stack.append(Opaque("frozenset"))

    def take(self, count: int) -> tuple[Any, ...]:
        """The `count` topmost values, taken off."""
        items = [self.stack.pop() for _ in range(count)]
        return tuple(reversed(items))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def byte_text(self, argument: Any) -> None:
        """A text of Python 2, where texts are bytes; pickletools makes one character of each."""
        content = argument.encode("latin-1") if isinstance(argument, str) else bytes(argument)
        try:
            self.stack.append(content.decode())
        except UnicodeDecodeError:
            self.stack.append(Opaque("bytes"))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise FormatError(f"the pickle appends to a {_kind(target)}: refused")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, Opaque) or len(items) % 2:
            raise FormatError(f"the pickle sets {len(items)} keys and values of a {_kind(target)}: refused")
        if type(target) is dict:
            target.update(_texts(zip(items[::2], items[1::2], strict=True)))

    def global_name(self, text: str) -> None:
        self.stack.append(_Name(text))

    def stack_global(self, _: None) -> None:
        module, name = self.take(2)
        if not type(module) is type(name) is str:
            raise FormatError(f"the pickle has a {_kind(name)} as a name: refused")
        self.global_name(f"{module} {name}")

    def instance(self, text: Any) -> None:
        """INST and OBJ, which only old protocols write: a class, in INST by its name, and its arguments."""
        items = self.to_mark()
        self.stack.append(Opaque(_dotted(text) if text else _kind(items[0])))

    def persistent(self, _: None) -> None:
        """("storage", kind, key, location, count), in the old format with None or (key, start, count) of a part behind.

        In the old format ("module", class, file, source), too, which stands for the class.
        """
        pid = self.stack.pop()
        if type(pid) is tuple and len(pid) > 1 and type(pid[0]) is str and pid[0] == "module":
            self.stack.append(pid[1])
            return
        fits = type(pid) is tuple and len(pid) in (5, 6) and type(pid[0]) is str and pid[0] == "storage"
        if fits and isinstance(pid[1], _Name) and pid[1].text.startswith("torch Q"):  # of quantized tensors
            self.stack.append(Opaque(_dotted(pid[1].text)))
            return
        kind = _STORAGES.get(pid[1].text) if fits and isinstance(pid[1], _Name) else None
        if kind is None:
            what = _kind(pid[1]) if fits else _kind(pid)
            raise FormatError(f"the pickle refers to a {what} that is no storage: refused")
        key, count, part = pid[2], pid[4], pid[5] if len(pid) == 6 else None
        if type(key) is not str or not is_size(count):
            raise FormatError(f"a storage has a {_kind(key)} as key, a {_kind(count)} as number of values: refused")
        storage = Storage(kind, key, count)
        known = self.storages.setdefault(key, storage)
        if known.size != storage.size or (known.kind != kind and UNTYPED not in (known.kind, kind)):
            raise FormatError(f"storage {key[:40]!r} has two types or sizes")
        self.stack.append(storage if part is None else self.slice(storage, part))

    def slice(self, root: Storage, part: Any) -> Storage:
        """A part of a storage, as files of before PyTorch 0.4 share them; the first of a key is the one."""
        if type(part) is not tuple or len(part) != 3 or type(part[0]) is not str or not all(map(is_size, part[1:])):
            raise FormatError(f"storage {root.key[:40]!r} has a {_kind(part)} as its part: refused")
        key, start, count = part
        if start + count > root.count:
            raise FormatError(f"storage {root.key[:40]!r} has a part that reaches beyond it")
        found = replace(root, start=start, count=count, part_of=root.count)
        if self.slices.setdefault(key, found) != found:
            raise FormatError(f"the part {key[:40]!r} of a storage lies in two places")
        return found

    def count_copy(self, items: Any) -> None:
        """Bound what is copied: an opcode may copy all that those before it have made."""
        self.copied += len(items)
        if self.copied > MAX_OPCODES:
            raise FormatError(f"the pickle copies more than {MAX_OPCODES:,} values")

    def call(self, name: Any, arguments: Any) -> Any:
        """What REDUCE and NEWOBJ make of a name and its arguments."""
        if isinstance(name, Opaque) and type(arguments) in (tuple, Opaque):
            return name
        if not isinstance(name, _Name) or type(arguments) is not tuple:
            raise FormatError(f"the pickle calls a {_kind(name)}: refused")
        text = name.text
        match arguments:
            case () if text in (_DICT, _COUNTER):
                return {}
            case (dict() as items,) if text in (_DICT, _COUNTER):
                self.count_copy(items)
                return dict(items)
            case (list() as pairs,) if text == _DICT:
                self.count_copy(pairs)
                if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
                    raise FormatError("the pickle makes a dictionary of what are no pairs: refused")
                return _texts(pairs)
            case (tuple(size),) if text == _SIZE:
                return size
            case () if text in _TENSORS:
                return View(None, 0, (0,), (1,), _TENSORS[text])
            case (Storage() as storage, offset, shape, strides, *more) if text in _REBUILD:
                return _rebuilt(text, storage, offset, shape, strides, more)
            case (View() as view, *_) if text in (_PARAMETER, _OLD_PARAMETER):
                return replace(view)
            case (View() as view, _Name() as dtype, _, _) if (
                text == _MOVED and f"torch {_dtype_of(view)}" == dtype.text
            ):
                return replace(view)
            case (View() as view, _, _, state) if text == _STATEFUL:
                return _with_state(replace(view), state)
            case (_Name() as function, _Name() as kind, tuple(inner), state) if (
                text in _SUBCLASS and function.text not in _SUBCLASS
            ):
                made = self.call(function, inner)
                plain = kind.text in _PLAIN and isinstance(made, View)
                return _with_state(replace(made), state) if plain else Opaque(_dotted(kind.text))
            case (Opaque() as other, *_) if text in (*_REBUILD, _PARAMETER, _STATEFUL, _OLD_PARAMETER):
                return other
        if text in _TENSORS or text in (*_REBUILD, *_SUBCLASS, _PARAMETER, _STATEFUL, _MOVED, _DICT, _SIZE):
            kinds = ", ".join(map(_kind, arguments[:8]))
            raise FormatError(f"the pickle calls {_dotted(text)} with ({kinds[:80]}): refused")
        if text in _STORAGES:
            raise FormatError(f"the pickle calls {_dotted(text)}: refused")
        return Opaque(_dotted(text))

    def reduce(self, _: None) -> None:
        name, arguments = self.take(2)
        self.stack.append(self.call(name, arguments))

    def new_with_keywords(self, _: None) -> None:
        name, _, _ = self.take(3)
        self.stack.append(Opaque(_kind(name)))

    def build(self, _: None) -> None:
        """Attributes. A dictionary's (the _metadata of a state_dict) and those of what is opaque are dropped.

        A tensor's are its state: (storage, offset, shape, strides), or (data, ., ., ., .); three values change none.
        """
        state, target = self.stack.pop(), self.stack[-1]
        match target, state:
            case (dict() | Opaque(), _):
                pass
            case (View(), (_, _, _)):
                pass
            case (View(), (Storage() as storage, offset, shape, strides)) if _kind_of(target) == storage.kind:
                target.storage, target.offset, target.shape, target.strides = storage, offset, shape, strides
                target.dtype, target.negated, target.conjugated = None, False, False
            case (View(), (View() as data, _, _, _, _)):
                vars(target).update(vars(data))
            case _:
                raise FormatError(f"the pickle sets attributes of a {_kind(target)}: refused")


def is_size(value: Any) -> bool:
    """Whether a value is a number of elements that a file could have, and safe to print."""
    return type(value) is int and 0 <= value < 1 << 60


def _kind_of(view: View) -> str | None:
    return view.dtype if view.storage is None else view.storage.kind


def _dtype_of(view: View) -> str | None:
    kind = _kind_of(view)
    return view.dtype or torch_dtypes.KINDS.get(kind or "")


def _texts(pairs: Any) -> dict[str, Any]:
    """The pairs whose key is a text; others name no tensor, and the hash of a nested tuple can take for ever."""
    return {key: value for key, value in pairs if type(key) is str}


def _rebuilt(text: str, storage: Storage, offset: Any, shape: Any, strides: Any, more: list[Any]) -> View:
    """A tensor; more: requires_grad and hooks, which change no value, in the third version the dtype; then the bits."""
    view = View(storage, offset, shape, strides)
    used = {_FIRST: 0, _SECOND: 2, _THIRD: 3}[text]
    if not used <= len(more) <= used + (text != _FIRST):
        raise FormatError(f"the pickle calls {_dotted(text)} with {4 + len(more)} values: refused")
    if text == _THIRD:
        if not isinstance(more[2], _Name):
            raise FormatError(f"the pickle has a tensor with a {_kind(more[2])} as dtype: refused")
        view.dtype = more[2].text.removeprefix("torch ")
    bits = more[used] if len(more) > used else None
    if bits is None:
        return view
    if type(bits) is not dict or not bits.keys() <= {"neg", "conj"} or not all(type(b) is bool for b in bits.values()):
        raise FormatError(f"the pickle has a tensor whose metadata is a {_kind(bits)} that is not known: refused")
    view.negated, view.conjugated = bits.get("neg", False), bits.get("conj", False)
    return view


def _with_state(view: View, state: Any) -> View:
    """The tensor with attributes of Python, a dictionary or (that, those of slots): refused if they are its values."""
    parts = state if type(state) is tuple else (state,)
    if len(parts) > 2 or not all(part is None or type(part) is dict for part in parts):
        raise FormatError(f"the pickle has a tensor with a {_kind(state)} as its attributes: refused")
    if any(name in part for part in parts if part for name in _CHANGES):
        raise FormatError("the pickle sets the values of a tensor by an attribute: refused")
    return view


def _dotted(text: str) -> str:
    """A global's name, safe to print."""
    return ascii(text[:80].replace(" ", "."))[1:-1][:80]


def _kind(value: Any) -> str:
    """A word for a value that is safe to print: its own text could be endless."""
    if isinstance(value, _Name):
        return _dotted(value.text)
    return value.name if isinstance(value, Opaque) else type(value).__name__.lower()


def _opaque(what: str) -> Callable[[_Machine, Any], None]:
    return lambda m, _: m.stack.append(Opaque(what))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "STOP": lambda m, _: None,
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "BINSTRING": _Machine.byte_text,
    "SHORT_BINSTRING": _Machine.byte_text,
    "BINBYTES": _opaque("bytes"),
    "SHORT_BINBYTES": _opaque("bytes"),
    "BINBYTES8": _opaque("bytes"),
    "BYTEARRAY8": _opaque("bytearray"),
    "EMPTY_SET": _opaque("set"),
    "ADDITEMS": lambda m, _: m.append(m.to_mark()),
    "FROZENSET": _Machine.frozenset,
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "TUPLE": lambda m, _: m.pack(tuple),
    "TUPLE1": lambda m, _: m.stack.append(m.take(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.take(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.take(3)),
    "LIST": lambda m, _: m.pack(list),
    "DICT": _Machine.pack_items,
    "APPEND": lambda m, _: m.append(list(m.take(1))),
    "APPENDS": lambda m, _: m.append(m.to_mark()),
    "SETITEM": lambda m, _: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, _: m.set_items(m.to_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GET": lambda m, i: m.stack.append(m.memo[i]),
    "BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "LONG_BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "EXT1": _opaque("a name of the registry of extensions"),
    "EXT2": _opaque("a name of the registry of extensions"),
    "EXT4": _opaque("a name of the registry of extensions"),
    "INST": _Machine.instance,
    "OBJ": _Machine.instance,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
