"""Plans as they were written until November 2026, in today's form: for records of runs that were made before."""

from __future__ import annotations

from typing import Any

OF_AN_ORDER = ("inq", "order")  # the methods whose plans have portions


def translated(plan: dict[str, Any]) -> dict[str, Any]:
    """What `elq_ref.methods.plan_from_json` reads, of a plan's JSON as it was; the argument is left as it is.

    Then every plan had partition, partition_seed and portions, whatever its method. Now a partition that is no
    interval is the method "order", and only that and INQ have portions; a plan that was written before `restart`
    existed has its default. ValueError for a partition that there never was.
    """
    new = {name: value for name, value in plan.items() if name not in ("partition", "partition_seed", "portions")}
    partition = plan.get("partition", "interval")
    if partition not in ("interval", "magnitude", "random"):
        raise ValueError(f"partition is {partition!r}, wanted interval, magnitude or random")
    if partition != "interval":
        new |= {"method": "order", "order": partition}
        new |= {"order_seed": plan["partition_seed"]} if plan.get("partition_seed") else {}
    if new.get("method") in OF_AN_ORDER and "portions" in plan:
        new["portions"] = plan["portions"]
    return new


def translated_config(config: dict[str, Any]) -> dict[str, Any]:
    """A run's config.json with its plan translated, and the method that `elq reproduce` would be asked for now."""
    plan = translated(config["plan"])
    changed = plan.get("method") != config["plan"].get("method")
    return {**config, "plan": plan} | ({"method": plan["method"]} if changed and "method" in config else {})
