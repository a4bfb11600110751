/*
 * Sockets: there is no network, and no socket to a host's service either.
 */
#include "refuse.h"

#include <sys/socket.h>

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
