/*
 * Texts of Linux's errors (errors.c).
 */
#ifndef SANDBOX_STRING_H
#define SANDBOX_STRING_H

#include_next <string.h>

#ifdef __cplusplus
extern "C" {
#endif

char *strerror(int error) __asm__("sandbox_strerror");
int strerror_r(int error, char *buffer, size_t size) __asm__("sandbox_strerror_r");
char *strerror_l(int error, locale_t locale) __asm__("sandbox_strerror_l");

#ifdef __cplusplus
}
#endif

#endif
