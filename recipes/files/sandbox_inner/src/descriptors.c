/*
 * Duplicates of descriptors, and fcntl() with what wasi-libc's lacks.
 */
#include "loader.h"
#include "refuse.h"

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

/* wasi-libc's own function; our header gives its name to ours. */
int libc_fcntl(int fd, int command, ...) __asm__("fcntl");

REFUSE(int, pipe, int[2])
REFUSE(int, pipe2, int[2], int)

#ifdef SANDBOX_STOCK_WASI

static REFUSE(int, duplicate, int, int)

REFUSE(int, dup2, int, int)

#else

static int duplicate(int fd, int least)
{
    uint32_t out;
    int error = loader_fd_dup(fd, least, &out);
    if (error) {
        errno = error;
        return -1;
    }
    return (int)out;
}

int dup2(int fd, int new_fd)
{
    int error = loader_fd_dup2(fd, new_fd);
    if (error) {
        errno = error;
        return -1;
    }
    return new_fd;
}

#endif

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

    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(fd, value);
    case F_GETLK:
        lock->l_type = F_UNLCK;
        /* fall through */
    case F_SETLK:
    case F_SETLKW:
        /* Nobody else is here; but the descriptor must be one. */
        return libc_fcntl(fd, F_GETFL) < 0 ? -1 : 0;
    default:
        return libc_fcntl(fd, command, value);
    }
}

int flock(int fd, int operation)
{
    return libc_fcntl(fd, F_GETFL) < 0 ? -1 : 0;
}

int lockf(int fd, int command, off_t size)
{
    return libc_fcntl(fd, F_GETFL) < 0 ? -1 : 0;
}
