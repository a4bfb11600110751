/*
 * What the loader gives beyond WASI: its import module `pynbox`. Each function returns WASI's errno.
 *
 * With SANDBOX_STOCK_WASI defined, the library imports nothing but WASI and runs under any WASI engine; then no library can be loaded,
 * descriptors can't be duplicated, and permission bits are made up (0755 for directories, 0644 for all else).
 */
#ifndef SANDBOX_LOADER_H
#define SANDBOX_LOADER_H

#include <stdint.h>

#define LOADER(function) __attribute__((import_module("pynbox"), import_name(function)))

/* Where an absolute path begins. Any other WASI engine knows the descriptor that it opened for it alone. */
#ifdef SANDBOX_STOCK_WASI
#define LOADER_ROOT dir
#else
#define LOADER_ROOT (1 << 30)
#endif

/* A file's state as the loader writes it; times in nanoseconds since 1970. */
struct loader_stat {
    uint64_t dev;
    uint64_t ino;
    uint64_t nlink;
    uint32_t mode;
    uint32_t zero;
    uint64_t rdev;
    uint64_t size;
    uint64_t blksize;
    uint64_t blocks;
    int64_t atime;
    int64_t mtime;
    int64_t ctime;
    uint64_t reserved;
};

_Static_assert(sizeof(struct loader_stat) == 96, "the loader's layout");

LOADER("fd_dup") int32_t loader_fd_dup(int32_t fd, int32_t least, uint32_t *out);
LOADER("fd_dup2") int32_t loader_fd_dup2(int32_t fd, int32_t new_fd);
LOADER("fd_stat") int32_t loader_fd_stat(int32_t fd, struct loader_stat *out);
LOADER("fd_chmod") int32_t loader_fd_chmod(int32_t fd, uint32_t mode);

/* Of two numbers, the first one is to read from, the second one to write to; of a pair of sockets, each is for both. */
LOADER("fd_pipe") int32_t loader_fd_pipe(int32_t out[2]);
LOADER("fd_pair") int32_t loader_fd_pair(int32_t out[2]);
LOADER("fd_flock") int32_t loader_fd_flock(int32_t fd, uint32_t operation);
/* A directory's path, without a NUL. */
LOADER("fd_path") int32_t loader_fd_path(int32_t fd, char *path, uint32_t size, uint32_t *length);

/* Paths are relative to the directory `dir`; bit 0 of `follow` follows a link at the end. */
LOADER("path_stat")
int32_t loader_path_stat(int32_t dir, int32_t follow, const char *path, uint32_t size, struct loader_stat *out);
LOADER("path_chmod")
int32_t loader_path_chmod(int32_t dir, int32_t follow, const char *path, uint32_t size, uint32_t mode);

LOADER("path_access") int32_t loader_path_access(int32_t dir, const char *path, uint32_t size, uint32_t mode);

/* Shared libraries. A handle is never 0; an address is that of a datum, or of a function as C sees it. */
LOADER("dl_open") int32_t loader_dl_open(const char *path, uint32_t size, uint32_t flags, uint32_t *handle);
LOADER("dl_symbol") int32_t loader_dl_symbol(uint32_t handle, const char *name, uint32_t size, uint32_t *address);
LOADER("dl_close") int32_t loader_dl_close(uint32_t handle);
LOADER("dl_error") int32_t loader_dl_error(char *text, uint32_t size, uint32_t *written);

/* Functions by their signatures: see sandbox/calls.h. */
LOADER("fn_call")
int32_t loader_fn_call(void *function, const char *signature, uint32_t size, const uint64_t *arguments, uint64_t *result);
LOADER("fn_closure")
int32_t loader_fn_closure(const char *signature, uint32_t size, void *dispatcher, void *user, void **function);
LOADER("fn_release") int32_t loader_fn_release(void *function);

#endif
