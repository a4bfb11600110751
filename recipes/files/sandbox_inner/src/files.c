/*
 * Files: what needs privileges or another root fails.
 */
#include "identity.h"
#include "refuse.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

REFUSE(int, chroot, const char *)
REFUSE(int, mkfifo, const char *, mode_t)
REFUSE(int, mknod, const char *, mode_t, dev_t)

/* Every file is the guest's (stat.c), and an ordinary user can't give one away. -1 is "leave it". */
static int change_owner(int failed, uid_t uid, gid_t gid)
{
    if (failed)
        return -1;
    if ((uid == SANDBOX_UID || uid == (uid_t)-1) && (gid == SANDBOX_GID || gid == (gid_t)-1))
        return 0;
    errno = EPERM;
    return -1;
}

int chown(const char *path, uid_t uid, gid_t gid)
{
    struct stat state;
    return change_owner(stat(path, &state), uid, gid);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    struct stat state;
    return change_owner(fstat(fd, &state), uid, gid);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    struct stat state;
    return change_owner(lstat(path, &state), uid, gid);
}

int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
    struct stat state;
    return change_owner(fstatat(dir, path, &state, flags), uid, gid);
}

/* What the host has left is not told: the same large figures everywhere, of which a little is used. */
static int figures(int failed, struct statvfs *out)
{
    if (failed)
        return -1;
    *out = (struct statvfs){
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = 1 << 28,
        .f_bfree = (1 << 28) - (1 << 20),
        .f_bavail = (1 << 28) - (1 << 20),
        .f_files = 1 << 28,
        .f_ffree = 1 << 28,
        .f_favail = 1 << 28,
        .f_flag = ST_NOSUID,
        .f_namemax = NAME_MAX,
    };
    return 0;
}

int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    struct stat state;
    return figures(stat(path, &state), out);
}

int fstatvfs(int fd, struct statvfs *out)
{
    struct stat state;
    return figures(fstat(fd, &state), out);
}

/* wasi-libc's own functions, which take any number for a descriptor, and any path; our header gives their names to ours. */
long libc_fpathconf(int fd, int name) __asm__("fpathconf");
long libc_pathconf(const char *path, int name) __asm__("pathconf");

long fpathconf(int fd, int name)
{
    struct stat state;
    return fstat(fd, &state) ? -1 : libc_fpathconf(fd, name);
}

long pathconf(const char *path, int name)
{
    struct stat state;
    return stat(path, &state) ? -1 : libc_pathconf(path, name);
}

void sync(void)
{
}
