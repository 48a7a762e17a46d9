/* Cortex-M: vector table, faults, semihosting, and a clock of 32 bits where the board has one: TIMER is the address of a
 * CMSDK timer, COUNTER that of an SSE-300 system counter. */
#include "bare.h"
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CPACR REGISTER(0xE000ED88U)

extern uint32_t stack_top[];

void semihost(uintptr_t operation, const void *argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory", "r2", "r3", "r12", "lr");
}

static void fault(void) { bare_fault("hard fault"); }

static void other(void) { bare_fault("unexpected exception"); }

static void reset(void) {
#if defined __ARM_FP || defined __ARM_FEATURE_MVE
    CPACR |= 0xFU << 20; /* coprocessors 10 and 11: floating point and vectors */
    __asm__ volatile("dsb\n\tisb");
#endif
    bare_start();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)stack_top,
    (uintptr_t)reset,
    (uintptr_t)other,
    (uintptr_t)fault,
    (uintptr_t)fault,
    (uintptr_t)fault,
    (uintptr_t)fault,
    (uintptr_t)fault,
    0,
    0,
    0,
    (uintptr_t)other,
    (uintptr_t)other,
    0,
    (uintptr_t)other,
    (uintptr_t)other,
};

#if defined TIMER
void board_clock(void) {
    REGISTER(TIMER + 4) = 0xFFFFFFFFU; /* value, reload, then enabled: it counts down */
    REGISTER(TIMER + 8) = 0xFFFFFFFFU;
    REGISTER(TIMER) = 1;
}

uint32_t board_mark(void) { return 0xFFFFFFFFU - REGISTER(TIMER + 4); }
#elif defined COUNTER
void board_clock(void) { REGISTER(COUNTER) = 1; }

uint32_t board_mark(void) { return REGISTER(COUNTER + 8); }
#else
void board_clock(void) {}

uint32_t board_mark(void) { return 0; }
#endif

uint32_t board_between(uint32_t first, uint32_t second) { return board_from_ticks(second - first); }
