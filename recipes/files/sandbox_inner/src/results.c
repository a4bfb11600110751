/*
 * Functions that give an error's number as their result, and leave errno alone: wasi-libc's give WASI's number. (pthread_create() and its kin
 * are of a library that not every program has; they only fail.)
 */
#include "errors.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define TRANSLATED(name, parameters, arguments)                                                                                                  \
    int libc_##name parameters __asm__(#name);                                                                                                   \
    int name parameters                                                                                                                          \
    {                                                                                                                                            \
        int error = libc_##name arguments;                                                                                                       \
        return error ? linux_error(error) : 0;                                                                                                   \
    }

TRANSLATED(posix_fadvise, (int fd, off_t start, off_t size, int advice), (fd, start, size, advice))
TRANSLATED(posix_fallocate, (int fd, off_t start, off_t size), (fd, start, size))
TRANSLATED(posix_memalign, (void **out, size_t alignment, size_t size), (out, alignment, size))
TRANSLATED(clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *left), (clock, flags, time, left))
TRANSLATED(pthread_mutexattr_settype, (pthread_mutexattr_t * attributes, int type), (attributes, type))
TRANSLATED(pthread_cond_timedwait,
           (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until),
           (condition, mutex, until))
TRANSLATED(pthread_condattr_setclock, (pthread_condattr_t * attributes, clockid_t clock), (attributes, clock))
TRANSLATED(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
TRANSLATED(pthread_rwlock_tryrdlock, (pthread_rwlock_t * lock), (lock))
TRANSLATED(pthread_rwlock_timedrdlock, (pthread_rwlock_t *restrict lock, const struct timespec *restrict until), (lock, until))
TRANSLATED(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
TRANSLATED(pthread_rwlock_trywrlock, (pthread_rwlock_t * lock), (lock))
TRANSLATED(pthread_rwlock_timedwrlock, (pthread_rwlock_t *restrict lock, const struct timespec *restrict until), (lock, until))
TRANSLATED(pthread_spin_trylock, (pthread_spinlock_t * lock), (lock))
TRANSLATED(pthread_key_create, (pthread_key_t * key, void (*destroy)(void *)), (key, destroy))
TRANSLATED(pthread_attr_setstacksize, (pthread_attr_t * attributes, size_t size), (attributes, size))
