#include "window.h"

/* A window of `size` that begins at `begin`, on `length` pixels with so many more that count before and behind them. */
static window_t window_at(int begin, int size, int length, int before, int behind) {
    const int end = begin + size, from = begin < -before ? -before : begin;
    const int to = end < length + behind ? end : length + behind;
    const window_t w = {begin < 0 ? 0 : begin, end < length ? end : length, to - from};
    return w;
}
