/*
 * File system figures: the same everywhere, with much room, whatever the host has (files.c). wasi-libc's functions fail.
 */
#ifndef SANDBOX_SYS_STATVFS_H
#define SANDBOX_SYS_STATVFS_H

#include_next <sys/statvfs.h>

#ifdef __cplusplus
extern "C" {
#endif

int statvfs(const char *__restrict path, struct statvfs *__restrict out) __asm__("sandbox_statvfs");
int fstatvfs(int fd, struct statvfs *out) __asm__("sandbox_fstatvfs");

#ifdef __cplusplus
}
#endif

#endif
