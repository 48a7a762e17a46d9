/* What a program for the targets of tools/boards calls, on a board without an operating system and on one with it alike.
 * Its main() returns the exit code. */
#ifndef BOARD_H
#define BOARD_H
#include <stdint.h>

void board_put(const char *text);
void board_put_signed(int32_t value);
void board_put_hex(uint32_t value); /* eight digits */

/* Instructions between two marks: of `count` only, where the emulator's clock is its count of instructions; elsewhere 0.
 * What the marks themselves take is in it (`python -m tools.boards` measures and subtracts that). */
uint32_t board_mark(void);
uint32_t board_between(uint32_t first, uint32_t second);

/* Run a statement and print "count NAME instructions". */
#define BOARD_COUNT(name, statement)                                                                                   \
    do {                                                                                                               \
        uint32_t board_first = board_mark();                                                                           \
        statement;                                                                                                     \
        uint32_t board_second = board_mark();                                                                          \
        board_put_count(name, board_between(board_first, board_second));                                               \
    } while (0)
void board_put_count(const char *name, uint32_t instructions);

#endif
