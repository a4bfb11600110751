/* What the system and the process are: the same for every guest, whoever runs it. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int
uname(struct utsname *name)
{
    if (name == NULL) {
        errno = EFAULT;
        return -1;
    }
    memset(name, 0, sizeof *name);
    strcpy(name->sysname, "NaCl");
    strcpy(name->nodename, "(none)");
    strcpy(name->release, "0.0.0");
    strcpy(name->version, "0.0.0");
    strcpy(name->machine, "x86_64");
    return 0;
}

int
gethostname(char *name, size_t size)
{
    static const char host[] = "sandbox";

    if (size < sizeof host) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, host, sizeof host);
    return 0;
}

/* A constant, as in the other sandbox: nobody is told how many guests there are. */
pid_t
getpid(void)
{
    return 42;
}

pid_t
getppid(void)
{
    return 1;
}
