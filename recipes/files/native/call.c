#include "call.h"

/*
 * The calling convention of x86-64 System V: after the instance, six integers altogether and eight numbers lie in registers, all others on the
 * stack, in their order. A number of 32 bits is the low half of its register.
 */
#define INTEGERS 6
#define NUMBERS 8

struct registers {
    uint64_t integers[INTEGERS];
    uint64_t numbers[NUMBERS];
};

/* What was left in the registers of results. */
struct results {
    uint64_t integer;
    uint64_t number;
};

/* Where the arguments of a function lie. */
struct places {
    uint64_t *registers[INTEGERS + NUMBERS];
    unsigned integers, numbers;
    uint64_t *stacked;
};

static struct places places_of(struct registers *registers, uint64_t *stacked)
{
    struct places places = {.integers = 1, .stacked = stacked};

    for (unsigned i = 0; i < INTEGERS; i++) {
        places.registers[i] = &registers->integers[i];
    }
    for (unsigned i = 0; i < NUMBERS; i++) {
        places.registers[INTEGERS + i] = &registers->numbers[i];
    }
    return places;
}

static bool is_number(char letter)
{
    return letter == 'f' || letter == 'd';
}

/* The place of the next argument, which has this type. */
static uint64_t *next(struct places *places, char letter)
{
    if (is_number(letter) && places->numbers < NUMBERS) {
        return places->registers[INTEGERS + places->numbers++];
    }
    if (!is_number(letter) && places->integers < INTEGERS) {
        return places->registers[places->integers++];
    }
    return places->stacked++;
}

/* Calls `code` with these registers, and so many slots on the stack. */
__attribute__((naked)) static void enter(void *code, const struct registers *registers, const uint64_t *stacked, uint64_t count,
                                         struct results *results)
{
    __asm__("push %rbp\n\t"
            "mov %rsp, %rbp\n\t"
            "push %rbx\n\t"
            "push %r12\n\t"
            "mov %r8, %rbx\n\t"
            "mov %rdi, %r11\n\t"
            "mov %rsi, %r10\n\t"
            "lea 1(%rcx), %rax\n\t"
            "and $-2, %rax\n\t"
            "shl $3, %rax\n\t"
            "sub %rax, %rsp\n\t"
            "xor %eax, %eax\n\t"
            "1: cmp %rcx, %rax\n\t"
            "jae 2f\n\t"
            "mov (%rdx, %rax, 8), %r9\n\t"
            "mov %r9, (%rsp, %rax, 8)\n\t"
            "inc %rax\n\t"
            "jmp 1b\n\t"
            "2: movsd 48(%r10), %xmm0\n\t"
            "movsd 56(%r10), %xmm1\n\t"
            "movsd 64(%r10), %xmm2\n\t"
            "movsd 72(%r10), %xmm3\n\t"
            "movsd 80(%r10), %xmm4\n\t"
            "movsd 88(%r10), %xmm5\n\t"
            "movsd 96(%r10), %xmm6\n\t"
            "movsd 104(%r10), %xmm7\n\t"
            "mov (%r10), %rdi\n\t"
            "mov 8(%r10), %rsi\n\t"
            "mov 16(%r10), %rdx\n\t"
            "mov 24(%r10), %rcx\n\t"
            "mov 32(%r10), %r8\n\t"
            "mov 40(%r10), %r9\n\t"
            /* For functions with any number of arguments: how many lie in vector registers. */
            "mov $8, %eax\n\t"
            "call *%r11\n\t"
            "mov %rax, (%rbx)\n\t"
            "movsd %xmm0, 8(%rbx)\n\t"
            "lea -16(%rbp), %rsp\n\t"
            "pop %r12\n\t"
            "pop %rbx\n\t"
            "pop %rbp\n\t"
            "ret");
}

