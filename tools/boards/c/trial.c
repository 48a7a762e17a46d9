/* Runs every network of a table and prints what it gives; every line begins with the number of the network:
 *
 *     0 layers NAME|NAME|...                  of NAME_layer_name
 *     0 selftest 0
 *     0 raw PICTURE INT INT ... class INT     of NAME_run, NAME_argmax
 *     0 hashes PICTURE HEX HEX ...            of NAME_hashes, the last that of the results
 *     0 wrong ...                             what a caller must not see; without such a line all is well
 *     end
 *
 * What an arena holds before a call is rubbish, and differs from call to call; words around it must keep their value. */
#include "trial.h"

#include <string.h>

#include "board.h"

#define GUARDED 0x5AFEC0DE

static int number; /* of the network */

static void line(const char *kind) {
    board_put_signed(number);
    board_put(" ");
    board_put(kind);
}

static void expect(int given, int wanted, const char *what) {
    if (given == wanted) return;
    line("wrong ");
    board_put(what);
    board_put(": ");
    board_put_signed(given);
    board_put(", wanted ");
    board_put_signed(wanted);
    board_put("\n");
}

static uint32_t *prepare(const trial_t *t, int rubbish) {
    const uint32_t words = (t->arena_bytes + 3) / 4;
    for (uint32_t i = 0; i < 2 * GUARD; i++) trial_arena[i < GUARD ? i : i + words] = GUARDED;
    memset(trial_arena + GUARD, rubbish, 4 * words);
    trial_raw[t->classes] = GUARDED;
    trial_hashes[t->layers] = GUARDED;
    return trial_arena + GUARD;
}

static void check_guards(const trial_t *t, int rubbish, const char *after) {
    const uint32_t words = (t->arena_bytes + 3) / 4;
    uint32_t changed = 0;
    for (uint32_t i = 0; i < 2 * GUARD; i++) changed += trial_arena[i < GUARD ? i : i + words] != GUARDED;
    for (uint32_t i = t->arena_bytes; i < 4 * words; i++)
        changed += ((const uint8_t *)(trial_arena + GUARD))[i] != rubbish;
    changed += trial_raw[t->classes] != GUARDED;
    changed += trial_hashes[t->layers] != GUARDED;
    expect((int)changed, 0, after);
}

static void check_refusals(const trial_t *t) {
    uint8_t *arena = (uint8_t *)prepare(t, 0x11);
    const uint8_t *x = t->pictures;
    const uint32_t n = t->arena_bytes;
    int32_t *raw = trial_raw;
    memset(raw, 0x22, 4U * (uint32_t)t->classes);
    expect(t->run(NULL, n, x, raw), t->null, "run without an arena");
    expect(t->run(arena, n, NULL, raw), t->null, "run without a picture");
    expect(t->run(arena, n, x, NULL), t->null, "run without results");
    expect(t->run(arena, n - 1, x, raw), t->small, "run with a byte less");
    expect(t->run(arena, 0, x, raw), t->small, "run with no byte");
    for (int k = 1; k < 4; k++) expect(t->run(arena + k, n, x, raw), t->unaligned, "run beside the alignment");
    expect(t->hashes(NULL, n, x, trial_hashes, raw), t->null, "hashes without an arena");
    expect(t->hashes(arena, n, x, NULL, raw), t->null, "hashes without hashes");
    expect(t->hashes(arena, n - 1, x, trial_hashes, raw), t->small, "hashes with a byte less");
    expect(t->hashes(arena + 2, n, x, trial_hashes, raw), t->unaligned, "hashes beside the alignment");
    expect(t->selftest(NULL, n), -t->null, "selftest without an arena");
    expect(t->selftest(arena, n - 1), -t->small, "selftest with a byte less");
    expect(t->selftest(arena + 1, n), -t->unaligned, "selftest beside the alignment");
    uint32_t changed = 0;
    for (uint32_t i = 0; i < n; i++) changed += arena[i] != 0x11;
    for (int i = 0; i < t->classes; i++) changed += raw[i] != 0x22222222;
    expect((int)changed, 0, "bytes written by calls that refuse");
    check_guards(t, 0x11, "guards after calls that refuse");
}

static void try_picture(const trial_t *t, uint32_t p) {
    const uint8_t *x = t->pictures + p * t->picture_bytes;
    int rubbish = p & 1 ? 0x80 : 0x7F;
    uint32_t *arena = prepare(t, rubbish);
    expect(t->run(arena, t->arena_bytes, x, trial_raw), 0, "run");
    check_guards(t, rubbish, "guards after run");
    line("raw ");
    board_put_signed((int32_t)p);
    for (int i = 0; i < t->classes; i++) {
        board_put(" ");
        board_put_signed(trial_raw[i]);
    }
    board_put(" class ");
    board_put_signed(t->argmax(trial_raw));
    board_put("\n");

    rubbish ^= 0x55;
    arena = prepare(t, rubbish);
    expect(t->hashes(arena, t->arena_bytes, x, trial_hashes, trial_raw), 0, "hashes");
    check_guards(t, rubbish, "guards after hashes");
    line("hashes ");
    board_put_signed((int32_t)p);
    for (int i = 0; i < t->layers; i++) {
        board_put(" ");
        board_put_hex(trial_hashes[i]);
    }
    board_put("\n");
}

int main(void) {
    for (number = 0; number < trial_count; number++) {
        const trial_t *t = &trials[number];
        line("layers ");
        for (int i = 0; i < t->layers; i++) {
            board_put(t->layer_name(i));
            board_put(i < t->layers - 1 ? "|" : "\n");
        }
        check_refusals(t);
        uint32_t *arena = prepare(t, 0xFF);
        line("selftest ");
        board_put_signed(t->selftest(arena, t->arena_bytes));
        board_put("\n");
        check_guards(t, 0xFF, "guards after the self-test");
        for (uint32_t p = 0; p < t->count; p++) try_picture(t, p);
    }
    board_put("end\n");
    return 0;
}
