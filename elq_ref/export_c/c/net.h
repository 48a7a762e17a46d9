/* net.h, made by elq export-c: do not edit. A quantized network on int8 activations, in C99; no memory but what a call is
 * given, nothing that is written to but that, so that calls with different arenas may run at the same time.
 *
@LAYERS@
 */
#ifndef NET_H
#define NET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* @MACROS@ */

/* What the functions return. */
enum { NET_OK = 0, NET_NULL = 1, NET_ARENA_SMALL = 2, NET_ARENA_UNALIGNED = 3 };

/* Runs a picture of NET_INPUT_BYTES, row by row, the channels of a pixel beside each other, and writes NET_CLASSES results.
 * arena: memory of at least NET_ARENA_BYTES, whatever it holds, at a multiple of NET_ARENA_ALIGN. */
int net_run(void *arena, uint32_t bytes, const uint8_t *picture, int32_t *raw);

/* The class that the results name: the first of those with the largest logit. */
int net_argmax(const int32_t *raw);

/* logit = factor * raw */
extern const float net_factor[NET_CLASSES];

/* The same as net_run, and the CRC-32 of each layer's value; that of the last is taken of the results. */
int net_hashes(void *arena, uint32_t bytes, const uint8_t *picture, uint32_t *hashes, int32_t *raw);

/* 0 if all is well; 1 + the number of the first layer of which a constant has changed, or else which computes what it
 * should not; a status, negative. */
int net_selftest(void *arena, uint32_t bytes);

/* The name of a layer, 0 to NET_LAYERS - 1, in UTF-8. */
const char *net_layer_name(int i);

#ifdef __cplusplus
}
#endif

#endif
