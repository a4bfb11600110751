/*
 * Network names: nobody to ask, and no files that list them. Conversions of addresses that need nobody work.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>

int h_errno;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    errno = ENOSYS;
    return EAI_SYSTEM;
}

void freeaddrinfo(struct addrinfo *list)
{
}

int getnameinfo(const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
                socklen_t service_size, int flags)
{
    errno = ENOSYS;
    return EAI_SYSTEM;
}

const char *gai_strerror(int error)
{
    return error == EAI_SYSTEM ? "Function not implemented" : "Name resolution is not available";
}

struct hostent *gethostbyname(const char *name)
{
    h_errno = NO_RECOVERY;
    return NULL;
}

struct hostent *gethostbyaddr(const void *address, socklen_t size, int family)
{
    h_errno = NO_RECOVERY;
    return NULL;
}

const char *hstrerror(int error)
{
    return "Name resolution is not available";
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    return NULL;
}

struct servent *getservbyport(int port, const char *protocol)
{
    return NULL;
}

struct protoent *getprotobyname(const char *name)
{
    return NULL;
}

struct protoent *getprotobynumber(int protocol)
{
    return NULL;
}

char *inet_ntoa(struct in_addr address)
{
    static char text[16];
    return (char *)inet_ntop(AF_INET, &address, text, sizeof text);
}

in_addr_t inet_addr(const char *text)
{
    struct in_addr address;
    return inet_aton(text, &address) ? address.s_addr : (in_addr_t)-1;
}
