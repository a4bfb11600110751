/*
 * Duplicates of descriptors, waiting for them, and fcntl() with what wasi-libc's lacks.
 */
#include "errors.h"
#include "flags.h"
#include "loader.h"
#include "refuse.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* wasi-libc's own functions; our headers give their names to ours. */
int libc_fcntl(int fd, int command, ...) __asm__("fcntl");
FILE *libc_fdopen(int fd, const char *mode) __asm__("fdopen");
int libc_poll(struct pollfd fds[], nfds_t count, int timeout) __asm__("poll");

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
    return failed_with(error) ? -1 : (int)out;
}

int dup2(int fd, int new_fd)
{
    int error = loader_fd_dup2(fd, new_fd);
    return failed_with(error) ? -1 : new_fd;
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

int flock(int fd, int operation)
{
    return libc_fcntl(fd, F_GETFL) < 0 ? -1 : 0;
}

int lockf(int fd, int command, off_t size)
{
    return libc_fcntl(fd, F_GETFL) < 0 ? -1 : 0;
}

/* wasi-libc's conditions. */
#define LIBC_IN 0x1
#define LIBC_OUT 0x2
#define LIBC_ERR 0x1000
#define LIBC_HUP 0x2000
#define LIBC_NVAL 0x4000

#define READING (POLLIN | POLLRDNORM)
#define WRITING (POLLOUT | POLLWRNORM)

static short conditions(short asked, short libc)
{
    return (libc & LIBC_IN ? asked & READING : 0) | (libc & LIBC_OUT ? asked & WRITING : 0) | (libc & LIBC_ERR ? POLLERR : 0)
           | (libc & LIBC_HUP ? POLLHUP : 0) | (libc & LIBC_NVAL ? POLLNVAL : 0);
}

int poll(struct pollfd fds[], nfds_t count, int timeout)
{
    struct pollfd *copy = calloc(count ? count : 1, sizeof *copy);
    if (copy == NULL)
        return -1;
    for (nfds_t i = 0; i < count; i++) {
        copy[i].fd = fds[i].fd;
        copy[i].events = (fds[i].events & READING ? LIBC_IN : 0) | (fds[i].events & WRITING ? LIBC_OUT : 0);
    }
    int found = libc_poll(copy, count, timeout);
    for (nfds_t i = 0; found >= 0 && i < count; i++)
        fds[i].revents = conditions(fds[i].events, copy[i].revents);
    free(copy);
    return found;
}
