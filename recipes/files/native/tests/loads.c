/*
 * A program that loads libraries, for the tests of native code: each first argument is something that a library does, or that is done to one.
 */
#include <dlfcn.h>
#include <sandbox/calls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

int shared = 40;
static volatile uint32_t beyond = 0x7fffffff;

int add(int a, int b)
{
    return a + b;
}

double mix(int a, double b, long long c, float d)
{
    return a + b + (double)c + d;
}

/* More of both kinds than there are registers. */
double many(int a, double b, int c, double d, int e, double f, int g, double h, int i, double j, int k, double l, int m, double n, int o, double p,
            int q, double r, double s, long long t)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * m + 14 * n + 15 * o + 16 * p
        + 17 * q + 18 * r + 19 * s + 20 * (double)t;
}

static const char many_type[] = "idididididididididdl>d";

static void *open_or_fail(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);

    if (library == NULL) {
        printf("refused: %s\n", dlerror());
        exit(3);
    }
    return library;
}

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);

    if (found == NULL) {
        printf("refused: %s\n", dlerror());
        exit(4);
    }
    return found;
}

static int compare(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static void works(void *first)
{
    struct answers answers;
    int values[] = {5, 3, 9, 1};

    ((fill_function *)symbol(first, "fill"))(&answers);
    printf("%d %d %d %d %d\n", answers.sum, answers.constructed, answers.shared, answers.of_second, answers.weak);
    /* A function is the same whoever takes its address, and its address can be called by all. */
    printf("%d %d\n", answers.add == add, ((int (*)(int, int))(void *)answers.own)(2, 3));
    printf("%d %d\n", symbol(first, "own") == (void *)answers.own, symbol(first, "second") == (void *)answers.second);
    /* So it is by whatever name. */
    printf("%d\n", symbol(first, "also_one") == symbol(first, "one"));
    ((sort_function *)symbol(first, "sort"))(values, 4, compare);
    printf("%d %d %d %d\n", values[0], values[1], values[2], values[3]);
    /* Both see what the other one writes. */
    *(int *)symbol(first, "variable") = 17;
    shared = 2;
    ((fill_function *)symbol(first, "fill"))(&answers);
    printf("%d %d\n", answers.variable, answers.shared);
    printf("%d %d\n", dlsym(first, "nothing") == NULL, dlopen("/test/first.so", RTLD_NOW) == first);
}

static void dispatch(void *user, const uint64_t arguments[], uint64_t *result)
{
    double b, value;

    memcpy(&b, &arguments[1], sizeof b);
    value = *(int *)user + (int)arguments[0] + b;
    memcpy(result, &value, sizeof value);
}

static void calls(void *first)
{
    uint64_t arguments[20], result = 0;
    double (*made)(int, double), value;
    int user = 1000;
    float quarter = 0.25F;

    arguments[0] = 2;
    arguments[1] = (uint32_t)-5;
    printf("%d %d\n", sandbox_call((void *)add, "ii>i", arguments, &result), (int)result);
    printf("%d %d\n", sandbox_call(symbol(first, "own"), "ii>i", arguments, &result), (int)result);
    value = 0.5;
    memcpy(&arguments[1], &value, sizeof value);
    arguments[2] = 1 << 20;
    memcpy(&arguments[3], &quarter, sizeof quarter);
    printf("%d", sandbox_call((void *)mix, "idlf>d", arguments, &result));
    memcpy(&value, &result, sizeof value);
    printf(" %.2f\n", value);
    for (int i = 0; i < 20; i++) {
        value = i + 1;
        arguments[i] = (uint64_t)i + 1;
        if (many_type[i] == 'd') {
            memcpy(&arguments[i], &value, sizeof value);
        }
    }
    printf("%d", sandbox_call((void *)many, many_type, arguments, &result));
    memcpy(&value, &result, sizeof value);
    printf(" %.1f %.1f\n", value, many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20));
    printf("%d\n", sandbox_call((void *)add, "i>i", arguments, &result));
    made = (double (*)(int, double))sandbox_make("id>d", dispatch, &user);
    printf("%.2f %.2f\n", made(3, 0.25), ((double (*)(double (*)(int, double)))symbol(first, "back"))(made));
    printf("%d %d\n", sandbox_unmake((void *)made), sandbox_unmake((void *)add));
}

