/*
 * Linux's conditions of poll(), in place of wasi-libc's (descriptors.c).
 */
#ifndef SANDBOX___HEADER_POLL_H
#define SANDBOX___HEADER_POLL_H

#include <__struct_pollfd.h>
#include <__typedef_nfds_t.h>

#define POLLIN 0x001
#define POLLPRI 0x002
#define POLLOUT 0x004
#define POLLERR 0x008
#define POLLHUP 0x010
#define POLLNVAL 0x020
#define POLLRDNORM 0x040
#define POLLRDBAND 0x080
#define POLLWRNORM 0x100
#define POLLWRBAND 0x200
#define POLLMSG 0x400

#ifdef __cplusplus
extern "C" {
#endif

int poll(struct pollfd fds[], nfds_t count, int timeout) __asm__("sandbox_poll");

#ifdef __cplusplus
}
#endif

#endif
