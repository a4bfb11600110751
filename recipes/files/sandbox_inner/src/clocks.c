/*
 * The clocks that wasi-libc does not define. It passes the number in a clock's object on to the loader.
 */
#include <stdint.h>
#include <time.h>
#include <wasi/api.h>

/* As wasi-libc has it, in no header. */
struct __clockid {
    uint32_t id;
};

#ifndef __WASI_CLOCKID_PROCESS_CPUTIME_ID
#define __WASI_CLOCKID_PROCESS_CPUTIME_ID 2
#define __WASI_CLOCKID_THREAD_CPUTIME_ID 3
#endif

const struct __clockid _CLOCK_PROCESS_CPUTIME_ID = {__WASI_CLOCKID_PROCESS_CPUTIME_ID};
const struct __clockid _CLOCK_THREAD_CPUTIME_ID = {__WASI_CLOCKID_THREAD_CPUTIME_ID};
