"""The entry: python -m benchmarks.embedded NAME ..., --list names them."""

import sys

from ..entry import run

if __name__ == "__main__":
    sys.exit(run("embedded"))
