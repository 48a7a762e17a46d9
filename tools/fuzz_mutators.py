"""Changes of a file that keep it what it is: a fuzzer that changes bytes alone never gets behind the first checksum.

A content is taken apart by what it begins with (zip, gzip, safetensors, JSON, lines of JSON, a pickle), one of its
parts is changed likewise, and all is put together again: lengths, sums and the seal of a run's state are right.
"""

import copy
import gzip
import io
import json
import pickletools
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

from elq_ref.checkpoint.tensors import parse
from elq_ref.errors import FormatError
from elq_ref.training.state import CHECKSUM, KIND, sealed

try:
    import onnx
except ImportError:
    onnx = None

Raw = Callable[[bytes, int], bytes]  # what the fuzzer itself does to bytes, and the most that may come of it

ODD = [
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 2**31, 2**63, 2**64, -(2**70), 10**30, 0.5, -0.0, 1e30, 1e-320, 1e999,
    "", "x", "input", "conv1", "relu", "ternary", "binary", "float", "U8", "F32", "BF16", "\u202e", "a\nb", "\ud800",
    [], [0], [1, 1], [2, 2], [-1, 3], [2**62, 2**62], [1, 2, 3], [[1]], {}, {"op": "relu"}, [[[[[[]]]]]],
]  # fmt: skip
LARGEST = 1 << 20  # bytes that are unpacked of a part
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


