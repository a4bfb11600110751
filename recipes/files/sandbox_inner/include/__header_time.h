/*
 * The clocks of processor time, which the loader has (WASI preview 1) and wasi-libc took away, since WASI 0.2 has none (clocks.c).
 */
#ifndef SANDBOX_HEADER_TIME_H
#define SANDBOX_HEADER_TIME_H

#include_next <__header_time.h>

#ifdef __cplusplus
extern "C" {
#endif

extern const struct __clockid _CLOCK_PROCESS_CPUTIME_ID;
#define CLOCK_PROCESS_CPUTIME_ID (&_CLOCK_PROCESS_CPUTIME_ID)
extern const struct __clockid _CLOCK_THREAD_CPUTIME_ID;
#define CLOCK_THREAD_CPUTIME_ID (&_CLOCK_THREAD_CPUTIME_ID)

#ifdef __cplusplus
}
#endif

#endif
