"""Comparisons of runs: statistics against SciPy, what may be compared, the table."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_runs import records

from elq_ref import PackedNetwork, Plan, Session, datasets
from elq_ref.cli import main
from elq_ref.runs import answers
from elq_ref.runs.comparison import (
    differences,
    grouped,
    half_interval,
    over_images,
    reference,
    t_quantile,
    table,
)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 30, 9999])
@pytest.mark.parametrize("p", [0.5, 0.75, 0.95, 0.975, 0.995])
def test_t_quantile_is_scipys(freedom, p):
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-6, abs=1e-9)


def test_intervals_of_paired_differences_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = [91.0, 90.2, 90.9], [90.1, 90.0, 90.2]
    groups = grouped(records({"elq": ours, "float": theirs}))
    assert [group.label for group in groups] == ["float", "elq ternary"]
    d = differences(groups[1], groups[0])
    np.testing.assert_allclose(d, np.subtract(ours, theirs))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert d.mean() - half_interval(d) == pytest.approx(low, rel=1e-5)
    assert d.mean() + half_interval(d) == pytest.approx(high, rel=1e-5)
    rows = table(groups, groups[0])
    assert rows[2][:7] == ["elq ternary", "6", "3", "90.70", "0.44", "90.20", "91.00"]
    assert rows[2][7:] == ["+0.60", f"{low:+.2f} to {high:+.2f}"]


def test_intervals_over_the_images_are_those_of_a_paired_test():
    """Two seeds of 500 images; that of a third, which one alone has, counts nowhere."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    right = {"elq": rng.random((3, 500)) < 0.9, "float": rng.random((2, 500)) < 0.8}
    made = records({method: [100 * r.mean() for r in rows] for method, rows in right.items()})
    for run, row in zip(made, [*right["elq"], *right["float"]], strict=True):
        run.result.update(total=500, correct=int(row.sum()), right=answers.to_text(row))
    groups = grouped(made)
    found = over_images(groups[1], groups[0])
    low, high = stats.ttest_rel(100 * right["elq"][:2].mean(0), 100 * right["float"].mean(0)).confidence_interval(0.95)
    assert found.mean() == pytest.approx(differences(groups[1], groups[0]).mean())
    assert found.mean() - half_interval(found) == pytest.approx(low, rel=1e-5)
    rows = table(groups, groups[0])
    assert (rows[0][-1], rows[1][-1], rows[2][-1]) == ("over the images", "", f"{low:+.2f} to {high:+.2f}")
    del made[0].result["right"]  # one of them did not keep which it has right
    assert over_images(groups[1], groups[0]) is None
    assert table(groups, groups[0])[0][-1] == "95 % interval"


def test_differences_pair_the_seeds_that_both_have():
    elq, other = grouped(records({"elq": [1.0, 2.0, 5.0], "twn": [0.5, 0.0]}))
    assert differences(elq, other).tolist() == [0.5, 2.0]
    single = grouped(records({"elq": [3.0], "float": [2.0]}))
    assert table(single, reference(single, None))[2][-2:] == ["+1.00", "-"]
    assert reference([elq, other], None) is None
    assert table([elq, other], None)[0][-1] == "most"  # nobody to compare with
    with pytest.raises(ValueError, match=r"no run is 'bwn'; there are: float, elq ternary"):
        reference(single, "bwn")


def test_no_difference_is_taken_from_another_network_or_length():
    elq, other = records({"elq": [3.0], "float": [2.0]})
    elq.config["checkpoint"], other.config["checkpoint"] = {"sha256": "a"}, {"sha256": "b"}
    groups = grouped([elq, other])
    assert table(groups, groups[0])[2][-2:] == ["-", "another checkpoint"]
    other.config["checkpoint"] = {"sha256": "a"}
    groups = grouped([replace(elq, plan=Plan().spread(72)), other])
    assert [row[1] for row in table(groups, groups[0])[1:]] == ["6", "72"]
    assert table(groups, groups[0])[2][-2:] == ["-", "other passes"]
    groups = grouped([replace(elq, config=elq.config | {"seed": 4}), other])
    assert table(groups, groups[0])[2][-2:] == ["-", "no seed in common"]


def test_float_fine_tuning_keeps_every_layer_whatever_is_asked():
    elq, other = records({"elq": [3.0], "float": [2.0]})
    for run in (elq, other):
        run.config["first_last_float"] = True
    assert (elq.label, other.label) == ("elq ternary (first, last layer float)", "float")


def test_runs_that_differ_by_more_than_their_seed_have_no_mean():
    made = records({"elq": [1.0, 2.0]})
    for run, options in zip(made, ({}, {"a1": 2.0}), strict=True):
        run.config["plan"] = Plan(**options).to_json()
    with pytest.raises(ValueError, match=r"elq/0 and elq/1 are both elq ternary, but differ in their plan a1"):
        grouped(made)
    made[1].config["plan"] = made[0].config["plan"] | {"a1": 1.0}
    del made[0].config["plan"]["restart"]  # written before there was this option
    made[1].config.update(command="the same in other words", headline=False)
    assert len(grouped(made)) == 1
    made[1].config["lr"] = 0.1  # as elq quantize writes it
    with pytest.raises(ValueError, match="differ in their lr"):
        grouped(made)
    twice = records({"elq": [1.0, 2.0]})
    twice[1].config["seed"] = 0
    with pytest.raises(ValueError, match="given twice for one seed"):
        grouped(twice)
    other = records({"elq": [1.0], "twn": [2.0]})
    other[1].result["total"] = 50
    with pytest.raises(ValueError, match="different pictures"):
        grouped(other)
    other[1].result["total"] = 100
    for run, data in zip(other, ("mnist", "cifar10"), strict=True):
        run.config["data"] = data
    with pytest.raises(ValueError, match="different pictures: 100 of cifar10, 100 of mnist"):
        grouped(other)


def test_compare_prints_and_writes_a_table(runs, tmp_path, capsys):
    out = tmp_path / "sub" / "table.txt"
    assert main(["compare", *map(str, runs.values()), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert text == out.read_text()
    assert text.splitlines()[1].startswith("float ")
    mean = np.mean([json.loads((runs[name] / "result.json").read_text())["top1"] for name in ("ttq", "ttq1")])
    line = next(line for line in text.splitlines() if line.startswith("ttq ternary"))
    assert line.split()[2:5] == ["1.5", "2", f"{mean:.2f}"]
    assert main(["compare", *map(str, runs.values()), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ttq ternary"]["seeds"] == [0, 1]
    assert {"difference", "half_interval"} <= set(result["ttq ternary"])
    images = datasets.digits()[1]
    right = {name: PackedNetwork.load(runs[name] / "net.elq") for name in ("ttq", "ttq1", "float", "float1")}
    right = {name: Session(net)(images.images).argmax(1) == images.labels for name, net in right.items()}
    gaps = 50.0 * (right["ttq"].astype(int) + right["ttq1"] - right["float"] - right["float1"])
    half = 1.96473 * gaps.std(ddof=1) / np.sqrt(500)  # Student's t for 499 degrees of freedom, from a table
    assert result["ttq ternary"]["half_interval_over_images"] == pytest.approx(half, rel=1e-5)
