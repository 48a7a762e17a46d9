/* This computer. */
#include "board/board.h"

#include <stdio.h>

void put(const char *text) { fputs(text, stdout); }
