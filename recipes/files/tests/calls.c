/*
 * Calls of the C library, chosen by chance: calls DIRECTORY SEED COUNT
 *
 * Each call prints what it was and what came of it. The same program runs natively and in the sandbox, each in an empty directory, and both
 * print the same (scripts/differences.py). What may differ is left out: the sandbox's own refusals, sizes of directories, inodes.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static unsigned long long state;
static char above[PATH_MAX], top[PATH_MAX + 4];

static unsigned chance(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 20) % below);
}

/* One of a list. At most once in an expression: compilers choose the order. */
#define PICK(list) ((list)[chance(sizeof(list) / sizeof *(list))])

/* Prints what a call was; what came of it follows in the same line. */
static void call(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    errno = 0;
}

static void came(long result)
{
    int error = errno;
    if (result == -1)
        printf(" = -1 %s\n", strerror(error));
    else
        printf(" = %ld\n", result);
}

static void ended(int result)
{
    came(result < 0 ? -1 : result);
}

/* A path of the host or of the guest, without the directory that it lies in. */
static const char *shown(const char *path)
{
    static char out[PATH_MAX + 5];
    size_t size = strlen(above);
    if (strncmp(path, above, size) == 0) {
        snprintf(out, sizeof out, "ABOVE%s", path + size);
        return out;
    }
    return path;
}

static const char *a_path(void)
{
    static const char *const paths[] = {
        "", ".", "./", "..", "../", "a", "b", "c", "a/", "a/.", "a/..", "./a", ".//b", "d", "d/", "d/.", "d/..", "d/a", "d/b", "d/e", "d/e/a",
        "d/e/", "d/../a", "l", "l/", "m", "m/a", "m/", "loop", "loop/a", "dangling", "missing", "missing/", "missing/a", "a/b", "../here/a",
        "../here", "../here/", "d/e/..", "d/e/../..", "d//e//a", "./.", "././", "d/./e", " ", "\xc3\xa4", "\xff",
    };
    static char paths_made[4][PATH_MAX + 400];
    static int next;
    char *made = paths_made[next++ % 4];
    switch (chance(16)) {
    case 0:
        memset(made, 'n', 256);
        made[255 + chance(2)] = '\0';
        return made;
    case 1:
        snprintf(made, PATH_MAX, "%s/%s", top, PICK(paths));
        return made;
    default:
        return PICK(paths);
    }
}

static void print_time(const char *what, struct timespec time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec - time.tv_sec < 1000 && time.tv_sec - now.tv_sec < 1000)
        printf(" %s now", what);
    else
        printf(" %s %lld.%09ld", what, (long long)time.tv_sec, (long)time.tv_nsec);
}

static void print_state(const struct stat *found)
{
    printf(" mode %o", (unsigned)found->st_mode);
    if (S_ISREG(found->st_mode)) {
        printf(" size %lld links %d", (long long)found->st_size, (int)found->st_nlink);
        print_time("changed", found->st_mtim);
    }
}

