/*
 * Memory that libxml2 and libxslt could not have is a MemoryError, whatever they make of it: a parser that recovers from errors goes on without the
 * rest of the document, and a tree is copied or written without what did not fit. None of their functions says so reliably, so their allocator does.
 * Python raises it in place of what the function returns.
 *
 * The libraries expect large things to fail, and small ones not: where they are not prepared they go on for ever, or fail with a trap. For these there
 * is a reserve, which lasts until a parser looks whether memory failed. Where threads are real it would need a lock, and is left out.
 */
#include <Python.h>
#include <libxml/xmlmemory.h>
#include <stdlib.h>
#include <string.h>

#ifdef __wasm__
#define RESERVE 0x20000
#define SMALL 0x2000

static void *reserve;

static void
fill_reserve(void)
{
    if (reserve == NULL && !*xmlMemoryFailed)
        reserve = malloc(RESERVE);
}

/* Whether there is memory for a small thing now. */
static int
use_reserve(size_t size)
{
    if (reserve == NULL || size > SMALL)
        return 0;
    free(reserve);
    reserve = NULL;
    return 1;
}
#else
#define fill_reserve() ((void)0)
#define use_reserve(size) 0
#endif

static void *
reallocate(void *old, size_t size)
{
    fill_reserve();
    void *memory = realloc(old, size);

    if (memory == NULL && size > 0) {
        _PyThreadState_SetNoMemory();
        if (use_reserve(size))
            memory = realloc(old, size);
    }
    return memory;
}

static void *
allocate(size_t size)
{
    return reallocate(NULL, size);
}

static char *
duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char *memory = allocate(size);

    return memory ? memcpy(memory, text, size) : NULL;
}

static void __attribute__((constructor))
watch(void)
{
#if PY_MAJOR_VERSION > 2
    xmlMemoryFailed = &_PyThreadState_NoMemory;
#elif defined(__wasm__)
    xmlMemoryFailed = &PyThreadState_Get()->no_memory;
#endif
    xmlMemSetup(free, allocate, reallocate, duplicate);
}
