/*
 * The machine and its limits, of which a guest is told nothing that differs from host to host.
 */
#include "refuse.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define WASM_PAGE 65536

int gethostname(char *name, size_t size)
{
    static const char host[] = "sandbox";
    if (size < sizeof host) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, host, sizeof host);
    return 0;
}

int getpagesize(void)
{
    return WASM_PAGE;
}

int getdtablesize(void)
{
    return 1024;
}

int getloadavg(double averages[], int count)
{
    if (count > 3)
        count = 3;
    for (int i = 0; i < count; i++)
        averages[i] = 0;
    return count;
}

REFUSE(int, getpriority, int, id_t)
REFUSE(int, setpriority, int, id_t, int)

static int known(int resource)
{
    if (resource >= RLIMIT_CPU && resource <= RLIMIT_AS)
        return 1;
    errno = EINVAL;
    return 0;
}

int getrlimit(int resource, struct rlimit *out)
{
    if (!known(resource))
        return -1;
    out->rlim_cur = out->rlim_max = RLIM_INFINITY;
    return 0;
}

int setrlimit(int resource, const struct rlimit *limit)
{
    if (!known(resource))
        return -1;
    if (limit->rlim_cur > limit->rlim_max) {
        errno = EINVAL;
        return -1;
    }
    if (limit->rlim_cur == RLIM_INFINITY)
        return 0;
    errno = EPERM;
    return -1;
}

int getrusage(int who, struct rusage *out)
{
    memset(out, 0, sizeof *out);
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN) {
        errno = EINVAL;
        return -1;
    }
    if (who == RUSAGE_SELF) {
        /* The emulated clock(): time since the start, the only processor time that WASI tells. */
        clock_t used = clock();
        out->ru_utime.tv_sec = (time_t)(used / CLOCKS_PER_SEC);
        out->ru_utime.tv_usec = (suseconds_t)(used % CLOCKS_PER_SEC * 1000000 / CLOCKS_PER_SEC);
        out->ru_maxrss = (long)(__builtin_wasm_memory_size(0) * (WASM_PAGE / 1024));
    }
    return 0;
}

static int log_mask = LOG_UPTO(LOG_DEBUG);

void openlog(const char *name, int options, int facility)
{
}

void closelog(void)
{
}

int setlogmask(int mask)
{
    int old = log_mask;
    if (mask)
        log_mask = mask;
    return old;
}

void syslog(int priority, const char *format, ...)
{
}

void vsyslog(int priority, const char *format, va_list arguments)
{
}