static void look(const char *path)
{
    struct stat found;
    int links = (int)chance(2);
    call("%s(%s)", links ? "lstat" : "stat", shown(path));
    int result = links ? lstat(path, &found) : stat(path, &found);
    if (result == 0)
        print_state(&found);
    came(result);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void list(const char *path)
{
    struct dirent **names;
    DIR *dir;
    int count, fd;
    switch (chance(3)) {
    case 0:
        call("scandir(%s)", shown(path));
        count = scandir(path, &names, NULL, by_name);
        for (int i = 0; i < count; i++) {
            printf(" %s", names[i]->d_name);
            free(names[i]);
        }
        if (count >= 0)
            free(names);
        came(count);
        break;
    case 1:
        call("opendir(%s)", shown(path));
        dir = opendir(path);
        came(dir ? 0 : -1);
        if (dir)
            closedir(dir);
        break;
    default:
        call("fdopendir(%s)", shown(path));
        fd = open(path, O_RDONLY);
        dir = fd < 0 ? NULL : fdopendir(fd);
        came(dir ? 0 : -1);
        if (dir)
            closedir(dir);
        else if (fd >= 0)
            close(fd);
    }
}

static void open_file(const char *path)
{
    static const int more[] = {0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_APPEND, O_CREAT | O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_CREAT | O_APPEND};
    static const int accesses[] = {O_RDONLY, O_WRONLY, O_RDWR};
    int flags = PICK(more);
    flags |= PICK(accesses);
    /* Root may do natively what a mode forbids, and not in the sandbox. */
    int mode = (int)chance(4) * 0111 | 0600;
    unsigned size = chance(5), at = chance(3);
    char buffer[10];
    struct stat found;
    call("open(%s, %o, %o)", shown(path), (unsigned)flags, (unsigned)mode);
    int fd = open(path, flags, mode);
    int error = errno;
    if (fd >= 0) {
        int got = fcntl(fd, F_GETFL);
        printf(" flags %o", (unsigned)got & (O_ACCMODE | O_APPEND | O_NONBLOCK));
        if (fstat(fd, &found) == 0)
            print_state(&found);
        printf(" write %d", (int)write(fd, "text", size));
        printf(" read %d", (int)pread(fd, buffer, sizeof buffer, at));
        printf(" end %d", (int)(S_ISREG(found.st_mode) ? lseek(fd, 0, SEEK_END) : 0));
        close(fd);
        fd = 0;
    }
    errno = error;
    came(fd);
}

static void open_stream(const char *path)
{
    static const char *const modes[] = {"r", "w", "a", "r+", "w+", "a+", "rb", "wx", "wb+", "ab", "q", "", "rw", "w+x"};
    const char *mode = PICK(modes);
    char text[20] = "";
    struct stat found;
    call("fopen(%s, %s)", shown(path), mode);
    FILE *stream = fopen(path, mode);
    int error = errno;
    if (stream) {
        printf(" put %d", fputs("line\n", stream) < 0);
        rewind(stream);
        printf(" get %d", fgets(text, sizeof text, stream) != NULL);
        printf(" %s", *text ? "text" : "");
        fclose(stream);
        if (stat(path, &found) == 0)
            print_state(&found);
    }
    errno = error;
    came(stream ? 0 : -1);
}

static void set_times(const char *path)
{
    static const long long seconds[] = {0, 1, -1, -1000000, 1000000000, 2147483648LL, 4294967296LL};
    static const long nanoseconds[] = {0, 1, 999999999, 1000000000, -5, UTIME_NOW, UTIME_OMIT};
    static const char *const words[] = {"0", "1", "999999999", "1000000000", "-5", "NOW", "OMIT"};
    unsigned one = chance(7), two = chance(7);
    struct timespec fine[2] = {{.tv_nsec = nanoseconds[one]}, {.tv_nsec = nanoseconds[two]}};
    fine[0].tv_sec = PICK(seconds);
    fine[1].tv_sec = PICK(seconds);
    struct timeval coarse[2] = {{.tv_sec = fine[0].tv_sec, .tv_usec = 5}, {.tv_sec = fine[1].tv_sec, .tv_usec = chance(5) ? 7 : 1000000}};
    struct utimbuf old = {.actime = fine[0].tv_sec, .modtime = fine[1].tv_sec};
    int result = -1, fd, now = chance(3) == 0, links = chance(2) ? AT_SYMLINK_NOFOLLOW : 0;
    const char *how = "";
    switch (chance(6)) {
    case 0:
        call("utime(%s, %lld)", shown(path), now ? -77 : (long long)old.modtime);
        result = utime(path, now ? NULL : &old);
        break;
    case 1:
        call("utimes(%s, %lld.%d)", shown(path), now ? -77 : (long long)coarse[1].tv_sec, (int)coarse[1].tv_usec);
        result = utimes(path, now ? NULL : coarse);
        break;
    case 2:
        call("lutimes(%s, %lld.%d)", shown(path), now ? -77 : (long long)coarse[1].tv_sec, (int)coarse[1].tv_usec);
        result = lutimes(path, now ? NULL : coarse);
        break;
    case 3:
        call("futimes(%s, %lld.%d)", shown(path), now ? -77 : (long long)coarse[1].tv_sec, (int)coarse[1].tv_usec);
        if ((fd = open(path, O_RDONLY)) >= 0) {
            result = futimes(fd, now ? NULL : coarse);
            close(fd);
        }
        break;
    case 4:
        call("futimens(%s, %s %lld.%s)", shown(path), now ? "NULL" : words[one], (long long)fine[1].tv_sec, words[two]);
        if ((fd = open(path, O_RDONLY)) >= 0) {
            result = futimens(fd, now ? NULL : fine);
            close(fd);
        }
        break;
    default:
        how = links ? ", the link" : "";
        call("utimensat(%s, %s %lld.%s%s)", shown(path), now ? "NULL" : words[one], (long long)fine[1].tv_sec, words[two], how);
        result = utimensat(AT_FDCWD, path, now ? NULL : fine, links);
    }
    struct stat found;
    int error = errno;
    if (stat(path, &found) == 0 && S_ISREG(found.st_mode))
        print_time("changed", found.st_mtim);
    errno = error;
    came(result);
}

static void change_name(const char *one, const char *two)
{
    char text[PATH_MAX];
    ssize_t length;
    switch (chance(7)) {
    case 0:
        call("rename(%s, ", shown(one));
        call("%s)", shown(two));
        came(rename(one, two));
        break;
    case 1:
        call("link(%s, ", shown(one));
        call("%s)", shown(two));
        came(link(one, two));
        break;
    case 2:
        call("linkat(%s, ", shown(one));
        call("%s)", shown(two));
        came(linkat(AT_FDCWD, one, AT_FDCWD, two, 0));
        break;
    case 3:
        call("linkat, what it leads to(%s, ", shown(one));
        call("%s)", shown(two));
        came(linkat(AT_FDCWD, one, AT_FDCWD, two, AT_SYMLINK_FOLLOW));
        break;
    case 4:
        /* What an absolute link leads to is another file outside. To make a file by a link that ends in a slash is left out. */
        one = *one == '/' || (*one && one[strlen(one) - 1] == '/') ? "a" : one;
        call("symlink(%s, ", shown(one));
        call("%s)", shown(two));
        came(symlink(one, two));
        break;
    case 5:
        call("renameat(%s, ", shown(one));
        call("%s)", shown(two));
        came(renameat(AT_FDCWD, one, AT_FDCWD, two));
        break;
    default:
        call("readlink(%s)", shown(one));
        length = readlink(one, text, sizeof text - 1);
        if (length >= 0)
            printf(" %.*s", (int)length, text);
        came(length < 0 ? -1 : 0);
    }
}

static void change_file(const char *path)
{
    static const int modes[] = {0, 0600, 0644, 0755, 0444, 01777, 0200};
    int mode = PICK(modes);
    switch (chance(7)) {
    case 0:
        call("mkdir(%s, %o)", shown(path), (unsigned)mode | 0700);
        came(mkdir(path, (mode_t)mode | 0700));
        break;
    case 1:
        call("rmdir(%s)", shown(path));
        came(rmdir(path));
        break;
    case 2:
        call("unlink(%s)", shown(path));
        came(unlink(path));
        break;
    case 3:
        call("remove(%s)", shown(path));
        came(remove(path));
        break;
    case 4:
        call("truncate(%s)", shown(path));
        came(truncate(path, chance(9)));
        break;
    case 5:
        mode |= 0700;
        call("chmod(%s, %o)", shown(path), (unsigned)mode);
        came(chmod(path, (mode_t)mode));
        break;
    default:
        mode = (int)chance(8) | (chance(20) == 0 ? 8 : 0);
        call("access(%s, %d)", shown(path), mode);
        came(access(path, mode));
    }
}

static void go(const char *path)
{
    char text[PATH_MAX], *found;
    int fd;
    switch (chance(5)) {
    case 0:
        call("realpath(%s)", shown(path));
        found = realpath(path, chance(2) ? text : NULL);
        if (found)
            printf(" %s", shown(found));
        came(found ? 0 : -1);
        if (found != text)
            free(found);
        break;
    case 1:
        call("chdir(%s)", shown(path));
        came(chdir(path));
        call("getcwd()");
        found = getcwd(NULL, 0);
        if (found)
            printf(" %s", shown(found));
        came(found ? 0 : -1);
        free(found);
        break;
    case 2:
        call("fchdir(%s)", shown(path));
        fd = open(path, O_RDONLY);
        came(fd < 0 ? -1 : fchdir(fd));
        close(fd);
        break;
    case 3:
        call("getcwd(2)");
        came(getcwd(text, 2) ? 0 : -1);
        /* What an earlier call left in errno is nobody's answer. */
        errno = ERANGE;
        printf("getcwd(2) again");
        came(getcwd(text, 2) ? 0 : -1);
        call("getcwd(0)");
        came(getcwd(text, 0) ? 0 : -1);
        break;
    default:
        call("pathconf(%s)", shown(path));
        came(pathconf(path, _PC_NAME_MAX));
    }
    /* Whatever it is called now, the next call begins at the top again. */
    if (chdir(top) || chdir("here"))
        printf("here is gone\n");
}

/* The files that there are again after a while. */
static void make_files(void)
{
    int fd;
    chdir(top);
    mkdir("here", 0755);
    if (chdir("here"))
        printf("no directory here\n");
    static const char *const folders[] = {"d", "d/e"}, *const files[] = {"a", "b", "d/a", "d/e/a"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        mkdir(folders[i], 0755);
        chmod(folders[i], 0755);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if ((fd = open(files[i], O_WRONLY | O_CREAT, 0644)) >= 0)
            close(fd);
    symlink("a", "l");
    symlink("d", "m");
    symlink("loop", "loop");
    symlink("nowhere", "dangling");
}

static void files(int count)
{
    make_files();
    for (int i = 0; i < count; i++) {
        const char *path = a_path();
        switch (chance(9)) {
        case 0:
            look(path);
            break;
        case 1:
            list(path);
            break;
        case 2:
            open_file(path);
            break;
        case 3:
            open_stream(path);
            break;
        case 4:
            set_times(path);
            break;
        case 5:
            change_name(path, a_path());
            break;
        case 6:
        case 7:
            change_file(path);
            break;
        default:
            go(path);
        }
        if (i % 40 == 39)
            make_files();
    }
}

/* Descriptors from 20 on; nothing waits, so that the two ends may be one program's. */
#define FIRST 20
#define LAST 30

static int a_descriptor(void)
{
    return FIRST + (int)chance(LAST - FIRST);
}

static void place(int from, int to)
{
    fcntl(from, F_SETFL, fcntl(from, F_GETFL) | O_NONBLOCK);
    if (dup2(from, to) != to)
        printf("dup2 failed\n");
    close(from);
}

static void make_descriptors(void)
{
    static const int accesses[] = {O_RDONLY, O_WRONLY, O_RDWR};
    int fds[2], one = a_descriptor(), two = a_descriptor();
    if (one == two)
        return;
    switch (chance(3)) {
    case 0:
        call("pipe %d %d", one, two);
        came(pipe(fds));
        place(fds[0], one);
        place(fds[1], two);
        break;
    case 1:
        call("socketpair %d %d", one, two);
        came(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        place(fds[0], one);
        place(fds[1], two);
        break;
    default:
        call("open %d", one);
        fds[0] = open("a", PICK(accesses) | O_CREAT, 0644);
        place(fds[0], one);
        came(0);
    }
}

static void transfer(int fd)
{
    /* How much a pipe or a socket holds depends on how it is put in; none gets full here. */
    static char buffer[1000];
    static const size_t sizes[] = {0, 1, 5, 900};
    size_t size = PICK(sizes);
    ssize_t got;
    struct stat found;
    /* A file would grow. */
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && size > 5)
        size = 5;
    memset(buffer, 'x', size);
    switch (chance(6)) {
    case 0:
    case 1:
        call("write(%d, %d)", fd, (int)size);
        came(write(fd, buffer, size));
        break;
    case 2:
        call("read(%d, %d)", fd, (int)size);
        came(read(fd, buffer, size));
        break;
    case 3:
        call("send(%d, %d)", fd, (int)size);
        came(send(fd, buffer, size, MSG_NOSIGNAL));
        break;
    case 4:
        size += size == 0;
        call("recv(%d, %d)", fd, (int)size);
        got = recv(fd, buffer, size, chance(2) ? MSG_PEEK : 0);
        came(got);
        break;
    default:
        call("pread(%d, %d)", fd, (int)size);
        came(pread(fd, buffer, size, 0));
    }
}

static void wait_for(int one, int two)
{
    static const short events[] = {0, POLLIN, POLLOUT, POLLIN | POLLOUT};
    struct pollfd fds[] = {{.fd = one}, {.fd = chance(8) ? two : -1}};
    fds[0].events = PICK(events);
    fds[1].events = PICK(events);
    struct timeval moment = {0};
    fd_set reading, writing, failing;
    int result;
    if (chance(2)) {
        call("poll(%d %d, %d %d)", one, fds[0].events, fds[1].fd, fds[1].events);
        result = poll(fds, 2, 0);
        printf(" %d %d", fds[0].revents & (POLLIN | POLLOUT | POLLNVAL), fds[1].revents & (POLLIN | POLLOUT | POLLNVAL));
        came(result < 0 ? -1 : 0);
        return;
    }
    FD_ZERO(&reading);
    FD_ZERO(&writing);
    FD_ZERO(&failing);
    FD_SET(one, &reading);
    FD_SET(two, &writing);
    FD_SET(one, &failing);
    call("select(%d, %d)", one, two);
    result = select(LAST + 1, &reading, &writing, chance(2) ? &failing : NULL, &moment);
    if (result >= 0)
        printf(" %d %d", FD_ISSET(one, &reading) != 0, FD_ISSET(two, &writing) != 0);
    came(result < 0 ? -1 : 0);
}

static void ask(int fd)
{
    static const int locks[] = {LOCK_SH, LOCK_EX, LOCK_UN, 0, LOCK_SH | LOCK_EX};
    static const int types[] = {F_RDLCK, F_WRLCK, F_UNLCK, 9}, hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR, 7};
    struct flock record = {.l_type = (short)PICK(types), .l_whence = SEEK_SET};
    struct stat found;
    int how, value = 0, flags;
    socklen_t size = sizeof value;
    switch (chance(9)) {
    case 0:
        how = PICK(locks) | LOCK_NB;
        call("flock(%d, %d)", fd, how);
        came(flock(fd, how));
        break;
    case 1:
        how = chance(2) ? F_SETLK : F_GETLK;
        call("fcntl(%d, %d, %d)", fd, how, record.l_type);
        came(fcntl(fd, how, &record));
        break;
    case 2:
        how = PICK(hows);
        call("shutdown(%d, %d)", fd, how);
        came(shutdown(fd, how));
        break;
    case 3:
        call("fstat(%d)", fd);
        flags = fstat(fd, &found);
        if (flags == 0)
            printf(" type %o", (unsigned)(found.st_mode & S_IFMT));
        came(flags);
        break;
    case 4:
        call("getfl(%d)", fd);
        flags = fcntl(fd, F_GETFL);
        came(flags < 0 ? -1 : flags & (O_ACCMODE | O_NONBLOCK));
        break;
    case 5:
        call("lseek(%d)", fd);
        came(lseek(fd, 0, SEEK_CUR));
        break;
    case 6:
        call("getsockopt(%d)", fd);
        how = getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size);
        printf(" %d", value);
        came(how);
        break;
    case 7:
        call("isatty(%d)", fd);
        came(isatty(fd) ? 1 : -1);
        break;
    default:
        call("ftruncate(%d)", fd);
        came(ftruncate(fd, 3));
    }
}

