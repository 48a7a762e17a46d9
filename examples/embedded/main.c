/* Classifies a few pictures of digits: the self-test once, then a run for each picture. */
#include "digits.h"

#include "board/board.h"
#include "pictures.h"

static uint32_t arena[(DIGITS_ARENA_BYTES + 3) / 4]; /* of uint32_t, so that it is aligned */

static void put_number(int32_t value) {
    char text[12];
    char *at = text + sizeof text;
    uint32_t rest = value < 0 ? 0U - (uint32_t)value : (uint32_t)value;
    *--at = 0;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--at = '-';
    put(at);
}

int main(void) {
    int wrong = 0;
    const int failed = digits_selftest(arena, sizeof arena);
    put("self-test: ");
    put(failed > 0 ? digits_layer_name(failed - 1) : failed < 0 ? "no arena" : "passed");
    put("\n");
    if (failed) return 1;

    for (int i = 0; i < PICTURES; i++) {
        int32_t raw[DIGITS_CLASSES];
        const int status = digits_run(arena, sizeof arena, pictures[i], raw);
        if (status != DIGITS_OK) return 2;
        const int found = digits_argmax(raw);
        put("a picture of ");
        put_number(labels[i]);
        put(" is taken for ");
        put_number(found);
        put(", score ");
        put_number(raw[found]);
        put("\n");
        wrong += found != labels[i];
    }
    put_number(PICTURES - wrong);
    put(" of ");
    put_number(PICTURES);
    put(" right\n");
    return 0;
}
