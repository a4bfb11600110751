/*
 * Signals that a program sends to itself (signal.c), in place of wasi-libc's emulation, which knows raise() alone.
 */
#ifndef SANDBOX_SIGNAL_H
#define SANDBOX_SIGNAL_H

#include_next <signal.h>

#define __NEED_pid_t
#include <bits/alltypes.h>

#ifdef __cplusplus
extern "C" {
#endif

int kill(pid_t process, int number);
int killpg(pid_t group, int number);
int raise(int number) __asm__("sandbox_raise");
void (*signal(int number, void (*handler)(int)))(int) __asm__("sandbox_signal");

#ifdef __cplusplus
}
#endif

#endif