static void descriptors(int count)
{
    make_files();
    for (int i = 0; i < count; i++) {
        int fd = a_descriptor();
        switch (chance(10)) {
        case 0:
            make_descriptors();
            break;
        case 1:
            call("close(%d)", fd);
            came(close(fd));
            break;
        case 2: {
            int to = a_descriptor();
            call("dup2(%d, %d)", fd, to);
            came(dup2(fd, to));
            break;
        }
        case 3:
        case 4:
        case 5:
            transfer(fd);
            break;
        case 6:
        case 7:
            wait_for(fd, a_descriptor());
            break;
        default:
            ask(fd);
        }
        for (int fd = FIRST; fd < LAST && i % 100 == 99; fd++)
            close(fd);
    }
}

static const char *a_zone(void)
{
    static char out[100];
    static const char *const fixed[] = {
        "", "UTC", "UTC0", "XST5", "EST5EDT,M3.2.0,M11.1.0", "CET-1CEST,M3.5.0,M10.5.0/3", "AEST-10AEDT,M10.1.0,M4.1.0/3",
        "<+0330>-3:30", "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "IST-1GMT0,M10.5.0,M3.5.0/1", "XXX3YYY,J60/0,J300", "XXX3YYY,59/0,299", ":XST5XDT,M3.2.0,M11.1.0",
        "AB", "AB5", "5", "+5", "nowhere", "<A5", "NZST-12NZDT,M9.5.0,M4.1.0/3", "XXX-24:59:59", "XXX24", "XXX3YYY2:30,10,20/26",
    };
    if (chance(2))
        return PICK(fixed);
    static const unsigned below[] = {25, 4, 6, 5, 7, 5, 6, 5, 7};
    unsigned parts[9];
    for (int i = 0; i < 9; i++)
        parts[i] = chance(below[i]);
    snprintf(out, sizeof out, "STD%d:%02uDST,M%u.%u.%u/%u,M%u.%u.%u", (int)parts[0] - 12, parts[1] * 15, 1 + parts[2], 1 + parts[3], parts[4],
             parts[5], 7 + parts[6], 1 + parts[7], parts[8]);
    return out;
}

