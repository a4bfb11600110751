/*
 * Mutexes of the one thread, by their types. wasi-libc's take every mutex for a recursive one that is not, and the other way round. (It counts in
 * the same place, where its conditions look whether a mutex is held.)
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>

#define TYPE(mutex) ((mutex)->__u.__i[0] & (PTHREAD_MUTEX_RECURSIVE | PTHREAD_MUTEX_ERRORCHECK))
#define COUNT(mutex) ((mutex)->__u.__i[5])

/* Gives `held` if it is held, and once is enough. */
static int take(pthread_mutex_t *mutex, int held)
{
    if (COUNT(mutex) && TYPE(mutex) != PTHREAD_MUTEX_RECURSIVE)
        return held;
    if (COUNT(mutex) == INT_MAX)
        return EAGAIN;
    COUNT(mutex)++;
    return 0;
}

/* Linux would wait for ever: nobody else could give it back. */
int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    return take(mutex, EDEADLK);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return take(mutex, EBUSY);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    int error = take(mutex, TYPE(mutex) == PTHREAD_MUTEX_ERRORCHECK ? EDEADLK : ETIMEDOUT);
    int slept = error == ETIMEDOUT ? clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL) : 0;
    return slept ? slept : error;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (COUNT(mutex) == 0)
        return EPERM;
    COUNT(mutex)--;
    return 0;
}
