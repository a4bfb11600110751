/* The flags of open files, in Linux's numbers and in those of wasi-libc. */
#ifndef SANDBOX_FLAGS_H
#define SANDBOX_FLAGS_H

int wasi_flags(int linux_flags);
int linux_flags(int wasi_flags);

#endif
