/*
 * What wasi-libc's emulated signal.h lacks. raise() works, within the program; a signal can't be sent to a process: ENOSYS (signal.c).
 */
#ifndef SANDBOX_SIGNAL_H
#define SANDBOX_SIGNAL_H

#include_next <signal.h>

#define __NEED_pid_t
#include <bits/alltypes.h>

#ifdef __cplusplus
extern "C" {
#endif

int kill(pid_t pid, int signal);
int killpg(pid_t group, int signal);

#ifdef __cplusplus
}
#endif

#endif
