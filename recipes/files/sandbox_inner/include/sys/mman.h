/*
 * Memory maps, in place of wasi-libc's emulation, which never writes a map back and can't protect any.
 *
 * A map is a copy of the file's bytes (mman.c). What a shared, writable map holds is written to the file by msync() and munmap(), not
 * before; what others write to the file meanwhile is not seen. Protection is not enforced; nothing in a map can be
 * executed, whatever is asked.
 */
#ifndef SANDBOX_SYS_MMAN_H
#define SANDBOX_SYS_MMAN_H

#ifndef _WASI_EMULATED_MMAN
#define _WASI_EMULATED_MMAN
#endif

#include_next <sys/mman.h>

#ifdef __cplusplus
extern "C" {
#endif

void *mmap(void *wanted, size_t size, int protection, int flags, int fd, off_t offset) __asm__("sandbox_mmap");
int munmap(void *start, size_t size) __asm__("sandbox_munmap");
int mprotect(void *start, size_t size, int protection) __asm__("sandbox_mprotect");

#ifdef __cplusplus
}
#endif

#endif
