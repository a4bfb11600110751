/*
 * What the loader does with descriptors and glibc 2.9 does not ask it for. These functions take the place of glibc's, which say ENOSYS; so they do
 * for the libraries that a program loads.
 */
#include "interfaces.h"

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

const struct descriptors_interface *
descriptors(void)
{
    static struct descriptors_interface table;
    static int state;

    if (state == 0)
        state = nacl_interface_query("nacl-irt-dev-fdio-0.3", &table, sizeof table) == sizeof table ? 1 : -1;
    if (state < 0)
        errno = ENOSYS;
    return state < 0 ? NULL : &table;
}

int
fchdir(int fd)
{
    const struct descriptors_interface *loader = descriptors();

    return loader ? given(loader->fchdir(fd)) : -1;
}

int
fchmod(int fd, mode_t mode)
{
    const struct descriptors_interface *loader = descriptors();

    return loader ? given(loader->fchmod(fd, mode)) : -1;
}

int
fsync(int fd)
{
    const struct descriptors_interface *loader = descriptors();

    return loader ? given(loader->fsync(fd)) : -1;
}

int
fdatasync(int fd)
{
    const struct descriptors_interface *loader = descriptors();

    return loader ? given(loader->fdatasync(fd)) : -1;
}

int
ftruncate(int fd, off_t size)
{
    const struct descriptors_interface *loader = descriptors();

    return loader ? given(loader->ftruncate(fd, size)) : -1;
}

int
isatty(int fd)
{
    const struct descriptors_interface *loader = descriptors();
    int result = 0;

    if (loader == NULL || given(loader->isatty(fd, &result)) != 0)
        return 0;
    if (!result)
        errno = ENOTTY;
    return result;
}

/* A copy with a number from `least` on: a number that is free can't be closed. */
static int
copy_from(int fd, int least)
{
    int number, copy;

    for (number = least; number < 1024; number++) {
        if ((copy = dup(number)) >= 0)
            close(copy);
        else if (errno == EBADF)
            return dup2(fd, number);
        else
            return -1;
    }
    errno = EMFILE;
    return -1;
}

/*
 * Of fcntl(), what can be done without the loader. Locks are refused by it: nobody else would see them. No program is ever started, so it makes no
 * difference which descriptors one would get.
 */
int
fcntl(int fd, int command, ...)
{
    va_list rest;
    int number;

    va_start(rest, command);
    number = va_arg(rest, int);
    va_end(rest);
    switch (command) {
    case F_DUPFD:
        return number < 0 ? given(EINVAL) : copy_from(fd, number);
    case F_GETFD:
    case F_SETFD:
        if ((number = dup(fd)) < 0)
            return -1;
        close(number);
        return 0;
    default:
        errno = ENOSYS;
        return -1;
    }
}
