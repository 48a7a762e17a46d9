"""Exported C on this machine: built by the compilers that are here, run, and what Python computes beside it."""

import ctypes
import shutil
import subprocess
import zlib
from functools import cache

import numpy as np
import pytest

from elq_ref.export_c import export_c
from elq_ref.runtime import interpret_int8

COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name))
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAIN = """
#include <stdio.h>
#include <stdlib.h>
typedef struct {{
    int (*hashes)(void *, uint32_t, const uint8_t *, uint32_t *, int32_t *);
    int (*run)(void *, uint32_t, const uint8_t *, int32_t *);
    int (*selftest)(void *, uint32_t);
    int (*argmax)(const int32_t *);
    unsigned arena, input, classes, layers;
}} net_t;
static const net_t nets[] = {{{rows}}};
int main(void) {{
    for (unsigned n = 0; n < sizeof nets / sizeof *nets; n++) {{
        const net_t *net = nets + n;
        void *arena = malloc(net->arena); /* no byte more: the sanitizer sees what lies behind */
        uint8_t *picture = malloc(net->input);
        int32_t *raw = malloc(4 * net->classes), *again = malloc(4 * net->classes);
        uint32_t *hashes = malloc(4 * net->layers);
        for (int i = 0; i < {pictures}; i++) {{
            memset(arena, i % 2 ? 0xa5 : 0x5a, net->arena);
            if (fread(picture, 1, net->input, stdin) != net->input) return 3;
            if (net->run(arena, net->arena, picture, again) != 0) return 4;
            if (net->hashes(arena, net->arena, picture, hashes, raw) != 0) return 5;
            if (memcmp(raw, again, 4 * net->classes) != 0) return 6;
            const int32_t best = net->argmax(raw);
            fwrite(raw, 4, net->classes, stdout);
            fwrite(hashes, 4, net->layers, stdout);
            fwrite(&best, 4, 1, stdout);
        }}
        const int32_t failed = net->selftest(arena, net->arena);
        fwrite(&failed, 4, 1, stdout);
        free(arena), free(picture), free(raw), free(again), free(hashes);
    }}
    return 0;
}}
"""


def compiler():
    """A C compiler of this machine, or a skip."""
    if not COMPILERS:
        pytest.skip("there is no gcc and no clang here")
    return COMPILERS[0]


@cache
def builds_for_the_board() -> bool:
    """Whether there is arm-none-eabi-gcc with a C library, of which Debian has a package of its own (newlib)."""
    if not shutil.which("arm-none-eabi-gcc"):
        return False
    command = ["arm-none-eabi-gcc", "-fsyntax-only", "-x", "c", "-"]
    return not subprocess.run(command, input=b"#include <string.h>\n", capture_output=True, check=False).returncode


