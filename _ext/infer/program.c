/* infer/program.h. */
#define _GNU_SOURCE /* _SC_LEVEL2_CACHE_SIZE */
#include "infer/program.h"
#include "common/pool.h"

#include <unistd.h>

enum {
    POLL = 100 * 1000 * 1000,       /* nanoseconds between two questions whether to give up */
    PIECE = 8192,                   /* elements that a piece of an instruction without a kernel handles */
    MOST_ALONE = 256 * 1024 * 1024, /* bytes of arenas beyond which workers share one */
    MOST_SHARED = MOST_ALONE        /* bytes of that one, but for a single picture's */
};

typedef struct {
    const elq_program *program;
    const elq_schedule *schedule;
    const char *x;
    char *y, *arenas, *scratch;
    ptrdiff_t first, n; /* pictures of the chunk that all share */
    int (*interrupted)(void);
    int64_t asked; /* when: the calling thread's */
    unsigned seen; /* pieces that it came by; every eighth looks at the clock */
    int stopped;
} call;

#ifndef _SC_LEVEL2_CACHE_SIZE
#define _SC_LEVEL2_CACHE_SIZE -1 /* of which sysconf knows nothing */
#endif

ptrdiff_t elq_cache_bytes(void) {
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes >= 128 * 1024 ? bytes : 512 * 1024;
}

static ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

static size_t aligned(size_t bytes) { return (bytes + ELQ_ALIGN - 1) / ELQ_ALIGN * ELQ_ALIGN; }

/* Units of y that make a piece of PIECE elements read or written. */
static ptrdiff_t units_of_piece(const elq_instruction *instruction) {
    const elq_shape *g = &instruction->shape;
    const ptrdiff_t read = g->h * g->w * g->c / instruction->units, written = g->p * g->q * g->o / instruction->units;
    const ptrdiff_t window = g->kh * g->kw * g->c, most = read > written ? read : written;
    return ceil_div(PIECE, most > window ? most : window);
}

static ptrdiff_t pieces(const elq_instruction *instruction, ptrdiff_t n) {
    if (instruction->kernel) return instruction->kernel->tasks(&instruction->shape, n);
    return ceil_div(n * instruction->units, units_of_piece(instruction));
}

/* Whether the call is given up. */
static int stopped(call *c, int worker) {
    if (worker == 0 && c->interrupted && ++c->seen % 8 == 0) { /* the calling thread */
        const int64_t now = elq_nanoseconds();
        if (now - c->asked > POLL) {
            c->asked = now;
            if (c->interrupted()) __atomic_store_n(&c->stopped, 1, __ATOMIC_RELAXED);
        }
    }
    return __atomic_load_n(&c->stopped, __ATOMIC_RELAXED);
}

static void run_piece(const call *c, const elq_instruction *instruction, ptrdiff_t first, ptrdiff_t n, char *arena,
                      ptrdiff_t index, int worker) {
    const char *const bases[] = {[ELQ_NOWHERE] = NULL,
                                 [ELQ_ARENA] = arena,
                                 [ELQ_INPUT] = c->x + first * c->program->input_bytes,
                                 [ELQ_OUTPUT] = c->y + first * c->program->output_bytes};
#define AT(place) (place.where == ELQ_ARENA ? arena + n * place.offset : bases[place.where])
    const void *x = AT(instruction->x), *residual = AT(instruction->residual);
    void *y = (void *)AT(instruction->y);
    if (instruction->kernel) {
        const void *tail = elq_of_floats(instruction->kernel->activations) ? (const void *)&instruction->f32
                                                                           : (const void *)&instruction->i8;
        const elq_conv conv = {instruction->shape, n, x, residual, y, instruction->weights, tail};
        instruction->kernel->run(&conv, index, c->scratch + (size_t)worker * aligned(c->program->scratch_bytes));
    } else {
        const ptrdiff_t units = n * instruction->units, block = units_of_piece(instruction);
        const ptrdiff_t unit = index * block;
        instruction->rows(instruction, x, residual, y, unit, units - unit < block ? units : unit + block);
    }
}

