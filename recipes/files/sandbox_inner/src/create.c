/*
 * The modes of files and directories that are made: WASI has none, so they are set right after, if they are not what the host gives anyway.
 *
 * fopen() is wasi-libc's own: the files that it makes get the host's mode, whatever the umask.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc.h>

/* wasi-libc's own function; our header gives its name to ours. */
int libc_mkdir(const char *path, mode_t mode) __asm__("mkdir");

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

/* Makes the file, which must not exist, and gives it its mode. */
static int make(const char *path, int flags, mode_t mode)
{
    int fd = __wasilibc_open_nomode(path, flags | O_EXCL);
    if (fd >= 0) {
        int before = errno;
        fchmod(fd, mode);
        errno = before;
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    /* Elsewhere O_RDONLY is 0, and programs leave it out. */
    if (!(flags & O_ACCMODE))
        flags |= O_RDONLY;
    if (!(flags & O_CREAT))
        return __wasilibc_open_nomode(path, flags);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t) & 0777 & ~mask;
    va_end(arguments);
    if (mode == NEW_FILE)
        return __wasilibc_open_nomode(path, flags);

    /* Only a file that this call makes gets the mode; another one may come or go meanwhile. */
    for (int attempt = 0; attempt < 10; attempt++) {
        int fd = make(path, flags, mode);
        if (fd >= 0 || errno != EEXIST || flags & O_EXCL)
            return fd;
        fd = __wasilibc_open_nomode(path, flags & ~O_CREAT);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return __wasilibc_open_nomode(path, flags);
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
