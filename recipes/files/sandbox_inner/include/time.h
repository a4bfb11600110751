/*
 * clock() as the processor time of the guest's process; wasi-libc's emulation gives the time since some moment (system.c).
 */
#ifndef SANDBOX_TIME_H
#define SANDBOX_TIME_H

#include_next <time.h>

#ifdef __cplusplus
extern "C" {
#endif

clock_t clock(void) __asm__("sandbox_clock");

#ifdef __cplusplus
}
#endif

#endif
