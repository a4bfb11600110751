/*
 * An error that programs name and wasi-libc does not have. Nothing here gives it.
 */
#ifndef SANDBOX_ERRNO_H
#define SANDBOX_ERRNO_H

#include_next <errno.h>

#define ESHUTDOWN 108

#endif
