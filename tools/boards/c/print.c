/* Numbers as text, without a C library. */
#include "board.h"

static void put_unsigned(uint32_t value) {
    char text[11], *first = text + sizeof text - 1;
    *first = 0;
    do *--first = (char)('0' + value % 10);
    while (value /= 10);
    board_put(first);
}

void board_put_signed(int32_t value) {
    if (value < 0) board_put("-");
    put_unsigned(value < 0 ? 0U - (uint32_t)value : (uint32_t)value);
}

void board_put_hex(uint32_t value) {
    char text[9];
    for (int k = 0; k < 8; k++) text[k] = "0123456789abcdef"[value >> (28 - 4 * k) & 15];
    text[8] = 0;
    board_put(text);
}

void board_put_count(const char *name, uint32_t instructions) {
    board_put("count ");
    board_put(name);
    board_put(" ");
    put_unsigned(instructions);
    board_put("\n");
}
