"""Other Python processes that import the very elq_ref that is being tested, not the sources beside the tests."""

import os
import subprocess
import sys
from pathlib import Path

import elq_ref

FOLDER = Path(__file__).parent  # Python looks there first, and there is no elq_ref in it
PACKAGE = str(Path(elq_ref.__file__).parents[1])


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, in which elq_ref is found where it was found here."""
    path = os.pathsep.join(filter(None, (PACKAGE, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **changes}


def run_python(code: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
    """Run `code` in another Python, with `changes` of the environment."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=FOLDER, env=environment(**changes), capture_output=True, text=True, check=False)
