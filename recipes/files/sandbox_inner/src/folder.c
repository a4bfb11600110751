/*
 * The current folder, and the paths that are seen from it. wasi-libc keeps the folder's name and puts it in front of relative paths; here
 * is what it gets wrong by that.
 */
#include "errors.h"
#include "loader.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc-find-relpath.h>

/* wasi-libc's own functions; our headers give their names to ours. */
int libc_chdir(const char *path) __asm__("chdir");
char *libc_getcwd(char *buffer, size_t size) __asm__("getcwd");

/* The linker gives wasi-libc's callers the first one, and the second one's name to wasi-libc's own (--wrap, in the toolchain). */
int wrapped_find_relpath(const char *path, const char **prefix, char **relative, size_t *size, int can_grow)
    __asm__("__wrap___wasilibc_find_relpath_alloc");
int libc_find_relpath(const char *path, const char **prefix, char **relative, size_t *size, int can_grow)
    __asm__("__real___wasilibc_find_relpath_alloc");

/*
 * All functions of wasi-libc that take a path come here. To it, "" and "." both are the name of the current folder: then stat("")
 * succeeds, and rmdir(".") removes what nobody may. An empty path stays empty, and the loader refuses it; "." stays at the end.
 *
 * It gives the descriptor that "/" had at the start. That may be another file by now, or closed (os.closerange does that), so paths begin
 * at a number that is never a descriptor.
 */
int wrapped_find_relpath(const char *path, const char **prefix, char **relative, size_t *size, int can_grow)
{
    int here = strcmp(path, ".") == 0 || strcmp(path, "./") == 0;
    int dir = libc_find_relpath(here ? "./." : *path ? path : ".", prefix, relative, size, can_grow);
    if (dir < 0)
        return dir;
    if (*path == '\0')
        **relative = '\0';
    return LOADER_ROOT;
}

/* Which folder chdir() found; 0 for the one at the start. */
static dev_t here_device;
static ino_t here_number;

/* getcwd() gives what chdir() was given last; on Linux it has no links in it. */
int chdir(const char *path)
{
    char resolved[PATH_MAX];
    struct stat state;
    if (realpath(path, resolved) == NULL || stat(resolved, &state) || libc_chdir(resolved))
        return -1;
    here_device = state.st_dev;
    here_number = state.st_ino;
    return 0;
}

static int is_here(const char *path)
{
    struct stat state;
    if (stat(path, &state))
        return 0;
    return here_number == 0 || (state.st_ino == here_number && state.st_dev == here_device);
}

/* ENOENT if the folder is gone, or another one has its name. */
char *getcwd(char *buffer, size_t size)
{
    if (buffer && size == 0) {
        errno = EINVAL;
        return NULL;
    }
    char *path = libc_getcwd(NULL, 0);
    if (path == NULL)
        return NULL;
    size_t length = strlen(path) + 1;
    int error = !is_here(path) ? ENOENT : size && size < length ? ERANGE : 0;
    if (error == 0 && buffer == NULL)
        return path;
    if (error == 0)
        memcpy(buffer, path, length);
    free(path);
    if (error) {
        errno = error;
        return NULL;
    }
    return buffer;
}

#ifdef SANDBOX_STOCK_WASI

int fchdir(int fd)
{
    errno = ENOSYS;
    return -1;
}

#else

int fchdir(int fd)
{
    char path[PATH_MAX];
    uint32_t length;
    if (failed_with(loader_fd_path(fd, path, sizeof path - 1, &length)))
        return -1;
    path[length] = '\0';
    return chdir(path);
}

#endif
