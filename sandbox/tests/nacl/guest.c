/* A guest that does what its arguments say: `guest:DEED,ABOUT`. Each prints one line: its name, and 0 or the number of the error.
   Compiled with the SDK it is a program of Native Client; without one it is a part of the stand-in, to which a guest's paths lie below `/guest`. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef __native_client__
static int guest_error = 2;

static const char *at(const char *path) {
    return path;
}

static const char *shown(const char *path) {
    return path;
}

static const char *variable(const char *name) {
    return getenv(name);
}
#else
static int guest_error = 2;
static char *guest_environment[64];
static int guest_variables;

static const char *at(const char *path) {
    static char place[4200];
    snprintf(place, sizeof place, "%s%s", *path == '/' ? "/guest" : "", path);
    return place;
}

static const char *shown(const char *path) {
    return strncmp(path, "/guest", 6) ? "outside" : path[6] ? path + 6 : "/";
}

static const char *variable(const char *name) {
    size_t length = strlen(name);
    for (int each = 0; each < guest_variables; each++)
        if (!strncmp(guest_environment[each], name, length) && guest_environment[each][length] == '=')
            return guest_environment[each] + length + 1;
    return NULL;
}
#endif

static void tell(const char *what, const char *about, long result) {
    int error = errno;
    printf("%s%s%s=%d\n", what, *about ? " " : "", about, result == -1 ? error : 0);
}

static int by_name(const void *one, const void *other) {
    return strcmp(*(char **)one, *(char **)other);
}

static void guest_list(const char *path) {
    DIR *directory = opendir(at(path));
    if (!directory) {
        tell("list", path, -1);
        return;
    }
    char *names[1000];
    int count = 0;
    struct dirent *entry;
    while ((entry = readdir(directory)) && count < 1000)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            names[count++] = strdup(entry->d_name);
    closedir(directory);
    qsort(names, count, sizeof *names, by_name);
    printf("list %s:", path);
    for (int each = 0; each < count; each++)
        printf(" %s", names[each]);
    printf("\n");
}

/* The names in the order in which they come. */
static void guest_names(const char *path) {
    DIR *directory = opendir(at(path));
    struct dirent *entry;
    printf("names %s:", path);
    while (directory && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            printf(" %s", entry->d_name);
    printf("\n");
}

static void guest_cat(const char *path) {
    char text[4096];
    int file = open(at(path), O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (length < 0)
        tell("cat", path, -1);
    else
        printf("cat %s: %.*s\n", path, (int)length, text);
}

static void guest_write(const char *what, const char *path, int flags) {
    int file = open(at(path), O_CREAT | O_WRONLY | flags, 0644);
    tell(what, path, file < 0 ? -1 : write(file, "guest", 5) == 5 ? 0 : -1);
    if (file >= 0)
        close(file);
}

static void *double_it(void *number) {
    return (void *)((intptr_t)number * 2);
}

static void threads(void) {
    pthread_t thread[20];
    intptr_t sum = 0;
    for (intptr_t each = 0; each < 20; each++) {
        int error = pthread_create(&thread[each], NULL, double_it, (void *)each);
        if (error) {
            printf("threads: %d\n", error);
            return;
        }
    }
    for (int each = 0; each < 20; each++) {
        void *result;
        pthread_join(thread[each], &result);
        sum += (intptr_t)result;
    }
    printf("threads: %d\n", (int)sum);
}

static void guest_hog(void) {
    int got = 0;
    for (; got < 2000; got++) {
        char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            break;
        *memory = 1;
    }
    printf("hog %s\n", got < 600 ? "bounded" : "unbounded");
}

#ifdef __native_client__
/* Code mapped from a file: what is validated would be what the file holds now. */
static void map_code(const char *path) {
    int file = open(path, O_RDONLY);
    void *place = (void *)0x8000000;
    tell("map", path, mmap(place, 65536, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0) == place ? 0 : -1);
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    int (*answer)(void) = library ? (int (*)(void))dlsym(library, "answer") : NULL;
    if (answer)
        printf("load %s: %d\n", path, answer());
    else
        printf("load %s: no\n", path);
}

/* Calls `sel_ldr` where libc would, with numbers that were drawn: small ones, huge ones, addresses. */
static void call(int number) {
    typedef int (*entry)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned);
    static char memory[65536], path[] = "/job/file";
    const unsigned values[] = {0, 1, 2, 3, 5, 7, 64, 65536, 0x8000000, 0x80000000, 0xfffff000, 0xffffffff,
                               (unsigned)(uintptr_t)memory, (unsigned)(uintptr_t)path};
    unsigned chance = number;
    for (int turn = 0; turn < 500; turn++) {
        unsigned arguments[6];
        for (int each = 0; each < 6; each++) {
            chance = chance * 1103515245 + 12345;
            arguments[each] = values[(chance >> 16) % (sizeof values / sizeof *values)];
        }
        ((entry)(uintptr_t)(0x10000 + 32 * number))(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                                                    arguments[5]);
    }
}
#else
static void map_code(const char *path) {
    int file = open(at(path), O_RDONLY);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    tell("map", path, code == MAP_FAILED ? -1 : 0);
}
#endif

static void guest(char *deed) {
    char *about = strchr(deed, ',');
    if (about)
        *about++ = 0;
    else
        about = "";
    errno = 0;
    char text[4300];
    if (!strcmp(deed, "list"))
        guest_list(about);
    else if (!strcmp(deed, "names"))
        guest_names(about);
    else if (!strcmp(deed, "cat"))
        guest_cat(about);
    else if (!strcmp(deed, "write"))
        guest_write(deed, about, O_TRUNC);
    else if (!strcmp(deed, "append"))
        guest_write(deed, about, O_APPEND);
    else if (!strcmp(deed, "mkdir"))
        tell(deed, about, mkdir(at(about), 0755));
    else if (!strcmp(deed, "rmdir"))
        tell(deed, about, rmdir(at(about)));
    else if (!strcmp(deed, "unlink"))
        tell(deed, about, unlink(at(about)));
    else if (!strcmp(deed, "chmod"))
        tell(deed, about, chmod(at(about), 0777));
    else if (!strcmp(deed, "touch"))
        tell(deed, about, utimes(at(about), NULL));
    else if (!strcmp(deed, "rename"))
        tell(deed, about, rename(at(about), "renamed"));
    else if (!strcmp(deed, "symlink"))
        tell(deed, about, symlink(about, "made"));
    else if (!strcmp(deed, "mknod"))
        tell(deed, about, mknod(at(about), S_IFBLK | 0600, 0x800));
    else if (!strcmp(deed, "chdir"))
        tell(deed, about, chdir(at(about)));
    else if (!strcmp(deed, "cwd")) {
        printf("cwd %s\n", getcwd(text, sizeof text) ? shown(text) : "?");
    } else if (!strcmp(deed, "variable"))
        printf("variable %s: %s\n", about, variable(about) ? variable(about) : "none");
    else if (!strcmp(deed, "read")) {
        ssize_t length = read(atoi(about), text, sizeof text);
        if (length < 0)
            tell(deed, about, -1);
        else
            printf("read %s: %.*s\n", about, (int)length, text);
    } else if (!strcmp(deed, "put"))
        tell(deed, about, write(atoi(about), "put\n", 4));
    else if (!strcmp(deed, "error"))
        tell(deed, about, write(guest_error, "an error\n", 9) == 9 ? 0 : -1);
    else if (!strcmp(deed, "threads"))
        threads();
    else if (!strcmp(deed, "sleep"))
        tell(deed, about, nanosleep(&(struct timespec){0, 1000000}, NULL));
    else if (!strcmp(deed, "time")) {
        struct timeval now;
        printf("time %s\n", !gettimeofday(&now, NULL) && now.tv_sec > 1000000000 && clock() >= 0 ? "is told" : "is not");
    } else if (!strcmp(deed, "hog"))
        guest_hog();
    else if (!strcmp(deed, "map"))
        map_code(about);
#ifdef __native_client__
    else if (!strcmp(deed, "load"))
        load(about);
    else if (!strcmp(deed, "call"))
        call(atoi(about));
    else if (!strcmp(deed, "jump"))
        ((void (*)(void))0x12345640)();
    else if (!strcmp(deed, "halt"))
        __asm__ volatile("hlt");
#endif
    else if (!strcmp(deed, "fault"))
        *(volatile int *)(uintptr_t)atoi("0") = 1;
    else if (!strcmp(deed, "abort"))
        abort();
    else if (!strcmp(deed, "exit"))
        exit(atoi(about));
    else if (!strcmp(deed, "wait")) {
        printf("waiting\n");
        fflush(stdout);
        for (;;)
            sleep(1000);
    } else
        printf("unknown %s\n", deed);
    fflush(stdout);
}

#ifdef __native_client__
int main(int count, char **words) {
    for (int each = 1; each < count; each++)
        if (!strncmp(words[each], "guest:", 6))
            guest(words[each] + 6);
    return 0;
}
#endif
