/* Holds a variable in a register as it is: otherwise gcc orders sums anew so that their parts no longer fit the registers
 * of a Cortex-M, or makes constants and addresses of pieces. */
#if defined __GNUC__ && defined __arm__
#define KEEP(variable) __asm__("" : "+r"(variable))
#else
#define KEEP(variable) ((void)0)
#endif
