#define _GNU_SOURCE
#include "call.h"
#include "runtime.h"
#include "wasm-rt-exceptions.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux's AT_HWCAP2 bit for the instructions that write segment bases. */
#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE 2
#endif

/* An i32 address and an i32 offset lead no further than this from the beginning of a memory; an access has at most 16 bytes. */
#define RESERVED ((UINT64_C(8) << 30) + 65536)
/* The table's entries that are mapped at once, and the most that it may have. */
#define TABLE_MAX (UINT32_C(1) << 20)

static struct native_host *host;

/* Where guest code that was entered last is left to, when it does not return. */
struct entry {
    sigjmp_buf left;
    struct entry *outer;
    /* Where the code around it catches, which code in it does not reach by itself. */
    wasm_rt_jmp_buf *catches;
};

static struct entry *innermost;
static wasm_rt_trap_t trap;
/* Who runs guest code, and whether that is what it runs, and not the host: the faults of the host are no traps. */
static pthread_t guest;
static volatile sig_atomic_t in_guest;
/* What may be touched by guest code alone: a fault there is the guest's. */
static uint8_t *memory_data;
/* What the guest's memory and its tables take. */
static uint64_t memory_bytes, table_bytes;
/* Where a fault is the end of the stack, and below which address the host is not called. */
static uintptr_t stack_low, stack_guard, stack_floor;
/* Bytes of the stack that a call of the host may need. */
#define STACK_OF_HOST ((uintptr_t)1 << 20)

bool wasm_rt_fsgsbase_inst_supported;
_Thread_local void *wasm_rt_last_segment_val;

wasm_rt_trap_t native_trap(void)
{
    return trap;
}

_Noreturn void native_leave(enum native_end end)
{
    struct entry *entry = innermost;

    siglongjmp(entry->left, end);
}

void wasm_rt_trap(wasm_rt_trap_t why)
{
    trap = why;
    native_leave(NATIVE_TRAPPED);
}

/*
 * A fault of the guest becomes a trap. Any other one is a fault of this program, and ends it as it would have. Guest code holds no lock and
 * calls nothing of libc that does, so it can be left anywhere.
 */
static void on_fault(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;

    (void)context;
    if (in_guest && pthread_equal(pthread_self(), guest)) {
        if (number == SIGFPE) {
            wasm_rt_trap(WASM_RT_TRAP_INT_OVERFLOW);
        }
        if (number == SIGILL) {
            wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
        }
        if (memory_data != NULL && at - (uintptr_t)memory_data < RESERVED) {
            wasm_rt_trap(WASM_RT_TRAP_OOB);
        }
        if (at >= stack_guard && at < stack_low) {
            wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
        }
    }
    signal(number, SIG_DFL);
}

static bool handle(int number)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    return sigaction(number, &action, NULL) == 0;
}

bool native_begin(struct native_host *of)
{
    static uint8_t alternate[64 << 10];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    pthread_attr_t attributes;
    void *lowest;
    size_t size, guard;

    host = of;
    wasm_rt_fsgsbase_inst_supported = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
    if (NATIVE_THIS_VARIANT == NATIVE_SEGMENT && !wasm_rt_fsgsbase_inst_supported) {
        errno = ENOTSUP;
        return false;
    }
    if ((errno = pthread_getattr_np(pthread_self(), &attributes)) != 0) {
        return false;
    }
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_getguardsize(&attributes, &guard);
    pthread_attr_destroy(&attributes);
    /* The kernel keeps a gap of 1 MiB below the main thread's stack. */
    stack_low = (uintptr_t)lowest + 4096;
    stack_guard = (uintptr_t)lowest - (guard > (1 << 20) ? guard : (1 << 20));
    stack_floor = (uintptr_t)lowest + STACK_OF_HOST;
    guest = pthread_self();
    return sigaltstack(&stack, NULL) == 0 && handle(SIGSEGV) && handle(SIGBUS) && handle(SIGFPE) && handle(SIGILL);
}

bool wasm_rt_is_initialized(void)
{
    return host != NULL;
}

/* Never called: the instructions are there, or no guest begins. */
void wasm_rt_syscall_set_segue_base(void *base)
{
    (void)base;
}

void *wasm_rt_syscall_get_segue_base(void)
{
    return NULL;
}

/* Before a call of the host: its stack is not the guest's to exhaust. */
static void to_host(void)
{
    if ((uintptr_t)__builtin_frame_address(0) < stack_floor) {
        wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
    }
    in_guest = 0;
}

/* After a call of the host that gave this: the guest goes on, if not with what it called for. */
static void to_guest(int64_t result)
{
    if (result < 0 && result != NATIVE_THROWS) {
        native_leave(NATIVE_ENDED);
    }
    in_guest = 1;
    if (result == NATIVE_THROWS) {
        wasm_rt_throw();
    }
}

/* Whether the guest may have so much memory, and tables of so many bytes. */
static bool room_for(uint64_t memory, uint64_t table)
{
    bool granted;

    to_host();
    granted = host->may_grow(host, memory + table);
    in_guest = 1;
    if (granted) {
        memory_bytes = memory;
        table_bytes = table;
    }
    return granted;
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint64_t pages, uint64_t most, bool is_64, uint32_t page_size)
{
    void *data;

    if (is_64 || page_size != WASM_DEFAULT_PAGE_SIZE || !room_for(pages * page_size, table_bytes)) {
        native_leave(NATIVE_ENDED);
    }
    data = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED || mprotect(data, pages * page_size, PROT_READ | PROT_WRITE) != 0) {
        native_leave(NATIVE_ENDED);
    }
    memory_data = data;
    *memory = (wasm_rt_memory_t){
        .data = data, .data_end = (uint8_t *)data + RESERVED, .page_size = page_size, .pages = pages, .max_pages = most,
        .size = pages * page_size,
    };
}

