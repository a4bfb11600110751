/*
 * The times of files. In wasi-libc, "now" (no times at all, and UTIME_NOW) comes out as the year 1970, and so does every time before it.
 */
#include "errors.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>
#include <wasi/api.h>

#define BILLION 1000000000

/* The loader's signed nanoseconds. A time that they can't say is set to the nearest one, as a file system does that has limits. */
static __wasi_timestamp_t nanoseconds(struct timespec time)
{
    int64_t out;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, (int64_t)BILLION, &out) || __builtin_add_overflow(out, (int64_t)time.tv_nsec, &out))
        out = time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return (__wasi_timestamp_t)out;
}

/* What is to be set, as WASI wants it: of each time, its value, "now" or nothing. */
struct wanted {
    __wasi_timestamp_t values[2];
    __wasi_fstflags_t flags;
};

/* Whether a time is wrong is asked when it is known that the file is there, as Linux does. */
static int convert(const struct timespec times[], struct wanted *out)
{
    static const __wasi_fstflags_t set[] = {__WASI_FSTFLAGS_ATIM, __WASI_FSTFLAGS_MTIM};
    static const __wasi_fstflags_t now[] = {__WASI_FSTFLAGS_ATIM_NOW, __WASI_FSTFLAGS_MTIM_NOW};
    *out = (struct wanted){0};
    for (int i = 0; i < 2; i++) {
        if (times == NULL || times[i].tv_nsec == UTIME_NOW) {
            out->flags |= now[i];
        } else if (times[i].tv_nsec != UTIME_OMIT) {
            if (times[i].tv_nsec < 0 || times[i].tv_nsec >= BILLION) {
                errno = EINVAL;
                return -1;
            }
            out->flags |= set[i];
            out->values[i] = nanoseconds(times[i]);
        }
    }
    return 0;
}

/* Whether nothing is to be done: then Linux does not look at the file. */
static int nothing(const struct timespec times[])
{
    return times && times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT;
}

int futimens(int fd, const struct timespec times[])
{
    struct wanted wanted;
    struct stat state;
    if (nothing(times))
        return 0;
    if (fstat(fd, &state) || convert(times, &wanted))
        return -1;
    return failed_with(__wasi_fd_filestat_set_times(fd, wanted.values[0], wanted.values[1], wanted.flags));
}

int utimensat(int dir, const char *path, const struct timespec times[], int flags)
{
    char buffer[PATH_MAX];
    struct wanted wanted;
    struct stat state;
    if (nothing(times))
        return 0;
    if (fstatat(dir, path, &state, flags) || convert(times, &wanted) || (dir = locate(dir, &path, buffer)) < 0)
        return -1;
    __wasi_lookupflags_t follow = flags & AT_SYMLINK_NOFOLLOW ? 0 : __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
    return failed_with(__wasi_path_filestat_set_times(dir, follow, path, wanted.values[0], wanted.values[1], wanted.flags));
}

/* Microseconds made nanoseconds; NULL stays NULL, and what is wrong stays wrong. */
static const struct timespec *finer(const struct timeval times[], struct timespec out[2])
{
    for (int i = 0; times && i < 2; i++) {
        int good = times[i].tv_usec >= 0 && times[i].tv_usec < 1000000;
        out[i] = (struct timespec){.tv_sec = times[i].tv_sec, .tv_nsec = good ? (long)times[i].tv_usec * 1000 : BILLION};
    }
    return times ? out : NULL;
}

int futimesat(int dir, const char *path, const struct timeval times[])
{
    struct timespec both[2];
    return utimensat(dir, path, finer(times, both), 0);
}

int utimes(const char *path, const struct timeval times[])
{
    return futimesat(AT_FDCWD, path, times);
}

int lutimes(const char *path, const struct timeval times[])
{
    struct timespec both[2];
    return utimensat(AT_FDCWD, path, finer(times, both), AT_SYMLINK_NOFOLLOW);
}

int futimes(int fd, const struct timeval times[])
{
    struct timespec both[2];
    return futimens(fd, finer(times, both));
}

int utime(const char *path, const struct utimbuf *times)
{
    if (times == NULL)
        return utimensat(AT_FDCWD, path, NULL, 0);
    struct timespec both[] = {{.tv_sec = times->actime}, {.tv_sec = times->modtime}};
    return utimensat(AT_FDCWD, path, both, 0);
}
