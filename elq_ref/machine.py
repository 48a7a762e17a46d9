"""What a measurement needs of the machine: its CPU, the memory that this process took, another Python like this one."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

_RUN = """import json, runpy, sys
sys.path[:] = json.loads(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)"""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command of another Python process that runs `module` and imports everything from where this process does.

    `python -m` looks into the folder that it is started in first: among the sources of elq_ref, it would run one that
    is not built.
    """
    return [sys.executable, "-c", _RUN, json.dumps(sys.path), module, *arguments]


def cpu_name() -> str:
    """The CPU as the operating system calls it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory() -> int | None:
    """The most bytes of memory that this process held so far, code and libraries included; None where the system does
    not say."""
    status = Path("/proc/self/status")  # what getrusage says on Linux may be the parent's peak
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def megabytes(size: int | None) -> str:
    """`size` in MB, for people."""
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"
