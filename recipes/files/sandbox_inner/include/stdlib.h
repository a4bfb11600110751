/*
 * What wasi-libc's stdlib.h lacks: no other program can be started (system), temporary files.
 */
#ifndef SANDBOX_STDLIB_H
#define SANDBOX_STDLIB_H

#include_next <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* process.c */
int system(const char *command);

/* results.c */
int posix_memalign(void **out, size_t alignment, size_t size) __asm__("sandbox_posix_memalign");

/* temporary.c */
int mkstemp(char *pattern);
int mkostemp(char *pattern, int flags);
char *mkdtemp(char *pattern);
char *mktemp(char *pattern);

/* system.c */
int getloadavg(double averages[], int count);

#ifdef __cplusplus
}
#endif

#endif
