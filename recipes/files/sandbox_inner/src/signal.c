/*
 * Signals that the program sends to itself. Nobody else sends any, and none comes by itself: there are no timers. wasi-libc's emulation ends
 * the program as by a crash, whatever the signal, and jumps to address 0 for one that it does not know.
 *
 * A signal whose action is to end the program gives the status that a shell shows for it, 128 and its number.
 */
#include "refuse.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

REFUSE(int, getitimer, int, struct itimerval *)
REFUSE(int, setitimer, int, const struct itimerval *, struct itimerval *)

static sighandler_t handlers[_NSIG];

/* 32 and 33 are glibc's own, as they are natively. */
static int known(int number)
{
    if (number > 0 && number < _NSIG && number != 32 && number != 33)
        return 1;
    errno = EINVAL;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler)
{
    if (!known(number))
        return SIG_ERR;
    if (number == SIGKILL || number == SIGSTOP || handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sighandler_t before = handlers[number];
    handlers[number] = handler;
    return before;
}

static int act_by_default(int number)
{
    switch (number) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
    case SIGCONT:
        return 0;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        /* Nobody would let the program go on. */
        errno = ENOSYS;
        return -1;
    case SIGABRT:
        abort();
    default:
        _exit(128 + number);
    }
}

int raise(int number)
{
    if (!known(number))
        return -1;
    sighandler_t handler = handlers[number];
    if (handler == SIG_DFL)
        return act_by_default(number);
    if (handler != SIG_IGN)
        handler(number);
    return 0;
}

/* To the program itself, or to its group, in which nobody else is. Signal 0 asks whether somebody is there. */
static int send(int number)
{
    return number == 0 ? 0 : raise(number);
}

/* Process 1 is there, but nothing can be sent to it (nor to "all", which is -1); any other is not there. */
int kill(pid_t process, int number)
{
    if (process == getpid() || process == 0 || process == -getpgrp())
        return send(number);
    if (number < 0 || number >= _NSIG)
        errno = EINVAL;
    else
        errno = process == getppid() || process == -1 ? ENOSYS : ESRCH;
    return -1;
}

int killpg(pid_t group, int number)
{
    return kill(-group, number);
}