static void print_local(const struct tm *local)
{
    char text[100];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %a %j %Z %z", local);
    printf(" %s summer %d", text, local->tm_isdst);
}

static void times_of_day(int count)
{
    for (int i = 0; i < count; i++) {
        const char *name = a_zone();
        setenv("TZ", name, 1);
        tzset();
        call("TZ=%s %s %s %ld %d", name, tzname[0], tzname[1], timezone, daylight != 0);
        /* From 1973 to 2100: before 1970, glibc has no summer. */
        time_t moment = (time_t)(100000000 + chance(1u << 31) * 2ULL % 4000000000ULL), back;
        struct tm local = {0}, copy;
        printf(" %lld", (long long)moment);
        localtime_r(&moment, &local);
        print_local(&local);
        copy = local;
        back = mktime(&copy);
        printf(" back %lld", (long long)(back - moment));
        /* Days and months beyond their ends are taken to the next. */
        copy = local;
        copy.tm_mday += (int)chance(60) - 30;
        copy.tm_mon += (int)chance(20) - 10;
        copy.tm_isdst = -1;
        copy.tm_hour = 12;
        back = mktime(&copy);
        printf(" moved %lld", (long long)back);
        print_local(&copy);
        struct tm bare = {.tm_year = 101, .tm_mday = 5, .tm_isdst = (int)chance(2)};
        char text[50];
        strftime(text, sizeof text, " [%Z]", &bare);
        printf("%s %.24s", text, ctime(&moment));
        came(0);
    }
    unsetenv("TZ");
}