def mutate(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    """`content` with one or two of its parts changed, at most `most` bytes."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = _changed(content, most, random, raw)
    return content[:most]


def _changed(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    if random.random() < 0.1:
        return raw(content, most)
    try:
        for begins, change in _KINDS:
            if begins(content):
                return change(content, most, random, raw)
    except Exception:  # damaged already: the bytes are left
        pass
    return raw(content, most)


def _zip(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    archive = zipfile.ZipFile(io.BytesIO(content))
    files = [(entry.filename, archive.read(entry)) for entry in archive.infolist() if entry.file_size < LARGEST]
    k = random.randrange(len(files))
    name, data = files[k]
    how = random.random()
    if how < 0.8:
        files[k] = name, _changed(data, most, random, raw)
    elif how < 0.88:
        files[k] = raw(name.encode(), 40).decode("latin-1") or "x", data
    elif how < 0.94:
        del files[k]
    else:
        files[k] = name, random.choice(files)[1]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED if random.random() < 0.99 else zipfile.ZIP_DEFLATED) as made:
        for name, data in files:
            made.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def _gzip(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        inside = file.read(LARGEST)
    return gzip.compress(_changed(inside, most, random, raw), mtime=0)


def _safetensors(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    how = random.random()
    if how < 0.35:
        data = _numbers(data, random) if random.random() < 0.7 else raw(data, most)
    else:
        entries = json.loads(header)
        text = entries.get("__metadata__", {}).get("elq")
        if how < 0.8 and text is not None:
            entries["__metadata__"]["elq"] = _json(text.encode(), most, random, raw).decode("utf-8", "replace")
        elif how < 0.85 and len(entries) > 1:  # a tensor left out, the others moved up
            name = random.choice([n for n in entries if n != "__metadata__"])
            first, last = entries.pop(name)["data_offsets"]
            data = data[:first] + data[last:]
            for entry in entries.values():
                if "data_offsets" in entry and entry["data_offsets"][0] >= last:
                    entry["data_offsets"] = [n - (last - first) for n in entry["data_offsets"]]
        else:
            entries = _value(entries, random)
        header = json.dumps(entries).encode()
    return _sealed(len(header).to_bytes(8, "little") + header + data)


def _sealed(content: bytes) -> bytes:
    """A run's state with the checksum of what it now holds, where it can still be read."""
    if CHECKSUM.encode() not in content:
        return content
    try:
        tensors, metadata = parse(content)
    except FormatError:
        return content
    if metadata.get("kind") != KIND:
        return content
    right = sealed(tensors, metadata)[CHECKSUM]
    return content.replace(str(metadata.get(CHECKSUM)).encode(), right.encode())


def _numbers(data: bytes, random: Random) -> bytes:
    """One number of some width at an end of its range, or near."""
    width = random.choice((1, 1, 2, 4, 4, 8))
    values = [0, 1, 0x7F, 0x80, 0xFF, (1 << 8 * width) - 1, 1 << 8 * width - 1, (1 << 8 * width - 1) - 1, 33, 62, 242]
    values += [0x7F800000, 0x7FC00000, 0xFF800000, 0x80000000]  # infinity, NaN, -infinity and -0 of float32
    place = random.randrange(max(1, len(data) // width)) * width
    number = random.choice(values) % (1 << 8 * width)
    return data[:place] + number.to_bytes(width, "little") + data[place + width :]


def _json(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    if random.random() < 0.1:
        return raw(content, most)
    return json.dumps(_value(json.loads(content), random)).encode()


def _lines(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    lines = content.split(b"\n")
    k = random.randrange(len(lines))
    how = random.random()
    if how < 0.7:
        lines[k] = _json(lines[k], most, random, raw)
    elif how < 0.8:
        del lines[k]
    elif how < 0.9:
        lines.insert(random.randrange(len(lines)), lines[k])
    else:
        lines[k] = lines[k][: random.randrange(len(lines[k]) + 1)]
    return b"\n".join(lines)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every member of a JSON value, by path."""
    found = [path]
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(inside, (*path, key))
    return found


def _value(value: Any, random: Random) -> Any:
    """The JSON value with a member replaced, renamed, dropped or doubled; values go from one place to another."""
    value = copy.deepcopy(value)
    paths = places(value)[1:]
    if not paths:
        return random.choice(ODD)
    *above, key = random.choice(paths)
    place = value
    for step in above:
        place = place[step]
    old = place[key]
    how = random.random()
    if how < 0.08:
        del place[key]
    elif how < 0.16 and isinstance(place, list):
        place.append(copy.deepcopy(old))
    elif how < 0.2 and isinstance(place, dict):
        place[random.choice(["x", key + "2", *map(str, paths[0])])] = place.pop(key)
    elif how < 0.5 and type(old) in (int, float):
        place[key] = random.choice((old + random.randint(-3, 3), old * 2.0 ** random.randint(-40, 40), -old))
    elif how < 0.75:
        other = value
        for step in random.choice(paths):
            other = other[step]
        place[key] = copy.deepcopy(other)
    else:
        place[key] = copy.deepcopy(random.choice(ODD))
    return value


def _pickle(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    """Opcodes dropped, doubled, moved, or another one in their place; their arguments changed."""
    found = [place for _, _, place in pickletools.genops(content)]
    if not found:
        return raw(content, most)
    ends = [*found[1:], len(content)]
    parts = [content[a:b] for a, b in zip(found, ends, strict=True)]
    k = random.randrange(len(parts))
    how = random.random()
    if how < 0.15:
        del parts[k]
    elif how < 0.3:
        parts.insert(random.randrange(len(parts)), parts[k])
    elif how < 0.45:
        a, b = sorted((k, min(len(parts), k + random.randrange(1, 12))))
        piece, at = parts[a:b], random.randrange(len(parts))
        parts[at:at] = piece
    elif how < 0.6:
        parts[k] = random.choice(_OPCODES) + parts[k][1:]
    elif how < 0.7:
        parts.insert(k, random.choice(_OPCODES))
    elif how < 0.85 and len(parts[k]) > 1:
        parts[k] = parts[k][:1] + _numbers(parts[k][1:], random)
    else:
        parts[k] = raw(parts[k], 64)
    return b"".join(parts)


def _is_pickle(content: bytes) -> bool:
    return content[:1] == b"\x80" and content[-1:] == b"."


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _is_lines(content: bytes) -> bool:
    return content[:1] == b"{" and b"\n{" in content


def _onnx(content: bytes, most: int, random: Random, raw: Raw) -> bytes:
    """A field of a message somewhere in a model: dropped, doubled, another's value, an odd number or text."""
    model = onnx.ModelProto.FromString(content)
    message: Any = model if random.random() < 0.1 else model.graph
    while True:
        fields = [field for field, _ in message.ListFields()]
        if not fields:
            return content
        field = random.choice(fields)
        value = getattr(message, field.name)
        repeated = hasattr(value, "append") or hasattr(value, "add")
        if field.message_type is not None and random.random() < 0.8:
            message = random.choice(value) if repeated else value
            continue
        break
    if repeated and field.message_type is not None:
        k = random.randrange(len(value))
        if random.random() < 0.4:
            del value[k]
        else:
            value.add().CopyFrom(value[k]) if random.random() < 0.5 else value[k].CopyFrom(random.choice(value))
        return bytes(model.SerializeToString())
    if field.message_type is not None or random.random() < 0.1:
        message.ClearField(field.name)
        return bytes(model.SerializeToString())
    old = random.choice(value) if repeated else value
    if isinstance(old, str):
        names = [name for node in model.graph.node for name in (*node.input, *node.output, node.op_type)]
        new: Any = random.choice([*names, "", "x", "Reshape", "Transpose", "a.weight"])
    elif isinstance(old, bytes):
        new = raw(old, len(old) + 8)
    elif isinstance(old, float):
        new = random.choice([0.0, 1.0, -1.0, 0.5, 1e30, 1e-30])
    else:
        new = random.choice([0, 1, 2, 3, -1, -2, 7, 16, 255, 1 << 20, old + 1, old - 1])
    if repeated:
        value[random.randrange(len(value))] = new
    else:
        setattr(message, field.name, new)
    return bytes(model.SerializeToString())


_KINDS: list[tuple[Callable[[bytes], bool], Callable[[bytes, int, Random, Raw], bytes]]] = [
    (lambda content: content.startswith(b"PK\x03\x04"), _zip),
    (lambda content: content.startswith(b"\x1f\x8b"), _gzip),
    (_is_safetensors, _safetensors),
    (lambda content: onnx is not None and content[:1] == b"\x08", _onnx),
    (_is_lines, _lines),
    (lambda content: content[:1] in (b"{", b"["), _json),
    (_is_pickle, _pickle),
]
