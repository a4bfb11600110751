/*
 * Shared libraries. The loader reads, checks and links them; here is what needs the guest's own view: its current folder and its
 * environment.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "loader.h"

#ifdef SANDBOX_STOCK_WASI
/* No loader is there to ask. */
#define loader_dl_open(path, size, flags, handle) refuse()
#define loader_dl_symbol(handle, name, size, address) refuse()
#define loader_dl_close(handle) refuse()
#define loader_dl_error(text, size, written) (*(written) = snprintf(text, size, "nothing can be loaded here"), 0)

static int
refuse(void)
{
    return 1;
}
#endif

static char message[1024];
static int pending;

static void
fail(const char *text)
{
    snprintf(message, sizeof message, "%s", text);
    pending = 1;
}

void
fail_as_told(void)
{
    uint32_t written = 0;

    if (loader_dl_error(message, sizeof message - 1, &written))
        written = 0;
    message[written < sizeof message ? written : sizeof message - 1] = 0;
    pending = 1;
}

static void *
open_at(const char *path, int flags)
{
    uint32_t handle = 0;

    if (loader_dl_open(path, strlen(path), flags, &handle)) {
        fail_as_told();
        return NULL;
    }
    return (void *)(uintptr_t)handle;
}

/* Writes the path of `name` in a folder whose name has `length` bytes; 0 if it is too long. */
static int
join(char *path, const char *folder, size_t length, const char *name)
{
    if (length == 0) {
        folder = ".";
        length = 1;
    }
    return snprintf(path, PATH_MAX, "%.*s/%s", (int)length, folder, name) < PATH_MAX;
}

static void *
open_path(const char *name, int flags)
{
    char path[PATH_MAX], folder[PATH_MAX];

    if (name[0] == '/')
        return open_at(name, flags);
    if (getcwd(folder, sizeof folder) == NULL || !join(path, folder, strlen(folder), name)) {
        fail("the path is too long");
        return NULL;
    }
    return open_at(path, flags);
}

void *
dlopen(const char *name, int flags)
{
    const char *folders = getenv("LD_LIBRARY_PATH"), *end;
    char path[PATH_MAX];

    if (name == NULL || *name == 0)
        return open_at("", flags);
    if (strchr(name, '/'))
        return open_path(name, flags);
    for (; folders && *folders; folders = *end ? end + 1 : end) {
        end = strchr(folders, ':');
        if (end == NULL)
            end = folders + strlen(folders);
        if (join(path, folders, end - folders, name) && access(path, F_OK) == 0)
            return open_path(path, flags);
    }
    if (!join(path, "/slib", 5, name)) {
        fail("the name is too long");
        return NULL;
    }
    return open_at(path, flags);
}

void *
dlsym(void *restrict handle, const char *restrict name)
{
    uint32_t address = 0;

    if (loader_dl_symbol((uintptr_t)handle, name, strlen(name), &address)) {
        fail_as_told();
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

int
dlclose(void *handle)
{
    if (loader_dl_close((uintptr_t)handle)) {
        fail_as_told();
        return -1;
    }
    return 0;
}

char *
dlerror(void)
{
    if (!pending)
        return NULL;
    pending = 0;
    return message;
}
