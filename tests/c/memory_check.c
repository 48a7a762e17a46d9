/* train/memory.c under random use: several threads take, fill, check and give back; then sizes that were not there before
 * must fit where others were. The source is included, so that what it keeps can be looked at. */
#include "train/memory.c"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4, BLOCKS = 40, TURNS = 20000 };

#define WANT(condition)                                                                                                \
    if (!(condition)) {                                                                                                \
        fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);                                                    \
        exit(1);                                                                                                       \
    }

struct block {
    unsigned char *data;
    ptrdiff_t bytes;
    int mark;
};

static unsigned next_random(unsigned *state) { return *state = *state * 1664525u + 1013904223u; }

/* Both ends and the middle of a block hold its mark. */
static unsigned char *place(struct block b, int k) { return b.data + k * (b.bytes - 1) / 2; }

static void *use(void *seed) {
    unsigned state = (unsigned)(size_t)seed;
    struct block blocks[BLOCKS] = {{0}};
    for (int turn = 0; turn < TURNS; turn++) {
        struct block *b = blocks + (next_random(&state) >> 8) % BLOCKS;
        if (b->data) {
            for (int k = 0; k < 3; k++) WANT(*place(*b, k) == b->mark);
            elq_memory_give(b->data);
            b->data = NULL;
            continue;
        }
        b->bytes = 1 + (next_random(&state) >> 8) % (1 << (8 + (next_random(&state) >> 8) % 13));
        b->mark = (next_random(&state) >> 8) % 256;
        b->data = elq_memory_take(b->bytes);
        WANT(b->data && (uintptr_t)b->data % LINE == 0);
        for (int k = 0; k < 3; k++) *place(*b, k) = b->mark;
    }
    for (int k = 0; k < BLOCKS; k++) elq_memory_give(blocks[k].data);
    return NULL;
}

/* Fill a region with blocks of one size, free them, and fill it with blocks of another. */
static void check_reuse(void) {
    void *blocks[512];
    ptrdiff_t held = 0;
    for (int megabytes = 1; megabytes < 20; megabytes += 5) {
        int count = (REGION >> 20) * 9 / 10 / megabytes;
        for (int k = 0; k < count; k++) WANT(blocks[k] = elq_memory_take((ptrdiff_t)megabytes << 20));
        if (!held) held = all.held;
        WANT(all.held == held);
        for (int k = 0; k < count; k += 2) elq_memory_give(blocks[k]);
        for (int k = 1; k < count; k += 2) elq_memory_give(blocks[k]);
    }
    WANT(all.out == 0);
}

/* So much is taken since that what was in use before counts for little: (1 - 1 / LONG_AGO)^(4 LONG_AGO) < 0.02. */
static void forget(void) {
    for (int k = 0; k < 4 * LONG_AGO; k++) elq_memory_give(elq_memory_take(100));
}

/* What was in use at a time stays for the next time; long after it more than is kept goes back. What is in use stays. */
static void check_release(void) {
    enum { COUNT = 8 };
    char *blocks[COUNT];
    for (int k = 0; k < COUNT; k++) {
        WANT(blocks[k] = elq_memory_take(REGION + 1));
        blocks[k][REGION] = (char)k;
    }
    const ptrdiff_t held = all.held;
    WANT(held > ELQ_MEMORY_KEPT);
    for (int k = 0; k < COUNT - 1; k++) elq_memory_give(blocks[k]);
    WANT(all.held == held && all.held - all.out > ELQ_MEMORY_KEPT);
    forget();
    WANT(all.held - all.out <= ELQ_MEMORY_KEPT);
    WANT(blocks[COUNT - 1][REGION] == COUNT - 1);
    elq_memory_give(blocks[COUNT - 1]);
    WANT(all.out == 0 && all.held <= ELQ_MEMORY_KEPT);
    void *small = elq_memory_take(1000); /* part of a region that is passed by, too */
    for (int k = 0; k < COUNT; k++) WANT(blocks[k] = elq_memory_take(REGION + 1));
    blocks[0][REGION] = 1;
    for (int k = COUNT - 1; k > 0; k--) elq_memory_give(blocks[k]); /* the oldest is in use: passed by */
    forget();
    WANT(all.held - all.out <= ELQ_MEMORY_KEPT && blocks[0][REGION] == 1);
    elq_memory_give(small), elq_memory_give(blocks[0]);
    WANT(all.out == 0);
}

/* More blocks than there are pieces to tell them apart: the rest is malloc's. */
static void check_many(void) {
    enum { COUNT = MOST + 20 };
    static unsigned char *blocks[COUNT];
    for (int k = 0; k < COUNT; k++) {
        WANT(blocks[k] = elq_memory_take(100));
        WANT((uintptr_t)blocks[k] % LINE == 0);
        memset(blocks[k], k, 100);
    }
    for (int k = 0; k < COUNT; k++) WANT(blocks[k][0] == (unsigned char)k && blocks[k][99] == (unsigned char)k);
    for (int k = 0; k < COUNT; k++) elq_memory_give(blocks[k]);
    WANT(all.out == 0);
    check_reuse();
}

/* Who finds the list locked is served all the same. */
static void check_locked(void) {
    void *before = elq_memory_take(1000);
    WANT(!atomic_flag_test_and_set(&all.locked));
    void *stray = elq_memory_take(1000);
    WANT(stray && (uintptr_t)stray % LINE == 0);
    elq_memory_give(stray);
    elq_memory_give(before);
    atomic_flag_clear(&all.locked);
    WANT(elq_memory_take(1000) == before);
    elq_memory_give(before);
    elq_memory_give(NULL);
}

int main(void) {
    pthread_t threads[THREADS];
    check_reuse();
    check_locked();
    for (size_t k = 0; k < THREADS; k++) WANT(!pthread_create(threads + k, NULL, use, (void *)(k + 1)));
    for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
    WANT(all.out == 0);
    check_reuse();
    check_release();
    check_many();
    puts("memory: well");
    return 0;
}
