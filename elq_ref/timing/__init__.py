"""Timing a packed network beside other runtimes: each in a process of its own, in turns.

worker.py is such a process, runners.py what runs in it, turns.py the side that starts and asks it.
"""

from .runners import RUNNERS, missing
from .turns import Timed, percentiles, quartiles, take_turns

__all__ = ["RUNNERS", "Timed", "missing", "percentiles", "quartiles", "take_turns"]
