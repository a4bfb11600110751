/*
 * The times of a file (times.c).
 */
#ifndef SANDBOX_UTIME_H
#define SANDBOX_UTIME_H

#include_next <utime.h>

#ifdef __cplusplus
extern "C" {
#endif

int utime(const char *path, const struct utimbuf *times) __asm__("sandbox_utime");

#ifdef __cplusplus
}
#endif

#endif