static volatile int caught;

static void catch(int number)
{
    caught = number;
}

static void signals(void)
{
    /* 32 and 33 are the C library's own. */
    for (int number = -1; number <= 66; number++) {
        call("signal(%d)", number);
        int refused = signal(number, catch) == SIG_ERR;
        came(refused ? -1 : 0);
        caught = 0;
        if (number > 0 && refused)
            continue;
        call("kill(%d)", number);
        int result = kill(getpid(), number);
        printf(" caught %d", caught);
        came(result);
        if (number < 1)
            continue;
        signal(number, SIG_IGN);
        call("raise(%d)", number);
        came(raise(number));
        signal(number, SIG_DFL);
    }
    call("kill nobody");
    came(kill(999999, 0));
    call("raise(SIGCHLD)");
    came(raise(SIGCHLD));
}

static void optional_pointers(void)
{
    static const char *const names[] = {"C", "POSIX", "", "C.UTF-8", "xx_XX", "C;C"};
    struct timeval now = {0};
    struct stat found;
    char *text;
    call("gettimeofday");
    came(gettimeofday(NULL, NULL));
    came(gettimeofday(&now, NULL) || now.tv_sec < 1000000);
    call("clock_getres");
    came(clock_getres(CLOCK_MONOTONIC, NULL));
    call("times");
    came(times(NULL) == (clock_t)-1);
    call("time");
    came(time(NULL) < 1000000);
    call("nanosleep");
    came(nanosleep(&(struct timespec){0}, NULL));
    call("select");
    came(select(0, NULL, NULL, NULL, &(struct timeval){0}));
    call("poll");
    came(poll(NULL, 0, 0));
    call("getgroups");
    came(getgroups(0, NULL) < 0);
    call("setvbuf");
    came(fflush(NULL));
    call("nice");
    came(nice(0) != getpriority(PRIO_PROCESS, 0));
    call("getpgid");
    came(getpgid(0) != getpgrp());
    call("fstat(99)");
    came(fstat(99, &found));
    call("fchdir(99)");
    came(fchdir(99));
    call("futimens(99)");
    came(futimens(99, NULL));
    call("flock(99)");
    came(flock(99, LOCK_SH));
    call("strtol");
    came(strtol("12", NULL, 10));
    call("mbstowcs");
    came((long)mbstowcs(NULL, "abc", 0));
    for (int i = 0; i < 60; i++) {
        /* The first ones ask, before anything was set. */
        int category = i % 6;
        const char *name = i < 6 ? NULL : PICK(names);
        call("setlocale(%d, %s)", category, name ? name : "NULL");
        text = setlocale(category, name);
        /* What it says can be given back. */
        printf(" %s %d", text ? text : "-", text && setlocale(category, text) != NULL);
        came(0);
    }
}

