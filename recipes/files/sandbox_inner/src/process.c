/*
 * Processes: the guest is the only one, in a group and a session of its own. None can be made, waited for or replaced.
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
REFUSE_POINTER(FILE, popen, const char *, const char *)
REFUSE(int, pclose, FILE *)

REFUSE(pid_t, wait, int *)
REFUSE(pid_t, waitpid, pid_t, int *, int)
REFUSE(pid_t, wait3, int *, int, struct rusage *)
REFUSE(pid_t, wait4, pid_t, int *, int, struct rusage *)

/* Without a command it is a question: is there a shell? */
int system(const char *command)
{
    if (command == NULL)
        return 0;
    errno = ENOSYS;
    return -1;
}

pid_t getppid(void)
{
    return 1;
}

pid_t getpgrp(void)
{
    return getpid();
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

static int is_self(pid_t process)
{
    return process == 0 || process == getpid();
}

pid_t getpgid(pid_t process)
{
    return is_self(process) ? getpgrp() : refuse(ESRCH);
}

pid_t getsid(pid_t process)
{
    return is_self(process) ? getpid() : refuse(ESRCH);
}

/* Who leads a session stays in it. */
int setpgid(pid_t process, pid_t group)
{
    return refuse(group < 0 ? EINVAL : is_self(process) ? EPERM : ESRCH);
}

pid_t setpgrp(void)
{
    return setpgid(0, 0);
}

pid_t setsid(void)
{
    return refuse(EPERM);
}

/* The host decides how much the guest runs: it is as nice as any, and stays so. */
int getpriority(int which, id_t who)
{
    if (which != PRIO_PROCESS && which != PRIO_PGRP && which != PRIO_USER)
        return refuse(EINVAL);
    return which == PRIO_USER || is_self((pid_t)who) ? 0 : refuse(ESRCH);
}

int setpriority(int which, id_t who, int priority)
{
    if (getpriority(which, who) < 0)
        return -1;
    return priority == 0 ? 0 : refuse(priority < 0 ? EACCES : ENOSYS);
}

int nice(int increment)
{
    return increment == 0 ? 0 : refuse(increment < 0 ? EPERM : ENOSYS);
}
