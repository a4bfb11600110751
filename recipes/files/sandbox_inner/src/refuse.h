/*
 * Functions that a sandbox must not give: they exist, so that programs build and say what they miss, and fail with ENOSYS.
 */
#ifndef SANDBOX_REFUSE_H
#define SANDBOX_REFUSE_H

#include <errno.h>
#include <stddef.h>

/* A function that gives a number, -1 on error. Used as: REFUSE(int, name, parameter types) */
#define REFUSE(type, name, ...) \
    type name(__VA_ARGS__)      \
    {                           \
        errno = ENOSYS;         \
        return (type)-1;        \
    }

/* A function that gives a pointer, NULL on error. */
#define REFUSE_POINTER(type, name, ...) \
    type *name(__VA_ARGS__)             \
    {                                   \
        errno = ENOSYS;                 \
        return NULL;                    \
    }

/* -1, with `error`, or EBADF if `fd` is no descriptor (descriptors.c). */
int refuse_descriptor(int fd, int error);

#endif
