/* Buffers of the checks in C: each as large as its contents, between two canaries that AddressSanitizer guards against
 * reading too, at any distance from a whole vector, full of NaN; and random numbers. */
#ifndef BUFFERS_H
#define BUFFERS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON ASAN_POISON_MEMORY_REGION
#define HEAL ASAN_UNPOISON_MEMORY_REGION
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define HEAL(p, n) ((void)(p), (void)(n))
#endif

enum { BUFFER_ALIGN = 64, CANARY = 128, MOST_BUFFERS = 128 };
static const unsigned char MARK = 0xFF; /* as floats NaN */

/* -------------------------------------------------------------------------------------------------- buffers */

static struct buffer {
    unsigned char *base, *data;
    size_t bytes;
} buffers[MOST_BUFFERS];
static int buffer_count;

/* `bytes` that start `shift` bytes behind a multiple of BUFFER_ALIGN, full of MARK. */
static void *take(size_t bytes, size_t shift) {
    struct buffer *b = &buffers[buffer_count++];
    size_t all = (CANARY + shift + bytes + CANARY + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN;
    if (buffer_count > MOST_BUFFERS || !(b->base = aligned_alloc(BUFFER_ALIGN, all))) exit(2);
    memset(b->base, MARK, all);
    b->data = b->base + CANARY + shift, b->bytes = bytes;
    POISON(b->base, CANARY + shift);
    POISON(b->data + bytes, CANARY);
    return b->data;
}

/* Whether the canaries stand of all buffers but the first `kept`; releases them. */
static int release_after(int kept) {
    int whole = 1;
    for (; buffer_count > kept; buffer_count--) {
        struct buffer *b = &buffers[buffer_count - 1];
        HEAL(b->base, (size_t)(b->data - b->base));
        HEAL(b->data + b->bytes, CANARY);
        for (unsigned char *p = b->base; p < b->data; p++) whole &= *p == MARK;
        for (int i = 0; i < CANARY; i++) whole &= b->data[b->bytes + (size_t)i] == MARK;
        free(b->base);
    }
    return whole;
}

static int release_all(void) { return release_after(0); }

/* A small generator of our own: the same numbers on every platform. */
static uint32_t random_bits(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33);
}

static int between(int least, int most) { return least + (int)(random_bits() % (uint32_t)(most - least + 1)); }

static float real(void) { return (float)between(-8388608, 8388608) / 8388608; }

#endif
