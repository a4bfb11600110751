/*
 * A program that both engines start from its snapshot: a list that its initialisation made, of what a file says, and what may differ from
 * start to start. Prints whether it was started or resumed, the list's sum, its arguments, and a variable.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <wasi/libc-environ.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define LENGTH 100000

__asm__(".section .custom_section.pynbox.snapshot,\"\",@\n"
        ".ascii \"cold-env COLD\\n\"\n"
        ".ascii \"cold-arg -c\\n\"\n"
        ".text\n");

extern void __wasm_call_ctors(void);
extern int __main_void(void);

static struct node {
    struct node *next;
    uint64_t value;
} *first;
static uint64_t (*value_of)(const struct node *);
static const char *how = "started";

static uint64_t plain(const struct node *node) { return node->value; }
static uint64_t twice(const struct node *node) { return 2 * node->value; }

static void initialise(void)
{
    FILE *file = fopen("/test/engine.wasm", "rb");
    int byte = file == NULL ? EOF : getc(file);

    for (uint64_t i = 0; i < LENGTH; i++) {
        struct node *node = malloc(sizeof *node);

        if (node == NULL) {
            abort();
        }
        *node = (struct node){first, i + (uint64_t)byte};
        first = node;
    }
    if (file != NULL) {
        fclose(file);
    }
    value_of = byte == EOF ? plain : twice;
}

EXPORT(pynbox_snapshot_init)
void pynbox_snapshot_init(void)
{
    __wasm_call_ctors();
    initialise();
    how = "resumed";
    __wasilibc_deinitialize_environ();
}

EXPORT(pynbox_snapshot_resume)
void pynbox_snapshot_resume(void)
{
    __wasilibc_maybe_reinitialize_environ_eagerly();
    exit(__main_void());
}

int main(int count, char **words)
{
    const char *variable = getenv("VARIABLE");
    uint64_t sum = 0;

    if (first == NULL) {
        initialise();
    }
    for (const struct node *node = first; node != NULL; node = node->next) {
        sum += value_of(node);
    }
    /* What is written here is nobody's but this process's. */
    for (struct node *node = first; node != NULL; node = node->next) {
        node->value = 0;
    }
    printf("%s %llu", how, (unsigned long long)sum);
    for (int i = 1; i < count; i++) {
        printf(" %s", words[i]);
    }
    printf(" %s\n", variable == NULL ? "-" : variable);
    return count > 1 && *words[1] == 't' ? __builtin_wasm_trunc_s_i32_f64(1e30 * count) : 0;
}
