/*
 * Signals: nobody sends a guest any, and glibc 2.9 has no handlers without a kernel to keep them. They are kept here, for the program that sends one to
 * itself by raise(), and for those that say at their start what is to be done. Handlers run with no signal blocked.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction actions[NSIG];

static int
exists(int number)
{
    if (number > 0 && number < NSIG)
        return 1;
    errno = EINVAL;
    return 0;
}

int
sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    struct sigaction old;

    if (!exists(number))
        return -1;
    if (action && (number == SIGKILL || number == SIGSTOP)) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&lock);
    old = actions[number];
    if (action)
        actions[number] = *action;
    pthread_mutex_unlock(&lock);
    if (before)
        *before = old;
    return 0;
}

sighandler_t
signal(int number, sighandler_t handler)
{
    struct sigaction action, before;

    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    return sigaction(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

int
siginterrupt(int number, int interrupts)
{
    (void)interrupts;
    return exists(number) ? 0 : -1;
}

int
raise(int number)
{
    struct sigaction action;
    siginfo_t about;

    if (!exists(number))
        return -1;
    pthread_mutex_lock(&lock);
    action = actions[number];
    if (action.sa_flags & SA_RESETHAND)
        memset(&actions[number], 0, sizeof actions[number]);
    pthread_mutex_unlock(&lock);
    if (action.sa_handler == SIG_IGN)
        return 0;
    if (action.sa_handler == SIG_DFL) {
        if (number == SIGCHLD || number == SIGCONT || number == SIGURG || number == SIGWINCH)
            return 0;
        abort();
    }
    if (action.sa_flags & SA_SIGINFO) {
        memset(&about, 0, sizeof about);
        about.si_signo = number;
        action.sa_sigaction(number, &about, NULL);
    } else
        action.sa_handler(number);
    return 0;
}
