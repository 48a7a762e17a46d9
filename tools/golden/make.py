"""Make all golden traces: python tools/golden/make.py [FOLDER], by default tests/golden. Needs torch."""

import sys
from pathlib import Path

import operations
import run
import steps
import torch

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests" / "golden")
    folder.mkdir(parents=True, exist_ok=True)
    for part in (operations, steps, run):
        part.make(folder)
