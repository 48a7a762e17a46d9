"""elq report: finished runs as one page of plots."""

from __future__ import annotations

import argparse

from ..runs.record import read_runs
from .output import Commands, Result


def add(commands: Commands) -> None:
    command = commands.add_parser("report", help="draw finished runs: one page, its plots also as PNG")
    command.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a run, or FILE.jsonl#NAME, which may have * and ?"
    )
    command.add_argument("--against", metavar="LABEL", help="whom differences are taken from (default: float)")
    command.add_argument("-o", "--output", default="elq-report", help="folder to write (default: elq-report)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    records = read_runs(args.runs)
    try:
        from ..runs.report import write_report
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError("elq report draws with matplotlib, which is not here: pip install 'elq_ref[plot]'") from error
    files = [str(path) for path in write_report(records, args.output, args.against)]
    return {"page": files[0], "pictures": files[1:]}, "\n".join(files), 0
