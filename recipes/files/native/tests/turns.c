/* A program with branches that are taken often and seldom, for the tests of the way to native code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned step(unsigned state, int kind)
{
    switch (kind) {
    case 0: return state * 1664525u + 1013904223u;
    case 1: return state ^ state >> 13;
    default: return state % 97 == 0 ? state / 97 : state + 1;
    }
}

static int compare(const void *left, const void *right)
{
    unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;

    return a < b ? -1 : a > b;
}

int main(int count, char **words)
{
    static unsigned values[1000];
    unsigned state = (unsigned)count;

    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 1000; i++) {
            values[i] = state = step(state, i % 7 == 0 ? 2 : i & 1);
        }
        qsort(values, 1000, sizeof values[0], compare);
    }
    printf("%s: %u %u\n", count > 1 ? words[1] : "nothing", values[0], values[999]);
    return 0;
}
