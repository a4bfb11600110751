/*
 * Interfaces of the loader, which are asked for by name: tables of functions that give 0 or a number of an error. As irt.h and irt_dev.h of
 * native_client define them; the SDK's headers have them not.
 */
#ifndef INTERFACES_H
#define INTERFACES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* glibc's dynamic linker has it: how much of the table was filled, and 0 for an interface that the loader has not. */
extern size_t nacl_interface_query(const char *name, void *table, size_t size);

struct random_interface {
    int (*get_random_bytes)(void *buffer, size_t size, size_t *got);
};

struct descriptors_interface {
    int (*close)(int fd);
    int (*dup)(int fd, int *made);
    int (*dup2)(int fd, int made);
    int (*read)(int fd, void *buffer, size_t size, size_t *done);
    int (*write)(int fd, const void *buffer, size_t size, size_t *done);
    int (*seek)(int fd, int64_t offset, int whence, int64_t *now);
    int (*fstat)(int fd, void *state);
    int (*getdents)(int fd, void *entries, size_t size, size_t *done);
    int (*fchdir)(int fd);
    int (*fchmod)(int fd, mode_t mode);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, int64_t size);
    int (*isatty)(int fd, int *result);
};

/* The table, or NULL with ENOSYS. */
const struct descriptors_interface *descriptors(void);

/* What a function of C gives for what one of the loader gave. */
static inline int
given(int error)
{
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

#endif
