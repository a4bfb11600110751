/*
 * Files: what needs privileges or another root fails with ENOSYS; links in paths are resolved here.
 */
#include "refuse.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

REFUSE(int, chown, const char *, uid_t, gid_t)
REFUSE(int, fchown, int, uid_t, gid_t)
REFUSE(int, lchown, const char *, uid_t, gid_t)
REFUSE(int, chroot, const char *)
REFUSE(int, fchdir, int)
REFUSE(int, mkfifo, const char *, mode_t)
REFUSE(int, mknod, const char *, mode_t, dev_t)
REFUSE(int, statvfs, const char *, struct statvfs *)
REFUSE(int, fstatvfs, int, struct statvfs *)

void sync(void)
{
}

/* wasi-libc's own function; our header gives its name to ours. */
int libc_chdir(const char *path) __asm__("chdir");

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

/* getcwd() gives what chdir() was given last; on Linux it has no links in it. */
int chdir(const char *path)
{
    char resolved[PATH_MAX];
    return realpath(path, resolved) ? libc_chdir(resolved) : -1;
}
