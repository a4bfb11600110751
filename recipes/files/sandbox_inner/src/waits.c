/*
 * Waiting for descriptors, by Linux's conditions. wasi-libc's poll() refuses a descriptor of which nothing is asked, its select() every one
 * that is to be looked at for exceptions.
 */
#include "errors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <wasi/api.h>

#define READING (POLLIN | POLLRDNORM)
#define WRITING (POLLOUT | POLLWRNORM)

static __wasi_subscription_t wait_for(nfds_t at, int kind, int fd)
{
    __wasi_subscription_t out = {.userdata = at, .u.tag = (__wasi_eventtype_t)kind};
    out.u.u.fd_read.file_descriptor = (__wasi_fd_t)fd;
    return out;
}

static int is_pipe(int fd)
{
    struct stat state;
    return fstat(fd, &state) == 0 && S_ISFIFO(state.st_mode);
}

static short conditions(const __wasi_event_t *event, const struct pollfd *asked)
{
    int gone = event->fd_readwrite.flags & __WASI_EVENTRWFLAGS_FD_READWRITE_HANGUP;
    if (event->error == __WASI_ERRNO_BADF)
        return POLLNVAL;
    if (event->error)
        return POLLERR;
    if (event->type == __WASI_EVENTTYPE_FD_READ) {
        /* The end of a pipe is no bytes that can be read; that of a socket is. */
        int end = gone && event->fd_readwrite.nbytes == 0 && is_pipe(asked->fd);
        return (short)((end ? 0 : asked->events & READING) | (gone ? POLLHUP : 0));
    }
    return (short)((asked->events & WRITING) | (gone ? POLLERR : 0));
}

/* Nanoseconds; -1 is no end. */
static int wait_until(struct pollfd fds[], nfds_t count, int64_t timeout)
{
    size_t wanted = 0, came = 0;
    int found = 0;
    __wasi_subscription_t *subscriptions = calloc(2 * (size_t)count + 1, sizeof *subscriptions);
    __wasi_event_t *events = calloc(2 * (size_t)count + 1, sizeof *events);
    if (subscriptions == NULL || events == NULL) {
        free(subscriptions);
        free(events);
        errno = ENOMEM;
        return -1;
    }
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        if (fcntl(fds[i].fd, F_GETFD) < 0) {
            fds[i].revents = POLLNVAL;
            found = 1;
        } else {
            if (fds[i].events & READING)
                subscriptions[wanted++] = wait_for(i, __WASI_EVENTTYPE_FD_READ, fds[i].fd);
            if (fds[i].events & WRITING)
                subscriptions[wanted++] = wait_for(i, __WASI_EVENTTYPE_FD_WRITE, fds[i].fd);
        }
    }
    if (found || timeout >= 0) {
        __wasi_subscription_t clock = {.userdata = count, .u.tag = __WASI_EVENTTYPE_CLOCK};
        clock.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
        clock.u.u.clock.timeout = found ? 0 : (__wasi_timestamp_t)timeout;
        subscriptions[wanted++] = clock;
    }
    /* With nothing to wait for and no end, the loader says EINVAL: nothing could ever come. */
    int error = __wasi_poll_oneoff(subscriptions, events, wanted, &came);
    for (size_t i = 0; i < came; i++)
        if (events[i].type != __WASI_EVENTTYPE_CLOCK)
            fds[events[i].userdata].revents |= conditions(&events[i], &fds[events[i].userdata]);
    free(subscriptions);
    free(events);
    if (failed_with(error))
        return -1;
    found = 0;
    for (nfds_t i = 0; i < count; i++)
        found += fds[i].fd >= 0 && fds[i].revents != 0;
    return found;
}

int poll(struct pollfd fds[], nfds_t count, int timeout)
{
    return wait_until(fds, count, timeout < 0 ? -1 : timeout * INT64_C(1000000));
}

/* The descriptors of a set that are below `limit`, each asked for `events`. */
static nfds_t ask(const fd_set *set, int limit, short events, struct pollfd out[])
{
    nfds_t count = 0;
    for (size_t i = 0; set && i < set->__nfds; i++)
        if (set->__fds[i] < limit)
            out[count++] = (struct pollfd){.fd = set->__fds[i], .events = events};
    return count;
}

/* Leaves in a set what came. */
static int keep(fd_set *set, const struct pollfd fds[], nfds_t count, short conditions)
{
    if (set == NULL)
        return 0;
    FD_ZERO(set);
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents & conditions)
            FD_SET(fds[i].fd, set);
    return (int)set->__nfds;
}

static int wait_for_sets(int limit, fd_set *reading, fd_set *writing, fd_set *failing, int64_t timeout)
{
    size_t most = (reading ? reading->__nfds : 0) + (writing ? writing->__nfds : 0) + (failing ? failing->__nfds : 0);
    struct pollfd *fds = calloc(most + 1, sizeof *fds);
    if (fds == NULL) {
        errno = ENOMEM;
        return -1;
    }
    nfds_t readers = ask(reading, limit, POLLIN, fds);
    nfds_t writers = ask(writing, limit, POLLOUT, fds + readers);
    nfds_t failers = ask(failing, limit, 0, fds + readers + writers);
    int found = wait_until(fds, readers + writers + failers, timeout);
    for (nfds_t i = 0; found > 0 && i < readers + writers + failers; i++)
        if (fds[i].revents & POLLNVAL) {
            errno = EBADF;
            found = -1;
        }
    if (found >= 0)
        found = keep(reading, fds, readers, POLLIN | POLLHUP | POLLERR) + keep(writing, fds + readers, writers, POLLOUT | POLLERR)
                + keep(failing, fds + readers + writers, failers, POLLPRI);
    free(fds);
    return found;
}

int select(int limit, fd_set *reading, fd_set *writing, fd_set *failing, struct timeval *timeout)
{
    if (limit < 0 || (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0))) {
        errno = EINVAL;
        return -1;
    }
    int64_t nanoseconds = timeout ? (int64_t)timeout->tv_sec * 1000000000 + (int64_t)timeout->tv_usec * 1000 : -1;
    return wait_for_sets(limit, reading, writing, failing, nanoseconds);
}

int pselect(int limit, fd_set *reading, fd_set *writing, fd_set *failing, const struct timespec *timeout, const sigset_t *mask)
{
    if (limit < 0 || (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000))) {
        errno = EINVAL;
        return -1;
    }
    int64_t nanoseconds = timeout ? (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1;
    return wait_for_sets(limit, reading, writing, failing, nanoseconds);
}
