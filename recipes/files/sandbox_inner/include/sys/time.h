/*
 * What wasi-libc's sys/time.h lacks. Interval timers need signals: ENOSYS (signal.c).
 */
#ifndef SANDBOX_SYS_TIME_H
#define SANDBOX_SYS_TIME_H

#include_next <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ITIMER_REAL 0
#define ITIMER_VIRTUAL 1
#define ITIMER_PROF 2

struct itimerval {
    struct timeval it_interval;
    struct timeval it_value;
};

/* times.c */
int utimes(const char *path, const struct timeval times[]) __asm__("sandbox_utimes");
int futimesat(int dir, const char *path, const struct timeval times[]) __asm__("sandbox_futimesat");
int lutimes(const char *path, const struct timeval times[]);
int futimes(int fd, const struct timeval times[]);

/* system.c */
int gettimeofday(struct timeval *__restrict out, void *__restrict zone) __asm__("sandbox_gettimeofday");

/* signal.c */
int getitimer(int which, struct itimerval *out);
int setitimer(int which, const struct itimerval *value, struct itimerval *old);

#ifdef __cplusplus
}
#endif

#endif
