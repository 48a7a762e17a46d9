/* Exported networks as a table, for the program of trial.c. The driver writes the table. */
#ifndef TRIAL_H
#define TRIAL_H
#include <stdint.h>

typedef struct {
    int (*run)(void *arena, uint32_t bytes, const uint8_t *picture, int32_t *raw);
    int (*hashes)(void *arena, uint32_t bytes, const uint8_t *picture, uint32_t *hashes, int32_t *raw);
    int (*selftest)(void *arena, uint32_t bytes);
    int (*argmax)(const int32_t *raw);
    const char *(*layer_name)(int i);
    const uint8_t *pictures; /* the first of `count`, one behind the other, at an odd address */
    uint32_t count, picture_bytes, arena_bytes;
    int classes, layers, null, small, unaligned; /* the last three: status codes */
} trial_t;

extern const trial_t trials[];
extern const int trial_count;
extern uint32_t trial_arena[], trial_hashes[]; /* for the largest, a guard of GUARD words before and behind the arena */
extern int32_t trial_raw[];                    /* for the most classes and one more */
#define GUARD 5 /* words: the arena is at no multiple of 8 */

#endif
