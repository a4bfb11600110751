/* The library that first.c needs. */
#include "library.h"

int secret = 8;

int second(int a)
{
    return a + secret;
}
