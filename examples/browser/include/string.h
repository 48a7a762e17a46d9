/* All that exported C wants of <string.h>, for a target without a C library; glue.c has the functions. */
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
