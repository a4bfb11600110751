/*
 * Network names. There is nobody to ask, and no file that lists them: addresses in digits, `localhost` and the machine's own name are known, as
 * where a machine has no network. Names of services and protocols are not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define NO_NETWORK "the sandbox has no network, and knows no names but localhost"

int h_errno;

static const char local[] = "localhost";

static int is_local(const char *name)
{
    char own[64];
    return strcasecmp(name, local) == 0 || (gethostname(own, sizeof own) == 0 && strcmp(name, own) == 0);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* One member of a list, with what it points to. */
struct found {
    struct addrinfo info;
    union address address;
    char name[];
};

/* The types of sockets, in the order in which Linux lists them. */
static const struct {
    int type, protocol;
} kinds[] = {{SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP}, {SOCK_RAW, 0}};

#define KINDS (sizeof kinds / sizeof *kinds)

static void set_v4(union address *out, in_addr_t number)
{
    out->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = number};
}

static void set_v6(union address *out, const struct in6_addr *number)
{
    out->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = *number};
}

/* Without a name: this machine, or for those who listen all of its addresses. IPv6 only where it is asked for. */
static int find_own(int family, int flags, union address *out)
{
    int passive = flags & AI_PASSIVE;
    if (family == AF_INET6)
        set_v6(out, passive ? &in6addr_any : &in6addr_loopback);
    else
        set_v4(out, htonl(passive ? INADDR_ANY : INADDR_LOOPBACK));
    return 0;
}

static int find(const char *node, int family, int flags, union address *out)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (node == NULL)
        return find_own(family, flags, out);
    if (inet_aton(node, &v4)) {
        if (family != AF_INET6) {
            set_v4(out, v4.s_addr);
            return 0;
        }
        if (!(flags & AI_V4MAPPED))
            return EAI_ADDRFAMILY;
        v6 = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(v6.s6_addr + 12, &v4, sizeof v4);
        set_v6(out, &v6);
        return 0;
    }
    if (inet_pton(AF_INET6, node, &v6) == 1) {
        set_v6(out, &v6);
        return family == AF_INET ? EAI_ADDRFAMILY : 0;
    }
    if (flags & AI_NUMERICHOST || *node == '\0')
        return EAI_NONAME;
    return is_local(node) ? find_own(family, 0, out) : EAI_FAIL;
}

static int find_port(const char *service, int flags, in_port_t *out)
{
    char *end;
    *out = 0;
    if (service == NULL)
        return 0;
    unsigned long number = strtoul(service, &end, 10);
    if (*end || end == service)
        return flags & AI_NUMERICSERV ? EAI_NONAME : EAI_SERVICE;
    *out = htons((in_port_t)number);
    return 0;
}

static struct addrinfo *add(const union address *address, int type, int protocol, const char *name)
{
    struct found *out = calloc(1, sizeof *out + (name ? strlen(name) + 1 : 0));
    if (out == NULL)
        return NULL;
    out->address = *address;
    out->info = (struct addrinfo){.ai_family = address->any.sa_family, .ai_socktype = type, .ai_protocol = protocol};
    out->info.ai_addr = &out->address.any;
    out->info.ai_addrlen = address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
    if (name)
        out->info.ai_canonname = strcpy(out->name, name);
    return &out->info;
}

#define AI_KNOWN (AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_V4MAPPED | AI_ALL | AI_ADDRCONFIG | AI_NUMERICSERV)

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    static const struct addrinfo nothing = {0};
    union address address;
    in_port_t port;
    const struct addrinfo *asked = hints ? hints : &nothing;
    struct addrinfo *first = NULL, **next = &first;

    if (node == NULL && service == NULL)
        return EAI_NONAME;
    if (asked->ai_flags & ~AI_KNOWN || (asked->ai_flags & AI_CANONNAME && node == NULL))
        return EAI_BADFLAGS;
    if (asked->ai_family != AF_UNSPEC && asked->ai_family != AF_INET && asked->ai_family != AF_INET6)
        return EAI_FAMILY;
    /* The first kind that is like the one asked for, or all of them. */
    int any = asked->ai_socktype == 0 && asked->ai_protocol == 0;
    size_t kind = 0;
    while (kind < KINDS && !any
           && ((asked->ai_socktype && asked->ai_socktype != kinds[kind].type)
               || (asked->ai_protocol && kinds[kind].protocol && asked->ai_protocol != kinds[kind].protocol)))
        kind++;
    if (kind == KINDS)
        return asked->ai_socktype ? EAI_SOCKTYPE : EAI_SERVICE;
    /* Raw sockets have no ports. */
    int error = service && kinds[kind].type == SOCK_RAW ? EAI_SERVICE : find_port(service, asked->ai_flags, &port);
    if (error)
        return error;
    error = find(node, asked->ai_family, asked->ai_flags, &address);
    if (error)
        return error;
    if (address.any.sa_family == AF_INET6)
        address.v6.sin6_port = port;
    else
        address.v4.sin_port = port;
    for (size_t end = any ? KINDS : kind + 1; kind < end; kind++) {
        int protocol = kinds[kind].protocol ? kinds[kind].protocol : asked->ai_protocol;
        *next = add(&address, kinds[kind].type, protocol, asked->ai_flags & AI_CANONNAME && next == &first ? node : NULL);
        if (*next == NULL) {
            freeaddrinfo(first);
            return EAI_MEMORY;
        }
        next = &(*next)->ai_next;
    }
    *out = first;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

