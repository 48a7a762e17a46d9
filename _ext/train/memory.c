/* train/memory.h: a list of pieces, regions oldest first, the pieces of one in order of address; best fit, the first of
 * equals, so that what is in use stays together and the memory behind it is never touched.
 *
 *     region  | line, block in use | line, block in use | free ................... |     a line tells the piece
 *     pieces    used                 used                 free                    -> the first of another region
 *
 * Giving back only marks the piece; who takes next merges free neighbours on the way. So nobody waits: who finds the
 * list locked takes a block of malloc's instead, and there is nothing to deadlock on, not even in a forked child. The
 * pieces lie together, away from the memory that they describe, so that a walk over hundreds of them costs a
 * microsecond. */
#include "train/memory.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LINE = 64, REGION = 1 << 28, MOST = 4096, LONG_AGO = 1 << 16 /* blocks that were taken since */ };

struct piece {
    struct piece *next;
    char *start;
    ptrdiff_t bytes;
    void *region;     /* what malloc returned for it; the same in all pieces of a region */
    atomic_bool used; /* set under the lock, cleared by anyone */
};

/* The cache line before a block. */
struct line {
    struct piece *piece; /* NULL: the block is malloc's own */
    void *base;          /* what malloc returned for such a block */
};

static struct {
    atomic_flag locked;
    struct piece piece[MOST];
    int fresh;           /* pieces from this one on were never used */
    struct piece *spare; /* pieces that were, and wait */
    struct piece *first;
    ptrdiff_t held;       /* bytes of all regions */
    ptrdiff_t peak;       /* bytes in use at a time, falling towards the present */
    atomic_ptrdiff_t out; /* bytes of pieces in use */
} all = {.locked = ATOMIC_FLAG_INIT};

static char *to_line(void *p) { return (char *)(((uintptr_t)p + LINE - 1) / LINE * LINE); }

static struct piece *new_piece(struct piece values) {
    struct piece *p = all.spare;
    if (p) all.spare = p->next;
    else if (all.fresh < MOST) p = all.piece + all.fresh++;
    else return NULL;
    *p = values;
    return p;
}

/* Take the piece behind p out of the list. */
static void drop_next(struct piece *p) {
    struct piece *gone = p->next;
    p->next = gone->next;
    gone->next = all.spare;
    all.spare = gone;
}

/* The smallest free piece of at least `bytes`, or NULL. */
static struct piece *best_fit(ptrdiff_t bytes) {
    struct piece *best = NULL;
    for (struct piece *p = all.first; p; p = p->next) {
        if (atomic_load(&p->used)) continue;
        while (p->next && p->next->region == p->region && !atomic_load(&p->next->used)) {
            p->bytes += p->next->bytes;
            drop_next(p);
        }
        if (p->bytes >= bytes && (!best || p->bytes < best->bytes)) best = p;
    }
    return best;
}

/* Ask for large pages, where the system leaves that to the programs: a step walks through all of a region. */
#ifdef MADV_HUGEPAGE
static void ask_large_pages(char *start, ptrdiff_t bytes) {
    enum { PAGE = 1 << 16 }; /* of any system */
    uintptr_t first = ((uintptr_t)start + PAGE - 1) / PAGE * PAGE;
    madvise((void *)first, (uintptr_t)start + bytes - first, MADV_HUGEPAGE);
}
#else
static void ask_large_pages(char *start, ptrdiff_t bytes) { (void)start, (void)bytes; }
#endif

/* One more region, as one free piece at the end of the list; NULL without memory. */
static struct piece *add_region(ptrdiff_t bytes) {
    ptrdiff_t size = bytes > REGION ? bytes : REGION;
    void *region = malloc(size + LINE);
    if (!region && size > bytes) region = malloc((size = bytes) + LINE);
    if (!region) return NULL;
    struct piece *p = new_piece((struct piece){NULL, to_line(region), size, region, 0});
    if (!p) {
        free(region);
        return NULL;
    }
    struct piece **end = &all.first;
    while (*end) end = &(*end)->next;
    all.held += size;
    ask_large_pages(p->start, size);
    return *end = p;
}

static void *stray(ptrdiff_t bytes) {
    void *base = malloc(bytes + LINE);
    if (!base) return NULL;
    char *start = to_line(base);
    *(struct line *)start = (struct line){NULL, base};
    return start + LINE;
}

void *elq_memory_take(ptrdiff_t bytes) {
    assert(bytes >= 0);
    bytes = (bytes + LINE - 1) / LINE * LINE + LINE;
    if (atomic_flag_test_and_set(&all.locked)) return stray(bytes);
    struct piece *p = best_fit(bytes);
    if (!p) p = add_region(bytes);
    if (p) {
        struct piece rest = {p->next, p->start + bytes, p->bytes - bytes, p->region, 0};
        struct piece *behind = rest.bytes > LINE ? new_piece(rest) : NULL;
        if (behind) p->next = behind, p->bytes = bytes;
        atomic_store(&p->used, 1);
        const ptrdiff_t out = atomic_fetch_add(&all.out, p->bytes) + p->bytes;
        all.peak = out > all.peak ? out : all.peak - (all.peak - out) / LONG_AGO;
        *(struct line *)p->start = (struct line){p, NULL};
    }
    atomic_flag_clear(&all.locked);
    return p ? p->start + LINE : stray(bytes);
}

static int too_much(void) {
    return all.held - atomic_load(&all.out) > ELQ_MEMORY_KEPT && all.held > all.peak + all.peak / 2;
}

/* Release the regions that hold no block in use, as long as too much is kept. */
static void release(void) {
    struct piece head = {.next = all.first};
    best_fit(PTRDIFF_MAX); /* merges */
    for (struct piece *p = &head; p->next && too_much();) {
        struct piece *q = p->next;
        int alone = p->region != q->region && (!q->next || q->next->region != q->region);
        if (!alone || atomic_load(&q->used)) {
            p = q;
            continue;
        }
        all.held -= q->bytes;
        free(q->region);
        drop_next(p);
    }
    all.first = head.next;
}

void elq_memory_give(void *block) {
    if (!block) return;
    struct line *line = (struct line *)((char *)block - LINE);
    if (!line->piece) {
        free(line->base);
        return;
    }
    assert(atomic_load(&line->piece->used) && line->piece->start == (char *)line);
    atomic_fetch_sub(&all.out, line->piece->bytes);
    atomic_store(&line->piece->used, 0);
    if (atomic_flag_test_and_set(&all.locked)) return;
    if (too_much()) release();
    atomic_flag_clear(&all.locked);
}
