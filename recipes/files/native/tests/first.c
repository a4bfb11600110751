/* The library that loads.c loads. It needs second.c's. */
#include <stdlib.h>

#include "library.h"

extern int nothing(int a) __attribute__((weak));
extern int secret;

int variable = 7;
int *where = &secret;
static int constructed;
static volatile int depth;

__attribute__((constructor)) static void construct(void)
{
    constructed = add(secret, 1);
}

int own(int a, int b)
{
    return a * b;
}

int one(int a)
{
    return a + 1;
}

int also_one(int a) __attribute__((alias("one")));

void fill(struct answers *answers)
{
    *answers = (struct answers){
        add(20, 3), constructed, shared, second(*where), nothing != NULL ? nothing(1) : -1, variable, add, own, second,
    };
}

void sort(int *values, int count, int (*compare)(const void *, const void *))
{
    qsort(values, (size_t)count, sizeof *values, compare);
}

int call(int (*function)(int))
{
    return function(1);
}

double back(double (*function)(int, double))
{
    return function(-1, 0.5);
}

/* Of a type that no other module knows. */
long long rare(long long (*function)(float, long long, double))
{
    return function(2.5F, 1LL << 40, 0.5);
}

void call_nothing(void)
{
    nothing(1);
}

void reach_outside(void)
{
    *(volatile int *)(uintptr_t)0xfffffff0 = 1;
}

void leave(void)
{
    exit(9);
}

int deeper(int (*function)(int))
{
    if (depth++ == -1) {
        return 0;
    }
    return deeper(function) + depth;
}