/* An error that a function gives as its result. */
static void number(const char *name, int error)
{
    printf("%s %s\n", name, strerror(error));
}

static void mutexes(int type)
{
    pthread_mutex_t mutex;
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    number("pthread_mutexattr_settype", pthread_mutexattr_settype(&kind, type));
    pthread_mutex_init(&mutex, &kind);
    number("pthread_mutex_trylock", pthread_mutex_trylock(&mutex));
    number("pthread_mutex_trylock of a held one", pthread_mutex_trylock(&mutex));
    number("pthread_mutex_timedlock of a held one", pthread_mutex_timedlock(&mutex, &(struct timespec){0}));
    /* Natively, one of the first type would be waited for without end. */
    if (type != PTHREAD_MUTEX_NORMAL)
        number("pthread_mutex_lock of a held one", pthread_mutex_lock(&mutex));
    for (int held = type == PTHREAD_MUTEX_RECURSIVE ? 4 : 1; held > 0; held--)
        number("pthread_mutex_unlock", pthread_mutex_unlock(&mutex));
    if (type != PTHREAD_MUTEX_NORMAL)
        number("pthread_mutex_unlock of a free one", pthread_mutex_unlock(&mutex));
    number("pthread_mutex_lock", pthread_mutex_lock(&mutex));
    number("pthread_mutex_unlock", pthread_mutex_unlock(&mutex));
}

