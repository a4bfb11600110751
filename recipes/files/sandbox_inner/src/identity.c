/*
 * Who runs the guest: an ordinary user, always the same, so that nothing of the host is told and no program takes itself for root.
 *
 * User and group 1000, both named "user"; the home directory is "/". Files are shown as owned by them (stat.c). Root is listed beside
 * them, as programs expect that somebody has the number 0.
 * Becoming what one is already succeeds; becoming someone else fails with EPERM, as for any user but root.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "identity.h"

static struct passwd users[] = {
    {
        .pw_name = "root",
        .pw_passwd = "x",
        .pw_gecos = "root",
        .pw_dir = "/",
        .pw_shell = "/bin/sh",
    },
    {
        .pw_name = "user",
        .pw_passwd = "x",
        .pw_uid = SANDBOX_UID,
        .pw_gid = SANDBOX_GID,
        .pw_gecos = "",
        .pw_dir = "/",
        .pw_shell = "/bin/sh",
    },
};

static char *no_members[] = {NULL};

static struct group groups[] = {
    {.gr_name = "root", .gr_passwd = "x", .gr_mem = no_members},
    {.gr_name = "user", .gr_passwd = "x", .gr_gid = SANDBOX_GID, .gr_mem = no_members},
};

#define COUNT 2

static int next_user, next_group;

struct passwd *getpwnam(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(name, users[i].pw_name) == 0)
            return &users[i];
    return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
    for (int i = 0; i < COUNT; i++)
        if (uid == users[i].pw_uid)
            return &users[i];
    return NULL;
}

void setpwent(void)
{
    next_user = 0;
}

void endpwent(void)
{
    next_user = 0;
}

struct passwd *getpwent(void)
{
    return next_user < COUNT ? &users[next_user++] : NULL;
}

struct group *getgrnam(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(name, groups[i].gr_name) == 0)
            return &groups[i];
    return NULL;
}

struct group *getgrgid(gid_t gid)
{
    for (int i = 0; i < COUNT; i++)
        if (gid == groups[i].gr_gid)
            return &groups[i];
    return NULL;
}

void setgrent(void)
{
    next_group = 0;
}

void endgrent(void)
{
    next_group = 0;
}

struct group *getgrent(void)
{
    return next_group < COUNT ? &groups[next_group++] : NULL;
}

uid_t getuid(void)
{
    return SANDBOX_UID;
}

uid_t geteuid(void)
{
    return SANDBOX_UID;
}

gid_t getgid(void)
{
    return SANDBOX_GID;
}

gid_t getegid(void)
{
    return SANDBOX_GID;
}

int getresuid(uid_t *ruid, uid_t *euid, uid_t *suid)
{
    *ruid = *euid = *suid = SANDBOX_UID;
    return 0;
}

int getresgid(gid_t *rgid, gid_t *egid, gid_t *sgid)
{
    *rgid = *egid = *sgid = SANDBOX_GID;
    return 0;
}

int getgroups(int count, gid_t list[])
{
    if (count < 0) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0)
        list[0] = SANDBOX_GID;
    return 1;
}

char *getlogin(void)
{
    return users[1].pw_name;
}

/* (uid_t)-1 means "leave it" where two or three are given. */
static int change(int allowed)
{
    if (allowed)
        return 0;
    errno = EPERM;
    return -1;
}

static int same(unsigned id, unsigned ours)
{
    return id == ours || id == (unsigned)-1;
}

int setuid(uid_t uid)
{
    return change(uid == SANDBOX_UID);
}

int seteuid(uid_t uid)
{
    return change(uid == SANDBOX_UID);
}

int setreuid(uid_t ruid, uid_t euid)
{
    return change(same(ruid, SANDBOX_UID) && same(euid, SANDBOX_UID));
}

int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
    return change(same(ruid, SANDBOX_UID) && same(euid, SANDBOX_UID) && same(suid, SANDBOX_UID));
}

int setgid(gid_t gid)
{
    return change(gid == SANDBOX_GID);
}

int setegid(gid_t gid)
{
    return change(gid == SANDBOX_GID);
}

int setregid(gid_t rgid, gid_t egid)
{
    return change(same(rgid, SANDBOX_GID) && same(egid, SANDBOX_GID));
}

int setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
    return change(same(rgid, SANDBOX_GID) && same(egid, SANDBOX_GID) && same(sgid, SANDBOX_GID));
}

int setgroups(size_t count, const gid_t list[])
{
    return change(0);
}

int initgroups(const char *name, gid_t gid)
{
    return change(0);
}
