/*
 * Sockets: there is no network, and no socket to a host's service either. One that was handed in can be used, by Linux's numbers.
 */
#include "refuse.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <wasi/api.h>

REFUSE(int, socket, int, int, int)
REFUSE(int, socketpair, int, int, int, int[2])
REFUSE(int, bind, int, const struct sockaddr *, socklen_t)
REFUSE(int, connect, int, const struct sockaddr *, socklen_t)
REFUSE(int, listen, int, int)
REFUSE(int, getsockname, int, struct sockaddr *, socklen_t *)
REFUSE(int, getpeername, int, struct sockaddr *, socklen_t *)
REFUSE(int, setsockopt, int, int, int, const void *, socklen_t)
REFUSE(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t)
REFUSE(ssize_t, recvfrom, int, void *, size_t, int, struct sockaddr *, socklen_t *)
REFUSE(ssize_t, sendmsg, int, const struct msghdr *, int)
REFUSE(ssize_t, recvmsg, int, struct msghdr *, int)

/* wasi-libc's own functions, and its numbers; our headers give their names to ours. */
int libc_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) __asm__("accept4");
ssize_t libc_send(int fd, const void *data, size_t size, int flags) __asm__("send");
ssize_t libc_recv(int fd, void *data, size_t size, int flags) __asm__("recv");
int libc_shutdown(int fd, int how) __asm__("shutdown");
int libc_getsockopt(int fd, int level, int option, void *value, socklen_t *size) __asm__("getsockopt");
const char *libc_inet_ntop(int family, const void *from, char *to, socklen_t size) __asm__("inet_ntop");
int libc_inet_pton(int family, const char *from, void *to) __asm__("inet_pton");

#define LIBC_SOL_SOCKET 0x7fffffff
#define LIBC_SOCK_NONBLOCK 0x4000
#define LIBC_AF_INET 1
#define LIBC_AF_INET6 2

static int refuse(int error)
{
    errno = error;
    return -1;
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return refuse(EINVAL);
    return libc_accept4(fd, address, size, flags & SOCK_NONBLOCK ? LIBC_SOCK_NONBLOCK : 0);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    /* There is no SIGPIPE to keep away. */
    if (flags & ~MSG_NOSIGNAL)
        return refuse(EOPNOTSUPP);
    return libc_send(fd, data, size, 0);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    if (flags & ~(MSG_PEEK | MSG_WAITALL))
        return refuse(EOPNOTSUPP);
    return libc_recv(fd, data, size,
                     (flags & MSG_PEEK ? __WASI_RIFLAGS_RECV_PEEK : 0) | (flags & MSG_WAITALL ? __WASI_RIFLAGS_RECV_WAITALL : 0));
}

int shutdown(int fd, int how)
{
    static const unsigned char hows[] = {
        [SHUT_RD] = __WASI_SDFLAGS_RD,
        [SHUT_WR] = __WASI_SDFLAGS_WR,
        [SHUT_RDWR] = __WASI_SDFLAGS_RD | __WASI_SDFLAGS_WR,
    };
    return how < SHUT_RD || how > SHUT_RDWR ? refuse(EINVAL) : libc_shutdown(fd, hows[how]);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    int type;
    socklen_t type_size = sizeof type;
    if (level != SOL_SOCKET || option != SO_TYPE)
        return refuse(ENOPROTOOPT);
    if (libc_getsockopt(fd, LIBC_SOL_SOCKET, SO_TYPE, &type, &type_size))
        return -1;
    type = type == __WASI_FILETYPE_SOCKET_DGRAM ? SOCK_DGRAM : SOCK_STREAM;
    if (*size > sizeof type)
        *size = sizeof type;
    __builtin_memcpy(value, &type, *size);
    return 0;
}

/* libc's number of an address family; 0, which it does not have, for any other. */
static int libc_family(int family)
{
    return family == AF_INET ? LIBC_AF_INET : family == AF_INET6 ? LIBC_AF_INET6 : 0;
}

const char *inet_ntop(int family, const void *from, char *to, socklen_t size)
{
    return libc_inet_ntop(libc_family(family), from, to, size);
}

int inet_pton(int family, const char *from, void *to)
{
    return libc_inet_pton(libc_family(family), from, to);
}
