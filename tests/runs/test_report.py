"""Reports: pages with their plots."""

import base64
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from elq_ref import Plan
from elq_ref.cli import main
from elq_ref.methods import OrderPlan
from elq_ref.runs.lines import add_run
from elq_ref.runs.record import RunRecord


def test_a_report_holds_its_plots(runs, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    chosen = [str(runs[name]) for name in ("elq", "binary", "ttq", "float")]
    assert main(["report", *chosen, "-o", str(tmp_path / "report"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    page = Path(result["page"]).read_text()
    inside = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert inside == [Path(path).read_bytes() for path in result["pictures"]]
    assert len(inside) == 2 + 3 * 5 + 1  # together; five of each quantized run; the float one's curves
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched
    from PIL import Image

    for path in result["pictures"]:
        plot = np.asarray(Image.open(path).convert("L"))
        assert min(plot.shape) > 200
        assert plot.std() > 5  # something is drawn
    for label in ("elq ternary", "elq binary", "ttq ternary", "float"):
        assert f"<td>{label}</td>" in page


def test_a_report_of_a_plain_quantization_and_of_a_line(runs, tmp_path):
    pytest.importorskip("matplotlib")
    trained = str(runs["elq"].parent / "float.safetensors")
    out = str(tmp_path / "run")
    assert main(["quantize", trained, "--data", "digits", "--method", "inq", "--epochs", "1", "-o", out]) == 0
    assert main(["report", out, "-o", str(tmp_path / "a")]) == 0
    add_run(tmp_path / "runs.jsonl", "kept", RunRecord.read(runs["elq"]), curves=True)
    assert main(["report", f"{tmp_path}/runs.jsonl#kept", "-o", str(tmp_path / "b")]) == 0
    assert len(list((tmp_path / "b").glob("*.png"))) == 5


def test_a_report_names_the_band_of_the_next_freeze():
    pytest.importorskip("matplotlib")
    from elq_ref.runs.report.weights import _next_band

    def band(stage, plan=Plan, **options):
        run = RunRecord("", {}, plan(**options), {}, [], [], [], [])
        return _next_band(run, stage)

    assert [band(stage) for stage in range(-1, 5)] == [None, (0.4, 0.6), (0.3, 0.7), (0.2, 0.8), None, None]
    assert band(1, levels="binary") == pytest.approx((0, 0.4))
    assert band(-1, epochs=(0, 1, 1, 1, 1)) == (0.4, 0.6)
    assert band(0, OrderPlan) is None


def test_without_matplotlib_one_line_says_what_to_install(runs, tmp_path, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith("elq_ref.runs.report")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(runs["elq"]), "-o", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err.strip()
    assert error == "elq: elq report draws with matplotlib, which is not here: pip install 'elq_ref[plot]'"
    assert not (tmp_path / "report").exists()


def test_no_two_of_many_look_alike():
    pytest.importorskip("matplotlib")
    from elq_ref.runs.report.style import look

    looks = [look(place) for place in range(27)]
    assert len(set(looks)) == 27
