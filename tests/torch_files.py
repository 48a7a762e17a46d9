"""PyTorch's files made by hand, byte by byte: what tests of their reader read where PyTorch is absent."""

import io
import struct
import zipfile

MAGIC, PROTOCOL = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", b"M\xe9\x03"
SYSTEM = b"}(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\x0d\x00\x00\x00little_endian\x88u"
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def sizes(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, count: int, kind: str = "FloatStorage", behind: bytes = b"") -> bytes:
    """The persistent id of a storage; `behind` is what the old format puts after it."""
    return (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count)
        + behind + b"tQ"
    )  # fmt: skip


def tensor(storage: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sizes(shape) + sizes(strides)
        + b"\x89" + ORDERED_DICT + b"tR"
    )  # fmt: skip


def dictionary(entries: dict[str, bytes]) -> bytes:
    return ORDERED_DICT + b"(" + b"".join(text(k) + v for k, v in entries.items()) + b"u"


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def old(program: bytes, storages: dict[str, tuple[int, bytes]], keys: bytes | None = None) -> bytes:
    """A file of the old format: the object's pickle, the storages' keys, then their (count, content)."""
    listed = b"](" + b"".join(map(text, storages)) + b"e" if keys is None else keys
    head = pickled(MAGIC) + pickled(PROTOCOL) + pickled(SYSTEM) + program + pickled(listed)
    return head + b"".join(struct.pack("<q", count) + data for count, data in storages.values())


def zipped(
    program: bytes,
    storages: dict[str, bytes],
    compression: int = zipfile.ZIP_STORED,
    order: bytes = b"little",
) -> bytes:
    """A file of the zip format: the object's pickle, then storages by key."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("net/data.pkl", program)
        archive.writestr("net/byteorder", order)
        for key, data in storages.items():
            archive.writestr(f"net/data/{key}", data)
        archive.writestr("net/version", b"3\n")
    return stream.getvalue()
