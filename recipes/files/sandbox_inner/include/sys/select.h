/*
 * Waiting for descriptors as on Linux (waits.c).
 */
#ifndef SANDBOX_SYS_SELECT_H
#define SANDBOX_SYS_SELECT_H

#include_next <sys/select.h>

#ifdef __cplusplus
extern "C" {
#endif

int select(int limit, fd_set *reading, fd_set *writing, fd_set *failing, struct timeval *timeout) __asm__("sandbox_select");
int pselect(int limit, fd_set *reading, fd_set *writing, fd_set *failing, const struct timespec *timeout, const sigset_t *mask)
    __asm__("sandbox_pselect");

#ifdef __cplusplus
}
#endif

#endif
