"""Build of the extension modules. Everything else is declared in pyproject.toml.

They are optional: where no compiler works, on Windows, or with ELQ_NO_EXT=1, the package installs without them and
NumPy does the work. A C source whose name ends in an instruction set's word (avx2.c, conv_avx2.c) is compiled for that
one, every other for the baseline of the target: which of them runs is decided by the CPU at run time. Words and flags
are those of _ext/common/isa.def.

All sources of all modules are compiled at the same time, on as many processors as there are, and those alone that
changed since their object file was made. ELQ_ASSERT=1 leaves the assertions in.
"""

import atexit
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ARCHITECTURE = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}.get(platform.machine().lower())
OPTIONS = ["-std=gnu11", "-Wall", "-Wextra", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-g0"]
OPTIONS += ["-UNDEBUG" if os.environ.get("ELQ_ASSERT") == "1" else "-DNDEBUG"]
TABLE = "_ext/common/isa.def"
ISA_FLAGS = {
    word: flags.split()
    for word, flags in re.findall(r'^ELQ_SET\((\w+),.*"(.*)"\)$', Path(TABLE).read_text(encoding="utf-8"), re.M)
}


WITHOUT_C = """
****************************************************************************************
elq_ref is built WITHOUT its C kernels, for compiling them failed:
    {}
All of it works, but NumPy computes: training takes about 20 times as long, a packed
network about 10 times. With a C compiler (gcc, clang) in place, install it again:
    pip install --force-reinstall --no-deps .
****************************************************************************************
"""


def isa_flags(source: str) -> list[str]:
    """The flags for the instruction set that a source's name ends in."""
    return ISA_FLAGS.get(Path(source).stem.rpartition("_")[2], [])


def sources(room: str) -> list[str]:
    """The C sources of a folder of _ext for this architecture."""
    folders = [Path("_ext", room), Path("_ext", room, "generic"), Path("_ext", room, ARCHITECTURE or "none")]
    return sorted(path.as_posix() for folder in folders for path in folder.glob("*.c"))


def extension(name: str, *files: str) -> Extension:
    return Extension(f"elq_ref._{name}", [f"_ext/{name}/{name}.pyx", *files], extra_link_args=["-pthread"])


EXTENSIONS = [
    extension("common", "_ext/common/cores.c", "_ext/common/cpu.c", "_ext/common/pool.c"),
    extension("train", "_ext/common/cpu.c", "_ext/common/pool_link.c", *sources("train")),
    extension("infer", "_ext/common/cpu.c", "_ext/common/pool_link.c", *sources("infer")),
]


class BuildExt(build_ext):
    """build_ext that compiles every source once, with the flags of its own instruction set, all at the same time."""

    def build_extensions(self):
        modules = {ext.sources[0]: ext.name for ext in self.extensions}
        files = list(dict.fromkeys(source for ext in self.extensions for source in ext.sources))
        files.sort(key=lambda file: -len(isa_flags(file)))  # the widest vectors take longest
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        try:
            with ThreadPoolExecutor(workers) as pool:
                objects = pool.map(lambda file: self.compile(file, modules.get(file)), files)
                made = dict(zip(files, objects, strict=True))
        except CompileError as error:
            self.extensions = []
            atexit.register(print, WITHOUT_C.format(error), file=sys.stderr)
            return
        for ext in self.extensions:
            ext.extra_objects = ext.depends = [made[source] for source in ext.sources]
            ext.sources = []
        super().build_extensions()

    def compile(self, source: str, module: str | None) -> str:
        """The object file of a C source or, with the name of its module, of a Cython source."""
        target = Path(self.build_temp, source).with_suffix(".o")
        listed = target.with_suffix(".d")  # by the compiler: the files that it read
        glue = target.with_suffix(".c").as_posix()
        options = [*OPTIONS, "-O2" if module else "-O3", *isa_flags(source), "-I_ext"]
        options += [f"-DELQ_X86={int(ARCHITECTURE == 'x86')}"]
        if module:
            options += [f"-I{folder}" for folder in (numpy.get_include(), *self.compiler.include_dirs)]
            options += ["-DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION"]
        command = [*self.compiler.compiler_so, *options, "-MMD", "-MF", str(listed)]
        command += ["-c", glue if module else source, "-o", str(target)]
        if not self.force and up_to_date(target, command, bool(module)):
            return str(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".command").unlink(missing_ok=True)
        if module:
            run([sys.executable, "-m", "cython", "-3", "-I", "_ext", "--module-name", module, source, "-o", glue])
        run(command)
        target.with_suffix(".command").write_text(" ".join(command))
        return str(target)


def run(command: list[str]) -> None:
    """Run it; what it says comes out in one piece."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        raise CompileError(f"{command[0]}: {error.strerror}") from error
    print(" ".join(command), done.stdout, sep="\n", end="", flush=True)
    if done.returncode:
        raise CompileError(f"{command[0]} ended with {done.returncode}")


def up_to_date(target: Path, command: list[str], module: bool) -> bool:
    """Whether this very command made `target`, and none of the files that it read changed since."""
    made_by, listed = target.with_suffix(".command"), target.with_suffix(".d")
    if not made_by.exists() or made_by.read_text() != " ".join(command):
        return False
    files = [Path(name) for name in listed.read_text().replace("\\\n", " ").partition(":")[2].split()]
    files += Path("_ext").rglob("*.p[xy][dxi]") if module else []
    return all(file.exists() and file.stat().st_mtime <= target.stat().st_mtime for file in files)


setup(
    ext_modules=[] if os.environ.get("ELQ_NO_EXT") == "1" or os.name == "nt" else EXTENSIONS,
    cmdclass={"build_ext": BuildExt},
    packages=[*find_packages(include=["elq_ref", "elq_ref.*"]), "elq_ref._bundled", "elq_ref.export_c.c"],
    package_dir={"elq_ref._bundled": "data"},
    package_data={"elq_ref._bundled": ["*"], "elq_ref": ["py.typed", "*.pyi"], "elq_ref.export_c.c": ["*"]},
)