static void dispatch_rare(void *user, const uint64_t arguments[], uint64_t *result)
{
    uint32_t bits = (uint32_t)arguments[0];
    float a;
    double c;

    memcpy(&a, &bits, sizeof a);
    memcpy(&c, &arguments[2], sizeof c);
    *result = arguments[1] + (uint64_t)(100 * a) + (uint64_t)(10 * c) + (uint64_t)*(int *)user;
}

/* Functions of types that no module declares: when they are made, or at all. */
static void rare(void)
{
    int user = 7;
    uint64_t arguments[8] = {0, 5}, result = 0;
    void *later = (void *)sandbox_make("fld>l", dispatch_rare, &user), *never = (void *)sandbox_make("fldfffi>l", dispatch_rare, &user);
    void *first = open_or_fail("/test/first.so");

    printf("%lld\n", ((long long (*)(void *))symbol(first, "rare"))(later));
    printf("%d %lld\n", sandbox_call(later, "fld>l", arguments, &result), (long long)result);
    printf("%d %lld\n", sandbox_call(never, "fldfffi>l", arguments, &result), (long long)result);
    printf("%d %d\n", sandbox_call(never, "fldfffl>l", arguments, &result), sandbox_call((void *)add, "fldfffi>l", arguments, &result));
}

/* Tries to load a library so often, says why that failed, and waits until somebody has looked. */
static void again(const char *path, int count)
{
    for (int i = 0; i < count; i++) {
        if (dlopen(path, RTLD_NOW) != NULL) {
            puts("loaded");
        }
    }
    printf("%s\n", dlerror());
    getchar();
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    void *first;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 2) {
        /* What libraries need of the C library is a part of the program. */
        int values[] = {2, 1}, *copy = malloc(sizeof values);

        memcpy(copy, values, sizeof values);
        qsort(copy, 2, sizeof *copy, compare);
        printf("%d\n", copy[0]);
        free(copy);
        return 0;
    }
    if (strcmp(what, "open") == 0) {
        printf("opened %d\n", open_or_fail(words[2]) != NULL);
        return 0;
    }
    if (strcmp(what, "again") == 0) {
        again(words[2], atoi(words[3]));
        return 0;
    }
    if (strcmp(what, "rare") == 0) {
        rare();
        return 0;
    }
    first = open_or_fail("/test/first.so");
    if (strcmp(what, "works") == 0) {
        works(first);
    } else if (strcmp(what, "calls") == 0) {
        calls(first);
    } else if (strcmp(what, "index") == 0) {
        return ((int (*)(int (*)(int)))symbol(first, "call"))((int (*)(int))(uintptr_t)beyond);
    } else if (strcmp(what, "signature") == 0) {
        return ((int (*)(int (*)(int)))symbol(first, "call"))((int (*)(int))(void *)add);
    } else if (strcmp(what, "wrong") == 0) {
        return ((int (*)(int, int))symbol(first, "one"))(1, 2);
    } else if (strcmp(what, "weak") == 0) {
        ((void (*)(void))symbol(first, "call_nothing"))();
    } else if (strcmp(what, "outside") == 0) {
        ((void (*)(void))symbol(first, "reach_outside"))();
    } else if (strcmp(what, "exit") == 0) {
        ((void (*)(void))symbol(first, "leave"))();
    } else if (strcmp(what, "deeper") == 0) {
        return ((int (*)(int (*)(int)))symbol(first, "deeper"))(NULL);
    }
    return 0;
}
