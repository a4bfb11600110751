/*
 * What wasi-libc's poll.h lacks: a condition that never occurs here.
 */
#ifndef SANDBOX_POLL_H
#define SANDBOX_POLL_H

#include_next <poll.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POLLPRI 0x0800

#ifdef __cplusplus
}
#endif

#endif
