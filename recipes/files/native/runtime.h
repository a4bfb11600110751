/*
 * The runtime of native modules: memory, tables, traps, exceptions and the calls to the host. One guest a process.
 */
#ifndef NATIVE_RUNTIME_H
#define NATIVE_RUNTIME_H

#include "module.h"

/* The functions that a guest may import, by number. */
enum native_call {
#define CALL(module, name, parameters) NATIVE_##module##_##name,
#include "calls.h"
#undef CALL
    NATIVE_CALLS
};

/* What a call of the host gives to pass on the exception that guest code has thrown which it called (NATIVE_THREW); any other negative number
   ends the guest. */
#define NATIVE_THROWS (-2)

/* Who answers a guest's calls. */
struct native_host {
    /*
     * Makes the call of this number; an i32 argument lies in the low half of its slot. Gives the function's result, or something negative. It
     * must not leave by longjmp.
     */
    int64_t (*call)(struct native_host *host, uint32_t number, const uint64_t *arguments);
    /* Whether the memory may have so many bytes. */
    bool (*may_grow)(struct native_host *host, uint64_t bytes);
    /*
     * Answers a call of a closure, by the number that it was made with: the arguments are as above, the result is left in a slot. Gives 0, or
     * something negative.
     */
    int64_t (*closed)(struct native_host *host, uint32_t closure, const uint64_t *arguments, uint64_t *result);
};

/* The memory and the globals that an instance begins with. */
struct native_image {
    /* The file that has the memory's bytes from `start` on, as many as `length`, at `offset`: all of pages. The rest of the memory is zero. */
    int file;
    uint64_t offset;
    uint64_t start;
    uint64_t length;
    /* The memory's pages of WebAssembly, and how many it may get. */
    uint64_t pages;
    uint64_t most;
    /* A value for each of the module's globals, which lies in its first bytes. */
    const uint64_t *globals;
};

/* How guest code that was entered from the host came back. */
enum native_end {
    NATIVE_RETURNED,
    /* By a call that the host ended. */
    NATIVE_ENDED,
    /* By a trap, which `native_trap` tells. */
    NATIVE_TRAPPED,
    /* By an exception that nothing in it catches. */
    NATIVE_THREW,
};

/*
 * Prepares this process for a guest that runs on the calling thread: handlers of the signals that become traps, on a stack of their own.
 * False, with errno: this machine can't.
 */
bool native_begin(struct native_host *host);

/* Makes an instance in `instance`, of module->size zero bytes. */
enum native_end native_instantiate(const struct native_module *module, void *instance);

/* Makes an instance that begins with `image`, which has to fit the module. The file's bytes are mapped, and stay as they are. */
enum native_end native_restore(const struct native_module *module, void *instance, const struct native_image *image);

/* Makes an instance of a library in `instance`, of module->size zero bytes, for a program that is there. The imports stay. */
enum native_end native_link(const struct native_module *module, void *instance, struct native_imports *imports);

/* Adds so many empty entries to the table of the program, for the host; gives the first, or UINT32_MAX: there is no room. */
uint32_t native_grow_table(wasm_rt_funcref_table_t *table, uint32_t delta);

/* What a weak function leads to that nobody has: it ends the guest. */
void native_missing(void);

/*
 * Calls a function of the guest, whose type is `type` (module.h). Arguments and the result are in slots of 8 bytes, as for the host's calls.
 */
enum native_end native_call(struct native_link function, const char *type, const uint64_t *arguments, uint64_t *result);

/* The type of functions, given as text, as this module compares it; NULL: it has none of these. */
wasm_rt_func_type_t native_type(const struct native_module *module, const char *type);

/* A function that the guest can call by the table, and the host answers. */
struct native_closure {
    const char *type;
    uint32_t number;
};

/* The code of all closures; their instance is the `struct native_closure`. */
void native_closure_code(void);

/* Runs the program. */
enum native_end native_start(const struct native_module *module, void *instance);

/* Runs the program from its snapshot: its instance began with that. */
enum native_end native_resume(const struct native_module *module, void *instance);

/* Why the last guest code that trapped did. */
wasm_rt_trap_t native_trap(void);

/* The value of the exception that was thrown last; false: it does not have one i32. */
bool native_thrown(uint32_t *value);

#endif
