/*
 * The native half of the sandbox's tests. bin/test_pynbox runs it with what it expects: the arguments "first" and "second one",
 * GIVEN="a b" as its environment, /rw and /tmp for writing, /ro for reading. With "--exit N" it ends with status N.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;

static void check(int good, const char *what, int line)
{
    if (good)
        return;
    failures++;
    printf("native.c:%d: %s (errno %d: %s)\n", line, what, errno, strerror(errno));
}

#define CHECK(condition) (errno = 0, check((condition) != 0, #condition, __LINE__))
#define REFUSED(call) (errno = 0, check((call) == -1 && errno == ENOSYS, #call " must fail with ENOSYS", __LINE__))
#define FAILS(call) (errno = 0, check((call) == -1 && errno != 0, #call " must fail", __LINE__))

extern char **environ;

static void arguments(int argc, char **argv)
{
    CHECK(argc == 3 && strcmp(argv[1], "first") == 0 && strcmp(argv[2], "second one") == 0);
    CHECK(environ[0] && strcmp(environ[0], "GIVEN=a b") == 0 && environ[1] == NULL);
}

static void blocked(void)
{
    int fds[2], status;
    char *const args[] = {"sh", NULL};
    struct addrinfo *found;

    REFUSED(socket(AF_INET, SOCK_STREAM, 0));
    REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
    REFUSED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    REFUSED(pipe(fds));
    REFUSED(fork());
    REFUSED(vfork());
    REFUSED(execv("/bin/sh", args));
    REFUSED(execve("/bin/sh", args, args + 1));
    REFUSED(execlp("sh", "sh", NULL));
    REFUSED(system("true"));
    REFUSED(kill(1, SIGTERM));
    REFUSED(killpg(1, SIGTERM));
    REFUSED(wait(&status));
    REFUSED(waitpid(-1, &status, 0));
    CHECK(popen("true", "r") == NULL && errno == ENOSYS);
    CHECK(getaddrinfo("localhost", "80", NULL, &found) == EAI_SYSTEM && errno == ENOSYS);
    CHECK(gethostbyname("localhost") == NULL);
}

/* The names in a directory, as bits: those of `names` that are there, and the highest bit for any other. */
static unsigned listing(const char *path, const char *const names[])
{
    unsigned found = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 1u << 31;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        unsigned bit = 1u << 31;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        for (int i = 0; names[i]; i++)
            if (strcmp(entry->d_name, names[i]) == 0)
                bit = 1u << i;
        found |= bit;
    }
    closedir(dir);
    return found;
}

static int holds(const char *path, const char *text)
{
    char buffer[100];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    size_t size = fread(buffer, 1, sizeof buffer - 1, file);
    fclose(file);
    buffer[size] = '\0';
    return strcmp(buffer, text) == 0;
}

static void files(void)
{
    static const char *const top[] = {"python", "slib", "test", "rw", "ro", "tmp", NULL};
    struct stat state;
    char name[] = "/tmp/nativeXXXXXX";
    FILE *file;
    int fd, other;

    CHECK(listing("/", top) == 0x3f);
    CHECK(holds("/rw/given", "from outside\n"));
    CHECK(holds("/ro/given", "from outside\n"));
    CHECK(holds("/rw/link-inside", "from outside\n"));

    CHECK((file = fopen("/rw/written", "w")) != NULL);
    if (file) {
        CHECK(fputs("from inside\n", file) >= 0);
        CHECK(fclose(file) == 0);
    }
    CHECK(holds("/rw/written", "from inside\n"));

    CHECK(mkdir("/rw/made", 0700) == 0);
    CHECK(stat("/rw/made", &state) == 0 && S_ISDIR(state.st_mode) && (state.st_mode & 0777) == 0700);
    CHECK(rmdir("/rw/made") == 0);

    CHECK((fd = mkstemp(name)) >= 0);
    CHECK(fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && (state.st_mode & 0777) == 0600);
    CHECK(write(fd, "abcdef", 6) == 6);
    CHECK((other = dup(fd)) >= 0 && other != fd);
    CHECK(lseek(other, 0, SEEK_CUR) == 6);
    CHECK(dup2(fd, 50) == 50 && close(50) == 0);
    CHECK(fcntl(fd, F_DUPFD, 60) == 60 && close(60) == 0);
    CHECK(close(fd) == 0 && write(other, "g", 1) == 1 && close(other) == 0);
    CHECK(stat(name, &state) == 0 && state.st_size == 7);
    CHECK(chmod(name, 0640) == 0 && stat(name, &state) == 0 && (state.st_mode & 0777) == 0640);
    CHECK(unlink(name) == 0);
    CHECK((file = tmpfile()) != NULL && fclose(file) == 0);
    char *real = realpath("/rw/./folder/../link-inside", NULL);
    CHECK(real && strcmp(real, "/rw/given") == 0);
    free(real);
}

static void walls(void)
{
    FAILS(open("/ro/new", O_WRONLY | O_CREAT, 0644));
    FAILS(open("/ro/given", O_WRONLY));
    FAILS(unlink("/ro/given"));
    FAILS(rename("/ro/given", "/ro/taken"));
    FAILS(mkdir("/ro/new", 0755));
    FAILS(chmod("/ro/given", 0600));
    FAILS(truncate("/ro/given", 0));
    FAILS(symlink("given", "/ro/link"));
    FAILS(link("/ro/given", "/rw/link"));
    FAILS(open("/test/new", O_WRONLY | O_CREAT, 0644));
    FAILS(open("/new", O_WRONLY | O_CREAT, 0644));

    FAILS(open("/rw/link-out", O_RDONLY));
    FAILS(open("/rw/link-absolute", O_RDONLY));
    FAILS(open("/rw/link-folder/secret", O_RDONLY));
    FAILS(open("/rw/../secret", O_RDONLY));
    FAILS(open("/../../../../../../etc/passwd", O_RDONLY));
    FAILS(open("/etc/passwd", O_RDONLY));
    FAILS(open("/proc/self/environ", O_RDONLY));
    CHECK(symlink("../secret", "/rw/mine") == 0);
    FAILS(open("/rw/mine", O_RDONLY));
    FAILS(open("/rw/mine", O_WRONLY | O_TRUNC));
    CHECK(unlink("/rw/mine") == 0);
}

static void clocks(void)
{
    struct timespec before, after;
    CHECK(time(NULL) > 1500000000);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    CHECK(usleep(2000) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec >= 2000000);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--exit") == 0)
        return atoi(argv[2]);
    arguments(argc, argv);
    blocked();
    files();
    walls();
    clocks();
    if (failures)
        printf("native.c: %d failed\n", failures);
    return failures != 0;
}