void native_by_type(struct native_link function, const char *type, const uint64_t *arguments, uint64_t *result)
{
    uint64_t stacked[NATIVE_PARAMETERS];
    struct registers registers = {{0}, {0}};
    struct results results;
    struct places places = places_of(&registers, stacked);
    char kind;

    registers.integers[0] = (uintptr_t)function.instance;
    for (; *type != '>'; type++) {
        if (places.stacked == stacked + NATIVE_PARAMETERS) {
            native_missing();
        }
        *next(&places, *type) = *arguments++;
    }
    enter(function.code, &registers, stacked, (uint64_t)(places.stacked - stacked), &results);
    kind = type[1];
    if (kind != '\0') {
        *result = is_number(kind) ? results.number : results.integer;
    }
    if (kind == 'i' || kind == 'f') {
        *result = (uint32_t)*result;
    }
}

wasm_rt_func_type_t native_type(const struct native_module *module, const char *type)
{
    static const char letters[] = "ilfd";
    static const wasm_rt_type_t types[] = {WASM_RT_I32, WASM_RT_I64, WASM_RT_F32, WASM_RT_F64};
    uint64_t stacked[NATIVE_PARAMETERS + 2];
    struct registers registers = {{0}, {0}};
    struct results results;
    struct places places = places_of(&registers, stacked);
    size_t parameters = strcspn(type, ">"), count = strlen(type);

    if (parameters >= count || count - parameters > 2 || parameters > NATIVE_PARAMETERS) {
        return NULL;
    }
    places.integers = 0;
    *next(&places, 'i') = parameters;
    *next(&places, 'i') = count - parameters - 1;
    for (size_t i = 0; i < count; i++) {
        const char *letter = strchr(letters, type[i]);

        if (letter != NULL) {
            *next(&places, 'i') = types[letter - letters];
        } else if (i != parameters) {
            return NULL;
        }
    }
    enter((void *)module->type, &registers, stacked, (uint64_t)(places.stacked - stacked), &results);
    return (wasm_rt_func_type_t)(uintptr_t)results.integer;
}

/* What the code of closures begins with: the registers, and where the arguments on the stack are. */
__attribute__((used)) static void closed(struct registers *registers, uint64_t *stacked, struct results *results)
{
    const struct native_closure *closure = (const struct native_closure *)(uintptr_t)registers->integers[0];
    uint64_t arguments[NATIVE_PARAMETERS + 1] = {0}, result;
    struct places places = places_of(registers, stacked);
    const char *type = closure->type;

    for (size_t i = 0; *type != '>'; type++, i++) {
        arguments[i] = *next(&places, *type);
        if (*type == 'i' || *type == 'f') {
            arguments[i] = (uint32_t)arguments[i];
        }
    }
    result = native_closed(closure, arguments);
    *results = (struct results){result, result};
}

__attribute__((naked)) void native_closure_code(void)
{
    __asm__("push %rbp\n\t"
            "mov %rsp, %rbp\n\t"
            "sub $128, %rsp\n\t"
            "mov %rdi, (%rsp)\n\t"
            "mov %rsi, 8(%rsp)\n\t"
            "mov %rdx, 16(%rsp)\n\t"
            "mov %rcx, 24(%rsp)\n\t"
            "mov %r8, 32(%rsp)\n\t"
            "mov %r9, 40(%rsp)\n\t"
            "movsd %xmm0, 48(%rsp)\n\t"
            "movsd %xmm1, 56(%rsp)\n\t"
            "movsd %xmm2, 64(%rsp)\n\t"
            "movsd %xmm3, 72(%rsp)\n\t"
            "movsd %xmm4, 80(%rsp)\n\t"
            "movsd %xmm5, 88(%rsp)\n\t"
            "movsd %xmm6, 96(%rsp)\n\t"
            "movsd %xmm7, 104(%rsp)\n\t"
            "mov %rsp, %rdi\n\t"
            "lea 16(%rbp), %rsi\n\t"
            "lea 112(%rsp), %rdx\n\t"
            "call closed\n\t"
            "mov 112(%rsp), %rax\n\t"
            "movsd 120(%rsp), %xmm0\n\t"
            "leave\n\t"
            "ret");
}
