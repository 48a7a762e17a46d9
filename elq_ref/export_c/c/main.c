/* Reads pictures of NET_INPUT_BYTES bytes each (rows, columns, channels) from standard input; writes for each a line with
 * its class, one with the raw results and one with the hashes of all layers. Ends with 1 where
 * the self-test fails or a picture is cut. */
#include <@HEADER@>

#include <stdio.h>

static uint32_t arena[NET_ARENA_BYTES / 4];
static uint8_t picture[NET_INPUT_BYTES];
static int32_t raw[NET_CLASSES];
static uint32_t hashes[NET_LAYERS];

int main(void) {
#ifdef NET_SELFTEST
    const int failed = net_selftest(arena, sizeof arena);
    if (failed != 0) {
        fprintf(stderr, "self-test: %d, layer %s\n", failed, failed > 0 ? net_layer_name(failed - 1) : "none");
        return 1;
    }
#endif
    size_t read;
    while ((read = fread(picture, 1, sizeof picture, stdin)) == sizeof picture) {
        if (net_hashes(arena, sizeof arena, picture, hashes, raw) != NET_OK) return 1;
        printf("class %d\nraw", net_argmax(raw));
        for (int i = 0; i < NET_CLASSES; i++) printf(" %ld", (long)raw[i]);
        printf("\nhashes");
        for (int i = 0; i < NET_LAYERS; i++) printf(" %08lx", (unsigned long)hashes[i]);
        printf("\n");
    }
    if (read != 0)
        fprintf(stderr, "the last picture has %lu bytes, wanted %lu\n", (unsigned long)read,
                (unsigned long)sizeof picture);
    return read != 0;
}
