/*
 * Calls by types that are known at run time alone, under Native Client: the C ABI of x86-64 (System V AMD64 ABI, 3.2.3) with pointers and longs
 * of 32 bits. Nothing here is assembly, which the validator would want in bundles: a call is made through a variadic function type that
 * fills all registers for arguments and brings the stack's part as a structure by value, and a callback is one of a fixed number of functions,
 * as code can't be made at run time.
 */
#include "ffi.h"

#include <alloca.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define INTEGERS 6
#define FLOATS 8
/* The most that an argument needs on the stack, in eightbytes: three sizes of structures are made. */
#define STACK_MAX 1024

/* How an eightbyte is passed, by its value: the greater one counts where two meet. */
enum { NOTHING, SSE, INTEGER, MEMORY };

static size_t
words(const ffi_type *type)
{
    return (type->size + 7) / 8;
}

/* Enters the classes of a type that begins at `offset` of a value. */
static void
classify(const ffi_type *type, size_t offset, int classes[2])
{
    ffi_type **element;
    int class = INTEGER;

    if (type->type == FFI_TYPE_STRUCT) {
        for (element = type->elements; element && *element; element++) {
            size_t alignment = (*element)->alignment ? (*element)->alignment : 1;

            offset = (offset + alignment - 1) / alignment * alignment;
            classify(*element, offset, classes);
            offset += (*element)->size;
        }
        return;
    }
    if (type->type == FFI_TYPE_FLOAT || type->type == FFI_TYPE_DOUBLE)
        class = SSE;
    else if (type->type == FFI_TYPE_LONGDOUBLE)
        class = MEMORY;
    if (offset >= 16 || classes[offset / 8] < class)
        classes[offset / 8 < 2 ? offset / 8 : 0] = offset >= 16 ? MEMORY : class;
    if (class == MEMORY)
        classes[0] = MEMORY;
}

/* The classes of a value's two eightbytes; the first one is MEMORY for a value that is on the stack. */
static void
classes_of(const ffi_type *type, int classes[2])
{
    classes[0] = classes[1] = NOTHING;
    if (type->type == FFI_TYPE_STRUCT && type->size > 16)
        classes[0] = MEMORY;
    else if (type->size > 0 && type->type != FFI_TYPE_VOID)
        classify(type, 0, classes);
}

/* Whether the caller gives an address for the result. A long double comes back in a register of its own, so does a structure of one. */
static int
returned_in_memory(const ffi_cif *cif)
{
    int classes[2];

    if (cif->result->type == FFI_TYPE_LONGDOUBLE)
        return 0;
    classes_of(cif->result, classes);
    return classes[0] == MEMORY;
}

/* Where the arguments of a call lie: registers first, then the stack. */
struct place {
    unsigned integers, floats, stack;
};

/*
 * Takes the places for an argument. For one in registers, `at` says for each eightbyte which; otherwise the result is not 0, and the argument
 * lies on the stack from `at[0]` on.
 */
static int
take(struct place *next, const ffi_type *type, int classes[2], unsigned at[2])
{
    unsigned index, integers = 0, floats = 0;

    classes_of(type, classes);
    for (index = 0; index < 2; index++) {
        integers += classes[index] == INTEGER;
        floats += classes[index] == SSE;
    }
    if (classes[0] == MEMORY || next->integers + integers > INTEGERS || next->floats + floats > FLOATS) {
        if (type->alignment > 8)
            next->stack += next->stack % 2;
        at[0] = next->stack;
        next->stack += words(type);
        return 1;
    }
    for (index = 0; index < 2; index++)
        at[index] = classes[index] == INTEGER ? next->integers++ : classes[index] == SSE ? next->floats++ : 0;
    return 0;
}

/* An eightbyte of a value, an integer with its sign. */
static uint64_t
read_word(const ffi_type *type, const char *value, unsigned index)
{
    uint64_t word = 0;
    size_t left = type->size - 8 * index;

    switch (type->type) {
    case FFI_TYPE_SINT8:
        return (uint64_t)(int64_t)*(const int8_t *)value;
    case FFI_TYPE_SINT16:
        return (uint64_t)(int64_t)*(const int16_t *)value;
    case FFI_TYPE_INT:
    case FFI_TYPE_SINT32:
        return (uint64_t)(int64_t)*(const int32_t *)value;
    default:
        memcpy(&word, value + 8 * index, left < 8 ? left : 8);
        return word;
    }
}

