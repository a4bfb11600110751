/*
 * The machine and its limits, of which a guest is told nothing that differs from host to host.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
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

int getdtablesize(void)
{
    return 1024;
}

/* wasi-libc's own function; our header gives its name to ours. */
long libc_sysconf(int name) __asm__("sysconf");

long sysconf(int name)
{
    return name == _SC_OPEN_MAX ? getdtablesize() : libc_sysconf(name);
}

int getloadavg(double averages[], int count)
{
    if (count > 3)
        count = 3;
    for (int i = 0; i < count; i++)
        averages[i] = 0;
    return count;
}

/* wasi-libc's own functions, which write to address 0 where NULL is nobody's place; our headers give their names to ours. */
int libc_clock_getres(clockid_t clock, struct timespec *out) __asm__("clock_getres");
int libc_gettimeofday(struct timeval *out, void *zone) __asm__("gettimeofday");

int clock_getres(clockid_t clock, struct timespec *out)
{
    struct timespec ignored;
    return libc_clock_getres(clock, out ? out : &ignored);
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    if (zone)
        memset(zone, 0, sizeof(struct timezone));
    return out ? libc_gettimeofday(out, NULL) : 0;
}

static struct timespec processor_time(void)
{
    struct timespec used;
    /* A WASI engine may not have this clock. */
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) && clock_gettime(CLOCK_MONOTONIC, &used))
        used = (struct timespec){0};
    return used;
}

static clock_t in_units(struct timespec time, long per_second)
{
    return (clock_t)time.tv_sec * per_second + time.tv_nsec / (1000000000 / per_second);
}

clock_t clock(void)
{
    return in_units(processor_time(), CLOCKS_PER_SEC);
}

/* Other than clock(), in units of sysconf(_SC_CLK_TCK). */
clock_t times(struct tms *out)
{
    long per_second = sysconf(_SC_CLK_TCK);
    struct timespec now;
    if (out)
        *out = (struct tms){.tms_utime = in_units(processor_time(), per_second)};
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return (clock_t)-1;
    return in_units(now, per_second);
}

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
        struct timespec used = processor_time();
        out->ru_utime.tv_sec = used.tv_sec;
        out->ru_utime.tv_usec = used.tv_nsec / 1000;
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
