/*
 * Flags of open files. wasi-libc builds its own of WASI's: fdflags as they are, oflags shifted by twelve bits, and some above them.
 */
#include "flags.h"

#include <fcntl.h>
#include <stddef.h>
#include <wasi/api.h>

#define WASI_RDONLY 0x04000000
#define WASI_WRONLY 0x10000000
#define WASI_NOFOLLOW 0x01000000

static const struct {
    int ours, libc;
} pairs[] = {
    {O_APPEND, __WASI_FDFLAGS_APPEND},
    {O_NONBLOCK, __WASI_FDFLAGS_NONBLOCK},
    {O_SYNC, __WASI_FDFLAGS_SYNC},
    {O_DSYNC, __WASI_FDFLAGS_DSYNC},
    {O_CREAT, __WASI_OFLAGS_CREAT << 12},
    {O_DIRECTORY, __WASI_OFLAGS_DIRECTORY << 12},
    {O_EXCL, __WASI_OFLAGS_EXCL << 12},
    {O_TRUNC, __WASI_OFLAGS_TRUNC << 12},
    {O_NOFOLLOW, WASI_NOFOLLOW},
};

#define PAIRS (sizeof pairs / sizeof pairs[0])

int wasi_flags(int linux_flags)
{
    static const int access[] = {WASI_RDONLY, WASI_WRONLY, WASI_RDONLY | WASI_WRONLY, WASI_RDONLY};
    int out = access[linux_flags & O_ACCMODE];
    for (size_t i = 0; i < PAIRS; i++)
        if ((linux_flags & pairs[i].ours) == pairs[i].ours)
            out |= pairs[i].libc;
    return out;
}

int linux_flags(int wasi_flags)
{
    int out = !(wasi_flags & WASI_WRONLY) ? O_RDONLY : wasi_flags & WASI_RDONLY ? O_RDWR : O_WRONLY;
    for (size_t i = 0; i < PAIRS; i++)
        if (wasi_flags & pairs[i].libc)
            out |= pairs[i].ours;
    return out;
}
