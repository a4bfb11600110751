/*
 * Functions of one thread whose errors have Linux's numbers (results.c), and its mutexes (mutex.c).
 */
#ifndef SANDBOX_PTHREAD_H
#define SANDBOX_PTHREAD_H

#include_next <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

int pthread_mutex_lock(pthread_mutex_t *mutex) __asm__("sandbox_pthread_mutex_lock");
int pthread_mutex_trylock(pthread_mutex_t *mutex) __asm__("sandbox_pthread_mutex_trylock");
int pthread_mutex_timedlock(pthread_mutex_t *__restrict mutex, const struct timespec *__restrict until)
    __asm__("sandbox_pthread_mutex_timedlock");
int pthread_mutex_unlock(pthread_mutex_t *mutex) __asm__("sandbox_pthread_mutex_unlock");
int pthread_mutexattr_settype(pthread_mutexattr_t *attributes, int type) __asm__("sandbox_pthread_mutexattr_settype");
int pthread_cond_timedwait(pthread_cond_t *__restrict condition, pthread_mutex_t *__restrict mutex, const struct timespec *__restrict until)
    __asm__("sandbox_pthread_cond_timedwait");
int pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock) __asm__("sandbox_pthread_condattr_setclock");
int pthread_rwlock_rdlock(pthread_rwlock_t *lock) __asm__("sandbox_pthread_rwlock_rdlock");
int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock) __asm__("sandbox_pthread_rwlock_tryrdlock");
int pthread_rwlock_timedrdlock(pthread_rwlock_t *__restrict lock, const struct timespec *__restrict until)
    __asm__("sandbox_pthread_rwlock_timedrdlock");
int pthread_rwlock_wrlock(pthread_rwlock_t *lock) __asm__("sandbox_pthread_rwlock_wrlock");
int pthread_rwlock_trywrlock(pthread_rwlock_t *lock) __asm__("sandbox_pthread_rwlock_trywrlock");
int pthread_rwlock_timedwrlock(pthread_rwlock_t *__restrict lock, const struct timespec *__restrict until)
    __asm__("sandbox_pthread_rwlock_timedwrlock");
int pthread_spin_trylock(pthread_spinlock_t *lock) __asm__("sandbox_pthread_spin_trylock");
int pthread_key_create(pthread_key_t *key, void (*destroy)(void *)) __asm__("sandbox_pthread_key_create");
int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size) __asm__("sandbox_pthread_attr_setstacksize");

#ifdef __cplusplus
}
#endif

#endif
