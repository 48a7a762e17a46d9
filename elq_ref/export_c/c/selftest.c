/* What is expected of layer i, read from memory as crc32 reads. */
static uint32_t wanted(int i, int which) { return *(const volatile uint32_t *)&expected[i][which]; }

int net_selftest(void *arena, uint32_t bytes) {
    const int status = check(arena, bytes);
    if (status != NET_OK) return -status;
    for (int i = 0; i < NET_LAYERS; i++)
        if (crc_of_constants(i) != wanted(i, 0)) return 1 + i;
    uint8_t *picture = (uint8_t *)arena + values[0][0]; /* where the input's value takes its place */
    uint32_t state = 0;
    for (uint32_t i = 0; i < NET_INPUT_BYTES; i++) {
        state = state * 1664525U + 1013904223U;
        picture[i] = (uint8_t)(state >> 24);
    }
    int32_t raw[NET_CLASSES];
    for (int i = 0; i < NET_LAYERS; i++) {
        run_layer(i, arena, picture, raw);
        if (hash(i, arena, raw) != wanted(i, 1)) return 1 + i;
    }
    return 0;
}
