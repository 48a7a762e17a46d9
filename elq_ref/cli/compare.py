"""elq compare: finished runs as a table, means over seeds and paired differences."""

from __future__ import annotations

import argparse

from ..files import atomic_write, check_target
from ..runs.comparison import differences, grouped, half_interval, over_images, reference, unlike
from ..runs.comparison import table as rows_of
from ..runs.record import read_runs
from .output import Commands, Result, table


def add(commands: Commands) -> None:
    command = commands.add_parser("compare", help="means of finished runs over seeds, and paired differences")
    command.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a run, or FILE.jsonl#NAME, which may have * and ?"
    )
    command.add_argument("--against", metavar="LABEL", help="whom differences are taken from (default: float)")
    command.add_argument("-o", "--output", help="file to write the table to as well")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if args.output is not None:
        check_target(args.output)
    groups = grouped(read_runs(args.runs))
    against = reference(groups, args.against)
    text = table(rows_of(groups, against))
    if args.output is not None:
        with atomic_write(args.output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    result = {}
    for group in groups:
        entry = {"seeds": [run.seed for run in group.runs], "top1": group.top1.tolist()}
        if against and group is not against and not unlike(group, against):
            d = differences(group, against)
            entry |= {"difference": float(d.mean())} | ({"half_interval": half_interval(d)} if len(d) > 1 else {})
            images = over_images(group, against)
            entry |= {} if images is None else {"half_interval_over_images": half_interval(images)}
        result[group.label] = entry
    return result, text, 0
