/* Arm's MPS2 board with a Cortex-M4 (AN386), as QEMU emulates it: start, and a console through the debugger. */
#include <stdint.h>
#include <string.h>

#include "board/board.h"

extern uint32_t stack_top[], data_source[], data_start[], data_end[], bss_start[], bss_end[]; /* mps2.ld */
int main(void);

enum { WRITE0 = 0x04, EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 }; /* Arm's semihosting */

static void semihost(uintptr_t operation, const void *argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory", "r2", "r3", "r12", "lr");
}

void put(const char *text) { semihost(WRITE0, text); }

static void leave(uint32_t code) {
    const uint32_t words[2] = {APPLICATION_EXIT, code};
    for (;;) semihost(EXIT_EXTENDED, words);
}

static void reset(void) {
    memcpy(data_start, data_source, (uintptr_t)data_end - (uintptr_t)data_start);
    memset(bss_start, 0, (uintptr_t)bss_end - (uintptr_t)bss_start);
    leave((uint32_t)main());
}

static void fault(void) {
    put("fault\n");
    leave(3);
}

typedef void (*handler)(void);
extern const handler vectors[16];
__attribute__((section(".vectors"), used)) const handler vectors[16] = {
    (handler)(uintptr_t)stack_top, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};
