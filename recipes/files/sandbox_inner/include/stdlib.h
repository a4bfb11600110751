/*
 * What wasi-libc's stdlib.h lacks: no other program can be started (system), temporary files, resolved paths.
 */
#ifndef SANDBOX_STDLIB_H
#define SANDBOX_STDLIB_H

#include_next <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* process.c */
int system(const char *command);

/* files.c */
char *realpath(const char *path, char *resolved);

/* temporary.c */
int mkstemp(char *template);
int mkostemp(char *template, int flags);
char *mkdtemp(char *template);
char *mktemp(char *template);

/* system.c */
int getloadavg(double averages[], int count);

#ifdef __cplusplus
}
#endif

#endif
