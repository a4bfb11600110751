/*
 * errno, in place of wasi-libc's variable, which holds WASI's numbers (errors.c).
 */
#ifndef SANDBOX___ERRNO_H
#define SANDBOX___ERRNO_H

#ifdef __cplusplus
extern "C" {
#endif

int *sandbox_errno(void);
#define errno (*sandbox_errno())

#ifdef __cplusplus
}
#endif

#endif
