/*
 * times() from the same clock as clock() (system.c). There are no children, and the system's share is not told apart.
 */
#ifndef SANDBOX_SYS_TIMES_H
#define SANDBOX_SYS_TIMES_H

#include_next <sys/times.h>

#ifdef __cplusplus
extern "C" {
#endif

clock_t times(struct tms *out) __asm__("sandbox_times");

#ifdef __cplusplus
}
#endif

#endif
