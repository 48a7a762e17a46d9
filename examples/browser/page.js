const $ = id => document.getElementById(id)
const pad = $("pad"), sees = $("sees"), pen = pad.getContext("2d"), dots = sees.getContext("2d")
const strokes = []  // of points [x, y], 0 to 1 across the drawing area

const rows = CLASSES.map(name => {
    const row = $("scores").insertRow()
    row.insertCell().textContent = name
    const bar = document.createElement("div")
    bar.className = "bar"
    row.insertCell().append(bar)
    return { row, bar, raw: row.insertCell() }
})

// The network: classify(picture) -> { name, raw, shares, status }, raw being the int32 of the C.
const ready = (async () => {
    const bytes = Uint8Array.from(atob(WASM), c => c.charCodeAt(0))
    const net = (await WebAssembly.instantiate(bytes)).instance.exports
    const view = (Kind, at, count) => new Kind(net.memory.buffer, at, count)
    const input = view(Uint8Array, net.picture_at(), 64)
    const raw = view(Int32Array, net.raw_at(), CLASSES.length)
    const factor = view(Float32Array, net.factor_at(), CLASSES.length)
    function classify(picture) {
        input.set(picture)
        const best = net.classify()
        if (best < 0) throw Error(`digits_run returned ${-best}`)
        const logits = [...raw].map((v, i) => v * factor[i])
        const powers = logits.map(v => Math.exp(v - logits[best]))
        const sum = powers.reduce((a, b) => a + b)
        return { best, raw: [...raw], shares: powers.map(v => v / sum) }
    }
    // Milliseconds of one call, by as many as take twenty: a browser's clock is coarse.
    function time() {
        const start = performance.now()
        let calls = 0, passed = 0
        for (; passed < 20 && calls < 1000; passed = performance.now() - start, calls++) net.classify()
        return passed / calls
    }
    return { classify, time, selftest: net.selftest }
})()

function paint() {
    const ratio = devicePixelRatio || 1, side = pad.clientWidth, high = pad.clientHeight
    pad.width = side * ratio
    pad.height = high * ratio
    pen.scale(ratio, ratio)
    Object.assign(pen, { lineWidth: Math.min(side, high) * 0.075, lineCap: "round", lineJoin: "round" })
    pen.strokeStyle = getComputedStyle(document.body).color
    for (const stroke of strokes) {
        const at = i => [stroke[i][0] * side, stroke[i][1] * side]
        pen.beginPath()
        pen.moveTo(...at(0))
        for (let i = 1; i < stroke.length; i++) {  // through the middles, so that corners of a fast hand are round
            const [ax, ay] = at(i - 1), [bx, by] = at(i)
            pen.quadraticCurveTo(ax, ay, (ax + bx) / 2, (ay + by) / 2)
        }
        pen.lineTo(...at(stroke.length - 1))
        pen.stroke()
    }
}

async function show() {
    const net = await ready
    const empty = !strokes.length, picture = pictureOf(strokes, 0.12)
    document.body.classList.toggle("drawn", !empty)
    $("undo").disabled = $("clear").disabled = empty
    const image = dots.createImageData(8, 8)
    picture.forEach((v, i) => image.data.set([v, v, v, 255], 4 * i))
    dots.putImageData(image, 0, 0)
    const answer = empty ? null : net.classify(picture)
    $("class").textContent = empty ? "–" : CLASSES[answer.best]
    rows.forEach(({ row, bar, raw }, i) => {
        row.className = answer && i === answer.best ? "best" : ""
        bar.style.width = answer ? `${Math.max(1, 100 * answer.shares[i])}%` : "0"
        raw.textContent = answer ? answer.raw[i].toLocaleString("en") : ""
    })
    if (empty) $("time").textContent = "–"
    return net
}

const point = event => {
    const box = pad.getBoundingClientRect()
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width]
}
let drawing = null  // the pointer that draws; others, such as a resting palm, do not
pad.addEventListener("pointerdown", event => {
    if (drawing !== null || event.button) return
    drawing = event.pointerId
    try { pad.setPointerCapture(drawing) } catch { /* a made-up event has no pointer to capture */ }
    strokes.push([point(event)])
    update()
})
pad.addEventListener("pointermove", event => {
    if (event.pointerId !== drawing) return
    const events = event.getCoalescedEvents?.() ?? []
    strokes.at(-1).push(...(events.length ? events : [event]).map(point))
    update()
})
for (const end of ["pointerup", "pointercancel"])
    pad.addEventListener(end, async event => {
        if (event.pointerId !== drawing) return
        drawing = null
        const net = await show()
        if (!strokes.length) return
        const ms = net.time()
        $("time").textContent = ms < 1 ? `${(1000 * ms).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`
    })

let waiting = false  // at most one picture a frame
function update() {
    if (waiting) return
    waiting = true
    requestAnimationFrame(() => { waiting = false; paint(); show() })
}
function forget(count) {
    strokes.splice(-count, count)
    update()
}
$("undo").onclick = () => forget(1)
$("clear").onclick = () => forget(strokes.length)
addEventListener("keydown", event => {
    if (event.key === "Escape" || event.key === "Delete") forget(strokes.length)
    if (event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey))) forget(1)
})
addEventListener("resize", update)
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update)

ready.then(net => {
    const failed = net.selftest()
    $("selftest").textContent = failed ? `Self-test: layer ${failed} fails.` : "Self-test passed: every constant and every layer."
    update()
})
