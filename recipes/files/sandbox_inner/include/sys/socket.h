/*
 * What wasi-libc's sys/socket.h lacks. No socket can be made or connected: ENOSYS (socket.c).
 */
#ifndef SANDBOX_SYS_SOCKET_H
#define SANDBOX_SYS_SOCKET_H

#include_next <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

int socket(int domain, int type, int protocol);
int socketpair(int domain, int type, int protocol, int out[2]);
int bind(int fd, const struct sockaddr *address, socklen_t size);
int connect(int fd, const struct sockaddr *address, socklen_t size);
int listen(int fd, int backlog);
int accept(int fd, struct sockaddr *address, socklen_t *size);
int getsockname(int fd, struct sockaddr *address, socklen_t *size);
int getpeername(int fd, struct sockaddr *address, socklen_t *size);
int setsockopt(int fd, int level, int option, const void *value, socklen_t size);
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size);
ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size);
ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t recvmsg(int fd, struct msghdr *message, int flags);
int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) __asm__("sandbox_accept4");
ssize_t send(int fd, const void *data, size_t size, int flags) __asm__("sandbox_send");
ssize_t recv(int fd, void *data, size_t size, int flags) __asm__("sandbox_recv");
int shutdown(int fd, int how) __asm__("sandbox_shutdown");
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) __asm__("sandbox_getsockopt");

#ifdef __cplusplus
}
#endif

#endif
