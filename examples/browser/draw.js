// Strokes -> the picture that the network reads: 8x8, each value the ink of 4x4 dots, as in the data set.
//
// The data set's digits fill 32x32 dots from top to bottom. So the strokes are scaled and centred first and only then
// drawn, with a pen of one width: however large or small somebody draws, lines come out as thick as in training. (A
// width of 5 would have its edges on the dots' centres, for the many lines that are straight and in the middle.)
const SIDE = 32, CELL = 4, PEN = 5.2, WIDEST = 26

// strokes: [[[x, y], ...], ...] in any unit; least: what is smaller than this, such as a dot, is not blown up.
function pictureOf(strokes, least) {
    const points = strokes.flat()
    const picture = new Uint8Array((SIDE / CELL) ** 2)
    if (!points.length) return picture
    const [left, top] = [0, 1].map(axis => Math.min(...points.map(p => p[axis])))
    const [right, bottom] = [0, 1].map(axis => Math.max(...points.map(p => p[axis])))
    const width = right - left, height = bottom - top
    const scaleY = (SIDE - PEN) / Math.max(height, 0.45 * width, least)
    const scaleX = Math.min(scaleY, (WIDEST - PEN) / Math.max(width, least / 8))
    const placed = ([x, y]) => [
        (x - (left + right) / 2) * scaleX + SIDE / 2,
        (y - (top + bottom) / 2) * scaleY + SIDE / 2,
    ]
    const lines = strokes.map(stroke => stroke.map(placed))
    for (let row = 0; row < SIDE; row++)
        for (let column = 0; column < SIDE; column++)
            if (lines.some(line => near(column + 0.5, row + 0.5, line)))
                picture[(row >> 2) * (SIDE / CELL) + (column >> 2)]++
    return picture.map(dots => (dots * 255 + 8) >> 4)
}

// Whether a point lies under the pen somewhere along a line.
function near(x, y, line) {
    for (let i = 0; i < line.length; i++) {
        const [ax, ay] = line[Math.max(i - 1, 0)], [bx, by] = line[i]
        const dx = bx - ax, dy = by - ay, square = dx * dx + dy * dy
        const t = square ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / square)) : 0
        const ex = x - ax - t * dx, ey = y - ay - t * dy
        if (ex * ex + ey * ey < (PEN / 2) ** 2) return true
    }
    return false
}
