"""python -m elq_ref = elq."""

import sys

from .cli import main

sys.exit(main())
