/* train_memory.h: the size of a block stands in the cache line before it. */
#include "train_memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64, PAGE = 4096, MOST = 256 };

struct head {
    ptrdiff_t bytes;
    void *base; /* what malloc returned */
};

/* The blocks that wait, oldest first. Who finds the list in use goes to malloc and free instead of waiting: nothing to
 * deadlock on, not even in a forked child. */
static struct {
    atomic_flag in_use;
    int count;
    ptrdiff_t bytes;
    struct head *block[MOST];
} waiting = {.in_use = ATOMIC_FLAG_INIT};

static struct head *allocate(ptrdiff_t bytes) {
    char *base = malloc(bytes + 2 * LINE);
    if (!base) return NULL;
    struct head *head = (struct head *)(((uintptr_t)base + LINE - 1) / LINE * LINE);
    *head = (struct head){bytes, base};
    return head;
}

static struct head *remove_waiting(int k) {
    struct head *head = waiting.block[k];
    waiting.bytes -= head->bytes;
    waiting.count--;
    memmove(waiting.block + k, waiting.block + k + 1, (waiting.count - k) * sizeof head);
    return head;
}

void *elq_memory_take(ptrdiff_t bytes) {
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    struct head *head = NULL;
    if (!atomic_flag_test_and_set(&waiting.in_use)) {
        for (int k = waiting.count - 1; k >= 0 && !head; k--) /* the newest is the most likely to be in the cache */
            if (waiting.block[k]->bytes == bytes) head = remove_waiting(k);
        atomic_flag_clear(&waiting.in_use);
    }
    if (!head) head = allocate(bytes);
    return head ? (char *)head + LINE : NULL;
}

void elq_memory_give(void *block) {
    if (!block) return;
    struct head *head = (struct head *)((char *)block - LINE);
    if (atomic_flag_test_and_set(&waiting.in_use)) {
        free(head->base);
        return;
    }
    waiting.block[waiting.count++] = head;
    waiting.bytes += head->bytes;
    while (waiting.count == MOST || waiting.bytes > ELQ_MEMORY_KEPT) free(remove_waiting(0)->base);
    atomic_flag_clear(&waiting.in_use);
}
