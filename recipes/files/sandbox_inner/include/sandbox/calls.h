/*
 * Calling functions, and making them, by signatures that are known at run time alone. The loader does it: WebAssembly itself calls only
 * what the compiler knew.
 *
 * A signature is text: a letter for each parameter (i and l: integers of 32 and 64 bits, f and d: float and double), `>`, and the result's
 * letter if there is one. An argument or result takes 8 bytes, of which the first ones count.
 */
#ifndef SANDBOX_CALLS_H
#define SANDBOX_CALLS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calls a function. -1 if it is none of that signature: nothing was called then, and dlerror() says why. */
int sandbox_call(void *function, const char *signature, const uint64_t arguments[], uint64_t *result);

/* What a made function calls: it reads the arguments and writes the result. */
typedef void (*sandbox_dispatcher)(void *user, const uint64_t arguments[], uint64_t *result);

/* Makes a function; NULL if that can't be done, and dlerror() says why. */
void *sandbox_make(const char *signature, sandbox_dispatcher dispatcher, void *user);

/* Takes a made function back. */
int sandbox_unmake(void *function);

#ifdef __cplusplus
}
#endif

#endif
