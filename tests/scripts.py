"""Python files and texts that a user would run, in processes of their own."""

import subprocess
import sys
from pathlib import Path

from children import environment


def run_script(folder: Path, *command: str) -> str:
    """What `python COMMAND` in `folder` prints; AssertionError with its last words if it fails."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