ffi_status
ffi_prep_cif(ffi_cif *cif, ffi_abi abi, unsigned count, ffi_type *result, ffi_type **arguments)
{
    struct place next = {0, 0, 0};
    unsigned index, at[2];
    int classes[2];

    if (abi != FFI_DEFAULT_ABI)
        return FFI_BAD_ABI;
    cif->arguments = arguments;
    cif->result = result;
    cif->count = count;
    for (index = 0; index < count; index++)
        take(&next, arguments[index], classes, at);
    return next.stack > STACK_MAX ? FFI_BAD_TYPEDEF : FFI_OK;
}

/* What a function gives, by the registers that it gives it in. */
struct integers {
    uint64_t a, b;
};
struct floats {
    double a, b;
};
struct integer_float {
    uint64_t a;
    double b;
};
struct float_integer {
    double a;
    uint64_t b;
};

struct stack_small {
    uint64_t word[4];
};
struct stack_medium {
    uint64_t word[64];
};
struct stack_large {
    uint64_t word[STACK_MAX];
};

struct registers {
    uint64_t integer[INTEGERS];
    double floating[FLOATS];
};

/* A variadic type, as the function may be one: it then wants to be told how many of the registers for floats are in use. */
#define CALL(type, stack)                                                                                                           \
    ((type(*)(uint64_t, ...))function)(in->integer[0], in->integer[1], in->integer[2], in->integer[3], in->integer[4], in->integer[5], \
                                       in->floating[0], in->floating[1], in->floating[2], in->floating[3], in->floating[4],            \
                                       in->floating[5], in->floating[6], in->floating[7], *(const struct stack *)words)

#define DEFINE_CALL(stack)                                                                                                   \
    static void call_##stack(const ffi_cif *cif, void *function, const struct registers *in, const uint64_t *words, void *result) \
    {                                                                                                                         \
        int classes[2];                                                                                                       \
                                                                                                                              \
        classes_of(cif->result, classes);                                                                                     \
        if (cif->result->type == FFI_TYPE_LONGDOUBLE)                                                                         \
            *(long double *)result = CALL(long double, stack);                                                                \
        else if (classes[0] == SSE && classes[1] == INTEGER)                                                                  \
            *(struct float_integer *)result = CALL(struct float_integer, stack);                                              \
        else if (classes[0] == SSE)                                                                                           \
            *(struct floats *)result = CALL(struct floats, stack);                                                            \
        else if (classes[1] == SSE)                                                                                           \
            *(struct integer_float *)result = CALL(struct integer_float, stack);                                              \
        else                                                                                                                  \
            *(struct integers *)result = CALL(struct integers, stack);                                                        \
    }

DEFINE_CALL(stack_small)
DEFINE_CALL(stack_medium)
DEFINE_CALL(stack_large)

int
ffi_call(ffi_cif *cif, void *function, void *result, void **arguments)
{
    struct registers in;
    struct place next = {0, 0, 0};
    uint64_t *stack = calloc(STACK_MAX, sizeof *stack);
    uint64_t found[2] = {0, 0};
    unsigned index, word, at[2];
    long double extended;
    int classes[2];

    if (stack == NULL)
        return -1;
    memset(&in, 0, sizeof in);
    if (returned_in_memory(cif))
        in.integer[next.integers++] = (uintptr_t)result;
    for (index = 0; index < cif->count; index++) {
        const ffi_type *type = cif->arguments[index];

        if (take(&next, type, classes, at))
            for (word = 0; word < words(type); word++)
                stack[at[0] + word] = read_word(type, arguments[index], word);
        else
            for (word = 0; word < 2 && classes[word] != NOTHING; word++) {
                uint64_t value = read_word(type, arguments[index], word);

                if (classes[word] == INTEGER)
                    in.integer[at[word]] = value;
                else
                    memcpy(&in.floating[at[word]], &value, sizeof value);
            }
    }
    if (cif->result->type == FFI_TYPE_LONGDOUBLE) {
        call_stack_large(cif, function, &in, stack, &extended);
        memcpy(result, &extended, sizeof extended);
    }
    else {
        (next.stack <= 4 ? call_stack_small : next.stack <= 64 ? call_stack_medium : call_stack_large)(cif, function, &in, stack, found);
        if (!returned_in_memory(cif) && cif->result->type != FFI_TYPE_VOID) {
            if (cif->result->type != FFI_TYPE_STRUCT && cif->result->size < sizeof(ffi_arg)) {
                uint64_t value = read_word(cif->result, (char *)found, 0);

                *(ffi_arg *)result = (ffi_arg)value;
            }
            else
                memcpy(result, found, cif->result->size);
        }
    }
    free(stack);
    return 0;
}