def build(program, sources, *flags, cc=None):
    """Compile and link, with the strictest warnings as errors."""
    done = subprocess.run(
        [cc or compiler(), *STRICT, *flags, *map(str, sources), "-o", str(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:4000]
    return program


def outputs(export, network, pictures):
    """(raw, hashes, classes) of pictures uint8 (N, C, H, W) by the definition, hashes in the order of the layers."""
    found = interpret_int8(network.int8, pictures)
    hashes = np.empty((len(pictures), len(export.contents.plan.layers)), np.uint32)
    for layer in export.contents.plan.layers[:-1]:
        hashes[:, layer.index] = [zlib.crc32(np.moveaxis(v, 0, -1).tobytes()) for v in found.values[layer.name]]
    hashes[:, -1] = [zlib.crc32(raw.astype("<i4").tobytes()) for raw in found.raw]
    return found.raw, hashes, found.logits.argmax(1)


class Program:
    """Networks {prefix: PackedNetwork} in one program, and pictures for each."""

    def __init__(self, folder, networks, count=2, **options):
        self.folder, self.networks, self.count = folder, networks, count
        self.exports = {name: export_c(network, name, **options) for name, network in networks.items()}
        rng = np.random.default_rng(5)
        self.pictures = {
            name: rng.integers(0, 256, (count, *network.graph.input_shape)).astype(np.uint8)
            for name, network in networks.items()
        }
        self.sources = []
        rows = []
        for name, export in self.exports.items():
            self.sources += [path for path in export.save(folder) if path.suffix == ".c"]
            functions = [f"{name}_{word}" for word in ("hashes", "run", "selftest", "argmax")]
            macros = [f"{name.upper()}_{word}" for word in ("ARENA_BYTES", "INPUT_BYTES", "CLASSES", "LAYERS")]
            rows.append(f"{{{', '.join(functions + macros)}}}")
        main = folder / "all.c"
        headers = "".join(f'#include "{name}.h"\n' for name in networks)
        main.write_text(f"{headers}#include <string.h>\n{MAIN.format(rows=', '.join(rows), pictures=count)}")
        self.sources.append(main)

    def check(self, cc, *flags):
        """Build, run, and compare every bit."""
        program = build(self.folder / "all", self.sources, *flags, cc=cc)
        given = b"".join(np.ascontiguousarray(p.transpose(0, 2, 3, 1)).tobytes() for p in self.pictures.values())
        done = subprocess.run([program], input=given, capture_output=True)
        assert done.returncode == 0, (done.returncode, done.stderr[:4000].decode())
        said = np.frombuffer(done.stdout, np.int32)
        at = 0
        for name, network in self.networks.items():
            export = self.exports[name]
            raw, hashes, classes = outputs(export, network, self.pictures[name])
            for one in range(self.count):
                parts = raw[one], hashes[one].view(np.int32), classes[one : one + 1]
                wanted = np.concatenate(parts)
                found = said[at : at + len(wanted)]
                at += len(wanted)
                wrong = np.flatnonzero(hashes[one].view(np.int32) != found[raw.shape[1] : -1])
                layers = export.contents.plan.layers
                assert not len(wrong), f"{name}: layer {layers[wrong[0]].name!r} of {[v.op for v in layers]}"
                np.testing.assert_array_equal(found, wanted, err_msg=name)
            assert said[at] == 0, f"{name}: the self-test says {said[at]}"
            at += 1
        assert at == len(said)


class Library:
    """One exported network as a shared library in this process."""

    def __init__(self, folder, network, name="kws", flags=("-O1",), **options):
        self.name, self.network = name, network
        self.export = export_c(network, name, **options)
        sources = [path for path in self.export.save(folder) if path.suffix == ".c" and "_main" not in path.name]
        self.path = build(folder / f"lib{name}.so", sources, *flags, "-shared", "-fPIC")
        self.c = ctypes.CDLL(str(self.path))
        self.names = getattr(self.c, f"{name}_layer_name")
        self.names.restype = ctypes.c_char_p
        contents = self.export.contents
        self.arena_bytes, self.layers = contents.plan.bytes, len(contents.plan.layers)
        self.classes = len(contents.factor)

    def arena(self):
        """Memory of the exact size at a multiple of 4."""
        return np.full(self.arena_bytes // 4, 0xA5A5A5A5, np.uint32)

    def hashes(self, picture, arena=None):
        """(raw, hashes, status) of a picture uint8 (C, H, W)."""
        arena = self.arena() if arena is None else arena
        raw, hashes = np.zeros(self.classes, np.int32), np.zeros(self.layers, np.uint32)
        pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
        status = self.call("hashes", arena, arena.nbytes, pixels, hashes, raw)
        return raw, hashes, status

    def selftest(self):
        arena = self.arena()
        return self.call("selftest", arena, arena.nbytes)

    def layer_name(self, i):
        return self.names(i).decode()

    def call(self, function, *given):
        """Call NAME_function; arrays are passed by address, None is NULL."""
        words = [v.ctypes.data_as(ctypes.c_void_p) if isinstance(v, np.ndarray) else v for v in given]
        return getattr(self.c, f"{self.name}_{function}")(*words)
