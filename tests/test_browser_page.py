"""The page to draw on: the network in it gives Python's integers, drawn digits are recognised, a rebuild its bytes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scripts import run_script

import elq_ref as elq
from elq_ref.cli.run import softmax
from elq_ref.runtime import PackedNetwork, interpret_int8

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "browser"
PAGE, NETWORK = FOLDER / "digits.html", FOLDER / "drawn-digits.elq"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

if not FOLDER.is_dir():
    pytest.skip("examples/ is not here (tests run from a copy)", allow_module_level=True)
browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: the page is not run")

# Ten digits as somebody might draw them: strokes of points in a box of 100 x 100, y downwards.
DRAWN = {
    "0": [[(50, 5), (28, 20), (22, 50), (30, 82), (50, 95), (70, 82), (78, 50), (72, 20), (50, 5)]],
    "1": [[(35, 25), (52, 5), (52, 95)]],
    "2": [[(25, 25), (35, 8), (58, 5), (72, 20), (68, 42), (45, 68), (24, 93), (78, 93)]],
    "3": [[(27, 12), (50, 5), (70, 18), (66, 38), (45, 47), (68, 57), (74, 78), (52, 95), (25, 86)]],
    "4": [[(60, 5), (22, 62), (82, 62)], [(62, 35), (62, 95)]],
    "5": [[(72, 6), (34, 6), (30, 45), (52, 40), (72, 55), (72, 78), (50, 95), (26, 86)]],
    "6": [[(66, 6), (40, 28), (28, 62), (36, 88), (55, 95), (72, 80), (66, 60), (46, 58), (31, 72)]],
    "7": [[(24, 8), (78, 8), (44, 95)]],
    "8": [
        [(50, 47), (30, 32), (36, 10), (60, 6), (70, 24), (50, 47), (28, 68), (36, 92), (62, 94), (72, 72), (50, 47)]
    ],
    "9": [[(70, 25), (50, 6), (30, 18), (32, 42), (52, 48), (70, 30), (68, 60), (60, 95)]],
}


def run(page: Path, script: str, *options: str) -> object:
    """What `script`, appended to the page, calls answer(...) with, in Chromium."""
    text = PAGE.read_text(encoding="utf-8")
    report = "const answer = v => { const at = document.createElement('pre'); at.id = 'answer'; at.textContent = "
    report += "JSON.stringify(v); document.body.append(at) }; onunhandledrejection = e => answer(`${e.reason}`);"
    page.write_text(text.replace("</body>", f"<script>{report}\n{script}</script></body>"), encoding="utf-8")
    command = [BROWSER, *OPTIONS, f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=20000"]
    done = subprocess.run(
        [*command, *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300
    )
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(found[1])


@browser
def test_500_digits_give_the_integers_of_python(tmp_path):
    _, test = elq.datasets.digits()
    network = PackedNetwork.load(NETWORK)
    wanted = interpret_int8(network.int8, test.images)
    script = f"const all = {json.dumps(test.images.reshape(-1, 64).tolist())};"
    script += "const one = (net, p) => { const r = net.classify(p); return [r.best, ...r.raw, ...r.shares] };"
    script += "ready.then(net => answer([net.selftest(), all.map(p => one(net, p))]))"
    failed, got = run(tmp_path / "page.html", script)
    got = np.array(got)
    assert failed == 0
    assert got.shape == (500, 21)
    np.testing.assert_array_equal(got[:, 1:11], wanted.raw)
    np.testing.assert_allclose(got[:, 11:], softmax(wanted.logits.astype(float)), rtol=1e-4)
    np.testing.assert_array_equal(got[:, 0], elq.Session(network, activations="int8")(test.images).argmax(1))


@browser
def test_drawn_digits_are_recognised_wherever_and_however_large(tmp_path):
    script = (
        f"const drawn = {json.dumps(DRAWN)};"
        + """
    const moved = (strokes, size, x, y, lean) => strokes.map(stroke => stroke.map(([a, b]) =>
        [x + size * (a + lean * (50 - b)) / 100, y + size * b / 100]))
    ready.then(net => answer(Object.entries(drawn).map(([name, strokes]) => [name,
        [[0.9, 0, 0, 0], [0.3, 0.6, 0.1, 0], [0.5, 0.2, 0.4, 0.15], [0.5, 0.2, 0.4, -0.1]].map(how =>
            CLASSES[net.classify(pictureOf(moved(strokes, ...how), 0.12)).best])])))"""
    )
    wrong = {name: found for name, found in run(tmp_path / "page.html", script) if found != [name] * 4}
    assert not wrong


@browser
def test_a_drawing_fills_the_picture_from_top_to_bottom_in_the_middle(tmp_path):
    """As the data set's digits do; where it was drawn and how large does not matter but for a dot on the edge."""
    script = f"const drawn = {json.dumps(DRAWN)};"
    script += """
    const moved = (strokes, size, x, y) => strokes.map(s => s.map(([a, b]) => [x + size * a, y + size * b]))
    const one = (strokes, how) => [...pictureOf(moved(strokes, ...how), 0.12)]
    const both = strokes => [[0.009, 0, 0], [0.0031, 0.57, 0.2]].map(how => one(strokes, how))
    answer(Object.values(drawn).map(both))"""
    pictures = np.array(run(tmp_path / "page.html", script)).reshape(10, 2, 8, 8)
    one, dot = pictures[:, 0], 16  # of 255: a dot of a cell
    assert (np.abs(one - pictures[:, 1]) <= dot).all()
    assert (one[:, [0, -1]].max(2) > 4 * dot).all()
    columns = one.max(1) > 0
    first, last = columns.argmax(1), 7 - columns[:, ::-1].argmax(1)
    assert (np.abs(first + last - 7) <= 1).all()
    assert set(np.unique(one)) <= {(255 * n + 8) // 16 for n in range(17)}


@browser
def test_a_drawing_hand_is_followed(tmp_path):
    script = (
        f"const hand = {json.dumps(DRAWN['3'])};"
        + """
    requestAnimationFrame = draw => setTimeout(draw)  // no screen, no frames
    const frame = () => new Promise(done => setTimeout(done, 50))
    const seen = () => [$("class").textContent, $("clear").disabled, document.querySelectorAll(".best").length]
    async function go() {
        await ready; await frame()
        const all = [seen()], box = pad.getBoundingClientRect()
        const send = (kind, [x, y], pointerId) => pad.dispatchEvent(new PointerEvent(kind,
            { pointerId, clientX: box.left + x * box.width / 100, clientY: box.top + y * box.height / 100 }))
        for (const stroke of hand) {
            send("pointerdown", stroke[0], 1)
            send("pointerdown", [99, 99], 2)                      // a palm
            for (const p of stroke) send("pointermove", p, 1), send("pointermove", [1, 99], 2)
            send("pointerup", stroke.at(-1), 1)
        }
        await frame()
        all.push(seen(), $("time").textContent)
        $("clear").click(); await frame()
        all.push(seen())
        answer(all)
    }
    go()"""
    )
    before, after, time, cleared = run(tmp_path / "page.html", script)
    assert before == cleared == ["–", True, 0]
    assert after == ["3", False, 1]
    assert re.fullmatch(r"[\d.]+ (µs|ms)", time), time


def test_the_page_is_one_small_file():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.encode()) < 100_000
    assert "{{" not in text
    assert not re.findall(r"(?:src|href)=|https?://|@import", text)


def test_a_rebuild_gives_the_same_bytes(tmp_path):
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        pytest.skip("no clang with wasm-ld is installed: the page is not built again")
    made_with = re.search(r'name="generator" content="clang (.*?)"', PAGE.read_text(encoding="utf-8"))[1]
    here = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    here = re.search(r"version (\S+)", here)[1]
    if here != made_with:
        pytest.skip(f"the page was built by clang {made_with}, here is {here}: other bytes are to be expected")
    made = tmp_path / "again.html"
    run_script(tmp_path, str(FOLDER / "build.py"), "-o", str(made))
    assert made.read_bytes() == PAGE.read_bytes()
