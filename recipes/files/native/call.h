/* What the parts of the runtime have of each other: runtime.c; call.c, with calls by types that are known at run time alone; exceptions.c. */
#ifndef NATIVE_CALL_H
#define NATIVE_CALL_H

#include "runtime.h"

/* Leaves the guest code that was entered last. */
_Noreturn void native_leave(enum native_end end);

/* The most parameters of a function that is called so. */
#define NATIVE_PARAMETERS 255

/* Makes the call, in guest code. A type that has no room ends the guest. */
void native_by_type(struct native_link function, const char *type, const uint64_t *arguments, uint64_t *result);

/* What code of closures calls; gives the result. */
uint64_t native_closed(const struct native_closure *closure, const uint64_t *arguments);

#endif
