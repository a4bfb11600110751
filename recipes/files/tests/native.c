/*
 * The native half of the sandbox's tests. bin/test_pynbox runs it with what it expects: the arguments "first" and "second one",
 * GIVEN="a b" as its environment, /rw and /tmp for writing, /ro for reading. With "--exit N" it ends with status N.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Whose loader knows no links, no modes but the owner's, no flags of descriptors, no waiting for them, and no devices. */
#ifdef __native_client__
#define NACL 1
#else
#define NACL 0
#endif

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
    if (NACL) {
        REFUSED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        REFUSED(pipe(fds));
    }
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
    /* glibc's resolver says what came of it, not why. */
    CHECK(getaddrinfo("example.com", "80", NULL, &found) == (NACL ? EAI_NONAME : EAI_FAIL));
    CHECK(gethostbyname("example.com") == NULL && h_errno == NO_RECOVERY);
    if (!NACL) {
        CHECK(strstr(gai_strerror(EAI_FAIL), "the sandbox has no network"));
        CHECK(strstr(hstrerror(h_errno), "the sandbox has no network"));
        CHECK(gethostbyname("localhost") && gethostbyname("127.0.0.1"));
    }
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
    /* The other Python may be there, too: the seventh bit. */
    static const char *const top[] = {"python", "slib", "test", "rw", "ro", "tmp", "python3", NULL};
    struct stat state;
    char name[] = "/tmp/nativeXXXXXX";
    FILE *file;
    int fd, other;

    CHECK((listing("/", top) & ~0x40u) == 0x3f);
    CHECK(holds("/rw/given", "from outside\n"));
    CHECK(holds("/ro/given", "from outside\n"));
    CHECK(NACL || holds("/rw/link-inside", "from outside\n"));

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
    CHECK(chmod(name, 0640) == 0 && stat(name, &state) == 0 && (state.st_mode & 0777) == (NACL ? 0600 : 0640));
    CHECK(unlink(name) == 0);
    CHECK((file = tmpfile()) != NULL && fclose(file) == 0);
    if (!NACL) {
        char *real = realpath("/rw/./folder/../link-inside", NULL);
        CHECK(real && strcmp(real, "/rw/given") == 0);
        free(real);
    }
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
    if (NACL) {
        FAILS(symlink("../secret", "/rw/mine"));
        FAILS(readlink("/rw/link-inside", (char[100]){0}, 100));
        return;
    }
    CHECK(symlink("../secret", "/rw/mine") == 0);
    FAILS(open("/rw/mine", O_RDONLY));
    FAILS(open("/rw/mine", O_WRONLY | O_TRUNC));
    CHECK(unlink("/rw/mine") == 0);
}

static void libraries(void)
{
    void *library = dlopen("/slib/libz.so.1", RTLD_NOW);
    CHECK(library != NULL);
    if (library == NULL)
        return;
    void *by_name = dlopen("libz.so.1", RTLD_NOW);
    CHECK(by_name == library);
    unsigned long (*crc32)(unsigned long, const unsigned char *, unsigned);
    *(void **)&crc32 = dlsym(library, "crc32");
    CHECK(crc32 != NULL && crc32(0, (const unsigned char *)"123456789", 9) == 0xcbf43926ul);
    CHECK(dlsym(library, "absent") == NULL && dlerror() != NULL);
    CHECK(dlclose(by_name) == 0 && dlclose(library) == 0);
    CHECK(dlopen("/slib/absent.so", RTLD_NOW) == NULL && dlerror() != NULL);
}

