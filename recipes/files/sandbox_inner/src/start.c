/*
 * The entry of a program that loads libraries. wasi-libc's leaves it to the linker to call the constructors in every exported function, and
 * such a program exports all: each call of malloc() from outside would run them again. This one calls them itself, and then the linker
 * calls them nowhere. It is linked in place of wasi-libc's (-nostartfiles, in the toolchain).
 */
#include <stdlib.h>

extern void __wasm_call_ctors(void);
/* wasi-libc's: reads the arguments and calls main(). */
extern int __main_void(void);

void _start(void) __attribute__((export_name("_start")));

void _start(void)
{
    __wasm_call_ctors();
    exit(__main_void());
}
