/* What main.c asks of the machine. */
#ifndef BOARD_H
#define BOARD_H

void put(const char *text); /* onto the console */

#endif
