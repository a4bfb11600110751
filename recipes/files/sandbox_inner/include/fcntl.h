/*
 * What wasi-libc's fcntl.h lacks: the mode of a file that open() makes, F_DUPFD, and record locks.
 *
 * A lock is always granted: nothing else runs in the sandbox, and a host's own locks can't be reached (descriptors.c).
 */
#ifndef SANDBOX_FCNTL_H
#define SANDBOX_FCNTL_H

#include_next <fcntl.h>

#ifdef __cplusplus
extern "C" {
#endif

#define F_DUPFD 0
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_DUPFD_CLOEXEC 1030

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

#ifndef O_NDELAY
#define O_NDELAY O_NONBLOCK
#endif

int fcntl(int fd, int command, ...) __asm__("sandbox_fcntl");
int open(const char *path, int flags, ...) __asm__("sandbox_open");

#ifdef __cplusplus
}
#endif

#endif