/* Callbacks: each of the functions below asks what lies at its number here. */
#define CLOSURES 512

static ffi_closure closures[CLOSURES];
static void *const functions[CLOSURES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct integer_float
enter(unsigned number, const struct registers *in, const uint64_t *stack)
{
    ffi_closure *closure = &closures[number];
    const ffi_cif *cif = closure->cif;
    void **arguments = alloca((cif->count + 1) * sizeof *arguments);
    uint64_t *copies = alloca((cif->count + 1) * 16), result[2] = {0, 0};
    struct integer_float given;
    struct place next = {0, 0, 0};
    unsigned index, word, at[2];
    int classes[2];

    for (index = 0; index < cif->count; index++) {
        arguments[index] = &copies[2 * index];
        if (take(&next, cif->arguments[index], classes, at))
            arguments[index] = (void *)&stack[at[0]];
        else
            for (word = 0; word < 2 && classes[word] != NOTHING; word++)
                if (classes[word] == INTEGER)
                    copies[2 * index + word] = in->integer[at[word]];
                else
                    memcpy(&copies[2 * index + word], &in->floating[at[word]], 8);
    }
    closure->function((ffi_cif *)cif, result, arguments, closure->user);
    /* Both registers: which one counts depends on the type. */
    given.a = result[0];
    memcpy(&given.b, &result[0], sizeof given.b);
    return given;
}

#define CLOSURE(number)                                                                                                               \
    static struct integer_float closure_##number(uint64_t i0, uint64_t i1, uint64_t i2, uint64_t i3, uint64_t i4, uint64_t i5,          \
                                                 double f0, double f1, double f2, double f3, double f4, double f5, double f6, double f7, \
                                                 struct stack_large stack)                                                              \
    {                                                                                                                                 \
        struct registers in = {{i0, i1, i2, i3, i4, i5}, {f0, f1, f2, f3, f4, f5, f6, f7}};                                            \
                                                                                                                                      \
        return enter(0x##number, &in, stack.word);                                                                                    \
    }
#define ADDRESS(number) (void *)closure_##number,

#define EIGHT(what, n) what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7)
#define SIXTEEN(what, n) EIGHT(what, n) what(n##8) what(n##9) what(n##a) what(n##b) what(n##c) what(n##d) what(n##e) what(n##f)
#define ALL_OF(what, n)                                                                                                             \
    SIXTEEN(what, n##0) SIXTEEN(what, n##1) SIXTEEN(what, n##2) SIXTEEN(what, n##3) SIXTEEN(what, n##4) SIXTEEN(what, n##5)           \
    SIXTEEN(what, n##6) SIXTEEN(what, n##7) SIXTEEN(what, n##8) SIXTEEN(what, n##9) SIXTEEN(what, n##a) SIXTEEN(what, n##b)           \
    SIXTEEN(what, n##c) SIXTEEN(what, n##d) SIXTEEN(what, n##e) SIXTEEN(what, n##f)

ALL_OF(CLOSURE, 0)
ALL_OF(CLOSURE, 1)

static void *const functions[CLOSURES] = {ALL_OF(ADDRESS, 0) ALL_OF(ADDRESS, 1)};

/* NULL when all are taken. The address is known at once. */
void *
ffi_closure_alloc(size_t size, void **address)
{
    ffi_closure *found = NULL;
    unsigned number;

    (void)size;
    pthread_mutex_lock(&lock);
    for (number = 0; number < CLOSURES && found == NULL; number++)
        if (closures[number].address == NULL) {
            found = &closures[number];
            found->address = *address = functions[number];
        }
    pthread_mutex_unlock(&lock);
    return found;
}

void
ffi_closure_free(void *closure)
{
    pthread_mutex_lock(&lock);
    memset(closure, 0, sizeof(ffi_closure));
    pthread_mutex_unlock(&lock);
}

ffi_status
ffi_prep_closure_loc(ffi_closure *closure, ffi_cif *cif,
                     void (*function)(ffi_cif *cif, void *result, void **arguments, void *user), void *user, void *address)
{
    int classes[2];

    /* ctypes has no callbacks with such results. */
    classes_of(cif->result, classes);
    if (cif->result->type == FFI_TYPE_STRUCT || classes[0] == MEMORY)
        return FFI_BAD_TYPEDEF;
    (void)address;
    closure->cif = cif;
    closure->function = function;
    closure->user = user;
    return FFI_OK;
}
