/*
 * Conversions between encodings, by glibc's tables. wasi-libc's own lose what they can't write (iconv.c).
 */
#ifndef SANDBOX_ICONV_H
#define SANDBOX_ICONV_H

#include_next <iconv.h>

#ifdef __cplusplus
extern "C" {
#endif

iconv_t iconv_open(const char *to, const char *from) __asm__("sandbox_iconv_open");
size_t iconv(iconv_t conversion, char **__restrict in, size_t *__restrict left, char **__restrict out, size_t *__restrict room)
    __asm__("sandbox_iconv");
int iconv_close(iconv_t conversion) __asm__("sandbox_iconv_close");

#ifdef __cplusplus
}
#endif

#endif