static void names(void)
{
    static const char *const nodes[] = {NULL, "localhost", "127.0.0.1", "127.1", "10.1.2.3", "0x7f000001", "::1", "fe80::2", ""};
    static const char *const services[] = {NULL, "80", "70000", "no such"};
    static const int flags[] = {0, AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICHOST | AI_V4MAPPED, 0x8000};
    /* Machines differ in what they know of a name in IPv6. */
    static const int families[] = {AF_INET, AF_INET6, 99};
    static const int kinds[][2] = {{0, 0}, {SOCK_STREAM, 0}, {SOCK_DGRAM, 0}, {SOCK_RAW, 1}, {0, IPPROTO_UDP}, {SOCK_STREAM, IPPROTO_UDP}, {9, 0}};
    const char *node = PICK(nodes);
    const char *service = PICK(services);
    struct addrinfo asked = {.ai_flags = PICK(flags)}, *found = NULL;
    const int *kind = PICK(kinds);
    asked.ai_family = PICK(families);
    asked.ai_socktype = kind[0];
    asked.ai_protocol = kind[1];
    if (asked.ai_family == AF_INET6 && node && strcmp(node, "localhost") == 0)
        asked.ai_family = AF_INET;
    int error = getaddrinfo(node, service, &asked, &found);
    printf("getaddrinfo %s %s %x %d %d %d: %d %s\n", node ? node : "-", service ? service : "-", asked.ai_flags, asked.ai_family,
           asked.ai_socktype, asked.ai_protocol, error, error ? gai_strerror(error) : "");
    for (struct addrinfo *each = error ? NULL : found; each; each = each->ai_next) {
        char host[64] = "", port[16] = "";
        int kept = (int)(each->ai_addrlen - chance(3));
        int how = chance(2) ? NI_NUMERICHOST : 0;
        /* Whether another address has a name, a machine would have to ask. */
        if (each->ai_family == AF_INET6 || ntohl(((struct sockaddr_in *)each->ai_addr)->sin_addr.s_addr) != INADDR_LOOPBACK)
            how = NI_NUMERICHOST;
        socklen_t size = chance(2) ? sizeof host : 5;
        error = getnameinfo(each->ai_addr, (socklen_t)kept, host, size, port, sizeof port, how | NI_NUMERICSERV);
        printf(" %d %d %d %s: %d %s %s\n", each->ai_family, each->ai_socktype, each->ai_protocol,
               each->ai_canonname ? each->ai_canonname : "-", error, error ? "" : host, error ? "" : port);
    }
    if (found)
        freeaddrinfo(found);
}

