/* What a board's own file (cortex_m.c, rv32.c, aarch64.c) has for bare.c, and the other way round. */
#ifndef BARE_H
#define BARE_H
#include <stdint.h>

int main(void);
void semihost(uintptr_t operation, const void *argument); /* a request to the emulator */
void bare_start(void);                                    /* memory, main, exit; the stack is set */
void bare_fault(const char *what);                        /* says so and ends */
void board_clock(void);                                   /* starts what board_mark reads */
uint32_t board_from_ticks(uint32_t ticks);                /* instructions */

#endif
