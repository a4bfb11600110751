/*
 * What wasi-libc's unistd.h lacks.
 *
 * Processes can't be made: those functions fail with ENOSYS (process.c). The guest is alone in its group and its session.
 * There is one user, 1000, in one group, 1000, who can't become another one (identity.c).
 * A terminal has no name and no process group (terminal.c).
 */
#ifndef SANDBOX_UNISTD_H
#define SANDBOX_UNISTD_H

#include_next <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* descriptors.c */
int dup(int fd);
int dup2(int fd, int new_fd);
int dup3(int fd, int new_fd, int flags);
int pipe(int fds[2]);
int pipe2(int fds[2], int flags);

/* stat.c */
int faccessat(int dir, const char *path, int mode, int flags) __asm__("sandbox_faccessat");
int access(const char *path, int mode) __asm__("sandbox_access");

/* folder.c */
int chdir(const char *path) __asm__("sandbox_chdir");
char *getcwd(char *buffer, size_t size) __asm__("sandbox_getcwd");
int fchdir(int fd);

/* links.c */
int linkat(int from, const char *old, int to, const char *new_path, int flags) __asm__("sandbox_linkat");

/* files.c */
int chown(const char *path, uid_t uid, gid_t gid);
int fchown(int fd, uid_t uid, gid_t gid);
int lchown(const char *path, uid_t uid, gid_t gid);
int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags);
int chroot(const char *path);
long fpathconf(int fd, int name) __asm__("sandbox_fpathconf");
long pathconf(const char *path, int name) __asm__("sandbox_pathconf");
int lockf(int fd, int command, off_t size);
void sync(void);

#define F_ULOCK 0
#define F_LOCK 1
#define F_TLOCK 2
#define F_TEST 3

/* process.c */
pid_t fork(void);
pid_t vfork(void);
int execv(const char *path, char *const argv[]);
int execve(const char *path, char *const argv[], char *const envp[]);
int execvp(const char *file, char *const argv[]);
int execl(const char *path, const char *arg, ...);
int execlp(const char *file, const char *arg, ...);
int execle(const char *path, const char *arg, ...);
pid_t getppid(void);
pid_t getpgrp(void);
pid_t getpgid(pid_t pid);
pid_t getsid(pid_t pid);
int setpgid(pid_t pid, pid_t group);
pid_t setpgrp(void);
pid_t setsid(void);
int nice(int increment);

/* identity.c */
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int getgroups(int count, gid_t groups[]);
int getresuid(uid_t *ruid, uid_t *euid, uid_t *suid);
int getresgid(gid_t *rgid, gid_t *egid, gid_t *sgid);
int setuid(uid_t uid);
int seteuid(uid_t uid);
int setreuid(uid_t ruid, uid_t euid);
int setresuid(uid_t ruid, uid_t euid, uid_t suid);
int setgid(gid_t gid);
int setegid(gid_t gid);
int setregid(gid_t rgid, gid_t egid);
int setresgid(gid_t rgid, gid_t egid, gid_t sgid);
int setgroups(size_t count, const gid_t groups[]);
char *getlogin(void);

/* system.c */
int gethostname(char *name, size_t size);
int getdtablesize(void);
long sysconf(int name) __asm__("sandbox_sysconf");

/* terminal.c */
char *ttyname(int fd);
int ttyname_r(int fd, char *name, size_t size);
char *ctermid(char *name);
pid_t tcgetpgrp(int fd);
int tcsetpgrp(int fd, pid_t group);

#ifdef __cplusplus
}
#endif

#endif
