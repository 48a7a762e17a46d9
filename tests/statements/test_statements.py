"""`elq verify`: every statement holds, and every check can fail."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from elq_ref import statements as room
from elq_ref.cli import main
from elq_ref.elq.levels import dequantize, nearest_codes, scale
from elq_ref.methods import ELQ, Method
from elq_ref.statements import Line, Subject, gaussian, optimum, statements

ROOT = Path(__file__).parents[2]


def test_every_statement_holds(lines):
    assert len(lines) > 80
    assert [line.statement for line in lines if not line.holds] == []
    assert len({line.statement for line in lines}) == len(lines)


def test_statements_hold_on_a_network_with_kinks():
    from elq_ref.models import digits_cnn

    train, _ = room.subject.digits()
    subject = Subject.of("digits_cnn", digits_cnn(), train.subset(np.arange(3)))
    lines = [line for family in room.ON_A_NETWORK for line in family.lines(subject)]
    assert [line.statement for line in lines if not line.holds] == []


def test_no_number_and_nothing_checked_do_not_hold():
    assert not Line("", "", "", math.nan, 1.0, "").holds
    assert room.line.largest([]) == math.inf
    assert math.isnan(room.line.largest([0.0, math.nan, 1.0]))


def test_plain_numpy_and_the_package_agree_on_the_smooth_network():
    subject = Subject.bundled()
    w = subject.weights()
    assert subject.loss(subject.parameters(w)) == pytest.approx(subject.forward(w).loss, rel=1e-12)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("draw", ["standard_normal", "uniform", "laplace"])
def test_exact_scale_is_scipys_minimum(levels, draw):
    optimize = pytest.importorskip("scipy.optimize")
    w = getattr(np.random.default_rng(2), draw)(size=(1, 3000))

    def error(alpha: float) -> float:
        return np.sum((w - alpha * nearest_codes(w, np.array([[alpha]]), levels)) ** 2)

    alpha = scale(w, levels, "l2")
    ours = np.sum((w - dequantize(nearest_codes(w, alpha, levels), alpha)) ** 2)
    size = np.abs(w)
    found = [  # E has many shallow minima: from every quantile
        optimize.minimize_scalar(error, bounds=(0.8 * a, 1.2 * a), method="bounded", options={"xatol": 1e-12 * a}).fun
        for a in np.quantile(size, np.linspace(0.05, 1, 40))
    ]
    assert ours <= min(found) * (1 + 1e-12)
    assert ours == pytest.approx(min(found), rel=1e-6)


def test_quadrature_is_scipys():
    integrate = pytest.importorskip("scipy.integrate")
    norm = pytest.importorskip("scipy.stats").norm
    for alpha in (0.7, 1.224, 2.0):
        squares = integrate.quad(
            lambda x, a=alpha: min(x**2, (x - a) ** 2) * 2 * norm.pdf(x), 0, 12, points=[alpha / 2]
        )[0]
        assert gaussian.expected_error(gaussian.normal, gaussian.TOP, alpha) == pytest.approx(squares, rel=1e-8)
    n = 1000
    highest = integrate.quad(lambda t: 1 - (2 * norm.cdf(t) - 1) ** n, 0, 12)[0]
    assert gaussian.rule_at(n) == pytest.approx(np.sqrt(2 / np.pi) + 0.05 * highest, rel=1e-7)


def test_search_finds_the_lowest_of_several_minima():
    def waves(x: float) -> float:
        return math.sin(5 * x) + 0.1 * (x - 2) ** 2

    grid = np.linspace(0.1, 4, 400001)
    assert optimum.search(waves, 0.1, 4) == pytest.approx(
        grid[np.argmin(np.sin(5 * grid) + 0.1 * (grid - 2) ** 2)], abs=1e-5
    )


def _times(factor: float, position: int | None = None):
    """A function that is wrong by a factor (in one of its results)."""

    def wrap(right):
        def wrong(*args, **kwargs):
            found = right(*args, **kwargs)
            if position is None:
                return factor * found
            return (*found[:position], factor * found[position], *found[position + 1 :])

        return wrong

    return wrap


def _changed(**changes):
    """`objective` with a wrong part in what it returns."""
    from dataclasses import replace

    def wrap(right):
        def wrong(*args, **kwargs):
            seen = right(*args, **kwargs)
            return replace(seen, **{name: change(getattr(seen, name)) for name, change in changes.items()})

        return wrong

    return wrap


def _scaled_gradients(arrays):
    return [1.1 * a for a in arrays]


def _not_free(right):
    """Frozen entries are forgotten."""
    return lambda *args, frozen=None, **kwargs: right(*args, **kwargs)


def _one_off(right):
    """A set with one member too many or too few."""

    def wrong(*args, **kwargs):
        found = right(*args, **kwargs).copy()
        found.flat[0] = ~found.flat[0]
        return found

    return wrong


def _in_float32(right):
    """Sums that drift."""

    def wrong(w, *args, **kwargs):
        alpha = right(w, *args, **kwargs)
        drift = np.cumsum(np.abs(w), dtype=np.float32)[-1] / np.float32(np.abs(w).sum(dtype=np.float64))
        return (alpha * drift).astype(w.dtype)

    return wrong


def _stops(right):
    def wrong(*args, **kwargs):
        raise TypeError("no such thing")

    return wrong


def _next_float(right):
    return lambda *args: np.nextafter(right(*args), np.inf)


def _without_zero(right):
    """+0.0 is -0.0."""
    return lambda *args: np.where(right(*args) == 0, -0.0, right(*args))


def _thaws(right):
    def wrong(state):
        right(state)
        if state.stage == 2:
            for weight in state.weights.values():
                weight.frozen = np.zeros_like(weight.frozen)

    return wrong


def _moves(right):
    """A freeze that puts its group on the wrong level."""

    def wrong(state):
        right(state)
        for weight in state.weights.values():
            weight.w = weight.w + 0.6 * weight.alpha * weight.frozen

    return wrong


def _nearest(right):
    """A freeze to the nearest level."""
    return lambda self, weight, chosen: Method.settle(self, weight, chosen)


def _does_nothing(right):
    return lambda *args, **kwargs: None


def _whole_batch(right):
    """SGD that does not select."""
    return lambda self, w, dw, velocity, lr, free=None, over=False: right(self, w, dw, velocity, lr)


def _keeps_nothing(right):
    from contextlib import nullcontext

    return lambda net: nullcontext()


def _all(right):
    return lambda w, alpha, frozen, *args, **kwargs: right(w, alpha, np.zeros_like(frozen), *args, **kwargs)


def _shrinking(right):
    """The band of the opposite sigma2."""
    return lambda w, alpha, frozen, sigma2, *args, **kw: right(w, alpha, frozen, 0.5 - sigma2, *args, **kw)


# (module that uses it, name, what is done to it, statements that must fail)
SABOTAGE = [
    ("bounds", "objective", _changed(value=lambda v: 0.9 * v), ["1 the objective bounds", "1 equality"]),
    ("bounds", "objective", _changed(value=lambda v: 100 + v), ["1 a1 < 1"]),
    ("bounds", "objective", _changed(loss_hat=lambda v: 1.001 * v), ["1 L(W_hat)"]),
    ("taylor", "slope", _times(1.5), ["2 the first", "7 the remainder"]),
    ("taylor", "slope", lambda right: lambda s, w, d, t: right(s, w, d, 2 * t), ["2 its factor"]),
    (
        "optimum",
        "nearest_codes",
        lambda right: lambda w, alpha, levels: right(w, 1.5 * alpha, levels),
        ["3 the nearest", "3 Lloyd"],
    ),
    ("optimum", "scale", _times(1.05), ["3 the exact optimum", "3 the exact optimum, many", "3 BWN", "3 scale rules"]),
    ("optimum", "scale_slope", _times(1.01), ["3 d alpha"]),
    ("singles", "scale", _in_float32, ["3 sums in float64"]),
    ("singles", "nearest_level", lambda right: lambda *args: -right(*args), ["3 the nearest level in one sweep"]),
    ("singles", "scale_slope", _times(1.01), ["3 d alpha / dw where"]),
    ("terms", "objective", _changed(value=lambda v: 1.001 * v), ["1 one term"]),
    ("terms", "objective", _changed(weights=_scaled_gradients), ["5 one term"]),
    ("groups", "objective", _changed(shared=_scaled_gradients), ["5 a second loss"]),
    ("groups", "objective", _changed(value=lambda v: 1.001 * v), ["1 a second loss"]),
    ("gaussian", "normal", _times(1.05), ["4 Gaussian weights: optimal threshold", "4 the method's scale"]),
    ("gaussian", "search", _times(1.001), ["4 Gaussian weights: optimal scale", "4 the optimum is", "4 TWN"]),
    ("gaussian", "scale", _times(1.01), ["4 the package's", "4 the method's scale"]),
    ("partitions", "partition", _one_off, ["6 the band"]),
    ("partitions", "partition", _shrinking, ["6 bands are nested"]),
    ("partitions", "partition", _all, ["6 group 1"]),
    (
        "partitions",
        "nearest_codes",
        lambda right: lambda w, a, levels: -right(w, a, levels),
        ["6 a freeze leaves W_hat", "6 levels"],
    ),
    ("partitions", "dequantize", _without_zero, ["6 levels"]),
    ("partitions", "dequantize", _next_float, ["6 the last stage leaves"]),
    ("partitions", "draw_in", _times(1.001), ["6 tails"]),
    (
        "derivatives",
        "objective",
        _changed(weights=_scaled_gradients),
        [f"5 gradient {m}" for m in room.derivatives.MODES],
    ),
    ("derivatives", "objective", _changed(weights=_scaled_gradients), ["5 s = 0", "5 a scale"]),
    ("derivatives", "objective", _changed(shared=_scaled_gradients), ["5 shared"]),
    ("derivatives", "objective", _not_free, ["5 frozen"]),
    ("freezes", "freeze", _thaws, ["6 the frozen set only grows"]),
    (
        "freezes",
        "freeze",
        _moves,
        ["6 frozen weights in", "6 a freeze leaves W_hat, in", "6 a freeze leaves L", "7 E never"],
    ),
    ("frequent", "freeze", _moves, ["6 frequent: what freezes", "6 frequent: all", "7 frequent"]),
    ("ELQ", "settle", _nearest, ["6 frequent: what freezes", "6 frequent: a freeze moves"]),
    ("freezes", "closest", _times(1.01), ["7 only free"]),
    ("freezes", "plain_conv", _times(1.01), ["8 running averages"]),
    ("SGD", "update", _whole_batch, ["6 frozen weights in", "6 frozen weights have", "6 all weights end"]),
    ("stages", "running_averages_kept", _keeps_nothing, ["8 running averages"]),
    ("SGD", "update", _times(1.0001, 0), ["8 a run"]),
]


@pytest.mark.parametrize(("where", "name", "sabotage", "expected"), SABOTAGE)
def test_every_check_can_fail(monkeypatch, where, name, sabotage, expected):
    from elq_ref.training import stages
    from elq_ref.training.sgd import SGD

    target = {"SGD": SGD, "stages": stages, "ELQ": ELQ}.get(where) or getattr(room, where)
    monkeypatch.setattr(target, name, sabotage(getattr(target, name)))
    with np.errstate(all="ignore"):
        failed = [line.statement for line in _family_of(where, expected[0]) if not line.holds]
    for start in expected:
        assert any(statement.startswith(start) for statement in failed), f"{start}: only {failed} failed"


def _family_of(where: str, expected: str) -> Iterator[Line]:
    home = {
        "SGD": "replay" if expected.startswith("8 a run") else "freezes",
        "stages": "freezes",
        "ELQ": "frequent",
    }.get(where, where)
    family = getattr(room, home)
    return family.lines(Subject.bundled()) if family in room.ON_A_NETWORK else family.lines()


def test_every_statement_is_sabotaged(lines):
    starts = [start for *_, expected in SABOTAGE for start in expected]
    lines = [line for line in lines if line.chapter.isdigit()]  # the others: test_packed_and_integers.py
    assert [line.statement for line in lines if not any(line.statement.startswith(s) for s in starts)] == []


def test_the_page_lists_the_statements(lines):
    page = ROOT / "docs" / "verify.md"
    if not page.is_file():
        pytest.skip("docs/ is not here (tests run from an installed copy)")
    section = page.read_text().split("\n## The statements\n")[1].split("\n## ")[0]
    listed = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    names = sorted(line.statement for line in lines)
    assert sorted(name.replace("\\|", "|") for name in listed[1:]) == names


def test_what_stops_a_family_is_a_statement_that_fails(monkeypatch):
    monkeypatch.setattr(room, "ON_ARRAYS", (room.optimum, room.singles))
    monkeypatch.setattr(room, "ON_A_NETWORK", ())
    monkeypatch.setattr(room.optimum, "scale_slope", _stops(room.optimum.scale_slope))
    lines = list(statements())
    assert [(line.statement, line.ways) for line in lines if not line.holds] == [
        ("3 optimum: computed to the end", "TypeError: no such thing")
    ]
    assert len(lines) > 3


def test_the_pair_that_differs_most_is_kept():
    seen = room.line.Compared()
    assert seen.deviation == math.inf
    seen.see([1.0, 3.0], [1.0, 1.0])
    seen.see(5.0, 4.0, 2.0)
    assert (seen.deviation, seen.sides, seen.count) == (1.0, (3.0, 1.0), 3)
    seen.see([0.0, math.nan], [0.0, 0.0])
    seen.see(100.0, 0.0)
    assert math.isnan(seen.deviation)
    counted = room.line.Counted()
    assert counted.deviation == math.inf
    counted.see([1, 2], [1, 3])
    counted.see([1, 2], [1, 2, 3])
    counted.see(math.nan, math.nan)
    assert (counted.wrong, counted.count) == (4, 6)


def test_the_command_prints_one_table(capsys):
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        *["statement", "equation", "computed", "two", "ways"],
        *["deviation", "bound", "bound", "from", "verdict"],
    ]
    assert "FAILS" not in out


def test_a_failing_statement_makes_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(room, "ON_ARRAYS", (room.optimum,))
    monkeypatch.setattr(room, "ON_A_NETWORK", ())
    monkeypatch.setattr(room.optimum, "scale_slope", _times(1.01)(room.optimum.scale_slope))
    assert main(["verify", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [s["statement"] for s in result["statements"] if not s["holds"]] == ["3 d alpha / dw"]
    assert result["failed"] == 1


def test_a_model_of_the_package_with_noise(capsys):
    assert main(["verify", "--model", "lenet5", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["statements"]) > 15


def test_bad_arguments_in_one_line(capsys):
    assert main(["verify", "--data", "digits"]) == 2
    assert "--model or --checkpoint" in capsys.readouterr().err
    assert main(["verify", "--model", "nothing"]) == 2
    assert "there is no model 'nothing'" in capsys.readouterr().err


def test_without_matplotlib_the_plots_say_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.delitem(sys.modules, "elq_ref.statements.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["verify", "--plot", str(tmp_path)]) == 2
    assert "pip install 'elq_ref[plot]'" in capsys.readouterr().err


def test_plots(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from PIL import Image

    from elq_ref.statements import plots

    monkeypatch.setattr(plots, "FLOAT_EPOCHS", 1)
    monkeypatch.setattr(plots, "PLAN", plots.PLAN.spread(2.5))
    files = list(plots.draw(tmp_path / "new"))
    assert len(files) == 5
    for file in files:
        with Image.open(file) as image:
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 10, file  # not blank


def test_mutants_written_by_hand_are_caught():
    tool = ROOT / "tools" / "mutate.py"
    if not tool.is_file():
        pytest.skip("tools/ is not here (tests run from an installed copy)")
    done = subprocess.run(
        [sys.executable, tool, "--written", "--only", "masked", "--workers", "1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 mutants: 3 caught" in done.stdout