/* The numbers are Linux's, written out, whatever WASI and wasi-libc have. */
static void numbers(void)
{
    char text[100];
    struct stat state;
    int fd, other = -1;

    CHECK(ENOENT == 2 && EBADF == 9 && EACCES == 13 && EEXIST == 17 && EINVAL == 22 && ENOSYS == 38 && EOPNOTSUPP == 95);
    CHECK(open("/rw/absent", O_RDONLY) == -1 && errno == 2);
    CHECK(read(99, text, 1) == -1 && errno == 9);
    CHECK(mkdir("/rw/folder", 0755) == -1 && errno == 17);
    CHECK(opendir("/rw/given") == NULL && errno == 20);
    CHECK(open("/ro/given", O_WRONLY) == -1 && errno == 30);
    CHECK(lseek(0, 0, 99) == -1 && errno != 0);
    CHECK(strtol("99999999999999999999", NULL, 10) == 2147483647 && errno == 34);
    CHECK(fork() == -1 && errno == 38);
    errno = 0;
    CHECK(close(open("/rw/given", O_RDONLY)) == 0 && errno == 0);
    CHECK(strcmp(strerror(2), "No such file or directory") == 0 && strcmp(strerror(38), "Function not implemented") == 0);
    CHECK(strcmp(strerror(0), "Success") == 0 && strcmp(strerror(4000), "Unknown error 4000") == 0);
#ifndef __GLIBC__ /* whose strerror_r() is another */
    char small[5];
    CHECK(strerror_r(13, text, sizeof text) == 0 && strcmp(text, "Permission denied") == 0);
    CHECK(strerror_r(13, small, sizeof small) == 34 && strcmp(small, "Perm") == 0);
#endif

    CHECK(O_RDONLY == 0 && O_WRONLY == 1 && O_RDWR == 2 && O_CREAT == 0100 && O_EXCL == 0200 && O_TRUNC == 01000);
    CHECK(O_APPEND == 02000 && O_NONBLOCK == 04000 && O_DIRECTORY == 0200000 && O_NOFOLLOW == 0400000);
    CHECK(SEEK_SET == 0 && SEEK_CUR == 1 && SEEK_END == 2);
    CHECK(AF_UNIX == 1 && AF_INET == 2 && AF_INET6 == 10 && SOCK_STREAM == 1 && SOCK_DGRAM == 2 && SOL_SOCKET == 1);
    CHECK(SIGHUP == 1 && SIGKILL == 9 && SIGUSR1 == 10 && SIGTERM == 15 && SIGCHLD == 17 && SIGSTOP == 19 && SIGWINCH == 28);
    CHECK(S_ISFIFO(0010000) && !S_ISFIFO(0140000) && S_ISSOCK(0140000) && !S_ISSOCK(0010000));
    CHECK(stat("/rw", &state) == 0 && (state.st_mode & 0170000) == 0040000);
    CHECK(fdopen(99, "r") == NULL && errno == 9);
    CHECK(isatty(99) == 0);
    if (NACL)
        return;

    CHECK((fd = open("/rw/flags", O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0640)) >= 0);
    CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND));
    CHECK(write(fd, "abc", 3) == 3 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "def", 3) == 3);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "ABC", 3) == 3 && holds("/rw/flags", "ABCdef"));
    CHECK(fstat(fd, &state) == 0 && state.st_mode == 0100640);
    CHECK(close(fd) == 0);
    CHECK((fd = open("/rw/flags", O_WRONLY | O_TRUNC)) >= 0 && fcntl(fd, F_GETFL) == O_WRONLY && holds("/rw/flags", ""));
    CHECK(read(fd, text, 1) == -1 && errno == 9);
    CHECK(close(fd) == 0);
    CHECK(open("/rw/flags", O_CREAT | O_EXCL | O_WRONLY, 0600) == -1 && errno == 17);
    CHECK(open("/rw/flags", O_DIRECTORY) == -1 && errno == 20);
    CHECK(open("/rw/link-inside", O_NOFOLLOW) == -1 && errno == 40);
    CHECK((fd = open("/rw", O_DIRECTORY)) >= 0 && (other = openat(fd, "flags", O_RDONLY)) >= 0);
    CHECK(close(other) == 0 && close(fd) == 0);
    CHECK((fd = creat("/rw/flags", 0600)) >= 0 && fcntl(fd, F_GETFL) == O_WRONLY && close(fd) == 0);
    CHECK(unlink("/rw/flags") == 0);

    CHECK(stat("/dev/null", &state) == 0 && (state.st_mode & 0170000) == 0020000);
    CHECK(lstat("/rw/link-inside", &state) == 0 && (state.st_mode & 0170000) == 0120000);

    CHECK(chown("/rw/given", 1000, -1) == 0 && chown("/rw/given", 0, 0) == -1 && errno == 1);
    CHECK(chown("/rw/absent", 1000, 1000) == -1 && errno == 2);
    CHECK(fchdir(99) == -1 && errno == 9 && fchdir(0) == -1 && errno == 20);
    CHECK(isatty(99) == 0 && tcgetpgrp(99) == -1 && errno == 9 && ttyname(99) == NULL && errno == 9);
    CHECK(fpathconf(99, _PC_NAME_MAX) == -1 && errno == 9);
    CHECK((fd = open("/rw/given", O_RDONLY)) >= 0 && fdopen(fd, "w") == NULL && errno == 22 && close(fd) == 0);
    CHECK(sysconf(_SC_OPEN_MAX) == 1024 && sysconf(_SC_PAGESIZE) == 65536);

    struct in_addr address;
    CHECK(inet_pton(AF_INET, "127.0.0.1", &address) == 1 && address.s_addr == htonl(0x7f000001));
    CHECK(inet_ntop(AF_INET, &address, text, sizeof text) && strcmp(text, "127.0.0.1") == 0);
    CHECK(inet_pton(1, "127.0.0.1", &address) == -1 && errno == EAFNOSUPPORT);

    CHECK(setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_CTYPE, "en_US") == NULL);
    CHECK(setlocale(LC_ALL, "") && setlocale(LC_ALL, setlocale(LC_ALL, NULL)) && setlocale(LC_CTYPE, "C.UTF-8"));
    CHECK(setlocale(LC_CTYPE, "de_DE.UTF-8") && strcmp(setlocale(LC_CTYPE, NULL), "C.UTF-8") == 0);
}

