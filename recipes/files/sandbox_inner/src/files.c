/*
 * Files: what needs privileges or another root fails; links in paths are resolved here.
 */
#include "identity.h"
#include "refuse.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
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

/* What the host has left is not told: the same large figures everywhere. */
static int figures(int failed, struct statvfs *out)
{
    if (failed)
        return -1;
    *out = (struct statvfs){
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = 1 << 28,
        .f_bfree = 1 << 28,
        .f_bavail = 1 << 28,
        .f_files = 1 << 28,
        .f_ffree = 1 << 28,
        .f_favail = 1 << 28,
        .f_flag = ST_NOSUID,
        .f_namemax = NAME_MAX,
    };
    return 0;
}

int statvfs(const char *path, struct statvfs *out)
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

#define MAX_LINKS 40

static char *fail(int error)
{
    errno = error;
    return NULL;
}

/*
 * Takes the next component off `rest`, appends it to `done` and, if it is a link, puts the link's target in front of `rest`.
 * All buffers have PATH_MAX bytes. NULL on error.
 */
static char *step(char *done, char *rest, int *links)
{
    char *name = rest + strspn(rest, "/");
    size_t size = strcspn(name, "/"), have = strlen(done);
    char target[PATH_MAX];

    if (size == 0 || (size == 1 && name[0] == '.')) {
        memmove(rest, name + size, strlen(name + size) + 1);
        return done;
    }
    if (size == 2 && name[0] == '.' && name[1] == '.') {
        char *slash = strrchr(done, '/');
        if (slash)
            *slash = '\0';
        memmove(rest, name + size, strlen(name + size) + 1);
        return done;
    }
    if (have + 1 + size >= PATH_MAX)
        return fail(ENAMETOOLONG);
    done[have] = '/';
    memcpy(done + have + 1, name, size);
    done[have + 1 + size] = '\0';
    memmove(rest, name + size, strlen(name + size) + 1);

    struct stat state;
    if (lstat(done, &state))
        return NULL;
    if (!S_ISLNK(state.st_mode))
        return rest[0] != '\0' && !S_ISDIR(state.st_mode) ? fail(ENOTDIR) : done;
    if (++*links > MAX_LINKS)
        return fail(ELOOP);
    ssize_t length = readlink(done, target, sizeof target);
    if (length < 0)
        return NULL;
    if ((size_t)length + 1 + strlen(rest) >= PATH_MAX)
        return fail(ENAMETOOLONG);
    memmove(rest + length, rest, strlen(rest) + 1);
    memcpy(rest, target, length);
    done[target[0] == '/' ? 0 : have] = '\0';
    return done;
}

char *realpath(const char *path, char *resolved)
{
    char done[PATH_MAX] = "", rest[PATH_MAX];
    int links = 0;

    if (path == NULL)
        return fail(EINVAL);
    if (path[0] == '\0')
        return fail(ENOENT);
    if (strlen(path) >= PATH_MAX)
        return fail(ENAMETOOLONG);
    strcpy(rest, path);
    if (path[0] != '/') {
        if (getcwd(done, sizeof done) == NULL)
            return NULL;
        if (strcmp(done, "/") == 0)
            done[0] = '\0';
    }
    while (rest[0] != '\0')
        if (step(done, rest, &links) == NULL)
            return NULL;
    if (done[0] == '\0')
        strcpy(done, "/");
    return resolved ? strcpy(resolved, done) : strdup(done);
}
