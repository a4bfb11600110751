/*
 * Calls by signature, which the loader makes.
 */
#include <stddef.h>
#include <string.h>

#include "failure.h"
#include "loader.h"
#include <sandbox/calls.h>

#ifdef SANDBOX_STOCK_WASI
/* No loader is there to ask. */
#define loader_fn_call(function, signature, size, arguments, result) 1
#define loader_fn_closure(signature, size, dispatcher, user, function) 1
#define loader_fn_release(function) 1
#endif

int
sandbox_call(void *function, const char *signature, const uint64_t arguments[], uint64_t *result)
{
    if (loader_fn_call(function, signature, strlen(signature), arguments, result)) {
        fail_as_told();
        return -1;
    }
    return 0;
}

void *
sandbox_make(const char *signature, sandbox_dispatcher dispatcher, void *user)
{
    void *function = NULL;

    if (loader_fn_closure(signature, strlen(signature), (void *)dispatcher, user, &function)) {
        fail_as_told();
        return NULL;
    }
    return function;
}

int
sandbox_unmake(void *function)
{
    if (loader_fn_release(function)) {
        fail_as_told();
        return -1;
    }
    return 0;
}
