/*
 * A file's state and mode, as Linux shows them.
 */
#include "errors.h"
#include "identity.h"
#include "loader.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc-find-relpath.h>
#include <wasi/libc.h>

#define PERMISSIONS 07777

int locate(int dir, const char **path, char *buffer)
{
    if (dir != AT_FDCWD && (*path)[0] != '/')
        return dir;
    const char *prefix;
    dir = __wasilibc_find_relpath(*path, &prefix, &buffer, PATH_MAX);
    if (dir < 0) {
        if (errno == ERANGE)
            errno = ENAMETOOLONG;
        return -1;
    }
    *path = buffer;
    return dir;
}

#ifdef SANDBOX_STOCK_WASI

/* wasi-libc's own functions; our headers give their names to ours. */
int libc_faccessat(int dir, const char *path, int mode, int flags) __asm__("faccessat");
int libc_fstat(int fd, struct stat *out) __asm__("fstat");
int libc_fstatat(int dir, const char *path, struct stat *out, int flags) __asm__("fstatat");

static int complete(int failed, struct stat *out)
{
    if (failed)
        return -1;
    out->st_mode |= S_ISDIR(out->st_mode) ? 0755 : 0644;
    out->st_uid = SANDBOX_UID;
    out->st_gid = SANDBOX_GID;
    return 0;
}

int fstat(int fd, struct stat *out)
{
    return complete(libc_fstat(fd, out), out);
}

int fstatat(int dir, const char *path, struct stat *out, int flags)
{
    return complete(libc_fstatat(dir, path, out, flags), out);
}

int fchmod(int fd, mode_t mode)
{
    errno = ENOSYS;
    return -1;
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
    errno = ENOSYS;
    return -1;
}

/* wasi-libc's access() says whether the file is there and what its mount allows; the rest is in the mode that is made up here. */
int faccessat(int dir, const char *path, int mode, int flags)
{
    struct stat state;
    if (libc_faccessat(dir, path, mode & ~X_OK, 0))
        return -1;
    if (mode & X_OK && fstatat(dir, path, &state, 0) == 0 && !(state.st_mode & 0111)) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

#else

static struct timespec time_of(int64_t nanoseconds)
{
    int64_t seconds = nanoseconds / 1000000000, rest = nanoseconds % 1000000000;
    if (rest < 0) {
        seconds -= 1;
        rest += 1000000000;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = (long)rest};
}

static int convert(int error, const struct loader_stat *from, struct stat *to)
{
    if (error)
        return failed_with(error);
    *to = (struct stat){
        .st_dev = from->dev,
        .st_ino = from->ino,
        .st_nlink = from->nlink,
        .st_mode = from->mode,
        .st_uid = SANDBOX_UID,
        .st_gid = SANDBOX_GID,
        .st_rdev = from->rdev,
        .st_size = (off_t)from->size,
        .st_blksize = (blksize_t)from->blksize,
        .st_blocks = (blkcnt_t)from->blocks,
        .st_atim = time_of(from->atime),
        .st_mtim = time_of(from->mtime),
        .st_ctim = time_of(from->ctime),
    };
    return 0;
}

int fstat(int fd, struct stat *out)
{
    struct loader_stat from;
    return convert(loader_fd_stat(fd, &from), &from, out);
}

int fchmod(int fd, mode_t mode)
{
    return failed_with(loader_fd_chmod(fd, mode & PERMISSIONS));
}

int fstatat(int dir, const char *path, struct stat *out, int flags)
{
    char buffer[PATH_MAX];
    struct loader_stat from;
    if ((dir = locate(dir, &path, buffer)) < 0)
        return -1;
    return convert(loader_path_stat(dir, !(flags & AT_SYMLINK_NOFOLLOW), path, strlen(path), &from), &from, out);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
    char buffer[PATH_MAX];
    if ((dir = locate(dir, &path, buffer)) < 0)
        return -1;
    return failed_with(loader_path_chmod(dir, !(flags & AT_SYMLINK_NOFOLLOW), path, strlen(path), mode & PERMISSIONS));
}

int faccessat(int dir, const char *path, int mode, int flags)
{
    char buffer[PATH_MAX];
    if ((dir = locate(dir, &path, buffer)) < 0)
        return -1;
    return failed_with(loader_path_access(dir, path, strlen(path), (uint32_t)mode));
}

#endif

int access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, 0);
}

int stat(const char *path, struct stat *out)
{
    return fstatat(AT_FDCWD, path, out, 0);
}

int lstat(const char *path, struct stat *out)
{
    return fstatat(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

int chmod(const char *path, mode_t mode)
{
    return fchmodat(AT_FDCWD, path, mode, 0);
}

int lchmod(const char *path, mode_t mode)
{
    return fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
}