static int fits(char *out, socklen_t size, const char *text)
{
    if (out == NULL || size == 0)
        return 1;
    return snprintf(out, size, "%s", text) < (int)size;
}

int getnameinfo(const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
                socklen_t service_size, int flags)
{
    char digits[INET6_ADDRSTRLEN], port[6];
    const union address *from = (const union address *)address;
    int loopback;

    if (flags & ~(NI_NUMERICHOST | NI_NUMERICSERV | NI_NOFQDN | NI_NAMEREQD | NI_DGRAM))
        return EAI_BADFLAGS;
    if (address && size >= sizeof from->v4 && address->sa_family == AF_INET) {
        loopback = ntohl(from->v4.sin_addr.s_addr) == INADDR_LOOPBACK;
        inet_ntop(AF_INET, &from->v4.sin_addr, digits, sizeof digits);
        snprintf(port, sizeof port, "%u", ntohs(from->v4.sin_port));
    } else if (address && size >= sizeof from->v6 && address->sa_family == AF_INET6) {
        loopback = IN6_IS_ADDR_LOOPBACK(&from->v6.sin6_addr);
        inet_ntop(AF_INET6, &from->v6.sin6_addr, digits, sizeof digits);
        snprintf(port, sizeof port, "%u", ntohs(from->v6.sin6_port));
    } else {
        return EAI_FAMILY;
    }
    int named = loopback && !(flags & NI_NUMERICHOST);
    if (host && flags & NI_NAMEREQD && !named)
        return flags & NI_NUMERICHOST ? EAI_NONAME : EAI_FAIL;
    return fits(host, host_size, named ? local : digits) && fits(service, service_size, port) ? 0 : EAI_OVERFLOW;
}

/* In glibc's words, but for what it would say of a server that it asked. */
const char *gai_strerror(int error)
{
    switch (error) {
    case EAI_BADFLAGS:
        return "Bad value for ai_flags";
    case EAI_NONAME:
        return "Name or service not known";
    case EAI_AGAIN:
        return "Temporary failure in name resolution";
    case EAI_FAIL:
        return NO_NETWORK;
    case EAI_FAMILY:
        return "ai_family not supported";
    case EAI_SOCKTYPE:
        return "ai_socktype not supported";
    case EAI_SERVICE:
        return "Servname not supported for ai_socktype";
    case EAI_ADDRFAMILY:
        return "Address family for hostname not supported";
    case EAI_MEMORY:
        return "Memory allocation failure";
    case EAI_SYSTEM:
        return "System error";
    case EAI_OVERFLOW:
        return "Result too large for supplied buffer";
    default:
        return "Unknown error";
    }
}

/* The entry of an address of IPv4, which is written over by the next. */
static struct hostent *entry(const char *name, struct in_addr address)
{
    static struct in_addr held;
    static char held_name[256];
    static char *aliases[] = {NULL}, *addresses[] = {(char *)&held, NULL};
    static struct hostent out = {
        .h_name = held_name, .h_aliases = aliases, .h_addrtype = AF_INET, .h_length = sizeof held, .h_addr_list = addresses};

    held = address;
    snprintf(held_name, sizeof held_name, "%s", name);
    return &out;
}

struct hostent *gethostbyname(const char *name)
{
    struct in_addr address;
    if (inet_aton(name, &address))
        return entry(name, address);
    if (is_local(name))
        return entry(local, (struct in_addr){htonl(INADDR_LOOPBACK)});
    h_errno = NO_RECOVERY;
    return NULL;
}

struct hostent *gethostbyaddr(const void *address, socklen_t size, int family)
{
    struct in_addr v4;
    if (family == AF_INET && size == sizeof v4) {
        memcpy(&v4, address, sizeof v4);
        if (ntohl(v4.s_addr) == INADDR_LOOPBACK)
            return entry(local, v4);
    }
    h_errno = NO_RECOVERY;
    return NULL;
}

const char *hstrerror(int error)
{
    return error == NO_RECOVERY ? NO_NETWORK : error == 0 ? "Resolver Error 0 (no error)" : "Unknown host";
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
