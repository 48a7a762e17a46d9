/* A network made ready to run: an array of instructions over values in one arena, for float or for int8 activations.
 *
 * A value is N H W C. The arena is planned for one picture (elq_ref/runtime/arena.py); a chunk of n pictures takes n times
 * as much, each value n times as far from the start, so that one plan serves every chunk. */
#ifndef ELQ_INFER_PROGRAM_H
#define ELQ_INFER_PROGRAM_H

#include "infer/kernels.h"

/* Where a value lies: in the arena, or in the arrays that the caller gave. */
enum elq_where { ELQ_NOWHERE, ELQ_ARENA, ELQ_INPUT, ELQ_OUTPUT };

typedef struct {
    enum elq_where where;
    ptrdiff_t offset; /* bytes from the start of an arena of one picture, a multiple of ELQ_ALIGN */
} elq_place;

typedef struct elq_instruction elq_instruction;

/* Rows first .. last - 1 of the n * P rows of y; pixels of an instruction that is cut by pixel. */
typedef void elq_rows(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                      ptrdiff_t last);

struct elq_instruction {
    const elq_kernel *kernel; /* of a conv or linear, with weights and tail */
    elq_rows *rows;           /* of every other op (infer/rows.h) */
    elq_shape shape;          /* h w c of x, p q o of y; of a pool its windows; of a pad or pool what lies before */
    elq_place x, residual, y; /* residual: the second operand of an addition too */
    const void *weights;
    elq_tail_f32 f32;        /* scale and bias also of a scale_shift */
    elq_tail_i8 i8;          /* b q s lo hi l also of a scale_shift and, with one element, of an average */
    const float *numbers;    /* what a function takes beside x; of an average 1 / the elements of each pixel's window */
    const int32_t *which;    /* of an int8 average: the element of q and s for each pixel of y; NULL: the first */
    const void *table;       /* 256 floats or int8, for every channel or for all */
    ptrdiff_t first_channel; /* of a pad: zero channels before; of a slice or a part of a concat: its first channel */
    ptrdiff_t units;         /* rows or pixels of y of one picture, without a kernel */
    int raw;                 /* int8: y is int32, the sums that would be requantized */
};

typedef struct {
    const elq_instruction *instructions;
    ptrdiff_t count;
    ptrdiff_t input_bytes, output_bytes, arena_bytes; /* of one picture */
    size_t scratch_bytes;                             /* of a worker: the most of any instruction */
} elq_program;

/* How n pictures are run: in chunks of `chunk`. alone: every worker runs whole chunks, in an arena of its own; else all
 * share the pieces of each instruction of one chunk after another. */
typedef struct {
    ptrdiff_t n, chunk;
    int alone, workers;
    size_t bytes; /* of memory that a call needs, at a multiple of ELQ_ALIGN */
} elq_schedule;

/* budget: bytes of activations that a core's cache holds. */
elq_schedule elq_program_schedule(const elq_program *program, ptrdiff_t n, ptrdiff_t budget, int profile);

/* Run a scheduled call. seconds: NULL, or of a schedule that is not `alone`, to which the time of every instruction is added.
 * The calling thread asks `interrupted` every tenth of a second whether to give up; -1 if so, and y means nothing; else 0. */
int elq_program_run(const elq_program *program, const elq_schedule *schedule, const void *x, void *y, void *memory,
                    double *seconds, int (*interrupted)(void));

/* Bytes of the second-level cache of a core, or a guess. */
ptrdiff_t elq_cache_bytes(void);

#endif
