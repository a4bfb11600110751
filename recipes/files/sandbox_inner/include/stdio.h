/*
 * What wasi-libc's stdio.h lacks: no other program can be started (popen), temporary files are made in /tmp.
 */
#ifndef SANDBOX_STDIO_H
#define SANDBOX_STDIO_H

/* wasi-libc declares these two as deprecated; its declarations go under other names. */
#define tmpfile deprecated_tmpfile
#define tmpnam deprecated_tmpnam
#include_next <stdio.h>
#undef tmpfile
#undef tmpnam

#ifdef __cplusplus
extern "C" {
#endif

#define TMP_MAX 10000
#define L_tmpnam 20
#define L_ctermid 20
#ifndef P_tmpdir
#define P_tmpdir "/tmp"
#endif

/* process.c */
FILE *popen(const char *command, const char *mode);
int pclose(FILE *stream);

/* create.c: files that it makes get the umask */
FILE *fopen(const char *path, const char *mode) __asm__("sandbox_fopen");

/* descriptors.c: a stream may only do what the descriptor may */
FILE *fdopen(int fd, const char *mode) __asm__("sandbox_fdopen");

/* errors.c */
void perror(const char *prefix) __asm__("sandbox_perror");

/* temporary.c */
FILE *tmpfile(void);
char *tmpnam(char *name);
char *tempnam(const char *dir, const char *prefix);

#ifdef __cplusplus
}
#endif

#endif