uint64_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint64_t delta)
{
    uint64_t before = memory->pages, pages = before + delta;

    if (delta > 65536 || pages > memory->max_pages || pages > 65536 || !room_for(pages * WASM_DEFAULT_PAGE_SIZE, table_bytes)) {
        return UINT32_MAX;
    }
    if (delta != 0 && mprotect(memory->data + memory->size, delta * WASM_DEFAULT_PAGE_SIZE, PROT_READ | PROT_WRITE) != 0) {
        return UINT32_MAX;
    }
    memory->pages = pages;
    memory->size = pages * WASM_DEFAULT_PAGE_SIZE;
    return before;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
    munmap(memory->data, RESERVED);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t entries, uint32_t most)
{
    void *data = MAP_FAILED;

    if (entries <= TABLE_MAX && room_for(memory_bytes, table_bytes + entries * sizeof *table->data)) {
        data = mmap(NULL, TABLE_MAX * sizeof *table->data, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (data == MAP_FAILED) {
        native_leave(NATIVE_ENDED);
    }
    *table = (wasm_rt_funcref_table_t){.data = data, .max_size = most < TABLE_MAX ? most : TABLE_MAX, .size = entries};
}

uint32_t wasm_rt_grow_funcref_table(wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t value)
{
    uint32_t before = table->size;

    if (delta > table->max_size - before || !room_for(memory_bytes, table_bytes + (uint64_t)delta * sizeof value)) {
        return UINT32_MAX;
    }
    for (table->size += delta; delta != 0; delta--) {
        table->data[before + delta - 1] = value;
    }
    return before;
}

uint32_t native_grow_table(wasm_rt_funcref_table_t *table, uint32_t delta)
{
    uint32_t before = table->size;
    uint64_t bytes = table_bytes + (uint64_t)delta * sizeof *table->data;

    /* The host is what runs: it must not be left, and its faults are no traps. */
    if (delta > table->max_size - before || !host->may_grow(host, memory_bytes + bytes)) {
        return UINT32_MAX;
    }
    table_bytes = bytes;
    table->size += delta;
    return before;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
    munmap(table->data, TABLE_MAX * sizeof *table->data);
}

/*
 * Enters guest code. What it throws and does not catch leaves it: between it and who catches are frames of the host. However it is left, nothing
 * catches any more in its frames.
 */
#define ENTER(code)                                                                                    \
    do {                                                                                               \
        struct entry entry = {.outer = innermost, .catches = wasm_rt_get_unwind_target()};             \
        int end = sigsetjmp(entry.left, 1);                                                            \
        if (end == 0) {                                                                                \
            innermost = &entry;                                                                        \
            wasm_rt_set_unwind_target(NULL);                                                           \
            in_guest = 1;                                                                              \
            code;                                                                                      \
        }                                                                                              \
        in_guest = 0;                                                                                  \
        wasm_rt_set_unwind_target(entry.catches);                                                      \
        innermost = entry.outer;                                                                       \
        return (enum native_end)end;                                                                   \
    } while (0)

enum native_end native_instantiate(const struct native_module *module, void *instance)
{
    ENTER(module->instantiate(instance, host));
}

static void restore(const struct native_module *module, void *instance, const struct native_image *image)
{
    wasm_rt_memory_t *memory = module->memory(instance);
    int writable = PROT_READ | PROT_WRITE;

    module->prepare(instance, host);
    for (uint32_t i = 0; i < module->global_count; i++) {
        memcpy((uint8_t *)instance + module->globals[i].offset, &image->globals[i], module->globals[i].size);
    }
    wasm_rt_allocate_memory(memory, image->pages, image->most, false, WASM_DEFAULT_PAGE_SIZE);
    if (image->length != 0
        && mmap(memory->data + image->start, image->length, writable, MAP_PRIVATE | MAP_FIXED, image->file, (off_t)image->offset)
            == MAP_FAILED) {
        native_leave(NATIVE_ENDED);
    }
}

enum native_end native_restore(const struct native_module *module, void *instance, const struct native_image *image)
{
    ENTER(restore(module, instance, image));
}

enum native_end native_link(const struct native_module *module, void *instance, struct native_imports *imports)
{
    ENTER(module->instantiate(instance, imports));
}

void native_missing(void)
{
    wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
}

enum native_end native_call(struct native_link function, const char *type, const uint64_t *arguments, uint64_t *result)
{
    ENTER(native_by_type(function, type, arguments, result));
}

uint64_t native_closed(const struct native_closure *closure, const uint64_t *arguments)
{
    uint64_t result = 0;

    to_host();
    to_guest(host->closed(host, closure->number, arguments, &result));
    return result;
}

enum native_end native_start(const struct native_module *module, void *instance)
{
    ENTER(module->start(instance));
}

enum native_end native_resume(const struct native_module *module, void *instance)
{
    ENTER(module->resume(instance));
}

/* A call of the guest: the host answers, and never unwinds; what ends the guest leaves from here. */
static uint32_t call(uint32_t number, const uint64_t *arguments)
{
    int64_t result;

    to_host();
    result = host->call(host, number, arguments);
    to_guest(result);
    return (uint32_t)result;
}

#define DECLARED(symbol, number, parameters, ...)              \
    uint32_t symbol parameters                                 \
    {                                                          \
        (void)of;                                              \
        return call(number, (uint64_t[]){__VA_ARGS__});        \
    }
#define NEVER_RETURNS(symbol, number, parameters, ...)         \
    void symbol parameters                                     \
    {                                                          \
        (void)of;                                              \
        call(number, (uint64_t[]){__VA_ARGS__});               \
    }
#include "declared.h"
