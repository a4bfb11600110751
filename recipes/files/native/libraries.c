/*
 * Libraries of a program that is trained. Each is looked for beside the one that needs it, and in /slib; all of them see each other's symbols.
 * What the loader checks is not checked here: these are the files that the graph made.
 */
#define _GNU_SOURCE
#include "train.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define LIBRARIES 64
#define NEEDED 16
/* A program is the first handle; libraries follow. */
#define FIRST_LIBRARY 2

/* What the section `dylink.0` of a library says. */
struct dylink {
    uint32_t memory, memory_alignment, table, table_alignment;
    char *needed[NEEDED];
    int needed_count;
};

static struct library {
    char *path;
    const struct native_module *module;
    void *instance;
    struct native_imports *imports;
} libraries[LIBRARIES];

static int library_count;
static char *folder;

void find_libraries_in(const char *of)
{
    folder = realpath(of, NULL);
}

static const char *text_of(const int32_t *field)
{
    return (const char *)field + *field;
}

static const struct native_export *find(const struct native_module *of, const char *name)
{
    uint32_t low = 0, high = of->export_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, text_of(&of->exports[middle].name));

        if (order == 0) {
            return &of->exports[middle];
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

/* What a name means: whose it is, or NULL for the program's; `found` is NULL if nobody has it. */
static struct library *defined(const char *name, const struct native_export **found)
{
    if ((*found = find(module, name)) != NULL) {
        return NULL;
    }
    for (int i = 0; i < library_count; i++) {
        if ((*found = find(libraries[i].module, name)) != NULL) {
            return &libraries[i];
        }
    }
    return NULL;
}

static struct native_link link_of(struct library *of, const struct native_export *export)
{
    return (struct native_link){(char *)&export->code + export->code, of == NULL ? instance : of->instance};
}

/* The address of a datum, or the entry of a function in the table, which it is given if it has none. */
static uint32_t address_of(struct library *of, const struct native_export *export)
{
    const char *type = text_of(&export->type);
    struct native_link link = link_of(of, export);
    wasm_rt_funcref_table_t *table = module->table(instance);
    wasm_rt_funcref_t entry = {.func = (wasm_rt_function_ptr_t)link.code, .module_instance = link.instance};
    uint32_t index;

    if (*type == '\0') {
        return *((uint32_t *(*)(void *))link.code)(link.instance) + (of == NULL ? 0 : of->imports->memory_base);
    }
    if (export->entry >= 0) {
        return (uint32_t)export->entry + (of == NULL ? 0 : of->imports->table_base);
    }
    for (uint32_t i = 0; i < table->size; i++) {
        if (table->data[i].func == entry.func && table->data[i].module_instance == entry.module_instance) {
            return i;
        }
    }
    entry.func_type = native_type(of == NULL ? module : of->module, type);
    index = native_grow_table(table, 1);
    if (index != UINT32_MAX) {
        table->data[index] = entry;
    }
    return index;
}

static uint32_t number(const uint8_t **at)
{
    uint32_t value = 0;

    for (int shift = 0;; shift += 7) {
        value |= (uint32_t)(**at & 127) << shift;
        if ((*(*at)++ & 128) == 0) {
            return value;
        }
    }
}

/* Reads the beginning of a library, where the section is. */
static bool read_dylink(const char *path, struct dylink *dylink)
{
    static uint8_t beginning[1 << 16];
    FILE *file = fopen(path, "rb");
    const uint8_t *at = beginning + 8, *end;
    size_t size = file == NULL ? 0 : fread(beginning, 1, sizeof beginning, file);
    uint32_t length;

    if (file != NULL) {
        fclose(file);
    }
    if (size < 32 || *at++ != 0) {
        return false;
    }
    end = at;
    length = number(&at);
    end = at + length;
    /* Behind its own name. */
    at += 1 + strlen("dylink.0");
    while (at < end && end <= beginning + size) {
        uint8_t kind = *at++;
        uint32_t part = number(&at);
        const uint8_t *next = at + part;

        if (kind == 1) {
            dylink->memory = number(&at);
            dylink->memory_alignment = UINT32_C(1) << number(&at);
            dylink->table = number(&at);
            dylink->table_alignment = UINT32_C(1) << number(&at);
        } else if (kind == 2) {
            for (uint32_t left = number(&at); left > 0 && dylink->needed_count < NEEDED; left--) {
                uint32_t length = number(&at);

                dylink->needed[dylink->needed_count++] = strndup((const char *)at, length);
                at += length;
            }
        }
        at = next;
    }
    return true;
}

/* The native module of a library: the only file in its folder. */
static const struct native_module *code_of(const char *path)
{
    char name[PATH_MAX];
    const struct dirent *entry;
    DIR *directory;
    size_t length = (size_t)snprintf(name, sizeof name, "%s%s", folder == NULL ? "" : folder, path);

    if (folder == NULL || length >= sizeof name || (directory = opendir(name)) == NULL) {
        return NULL;
    }
    while ((entry = readdir(directory)) != NULL && entry->d_name[0] == '.') {
    }
    if (entry != NULL) {
        snprintf(name + length, sizeof name - length, "/%s", entry->d_name);
    }
    closedir(directory);
    return entry == NULL ? NULL : load(name);
}

/* Calls a function of the guest without parameters, if there is one. */
static bool run(struct library *of, const char *name)
{
    const struct native_export *export = find(of->module, name);

    return export == NULL || native_call(link_of(of, export), ">", NULL, NULL) == NATIVE_RETURNED;
}

/* Takes room for a library in memory and table. */
static bool take_room(struct native_imports *imports, const struct dylink *dylink)
{
    const struct native_export *allocate = find(module, "malloc");
    uint64_t size = (uint64_t)dylink->memory + dylink->memory_alignment, block = 0;

    if (allocate == NULL || native_call(link_of(NULL, allocate), "i>i", &size, &block) != NATIVE_RETURNED || block == 0) {
        return false;
    }
    imports->memory_base = ((uint32_t)block + dylink->memory_alignment - 1) & -dylink->memory_alignment;
    memset(bytes(imports->memory_base, dylink->memory), 0, dylink->memory);
    while (imports->table->size % dylink->table_alignment != 0 && native_grow_table(imports->table, 1) != UINT32_MAX) {
    }
    imports->table_base = native_grow_table(imports->table, dylink->table);
    return imports->table_base != UINT32_MAX;
}

/* A tag of exceptions: the program's, the one that a library has been given, or a new one, which is an address that nobody else has. */
static const void *tag(const char *name, const void *new)
{
    const struct native_export *export = find(module, name);

    if (export != NULL) {
        return *(const void **)((char *)&export->code + export->code);
    }
    for (int i = 0; i < library_count; i++) {
        const struct native_module *of = libraries[i].module;

        for (uint32_t j = 0; j < of->import_count; j++) {
            if (of->imports[j].kind == NATIVE_IMPORT_TAG && strcmp(text_of(&of->imports[j].name), name) == 0) {
                return libraries[i].imports->slots[j].tag;
            }
        }
    }
    return new;
}

/* The symbols that a library imports, but for tags. What nobody has is nowhere. */
static void resolve(struct library *library)
{
    for (uint32_t i = 0; i < library->module->import_count; i++) {
        const struct native_import *import = &library->module->imports[i];
        union native_slot *slot = &library->imports->slots[i];
        const struct native_export *export;
        struct library *of = defined(text_of(&import->name), &export);

        if (import->kind == NATIVE_IMPORT_FUNCTION) {
            bool fits = export != NULL && strcmp(text_of(&export->type), text_of(&import->type)) == 0;

            slot->link = fits ? link_of(of, export) : (struct native_link){(void *)native_missing, NULL};
        } else if (import->kind != NATIVE_IMPORT_TAG) {
            slot->cell = export == NULL ? 0 : address_of(of, export);
        }
    }
}

static int64_t open_path(const char *path, int *opened)
{
    struct dylink dylink = {.memory_alignment = 1, .table_alignment = 1};
    const struct native_module *code;
    struct library *library;

    for (*opened = 0; *opened < library_count; ++*opened) {
        if (strcmp(libraries[*opened].path, path) == 0) {
            return SUCCESS;
        }
    }
    if (!read_dylink(path + 1, &dylink)) {
        return W_NOENT;
    }
    if ((code = code_of(path)) == NULL || library_count == LIBRARIES) {
        fprintf(stderr, "train: no native code of %s\n", path);
        return W_NOEXEC;
    }
    for (int i = 0; i < dylink.needed_count; i++) {
        char name[PATH_MAX];
        int other;
        int64_t error;

        snprintf(name, sizeof name, "%.*s/%s", (int)(strrchr(path, '/') - path), path, dylink.needed[i]);
        error = open_path(name, &other);
        if (error == W_NOENT) {
            snprintf(name, sizeof name, "/slib/%s", dylink.needed[i]);
            error = open_path(name, &other);
        }
        if (error != SUCCESS) {
            return error;
        }
    }
    *opened = library_count;
    library = &libraries[*opened];
    library->path = strdup(path);
    library->module = code;
    library->instance = calloc(1, code->size);
    library->imports = calloc(1, sizeof *library->imports + code->import_count * sizeof(union native_slot));
    library->imports->memory = module->memory(instance);
    library->imports->table = module->table(instance);
    library->imports->stack_pointer = module->stack_pointer(instance);
    library->imports->instance = library->instance;
    for (uint32_t i = 0; i < code->import_count; i++) {
        if (code->imports[i].kind == NATIVE_IMPORT_TAG) {
            library->imports->slots[i].tag = tag(text_of(&code->imports[i].name), &library->imports->slots[i]);
        }
    }
    if (!take_room(library->imports, &dylink)) {
        return W_NOMEM;
    }
    library_count++;
    if (native_link(code, library->instance, library->imports) != NATIVE_RETURNED) {
        return -1;
    }
    resolve(library);
    return run(library, "__wasm_apply_data_relocs") && run(library, "__wasm_call_ctors") ? SUCCESS : -1;
}

int64_t open_library(const uint64_t *a)
{
    char path[PATH_MAX];
    const char *given = bytes(a[0], (uint32_t)a[1]);
    int opened;
    int64_t error;

    if (given == NULL || (uint32_t)a[1] >= sizeof path) {
        return W_FAULT;
    }
    if (a[1] == 0) {
        return put_32(a[3], 1);
    }
    memcpy(path, given, (uint32_t)a[1]);
    path[(uint32_t)a[1]] = '\0';
    error = open_path(path, &opened);
    return error != SUCCESS ? error : put_32(a[3], (uint32_t)opened + FIRST_LIBRARY);
}

int64_t find_symbol(const uint64_t *a)
{
    char name[1024];
    const char *given = bytes(a[1], (uint32_t)a[2]);
    const struct native_export *export;
    struct library *of = NULL;
    uint32_t index = (uint32_t)a[0] - FIRST_LIBRARY;

    if (given == NULL || (uint32_t)a[2] >= sizeof name) {
        return W_FAULT;
    }
    memcpy(name, given, (uint32_t)a[2]);
    name[(uint32_t)a[2]] = '\0';
    export = index < (uint32_t)library_count ? find((of = &libraries[index])->module, name) : NULL;
    if (export == NULL) {
        of = defined(name, &export);
    }
    return export == NULL ? W_NOENT : put_32(a[3], address_of(of, export));
}
