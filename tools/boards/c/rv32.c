/* RISC-V of 32 bits: first instructions, traps, semihosting, and minstret, which counts instructions. */
#include "bare.h"
#include "board.h"

__asm__(".section .start, \"ax\"\n"
        ".global start\n"
        "start:\n"
        "    la sp, stack_top\n"
        "    la t0, trap\n"
        "    csrw mtvec, t0\n"
        "    j bare_start\n"
        ".text\n"
        ".balign 16\n"
        ".option push\n"
        ".option norvc\n"
        ".global semihost\n"
        "semihost:\n" /* the three instructions that the emulator knows, in one page */
        "    slli x0, x0, 0x1f\n"
        "    ebreak\n"
        "    srai x0, x0, 7\n"
        "    ret\n"
        ".option pop\n");

__attribute__((used, aligned(4))) static void trap(void) {
    __asm__ volatile("la sp, stack_top");
    bare_fault("trap");
}

void board_clock(void) {}

uint32_t board_mark(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count)::"memory");
    return count;
}

uint32_t board_between(uint32_t first, uint32_t second) { return second - first; }
