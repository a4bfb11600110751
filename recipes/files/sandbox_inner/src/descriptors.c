/*
 * Duplicates of descriptors, pipes, locks, and fcntl() with what wasi-libc's lacks.
 */
#include "errors.h"
#include "flags.h"
#include "loader.h"
#include "refuse.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* wasi-libc's own functions; our headers give their names to ours. */
int libc_fcntl(int fd, int command, ...) __asm__("fcntl");
FILE *libc_fdopen(int fd, const char *mode) __asm__("fdopen");

#ifdef SANDBOX_STOCK_WASI

static REFUSE(int, duplicate, int, int)
static REFUSE(int, make_pipe, int[2])

REFUSE(int, dup2, int, int)
REFUSE(int, flock, int, int)

#else

static int duplicate(int fd, int least)
{
    uint32_t out;
    int error = loader_fd_dup(fd, least, &out);
    return failed_with(error) ? -1 : (int)out;
}

int dup2(int fd, int new_fd)
{
    int error = loader_fd_dup2(fd, new_fd);
    return failed_with(error) ? -1 : new_fd;
}

static int make_pipe(int fds[2])
{
    return failed_with(loader_fd_pipe(fds));
}

/* Among this program's own open files; where it would wait for itself, EDEADLK. */
int flock(int fd, int operation)
{
    return failed_with(loader_fd_flock(fd, (uint32_t)operation));
}

#endif

int pipe2(int fds[2], int flags)
{
    int made[2];
    if (flags & ~(O_CLOEXEC | O_NONBLOCK)) {
        errno = EINVAL;
        return -1;
    }
    if (make_pipe(made))
        return -1;
    if (flags & O_NONBLOCK) {
        fcntl(made[0], F_SETFL, O_NONBLOCK);
        fcntl(made[1], F_SETFL, O_NONBLOCK);
    }
    fds[0] = made[0];
    fds[1] = made[1];
    return 0;
}

int pipe(int fds[2])
{
    return pipe2(fds, 0);
}

int dup(int fd)
{
    return duplicate(fd, 0);
}

int dup3(int fd, int new_fd, int flags)
{
    if (fd == new_fd) {
        errno = EINVAL;
        return -1;
    }
    return dup2(fd, new_fd);
}

/* Locks of records are a process's, and this one is alone: each is granted, to a descriptor that may have it. */
static int lock_record(int fd, int command, struct flock *lock)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    int access = flags & O_ACCMODE;
    int type = lock->l_type, whence = lock->l_whence;
    if ((type != F_RDLCK && type != F_WRLCK && type != F_UNLCK) || (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
        || (command == F_GETLK && type == F_UNLCK)) {
        errno = EINVAL;
        return -1;
    }
    if (command == F_GETLK) {
        lock->l_type = F_UNLCK;
        return 0;
    }
    if ((type == F_RDLCK && access == O_WRONLY) || (type == F_WRLCK && access == O_RDONLY)) {
        errno = EBADF;
        return -1;
    }
    return 0;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int value = 0;
    struct flock *lock = NULL;
    if (command == F_GETLK || command == F_SETLK || command == F_SETLKW)
        lock = va_arg(arguments, struct flock *);
    else if (command != F_GETFD && command != F_GETFL)
        value = va_arg(arguments, int);
    va_end(arguments);

    int flags;
    switch (command) {
    case F_GETFL:
        flags = libc_fcntl(fd, F_GETFL);
        return flags < 0 ? -1 : linux_flags(flags);
    case F_SETFL:
        return libc_fcntl(fd, F_SETFL, wasi_flags(value));
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(fd, value);
    case F_GETFD:
    case F_SETFD:
        /* No program is ever started: it makes no difference which descriptors one would get. */
        flags = libc_fcntl(fd, F_GETFL);
        return flags < 0 ? -1 : command == F_GETFD ? FD_CLOEXEC : 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return lock_record(fd, command, lock);
    default:
        return libc_fcntl(fd, command, value);
    }
}

int refuse_descriptor(int fd, int error)
{
    if (libc_fcntl(fd, F_GETFL) >= 0)
        errno = error;
    return -1;
}

FILE *fdopen(int fd, const char *mode)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return NULL;
    int access = flags & O_ACCMODE, both = strchr(mode, '+') != NULL;
    if ((access == O_RDONLY && (both || *mode != 'r')) || (access == O_WRONLY && (both || *mode == 'r'))) {
        errno = EINVAL;
        return NULL;
    }
    return libc_fdopen(fd, mode);
}

int lockf(int fd, int command, off_t size)
{
    struct flock lock = {.l_type = command == F_ULOCK ? F_UNLCK : F_WRLCK, .l_whence = SEEK_CUR, .l_len = size};
    if (command < F_ULOCK || command > F_TEST) {
        errno = EINVAL;
        return -1;
    }
    return lock_record(fd, command == F_TEST ? F_GETLK : F_SETLK, &lock);
}
