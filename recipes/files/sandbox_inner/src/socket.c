/*
 * Sockets: there is no network, and no socket to a host's service either. A program can make a pair of its own. Numbers are Linux's.
 */
#include "errors.h"
#include "loader.h"
#include "refuse.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <wasi/api.h>

REFUSE(int, socket, int, int, int)
REFUSE(int, bind, int, const struct sockaddr *, socklen_t)
REFUSE(int, connect, int, const struct sockaddr *, socklen_t)
REFUSE(int, listen, int, int)

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

#ifdef SANDBOX_STOCK_WASI
static int make_pair(int out[2])
{
    return refuse(ENOSYS);
}
#else
static int make_pair(int out[2])
{
    return failed_with(loader_fd_pair(out));
}
#endif

int socketpair(int domain, int type, int protocol, int out[2])
{
    int made[2], flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (domain != AF_UNIX)
        return refuse(domain == AF_INET || domain == AF_INET6 ? EOPNOTSUPP : EAFNOSUPPORT);
    if (protocol != 0 && protocol != PF_UNIX)
        return refuse(EPROTONOSUPPORT);
    if ((type & ~flags) != SOCK_STREAM)
        return refuse(ESOCKTNOSUPPORT);
    if (make_pair(made))
        return -1;
    if (flags & SOCK_NONBLOCK) {
        fcntl(made[0], F_SETFL, O_NONBLOCK);
        fcntl(made[1], F_SETFL, O_NONBLOCK);
    }
    memcpy(out, made, sizeof made);
    return 0;
}

/* Whether it is a socket of a pair; of one of the host's, ENOSYS. */
static int check_pair(int fd)
{
    __wasi_size_t got;
    __wasi_roflags_t flags;
    __wasi_iovec_t nothing = {.buf = NULL, .buf_len = 0};
    int error = __wasi_sock_recv(fd, &nothing, 1, 0, &got, &flags);
    return error == __WASI_ERRNO_AGAIN ? 0 : failed_with(error);
}

/* Sockets of a pair have no name. */
int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    struct sockaddr unnamed = {.sa_family = AF_UNIX};
    if (check_pair(fd))
        return -1;
    memcpy(address, &unnamed, *size < sizeof unnamed ? *size : sizeof unnamed);
    *size = sizeof unnamed.sa_family;
    return 0;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    return getsockname(fd, address, size);
}

/* What can be set of any socket makes no difference to these. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    if (check_pair(fd))
        return -1;
    return level == SOL_SOCKET ? 0 : refuse(EOPNOTSUPP);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size)
{
    if (to && check_pair(fd) == 0)
        return refuse(EISCONN);
    return send(fd, data, size, flags);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size)
{
    if (from_size)
        *from_size = 0;
    return recv(fd, data, size, flags);
}

/* Nothing but bytes can be sent: there is nobody else to give a descriptor to. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (check_pair(fd))
        return -1;
    if (message->msg_controllen > 0 || flags & ~MSG_NOSIGNAL)
        return refuse(EOPNOTSUPP);
    return writev(fd, message->msg_iov, message->msg_iovlen);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    if (check_pair(fd))
        return -1;
    if (flags)
        return refuse(EOPNOTSUPP);
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = 0;
    return readv(fd, message->msg_iov, message->msg_iovlen);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return refuse(EINVAL);
    return libc_accept4(fd, address, size, flags & SOCK_NONBLOCK ? LIBC_SOCK_NONBLOCK : 0);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    /* There is no SIGPIPE to keep away, and nobody waits. */
    if (flags & ~(MSG_NOSIGNAL | MSG_DONTWAIT))
        return refuse(EOPNOTSUPP);
    return libc_send(fd, data, size, 0);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    if (flags & ~(MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT))
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
    if (check_pair(fd))
        return -1;
    return how < SHUT_RD || how > SHUT_RDWR ? refuse(EINVAL) : libc_shutdown(fd, hows[how]);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    int type;
    socklen_t type_size = sizeof type;
    if (level == SOL_SOCKET && option == SO_ERROR) {
        if (check_pair(fd))
            return -1;
        type = 0;
        *size = *size < sizeof type ? *size : sizeof type;
        memcpy(value, &type, *size);
        return 0;
    }
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
