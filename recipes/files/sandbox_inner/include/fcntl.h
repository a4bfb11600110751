/*
 * What wasi-libc's fcntl.h lacks: the mode of a file that open() makes, F_DUPFD, locks, and Linux's numbers of errors as results.
 *
 * A record lock is always granted: nothing else runs in the sandbox, and a host's own locks can't be reached (descriptors.c).
 */
#ifndef SANDBOX_FCNTL_H
#define SANDBOX_FCNTL_H

#include_next <fcntl.h>

#ifdef __cplusplus
extern "C" {
#endif

int creat(const char *path, mode_t mode) __asm__("sandbox_creat");
int fcntl(int fd, int command, ...) __asm__("sandbox_fcntl");
int open(const char *path, int flags, ...) __asm__("sandbox_open");
int openat(int dir, const char *path, int flags, ...) __asm__("sandbox_openat");

/* results.c */
int posix_fadvise(int fd, off_t start, off_t size, int advice) __asm__("sandbox_posix_fadvise");
int posix_fallocate(int fd, off_t start, off_t size) __asm__("sandbox_posix_fallocate");

#ifdef __cplusplus
}
#endif

#endif
