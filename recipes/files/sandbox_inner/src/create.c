/*
 * The modes of files and directories that are made: WASI has none, so they are set right after, if they are not what the host gives anyway.
 */
#include "flags.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc.h>

/* wasi-libc's own functions; our headers give their names to ours. */
int libc_mkdir(const char *path, mode_t mode) __asm__("mkdir");
int libc_openat(int dir, const char *path, int flags, ...) __asm__("openat");

/* What the host gives to a new file or directory. */
#define NEW_FILE 0644
#define NEW_DIRECTORY 0755

static mode_t mask = 022;

mode_t umask(mode_t new_mask)
{
    mode_t old = mask;
    mask = new_mask & 0777;
    return old;
}

/* wasi-libc's open(), with Linux's flags. */
static int open_nomode(int dir, const char *path, int flags)
{
    flags = wasi_flags(flags);
    return dir == AT_FDCWD ? __wasilibc_open_nomode(path, flags) : libc_openat(dir, path, flags);
}

/* Makes the file, which must not exist, and gives it its mode. */
static int make(int dir, const char *path, int flags, mode_t mode)
{
    int fd = open_nomode(dir, path, flags | O_EXCL);
    if (fd >= 0) {
        int before = errno;
        fchmod(fd, mode);
        errno = before;
    }
    return fd;
}

static int open_file(int dir, const char *path, int flags, mode_t mode)
{
    if (!(flags & O_CREAT))
        return open_nomode(dir, path, flags);
    mode &= 01777 & ~mask;
    if (mode == NEW_FILE)
        return open_nomode(dir, path, flags);

    /* Only a file that this call makes gets the mode. */
    int fd = make(dir, path, flags, mode);
    if (fd >= 0 || errno != EEXIST || flags & O_EXCL)
        return fd;
    struct stat state;
    int leads_nowhere = fstatat(dir, path, &state, 0) && errno == ENOENT;
    fd = open_nomode(dir, path, flags);
    if (fd >= 0 && leads_nowhere)
        fchmod(fd, mode);
    return fd;
}

#define MODE(flags)                          \
    mode_t mode = 0;                         \
    if (flags & O_CREAT) {                   \
        va_list arguments;                   \
        va_start(arguments, flags);          \
        mode = va_arg(arguments, mode_t);    \
        va_end(arguments);                   \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int mkdir(const char *path, mode_t mode)
{
    if (libc_mkdir(path, mode))
        return -1;
    mode &= 01777 & ~mask;
    if (mode != NEW_DIRECTORY) {
        int before = errno;
        chmod(path, mode);
        errno = before;
    }
    return 0;
}

/* wasi-libc's own makes files by itself, with the host's mode, whatever the umask. */
FILE *fopen(const char *path, const char *mode)
{
    int flags = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    if (*mode == 'w')
        flags |= O_CREAT | O_TRUNC;
    else if (*mode == 'a')
        flags |= O_CREAT | O_APPEND;
    else if (*mode != 'r') {
        errno = EINVAL;
        return NULL;
    }
    if (strchr(mode, 'x'))
        flags |= O_EXCL;
    int fd = open(path, flags, 0666);
    if (fd < 0)
        return NULL;
    FILE *stream = fdopen(fd, mode);
    if (stream == NULL) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return stream;
}
