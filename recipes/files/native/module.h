/*
 * What a native module (the C of wasm2c, compiled to a shared object) says about itself, by `native_module`, the one symbol that is seen from
 * outside. A module is a program, which has a memory and a table, or a library, which is given those of the program.
 */
#ifndef NATIVE_MODULE_H
#define NATIVE_MODULE_H

#include "wasm-rt.h"

/* Changes when a module of another number can't be run. */
#define NATIVE_VERSION 4

/* How a module reaches its memory: from the segment register %gs, or from a pointer in its instance. */
enum native_variant { NATIVE_SEGMENT = 1, NATIVE_POINTER = 2 };

/*
 * Something that a module exports. Names, code and types are as many bytes after the field that holds the number. The type is text: the
 * parameters' letters (i, l, f, d), `>`, the result's. Without any, this is a variable, and the code is a function that is given an instance
 * and says where in it the variable is. `!` is a tag of exceptions, and the code a pointer that holds it. The entry is where the module itself
 * puts a function into the table, -1 if it does not; that of a library is counted from its own part.
 */
struct native_export {
    int32_t name;
    int32_t code;
    int32_t type;
    int32_t entry;
};

/* A function; the entry that a function has in the table; the address of a datum; a tag of exceptions, which is there when the instance is made. */
enum native_import_kind { NATIVE_IMPORT_FUNCTION, NATIVE_IMPORT_ENTRY, NATIVE_IMPORT_DATUM, NATIVE_IMPORT_TAG };

/* Something that a library imports of the program or of other libraries. */
struct native_import {
    int32_t name;
    int32_t type;
    uint32_t kind;
};

/* A function, and the instance that it works on. */
struct native_link {
    void *code;
    void *instance;
};

/* What a library is given: its places in memory and table, its own instance, and something for each import. */
struct native_imports {
    wasm_rt_memory_t *memory;
    wasm_rt_funcref_table_t *table;
    uint32_t *stack_pointer;
    uint32_t memory_base;
    uint32_t table_base;
    void *instance;
    union native_slot {
        struct native_link link;
        uint32_t cell;
        const void *tag;
    } slots[];
};

/* A global variable: where it lies in an instance, and its bytes. */
struct native_global {
    uint32_t offset;
    uint32_t size;
};

struct native_module {
    uint32_t version;
    uint32_t variant;
    /* Bytes of an instance. */
    uint64_t size;
    /* Fills an instance. A library's gets `struct native_imports` in the host's place; it fills its places in memory and table, too. */
    void (*instantiate)(void *instance, void *host);
    /* The type of functions with as many parameters and results, of these types (wasm_rt_type_t): NULL if the module has none such. */
    wasm_rt_func_type_t (*type)(uint32_t parameters, uint32_t results, ...);
    /* Of a program. The table is that of all functions whose addresses are taken; it and the pointer are there if it loads libraries. */
    wasm_rt_memory_t *(*memory)(void *instance);
    wasm_rt_funcref_table_t *(*table)(void *instance);
    uint32_t *(*stack_pointer)(void *instance);
    /* Runs the program. */
    void (*start)(void *instance);
    /* Fills an instance with all but its memory. */
    void (*prepare)(void *instance, void *host);
    /* Runs the program from its snapshot; NULL: it has none. */
    void (*resume)(void *instance);
    /* Its globals, in the order that it has them in. */
    const struct native_global *globals;
    uint32_t global_count;
    /* In the order of their names' bytes. */
    const struct native_export *exports;
    const struct native_import *imports;
    uint32_t export_count;
    uint32_t import_count;
};

#if WASM_RT_USE_SEGUE
#define NATIVE_THIS_VARIANT NATIVE_SEGMENT
#else
#define NATIVE_THIS_VARIANT NATIVE_POINTER
#endif

#endif
