/*
 * What glibc 2.9 would ask a kernel about files, and nobody has to be asked.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

/* The loader gives a new file to its owner alone, so this changes nothing that a mask in use would. It is kept for who sets it and sets it back. */
mode_t
umask(mode_t mask)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static mode_t now = 077;
    mode_t before;

    pthread_mutex_lock(&lock);
    before = now;
    now = mask & 0777;
    pthread_mutex_unlock(&lock);
    return before;
}

/* A mapped file is the kernel's own copy of it, which everybody who reads the file sees at once. */
int
msync(void *start, size_t size, int flags)
{
    (void)size;
    if ((uintptr_t)start % 65536 || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (flags & MS_ASYNC && flags & MS_SYNC)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

/* The loader has the other function of this kind. */
int
utime(const char *path, const struct utimbuf *times)
{
    struct timeval both[2];

    if (times == NULL)
        return utimes(path, NULL);
    both[0].tv_sec = times->actime;
    both[1].tv_sec = times->modtime;
    both[0].tv_usec = both[1].tv_usec = 0;
    return utimes(path, both);
}
