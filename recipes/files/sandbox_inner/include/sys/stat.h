/*
 * Linux's view of files on top of wasi-libc's: permission bits in st_mode, chmod, umask, times (times.c).
 *
 * The umask is kept in the guest; it holds for open(), fopen() and mkdir(). Every file belongs to user and group 1000,
 * the guest itself (identity.c). FIFOs and device files can't be made.
 */
#ifndef SANDBOX_SYS_STAT_H
#define SANDBOX_SYS_STAT_H

#include_next <sys/stat.h>

#ifdef __cplusplus
extern "C" {
#endif

int stat(const char *path, struct stat *out) __asm__("sandbox_stat");
int lstat(const char *path, struct stat *out) __asm__("sandbox_lstat");
int fstat(int fd, struct stat *out) __asm__("sandbox_fstat");
int fstatat(int dir, const char *path, struct stat *out, int flags) __asm__("sandbox_fstatat");
int futimens(int fd, const struct timespec times[]) __asm__("sandbox_futimens");
int utimensat(int dir, const char *path, const struct timespec times[], int flags) __asm__("sandbox_utimensat");
int mkdir(const char *path, mode_t mode) __asm__("sandbox_mkdir");
int chmod(const char *path, mode_t mode) __asm__("sandbox_chmod");
int fchmod(int fd, mode_t mode) __asm__("sandbox_fchmod");
int lchmod(const char *path, mode_t mode);
int fchmodat(int dir, const char *path, mode_t mode, int flags) __asm__("sandbox_fchmodat");
mode_t umask(mode_t mask);
int mkfifo(const char *path, mode_t mode);
int mknod(const char *path, mode_t mode, dev_t device);

#ifdef __cplusplus
}
#endif

#endif
