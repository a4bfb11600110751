/*
 * What two engines have to do alike: each first argument is something that ends a program, or meets a limit, and `random SEED...` runs a
 * random program for each seed, whose state it prints as it goes.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPERATIONS 20000
#define MEMORY 4096

static uint64_t seed;
static _Alignas(8) uint8_t memory[MEMORY];
static volatile int zero = 0, one = 1;
static volatile uint32_t outside = 0xfffffff0;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static double to_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* All values that are no number are one: which bits they have is the engine's choice. */
static uint64_t from_double(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return value == value ? bits : UINT64_C(0x7ff8000000000000);
}

static uint64_t add(uint64_t a, uint64_t b) { return a + b; }
static uint64_t rotate(uint64_t a, uint64_t b) { return a << (b & 63) | a >> (-b & 63); }
static uint64_t halves(uint64_t a, uint64_t b) { return (a >> 32) * (uint32_t)b; }

static uint64_t (*volatile const functions[])(uint64_t, uint64_t) = {add, rotate, halves};

static uint64_t integers(unsigned kind, uint64_t a, uint64_t b)
{
    switch (kind) {
    case 0: return a * b;
    case 1: return a - b;
    case 2: return b != 0 ? a / b : a;
    case 3: return b != 0 ? a % b : b;
    case 4: return (uint64_t)((int64_t)a >> (b & 63));
    case 5: return (uint64_t)(int64_t)((int32_t)a >> (b & 31));
    case 6: return (uint32_t)a * (uint32_t)b;
    case 7: return (uint64_t)__builtin_popcountll(a) + (uint64_t)__builtin_ctzll(b | 1) + (uint64_t)__builtin_clz((uint32_t)a | 1);
    case 8: return (uint64_t)((int64_t)a < (int64_t)b) + (a < b) + ((int32_t)a <= (int32_t)b);
    case 9: return (uint64_t)(int64_t)(int8_t)a ^ (uint64_t)(int64_t)(int16_t)b;
    case 10: return b != 0 && b + 1 != 0 ? (uint64_t)((int64_t)a / (int64_t)b) : a;
    default: return functions[a % 3](a, b);
    }
}

static uint64_t numbers(unsigned kind, uint64_t a, uint64_t b)
{
    double x = to_double(a), y = to_double(b);

    switch (kind) {
    case 0: return from_double(x + y);
    case 1: return from_double(x * y);
    case 2: return from_double(x / y);
    case 3: return from_double(sqrt(x) - floor(y));
    case 4: return from_double(ceil(x) + trunc(y));
    case 5: return from_double(rint(x));
    case 6: return from_double(__builtin_wasm_min_f64(x, y)) ^ from_double(__builtin_wasm_max_f64(x, y));
    case 7: return from_double((double)(float)x);
    case 8: return from_double((double)(int64_t)a) ^ from_double((double)(uint32_t)b);
    case 9: return x > -9e18 && x < 9e18 ? (uint64_t)(int64_t)x : 1;
    case 10: return (uint64_t)(x < y) + (x == y) + (x >= y);
    default: return y >= 0 && y < 4e9 ? (uint32_t)y : 2;
    }
}

/* Reads and writes of all widths, at addresses that need not be aligned. */
static uint64_t accesses(uint64_t a, uint64_t b)
{
    size_t from = a % (MEMORY - 8), to = b % (MEMORY - 64);
    uint32_t word;
    uint16_t half;

    memcpy(&word, memory + from, sizeof word);
    memcpy(memory + to, &b, sizeof b);
    memcpy(&half, memory + to + 1, sizeof half);
    memmove(memory + from % 64, memory + to, b % 64);
    memset(memory + to, (int)(a & 255), a % 32);
    return word + half + (uint64_t)(int8_t)memory[from];
}

/* Loops over places that may overlap, which a compiler may run over many elements at once. */
static uint64_t sweeps(uint64_t a, uint64_t b)
{
    uint8_t *from = memory + a % (MEMORY / 2), *to = memory + b % (MEMORY / 2);
    uint32_t count = (uint32_t)(a >> 32) % (MEMORY / 8), total = 0;
    uint32_t *words = (uint32_t *)memory + a % (MEMORY / 16), *others = (uint32_t *)memory + b % (MEMORY / 16);

    switch (b >> 61) {
    case 0: case 1:
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < count; i++) {
            to[i] = from[i] ^ (uint8_t)b;
        }
        break;
    case 2: case 3:
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < count; i++) {
            words[i] += others[i] * 5;
        }
        break;
    case 4: case 5:
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < count; i++) {
            total += from[i] < to[i] ? from[i] : 3u * to[i];
        }
        break;
    default:
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < count; i++) {
            others[i] = (uint32_t)((float)(int32_t)words[i] * 0.5f < 1e5f);
        }
    }
    return total + to[count] + words[count / 2];
}

