"""Build of the two extension modules. Everything else is declared in pyproject.toml.

Both are optional: where no compiler works, or with ELQ_NO_EXT=1, the package installs without them and NumPy
does the work. A C source whose name ends in an instruction set's (`_avx2.c`) is compiled for that one, every other
for the baseline of the target: which of them runs is decided by the CPU at run time (_ext/src/generic/cpu.c).
"""

import os
import platform
from pathlib import Path

import numpy
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

MACHINE = platform.machine().lower()
X86 = MACHINE in ("x86_64", "amd64")
FOLDERS = ["generic"] + ["x86"] * X86 + ["arm"] * (MACHINE in ("aarch64", "arm64"))
COMMON = ["-O3", "-std=gnu11", "-Wall", "-Wextra"]
COMMON += ["-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
ISA_FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": AVX512,
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "neon": [],
    "dotprod": ["-march=armv8.2-a+dotprod"],
}


class BuildExt(build_ext):
    """build_ext that compiles every source with the flags of its own instruction set."""

    def build_extension(self, ext):
        gnu = self.compiler.compiler_type != "msvc"
        common = COMMON if gnu else ["/O2"]
        for isa, flags in ISA_FLAGS.items() if gnu else ():
            sources = [s for s in ext.sources if s.endswith(f"_{isa}.c")]
            ext.sources = [s for s in ext.sources if s not in sources]
            ext.extra_objects += self.compiler.compile(
                sources,
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                extra_postargs=common + flags,
                depends=ext.depends,
            )
        ext.extra_compile_args = common
        super().build_extension(ext)


def extension(name: str, glue: str, prefixes: tuple[str, ...]) -> Extension:
    """The extension `name`: its Cython glue, and every C source whose name starts with one of `prefixes`."""
    files = (path for folder in FOLDERS for path in Path("_ext/src", folder).glob("*.c"))
    sources = sorted(path.as_posix() for path in files if path.name.startswith(prefixes))
    return Extension(
        name,
        [glue, *sources],
        include_dirs=["_ext/include", numpy.get_include()],
        depends=[p.as_posix() for p in (*Path("_ext/include").glob("*.h"), *Path("_ext/src").rglob("*.h"))],
        define_macros=[("ELQ_X86", "1" if X86 else "0"), ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_link_args=[] if os.name == "nt" else ["-pthread"],
        optional=True,
    )


setup(
    ext_modules=[]
    if os.environ.get("ELQ_NO_EXT") == "1"
    else [
        extension("elq_ref._train", "_ext/train.pyx", ("cpu", "pool", "train_")),
        extension("elq_ref._infer", "_ext/infer.pyx", ("cpu", "pool", "infer_")),
    ],
    cmdclass={"build_ext": BuildExt},
    packages=[*find_packages(include=["elq_ref", "elq_ref.*"]), "elq_ref._bundled"],
    package_dir={"elq_ref._bundled": "data"},
    package_data={"elq_ref._bundled": ["*"], "elq_ref": ["py.typed", "*.pyi"]},
)
