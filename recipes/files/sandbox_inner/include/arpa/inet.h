/*
 * What wasi-libc's arpa/inet.h lacks (netdb.c).
 */
#ifndef SANDBOX_ARPA_INET_H
#define SANDBOX_ARPA_INET_H

#include_next <arpa/inet.h>

#ifdef __cplusplus
extern "C" {
#endif

char *inet_ntoa(struct in_addr address);
in_addr_t inet_addr(const char *text);
const char *inet_ntop(int family, const void *from, char *to, socklen_t size) __asm__("sandbox_inet_ntop");
int inet_pton(int family, const char *from, void *to) __asm__("sandbox_inet_pton");

#ifdef __cplusplus
}
#endif

#endif
