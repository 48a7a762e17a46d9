/* AArch64 without an operating system: first instructions, semihosting, and the generic timer as a clock. */
#include "bare.h"
#include "board.h"

__asm__(".section .start, \"ax\"\n"
        ".global start\n"
        "start:\n"
        "    ldr x0, =stack_top\n"
        "    mov sp, x0\n"
        "    ldr x0, =exceptions\n"
        "    msr vbar_el1, x0\n"
        "    mov x0, #(3 << 20)\n" /* floating point and vectors */
        "    msr cpacr_el1, x0\n"
        "    isb\n"
        "    b bare_start\n"
        ".text\n"
        ".balign 2048\n"
        "exceptions:\n"
        ".rept 16\n"
        "    b exception\n"
        "    .balign 128\n"
        ".endr\n"
        ".global semihost\n"
        "semihost:\n"
        "    hlt #0xF000\n"
        "    ret\n");

__attribute__((used)) static void exception(void) { bare_fault("exception"); }

void board_clock(void) {}

uint32_t board_mark(void) {
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
    return (uint32_t)ticks;
}

uint32_t board_between(uint32_t first, uint32_t second) { return board_from_ticks(second - first); }
