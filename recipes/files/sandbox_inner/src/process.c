/*
 * Processes: the guest is the only one. None can be made, waited for, replaced or told anything.
 *
 * getpid() is wasi-libc's emulation (a constant); the parent is process 1, as for a program that init started.
 */
#include "refuse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

REFUSE(pid_t, fork, void)
REFUSE(pid_t, vfork, void)

REFUSE(int, execv, const char *, char *const[])
REFUSE(int, execve, const char *, char *const[], char *const[])
REFUSE(int, execvp, const char *, char *const[])
REFUSE(int, execl, const char *, const char *, ...)
REFUSE(int, execlp, const char *, const char *, ...)
REFUSE(int, execle, const char *, const char *, ...)
REFUSE(int, system, const char *)
REFUSE_POINTER(FILE, popen, const char *, const char *)
REFUSE(int, pclose, FILE *)

REFUSE(pid_t, wait, int *)
REFUSE(pid_t, waitpid, pid_t, int *, int)
REFUSE(pid_t, wait3, int *, int, struct rusage *)
REFUSE(pid_t, wait4, pid_t, int *, int, struct rusage *)

REFUSE(int, kill, pid_t, int)
REFUSE(int, killpg, pid_t, int)
REFUSE(pid_t, getpgid, pid_t)
REFUSE(pid_t, getsid, pid_t)
REFUSE(int, setpgid, pid_t, pid_t)
REFUSE(pid_t, setpgrp, void)
REFUSE(pid_t, setsid, void)
REFUSE(int, nice, int)

pid_t getppid(void)
{
    return 1;
}

pid_t getpgrp(void)
{
    return getpid();
}