/* A whole chunk by one worker. */
static void run_chunk(void *context, ptrdiff_t index, int worker) {
    call *c = context;
    const elq_program *program = c->program;
    const ptrdiff_t first = index * c->schedule->chunk, left = c->schedule->n - first;
    const ptrdiff_t n = left < c->schedule->chunk ? left : c->schedule->chunk;
    char *arena = c->arenas + worker * c->schedule->chunk * program->arena_bytes;
    for (ptrdiff_t s = 0; s < program->count; s++) {
        const elq_instruction *instruction = &program->instructions[s];
        const ptrdiff_t count = pieces(instruction, n);
        for (ptrdiff_t k = 0; k < count && !stopped(c, worker); k++)
            run_piece(c, instruction, first, n, arena, k, worker);
    }
}

/* A piece of a chunk that all share. */
static void run_shared(void *context, ptrdiff_t instruction, ptrdiff_t index, int worker) {
    call *c = context;
    if (!stopped(c, worker))
        run_piece(c, &c->program->instructions[instruction], c->first, c->n, c->arenas, index, worker);
}

elq_schedule elq_program_schedule(const elq_program *program, ptrdiff_t n, ptrdiff_t budget, int profile) {
    elq_schedule s = {n, 1, 0, elq_num_threads(), 0};
    const ptrdiff_t one = program->arena_bytes > 0 ? program->arena_bytes : 1, workers = s.workers;
    const ptrdiff_t most = budget > one ? budget / one : 1; /* pictures whose activations a core's cache holds */
    const ptrdiff_t rounds = ceil_div(n, workers * most), chunk = ceil_div(n, workers * rounds);
    /* Alone, the workers end together if the chunks are about as many as their rounds ask for. */
    s.alone =
        !profile && (workers == 1 || (10 * n >= 9 * workers * rounds * chunk && workers * chunk * one <= MOST_ALONE));
    s.chunk = s.alone ? chunk : n < workers * most ? n : workers * most;
    if (!s.alone && s.chunk > 1 && s.chunk * one > MOST_SHARED) s.chunk = one < MOST_SHARED ? MOST_SHARED / one : 1;
    s.bytes = (size_t)((s.alone ? workers : 1) * s.chunk * program->arena_bytes);
    s.bytes +=
        (size_t)workers * aligned(program->scratch_bytes) + aligned((size_t)program->count * 2 * sizeof(int64_t));
    return s;
}

int elq_program_run(const elq_program *program, const elq_schedule *s, const void *x, void *y, void *memory,
                    double *seconds, int (*interrupted)(void)) {
    call c = {program, s, x, y, NULL, NULL, 0, 0, interrupted, elq_nanoseconds(), 0, 0};
    const size_t times = aligned((size_t)program->count * 2 * sizeof(int64_t));
    int64_t *ends = memory;
    assert((uintptr_t)memory % ELQ_ALIGN == 0 && s->n > 0 && s->chunk > 0);
    ptrdiff_t *counts = (ptrdiff_t *)(ends + program->count);
    c.scratch = (char *)memory + times;
    c.arenas = c.scratch + (size_t)s->workers * aligned(program->scratch_bytes);
    if (s->alone) {
        elq_parallel_for(ceil_div(s->n, s->chunk), run_chunk, &c);
        return -c.stopped;
    }
    for (c.first = 0; c.first < s->n && !c.stopped; c.first += s->chunk) {
        c.n = s->n - c.first < s->chunk ? s->n - c.first : s->chunk;
        for (ptrdiff_t k = 0; k < program->count; k++) counts[k] = pieces(&program->instructions[k], c.n);
        int64_t before = seconds ? elq_nanoseconds() : 0;
        elq_parallel_loops(program->count, counts, run_shared, &c, seconds ? ends : NULL);
        for (ptrdiff_t k = 0; seconds && k < program->count; k++) {
            seconds[k] += 1e-9 * (double)(ends[k] - before);
            before = ends[k];
        }
    }
    return -c.stopped;
}
