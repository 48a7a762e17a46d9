"""What the figures of README and docs were measured with: `python -m benchmarks.speed --list`, or accuracy.

Started from the checkout's root. There `python -m` would import the checkout's elq_ref, which may have no compiled
kernels: an installed one goes first.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:] = [path for path in sys.path if path and Path(path) != ROOT] + [str(ROOT)]
