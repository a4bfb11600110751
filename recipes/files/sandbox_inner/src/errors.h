/* WASI's error numbers, as the loader and wasi-libc's lower functions give them, made Linux's. */
#ifndef SANDBOX_ERRORS_H
#define SANDBOX_ERRORS_H

int linux_error(int wasi);

/* 0 for 0; else sets errno and gives -1. */
int failed_with(int wasi);

#endif
