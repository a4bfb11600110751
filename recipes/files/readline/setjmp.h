/*
 * Jumps out of functions, which WebAssembly lacks. readline takes a place to come back to when a line is given up; our patch makes it go on
 * instead, and nothing else jumps.
 */
#ifndef READLINE_SETJMP_H
#define READLINE_SETJMP_H

#include <stdlib.h>

typedef int jmp_buf[1];

#define setjmp(place) ((place)[0] = 0)
#define longjmp(place, value) abort()

#endif
