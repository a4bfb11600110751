/*
 * clock() as the processor time of the guest's process; wasi-libc's emulation gives the time since some moment (system.c). The local time by
 * TZ; wasi-libc knows UTC alone (zone.c).
 */
#ifndef SANDBOX_TIME_H
#define SANDBOX_TIME_H

#include_next <time.h>

#ifdef __cplusplus
extern "C" {
#endif

clock_t clock(void) __asm__("sandbox_clock");
int clock_getres(clockid_t clock, struct timespec *out) __asm__("sandbox_clock_getres");

/* results.c */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) __asm__("sandbox_clock_nanosleep");

extern char *tzname[2];
extern long timezone;
extern int daylight;
void tzset(void);
struct tm *localtime(const time_t *time) __asm__("sandbox_localtime");
struct tm *localtime_r(const time_t *__restrict time, struct tm *__restrict out) __asm__("sandbox_localtime_r");
time_t mktime(struct tm *local) __asm__("sandbox_mktime");
char *ctime(const time_t *time) __asm__("sandbox_ctime");
char *ctime_r(const time_t *time, char *out) __asm__("sandbox_ctime_r");
size_t strftime(char *__restrict out, size_t size, const char *__restrict format, const struct tm *__restrict time)
    __asm__("sandbox_strftime");

#ifdef __cplusplus
}
#endif

#endif
