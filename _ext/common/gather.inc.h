/* Copying a window of an image into a buffer: pixel by pixel, channels together, zeros where the window leaves the
 * image. Here every stride, layout and border becomes one case. A template of REAL and NAME. */

/* to[row][column][`size`] for rows row0 .. row0 + rows - 1 and columns column0 .. of the image x with strides xs
 * (N C H W); channels from `channels` to `size` are 0. */
static void NAME(gather)(REAL *to, ptrdiff_t size, const REAL *x, const ptrdiff_t *xs, ptrdiff_t channels, ptrdiff_t h,
                         ptrdiff_t w, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t column0, ptrdiff_t columns) {
    ptrdiff_t first = column0 < 0 ? -column0 : 0, last = w - column0 < columns ? w - column0 : columns;
    if (first > columns) first = columns;
    if (last < first) last = first;
    for (ptrdiff_t r = 0; r < rows; r++, to += columns * size) {
        if (row0 + r < 0 || row0 + r >= h) {
            memset(to, 0, columns * size * sizeof(REAL));
            continue;
        }
        const REAL *from = x + (row0 + r) * xs[2] + (column0 + first) * xs[3];
        memset(to, 0, first * size * sizeof(REAL));
        memset(to + last * size, 0, (columns - last) * size * sizeof(REAL));
        if (xs[1] == 1 && xs[3] == channels && size == channels) {
            memcpy(to + first * size, from, (last - first) * size * sizeof(REAL));
            continue;
        }
        ptrdiff_t q = first;
        if (xs[1] == 1 && size % LANES == 0) { /* whole vectors, as long as none leaves the row */
            ptrdiff_t end = (last - 1 - q) * xs[3] + channels - size;
            for (; q < last && (q - first) * xs[3] <= end; q++, from += xs[3])
                for (ptrdiff_t c = 0; c < size; c += LANES)
                    NAME(store)(to + q * size + c, NAME(first_lanes)(NAME(load)(from + c), channels - c));
        }
        for (; q < last && xs[1] == 1 && channels > 8; q++, from += xs[3]) {
            memcpy(to + q * size, from, channels * sizeof(REAL));
            memset(to + q * size + channels, 0, (size - channels) * sizeof(REAL));
        }
        for (; q < last; q++, from += xs[3]) {
            REAL *pixel = to + q * size;
            for (ptrdiff_t c = 0; c < channels; c++) pixel[c] = from[c * xs[1]];
            for (ptrdiff_t c = channels; c < size; c++) pixel[c] = 0;
        }
    }
}
