/*
 * Waiting for a time alone, as programs do with select() and poll(). Nothing can wait for descriptors: that stays ENOSYS.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/select.h>
#include <time.h>

static int
wait_for(long seconds, long nanoseconds)
{
    struct timespec moment = {seconds, nanoseconds};

    return nanosleep(&moment, NULL);
}

int
select(int count, fd_set *reading, fd_set *writing, fd_set *failing, struct timeval *timeout)
{
    if (count > 0 && (reading || writing || failing)) {
        errno = ENOSYS;
        return -1;
    }
    if (count < 0 || timeout == NULL || timeout->tv_sec < 0 || timeout->tv_usec < 0) {
        errno = EINVAL;
        return -1;
    }
    return wait_for(timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000);
}

int
poll(struct pollfd *fds, nfds_t count, int timeout)
{
    (void)fds;
    if (count > 0) {
        errno = ENOSYS;
        return -1;
    }
    if (timeout < 0) {
        errno = EINVAL;
        return -1;
    }
    return wait_for(timeout / 1000, timeout % 1000 * 1000000L);
}
