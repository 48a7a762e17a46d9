/* Start and end of a program without an operating system: writes and leaves by semihosting requests. */
#include "bare.h"

#include <string.h>

#include "board.h"

#define SYS_WRITE0 0x04
#define SYS_EXIT_EXTENDED 0x20
#define APPLICATION_EXIT 0x20026
#define FAULT_EXIT 70

extern uint32_t data_source[], data_start[], data_end[], bss_start[], bss_end[]; /* of the linker script */

static void leave(uintptr_t code) {
    uintptr_t reason[2] = {APPLICATION_EXIT, code};
    semihost(SYS_EXIT_EXTENDED, reason);
    for (;;) {}
}

void board_put(const char *text) { semihost(SYS_WRITE0, text); }

void bare_fault(const char *what) {
    board_put("\nfault: ");
    board_put(what);
    board_put("\n");
    leave(FAULT_EXIT);
}

void bare_start(void) {
    memcpy(data_start, data_source, (uintptr_t)data_end - (uintptr_t)data_start);
    memset(bss_start, 0, (uintptr_t)bss_end - (uintptr_t)bss_start);
    board_clock();
    leave((uintptr_t)main());
}

/* The emulator's time is its count of instructions, each 2^SHIFT ns and so more than one tick of TICK_PS picoseconds: the
 * nearest whole number is the exact one. */
uint32_t board_from_ticks(uint32_t ticks) {
    const uint64_t each = 1000U << SHIFT;
    return (uint32_t)(((uint64_t)ticks * TICK_PS + each / 2) / each);
}
