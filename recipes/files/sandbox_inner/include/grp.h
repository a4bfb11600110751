/*
 * The group database: "user", 1000, and root, without members (identity.c).
 */
#ifndef SANDBOX_GRP_H
#define SANDBOX_GRP_H

#include <features.h>

#define __NEED_gid_t
#define __NEED_size_t
#include <bits/alltypes.h>

#ifdef __cplusplus
extern "C" {
#endif

struct group {
    char *gr_name;
    char *gr_passwd;
    gid_t gr_gid;
    char **gr_mem;
};

struct group *getgrnam(const char *name);
struct group *getgrgid(gid_t gid);
struct group *getgrent(void);
void setgrent(void);
void endgrent(void);
int initgroups(const char *user, gid_t group);
int setgroups(size_t count, const gid_t groups[]);

#ifdef __cplusplus
}
#endif

#endif
