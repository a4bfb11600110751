/*
 * Locales: "C" and "C.UTF-8". wasi-libc takes any name for one, and changes nothing (locale.c).
 */
#ifndef SANDBOX_LOCALE_H
#define SANDBOX_LOCALE_H

#include_next <locale.h>

#ifdef __cplusplus
extern "C" {
#endif

char *setlocale(int category, const char *name) __asm__("sandbox_setlocale");

#ifdef __cplusplus
}
#endif

#endif
