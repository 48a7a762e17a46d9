/* The functions of the header. Above stand run_layer(), which computes the value of a layer, and values[], where in the
 * arena that lies and how long it is. */
#include "crc32.c"

static int check(const void *arena, uint32_t bytes) {
    if (arena == NULL) return NET_NULL;
    if (bytes < NET_ARENA_BYTES) return NET_ARENA_SMALL;
    return (uintptr_t)arena % NET_ARENA_ALIGN != 0 ? NET_ARENA_UNALIGNED : NET_OK;
}

int net_run(void *arena, uint32_t bytes, const uint8_t *picture, int32_t *raw) {
    const int status = picture == NULL || raw == NULL ? NET_NULL : check(arena, bytes);
    if (status != NET_OK) return status;
    for (int i = 0; i < NET_LAYERS; i++) run_layer(i, arena, picture, raw);
    return NET_OK;
}

static uint32_t hash(int i, const int8_t *arena, const int32_t *raw) {
    if (i == NET_LAYERS - 1) return crc32(0, raw, NET_CLASSES * sizeof *raw);
    return crc32(0, arena + values[i][0], values[i][1]);
}

int net_hashes(void *arena, uint32_t bytes, const uint8_t *picture, uint32_t *hashes, int32_t *raw) {
    const int status = picture == NULL || raw == NULL || hashes == NULL ? NET_NULL : check(arena, bytes);
    if (status != NET_OK) return status;
    for (int i = 0; i < NET_LAYERS; i++) {
        run_layer(i, arena, picture, raw);
        hashes[i] = hash(i, arena, raw);
    }
    return NET_OK;
}