/* Now and then, what traps. */
static uint64_t dares(uint64_t a, uint64_t b)
{
    switch (a % 4) {
    case 0: return (uint64_t)((int32_t)a / (int32_t)(b % 8));
    case 1: return (uint64_t)__builtin_wasm_trunc_s_i32_f64(to_double(b));
    case 2: return *(volatile uint8_t *)(uintptr_t)(uint32_t)(b & 0x0fffffff);
    default: return functions[b % 3](a, b);
    }
}

static void random_program(uint64_t number)
{
    uint64_t registers[8];

    seed = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 8; i++) {
        registers[i] = next();
    }
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t choice = next(), a = registers[choice >> 8 & 7], b = registers[choice >> 16 & 7], *to = &registers[choice >> 24 & 7];
        unsigned kind = (unsigned)(choice >> 32) % 12;

        switch (choice & 7) {
        case 0: case 1: case 2: *to = integers(kind, a, b); break;
        case 3: case 4: *to = numbers(kind, a, b); break;
        case 5: *to = accesses(a, b) ^ choice; break;
        case 6: *to = (i % 16 == 0 ? sweeps(a, b) : accesses(a, b)) ^ choice; break;
        default: *to = choice >> 40 & 0xfff ? next() : dares(a, b); break;
        }
        if (i % 1000 == 999) {
            printf("%d %016llx\n", i, (unsigned long long)(registers[0] ^ registers[3] * 3 ^ registers[7] * 7));
        }
    }
}

static __attribute__((noinline)) unsigned deeper(unsigned depth)
{
    if (depth == outside) {
        return 1;
    }
    return (deeper(depth + 1) ^ depth) * 3;
}

/* The bytes before the end of memory, and on. */
static void sweep_out(void)
{
    uint8_t *volatile last = (uint8_t *)(__builtin_wasm_memory_size(0) * 65536 - 1000);
    uint8_t *bytes = last;

#pragma clang loop unroll(disable)
    for (uint32_t i = 0; i < 100000; i++) {
        bytes[i] = bytes[i] ^ 3;
    }
}

static int other_signature(double x)
{
    return (int)x;
}

static void fill_memory(void)
{
    void *volatile last;

    do {
        last = malloc(1 << 20);
    } while (last != NULL);
    puts("no more");
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    int (*volatile call)(int) = (int (*)(int))(uintptr_t)(strcmp(what, "index") == 0 ? 0x7fffffff : zero);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(what, "random") == 0) {
        for (int i = 2; i < count; i++) {
            random_program(strtoull(words[i], NULL, 10));
        }
    } else if (strcmp(what, "unreachable") == 0) {
        __builtin_trap();
    } else if (strcmp(what, "division") == 0) {
        printf("%d\n", one / zero);
    } else if (strcmp(what, "overflow") == 0) {
        printf("%d\n", (INT32_MIN + zero) / -one);
    } else if (strcmp(what, "conversion") == 0) {
        printf("%d\n", __builtin_wasm_trunc_s_i32_f64(1e30 * one));
    } else if (strcmp(what, "outside") == 0) {
        printf("%d\n", *(volatile int *)outside);
    } else if (strcmp(what, "sweep") == 0) {
        sweep_out();
    } else if (strcmp(what, "index") == 0 || strcmp(what, "null") == 0) {
        printf("%d\n", call(1));
    } else if (strcmp(what, "signature") == 0) {
        call = (int (*)(int))(void *)other_signature;
        printf("%d\n", call(1));
    } else if (strcmp(what, "recursion") == 0) {
        printf("%u\n", deeper(0));
    } else if (strcmp(what, "memory") == 0) {
        fill_memory();
    } else if (strcmp(what, "spin") == 0) {
        while (one) {
        }
    } else if (strcmp(what, "output") == 0) {
        while (puts("more") >= 0) {
        }
    } else if (strcmp(what, "outer") == 0) {
        FILE *file = fopen("/../../etc/passwd", "r");

        puts(file == NULL ? "no such file" : "open");
    } else if (strcmp(what, "status") == 0) {
        return 7;
    }
    return 0;
}