static void results(void)
{
    pthread_mutexattr_t kind;
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    pthread_attr_t attributes;
    struct timespec past = {0};
    void *memory = NULL;
    number("posix_fadvise(-42)", posix_fadvise(-42, 0, 0, POSIX_FADV_WILLNEED));
    number("posix_fallocate(-42)", posix_fallocate(-42, 0, 10));
    number("posix_memalign of 3", posix_memalign(&memory, 3, 8));
    number("posix_memalign of much", posix_memalign(&memory, 64, (size_t)-1 / 2));
    number("posix_memalign", posix_memalign(&memory, 64, 8));
    free(memory);
    number("clock_nanosleep", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
    number("clock_nanosleep of no time", clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){.tv_nsec = -1}, NULL));

    pthread_mutexattr_init(&kind);
    number("pthread_mutexattr_settype", pthread_mutexattr_settype(&kind, 99));
    number("pthread_mutexattr_settype", pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_NORMAL));
    for (int type = PTHREAD_MUTEX_NORMAL; type <= PTHREAD_MUTEX_ERRORCHECK; type++)
        mutexes(type);
    number("pthread_rwlock_wrlock", pthread_rwlock_wrlock(&lock));
    number("pthread_rwlock_trywrlock", pthread_rwlock_trywrlock(&lock));
    number("pthread_rwlock_tryrdlock", pthread_rwlock_tryrdlock(&lock));
    number("pthread_rwlock_unlock", pthread_rwlock_unlock(&lock));
    pthread_attr_init(&attributes);
    number("pthread_attr_setstacksize", pthread_attr_setstacksize(&attributes, 1));
    number("pthread_attr_setstacksize", pthread_attr_setstacksize(&attributes, 1 << 20));
}

int main(int argc, char **argv)
{
    if (argc == 4 && realpath(argv[1], above)) {
        snprintf(top, sizeof top, "%s/top", above);
        mkdir(top, 0755);
    }
    if (argc != 4 || chdir(top)) {
        fprintf(stderr, "calls DIRECTORY SEED COUNT\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252ULL;
    int count = atoi(argv[3]);
    signal(SIGPIPE, SIG_IGN);
    umask(027);
    ended(0);
    optional_pointers();
    results();
    for (int i = 0; i < count / 5; i++)
        names();
    signals();
    signal(SIGPIPE, SIG_IGN);
    times_of_day(count / 5);
    files(count);
    descriptors(count);
    return 0;
}