static void waits(void)
{
    int fd = open("/rw/given", O_RDONLY);
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN | POLLPRI}, {.fd = 99, .events = POLLOUT}, {.fd = -1, .events = POLLIN}};
    struct timespec before, after;
    struct timeval moment = {.tv_usec = 2000};

    CHECK(POLLIN == 1 && POLLPRI == 2 && POLLOUT == 4 && POLLERR == 8 && POLLHUP == 16 && POLLNVAL == 32);
    if (!NACL) {
        CHECK(poll(fds, 1, 1000) == 1 && fds[0].revents == 1);
        CHECK(poll(fds, 3, 1000) == 2 && fds[0].revents == 1 && fds[1].revents == 32 && fds[2].revents == 0);
    }
    CHECK(close(fd) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    CHECK(poll(NULL, 0, 2) == 0 && select(0, NULL, NULL, NULL, &moment) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec >= 4000000);
}

static void clocks(void)
{
    struct timespec before, after;
    CHECK(time(NULL) > 1500000000);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    CHECK(usleep(2000) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec >= 2000000);
#ifndef __native_client__
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before) == 0 && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after) == 0);
    CHECK(before.tv_sec + before.tv_nsec > 0 && after.tv_sec + after.tv_nsec > 0 && after.tv_sec < 60);
#endif
}

/* What a thread keeps for itself, of which there is one here. */
static void keys(void)
{
    pthread_key_t key;
    int value = 5;
    CHECK(pthread_key_create(&key, NULL) == 0 && pthread_setspecific(key, &value) == 0);
    CHECK(pthread_getspecific(key) == &value && pthread_key_delete(key) == 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--exit") == 0)
        return atoi(argv[2]);
    arguments(argc, argv);
    blocked();
    files();
    walls();
    libraries();
    numbers();
    waits();
    clocks();
    keys();
    if (failures)
        printf("native.c: %d failed\n", failures);
    return failures != 0;
}
