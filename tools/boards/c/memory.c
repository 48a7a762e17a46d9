/* memcpy, memmove and memset for boards without a C library: words where the addresses allow it. Compiled so that the
 * compiler does not turn the loops into calls of themselves. */
#include <stdint.h>
#include <string.h>

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((((uintptr_t)t | (uintptr_t)f) & 3) == 0)
        for (; bytes >= 4; bytes -= 4, t += 4, f += 4) *(word *)t = *(const word *)f;
    while (bytes--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t <= (uintptr_t)f) return memcpy(to, from, bytes);
    while (bytes--) t[bytes] = f[bytes];
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    unsigned char *t = to;
    const unsigned char byte = (unsigned char)value;
    for (; bytes && ((uintptr_t)t & 3); bytes--) *t++ = byte;
    for (const uint32_t four = 0x01010101U * byte; bytes >= 4; bytes -= 4, t += 4) *(word *)t = four;
    while (bytes--) *t++ = byte;
    return to;
}
