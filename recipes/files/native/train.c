/*
 * Runs an instrumented program for its profile:
 *
 *     train MODULE.so ROOT LIBRARIES ARGUMENT...
 *
 * The program sees the folder ROOT as its "/", which it can read, and standard output and error. Native code of the libraries that it loads
 * lies in the folder LIBRARIES, which need not be there. What it sees never differs: clocks stand,
 * random bytes are a fixed sequence, directories are sorted, and the states of files have neither times nor numbers of this machine. All
 * other calls give ENOSYS.
 */
#define _GNU_SOURCE
#include "train.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_DEVICE = 2, FILE_DIRECTORY = 3, FILE_REGULAR = 4 };
/* The directory that the program begins with, and the one that absolute paths are said to be relative to. */
#define FIRST_DIRECTORY 3
#define ROOT_DIRECTORY (1u << 30)
#define DESCRIPTORS 64
/* What every clock shows, in nanoseconds. */
#define NOW UINT64_C(1000000000000000000)

const struct native_module *module;
void *instance;
static char **arguments;
static int argument_count, status = 127;
/* Paths of open files, from the root; NULL: not open. */
static struct { char *path; int fd; } files[DESCRIPTORS];

void *bytes(uint64_t address, uint64_t length)
{
    wasm_rt_memory_t *memory = module->memory(instance);

    address = (uint32_t)address;
    return address + length <= memory->size ? memory->data + address : NULL;
}

static int put(uint64_t address, const void *from, size_t length)
{
    void *to = bytes(address, length);

    if (to == NULL) {
        return W_FAULT;
    }
    memcpy(to, from, length);
    return SUCCESS;
}

int put_32(uint64_t address, uint32_t value)
{
    return put(address, &value, sizeof value);
}

static int put_64(uint64_t address, uint64_t value)
{
    return put(address, &value, sizeof value);
}

static int number_of(int error)
{
    switch (error) {
    case ENOENT: return W_NOENT;
    case ENOTDIR: return W_NOTDIR;
    case EISDIR: return W_ISDIR;
    case EINVAL: return W_INVAL;
    case ENAMETOOLONG: return W_NAMETOOLONG;
    default: return W_IO;
    }
}

/* Absolute paths are relative to a directory that is always open. */
static uint32_t descriptor(uint64_t number)
{
    return number == ROOT_DIRECTORY ? FIRST_DIRECTORY : (uint32_t)number;
}

static bool is_open(uint32_t fd)
{
    return fd < DESCRIPTORS && files[fd].path != NULL;
}

/* The path, from the root, of a path that the guest gives; the root is the current directory. */
static int path_at(uint64_t directory, uint64_t address, uint32_t length, char path[PATH_MAX])
{
    const char *base = is_open(descriptor(directory)) ? files[descriptor(directory)].path : NULL;
    const char *given = bytes(address, length);
    int size;

    if (base == NULL || given == NULL) {
        return base == NULL ? W_BADF : W_FAULT;
    }
    while (length > 0 && *given == '/') {
        given++, length--;
    }
    size = snprintf(path, PATH_MAX, "%s/%.*s", base, (int)length, given);
    return size < PATH_MAX ? SUCCESS : W_NAMETOOLONG;
}

/* A number for a path, in place of its inode's. */
static uint64_t number_for(const char *path)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *path != '\0'; path++) {
        hash = (hash ^ (uint8_t)*path) * UINT64_C(1099511628211);
    }
    return hash;
}

static int kind(const struct stat *stat)
{
    return S_ISDIR(stat->st_mode) ? FILE_DIRECTORY : S_ISREG(stat->st_mode) ? FILE_REGULAR : FILE_DEVICE;
}

static uint64_t size_of(const struct stat *stat)
{
    return S_ISREG(stat->st_mode) ? (uint64_t)stat->st_size : 0;
}

static int put_filestat(const char *path, const struct stat *stat, uint64_t out)
{
    uint64_t words[8] = {1, number_for(path), (uint64_t)kind(stat), 1, size_of(stat), NOW, NOW, NOW};

    return put(out, words, sizeof words);
}

/* The structure of `fd_stat` and `path_stat`. */
static int put_stat(const char *path, const struct stat *stat, uint64_t out)
{
    uint64_t mode = S_ISDIR(stat->st_mode) ? S_IFDIR | 0755 : S_ISREG(stat->st_mode) ? S_IFREG | 0644 : S_IFCHR | 0666;
    uint64_t words[12] = {1, number_for(path), 1, mode, 0, size_of(stat), 4096, size_of(stat) / 512, NOW, NOW, NOW, 0};

    return put(out, words, sizeof words);
}

typedef int put_function(const char *path, const struct stat *stat, uint64_t out);

static int stat_of_path(const uint64_t *a, put_function *put_it)
{
    char path[PATH_MAX];
    struct stat found;
    int error = path_at(a[0], a[2], a[3], path);

    if (error != SUCCESS) {
        return error;
    }
    return lstat(path, &found) != 0 ? number_of(errno) : put_it(path, &found, a[4]);
}

static int stat_of_file(const uint64_t *a, put_function *put_it)
{
    struct stat found;

    if (!is_open(a[0]) || fstat(files[a[0]].fd, &found) != 0) {
        return W_BADF;
    }
    /* Standard streams are what the machine has; here they are a device. */
    if (a[0] < FIRST_DIRECTORY) {
        found = (struct stat){.st_mode = S_IFCHR};
    }
    return put_it(files[a[0]].path, &found, a[1]);
}

static int open_file(const char *path, uint64_t out)
{
    uint32_t fd = FIRST_DIRECTORY;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (file < 0) {
        return number_of(errno);
    }
    while (fd < DESCRIPTORS && files[fd].path != NULL) {
        fd++;
    }
    if (fd == DESCRIPTORS) {
        close(file);
        return W_IO;
    }
    files[fd].path = strdup(path);
    files[fd].fd = file;
    return put_32(out, fd);
}

static int path_open(const uint64_t *a)
{
    char path[PATH_MAX];
    int error = path_at(a[0], a[2], a[3], path);

    if (error != SUCCESS) {
        return error;
    }
    /* WASI's flags: creating (1) and cutting (8); the right to write is bit 6. */
    return a[4] & 9 || a[5] & 64 ? W_ROFS : open_file(path, a[8]);
}

/* Reads or writes the buffers of a list, at the file's position. */
static int transfer(const uint64_t *a, bool writes)
{
    uint32_t total = 0;

    if (!is_open(a[0])) {
        return W_BADF;
    }
    for (uint32_t i = 0; i < (uint32_t)a[2]; i++) {
        uint32_t *buffer = bytes(a[1] + 8 * i, 8);
        void *data = buffer == NULL ? NULL : bytes(buffer[0], buffer[1]);
        ssize_t done;

        if (data == NULL) {
            return W_FAULT;
        }
        done = writes ? write(files[a[0]].fd, data, buffer[1]) : read(files[a[0]].fd, data, buffer[1]);
        if (done < 0) {
            return number_of(errno);
        }
        total += (uint32_t)done;
        if ((uint32_t)done < buffer[1]) {
            break;
        }
    }
    return put_32(a[3], total);
}

static int seek(const uint64_t *a)
{
    off_t position = is_open(a[0]) ? lseek(files[a[0]].fd, (off_t)a[1], (int)a[2]) : -1;

    return position < 0 ? W_INVAL : put_64(a[3], (uint64_t)position);
}

/* Writes the entries of a directory in the order of their names, as many as fit. */
static int read_directory(const uint64_t *a)
{
    struct dirent **entries;
    uint32_t used = 0, room = (uint32_t)a[2];
    uint8_t *out = bytes(a[1], room);
    int count;

    if (!is_open(a[0]) || out == NULL || (count = scandir(files[a[0]].path, &entries, NULL, alphasort)) < 0) {
        return W_INVAL;
    }
    for (int i = 0; i < count; i++) {
        uint32_t length = (uint32_t)strlen(entries[i]->d_name);
        uint64_t head[3] = {(uint64_t)i + 1, number_for(entries[i]->d_name), length};
        uint8_t type = entries[i]->d_type == DT_DIR ? FILE_DIRECTORY : FILE_REGULAR;

        memcpy((uint8_t *)head + 20, &type, 1);
        for (int part = 0; part < 2 && (uint64_t)i >= a[3]; part++) {
            uint32_t size = part == 0 ? sizeof head : length;
            uint32_t fits = size < room - used ? size : room - used;

            memcpy(out + used, part == 0 ? (const void *)head : entries[i]->d_name, fits);
            used += fits;
        }
        free(entries[i]);
    }
    free(entries);
    return put_32(a[4], used);
}

static int close_file(uint32_t fd)
{
    if (!is_open(fd)) {
        return W_BADF;
    }
    if (fd >= FIRST_DIRECTORY) {
        close(files[fd].fd);
    }
    free(files[fd].path);
    files[fd].path = NULL;
    return SUCCESS;
}

static int descriptor_state(const uint64_t *a)
{
    struct stat found;
    uint64_t words[3] = {0, UINT64_MAX, UINT64_MAX};
    uint32_t fd = descriptor(a[0]);

    if (!is_open(fd) || fstat(files[fd].fd, &found) != 0) {
        return W_BADF;
    }
    words[0] = fd < FIRST_DIRECTORY ? FILE_DEVICE : (uint64_t)kind(&found);
    return put(a[1], words, sizeof words);
}

static int argument_texts(const uint64_t *a)
{
    uint32_t at = (uint32_t)a[1];

    for (int i = 0; i < argument_count; i++) {
        size_t length = strlen(arguments[i]) + 1;

        if (put_32(a[0] + 4 * (uint64_t)i, at) != SUCCESS || put(at, arguments[i], length) != SUCCESS) {
            return W_FAULT;
        }
        at += (uint32_t)length;
    }
    return SUCCESS;
}

static int argument_sizes(const uint64_t *a)
{
    size_t total = 0;

    for (int i = 0; i < argument_count; i++) {
        total += strlen(arguments[i]) + 1;
    }
    return put_32(a[0], (uint32_t)argument_count) | put_32(a[1], (uint32_t)total);
}

static int random_bytes(const uint64_t *a)
{
    static uint64_t state = 1;
    uint8_t *out = bytes(a[0], (uint32_t)a[1]);

    if (out == NULL) {
        return W_FAULT;
    }
    for (uint32_t i = 0; i < (uint32_t)a[1]; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (uint8_t)(state >> 56);
    }
    return SUCCESS;
}

#define WASI(name) NATIVE_wasi_snapshot_preview1_##name

static int64_t answer(struct native_host *host, uint32_t number, const uint64_t *a)
{
    (void)host;
    switch (number) {
    case WASI(args_get): return argument_texts(a);
    case WASI(args_sizes_get): return argument_sizes(a);
    case WASI(environ_get): return SUCCESS;
    case WASI(environ_sizes_get): return put_32(a[0], 0) | put_32(a[1], 0);
    case WASI(clock_res_get): return put_64(a[1], 1);
    case WASI(clock_time_get): return put_64(a[2], NOW);
    case WASI(fd_close): return close_file((uint32_t)a[0]);
    case WASI(fd_fdstat_get): return descriptor_state(a);
    case WASI(fd_filestat_get): return stat_of_file(a, put_filestat);
    case WASI(fd_prestat_get): return a[0] == FIRST_DIRECTORY ? put_64(a[1], UINT64_C(1) << 32) : W_BADF;
    case WASI(fd_prestat_dir_name): return a[0] == FIRST_DIRECTORY && a[2] != 0 ? put(a[1], "/", 1) : W_BADF;
    case WASI(fd_read): return transfer(a, false);
    case WASI(fd_readdir): return read_directory(a);
    case WASI(fd_seek): return seek(a);
    case WASI(fd_write): return transfer(a, true);
    case WASI(path_filestat_get): return stat_of_path(a, put_filestat);
    case WASI(path_open): return path_open(a);
    case WASI(path_readlink): return W_INVAL;
    case WASI(random_get): return random_bytes(a);
    case NATIVE_pynbox_dl_open: return open_library(a);
    case NATIVE_pynbox_dl_symbol: return find_symbol(a);
    case NATIVE_pynbox_fd_stat: return stat_of_file(a, put_stat);
    case NATIVE_pynbox_path_stat: return stat_of_path(a, put_stat);
    case WASI(proc_exit):
        status = (int)(uint8_t)a[0];
        return -1;
    default: return W_NOSYS;
    }
}

static bool may_grow(struct native_host *host, uint64_t size)
{
    (void)host;
    return size <= UINT64_C(2) << 30;
}

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "train: %s: %s\n", what, why);
    exit(125);
}

const struct native_module *load(const char *path)
{
    char *absolute = realpath(path, NULL);
    void *library = absolute == NULL ? NULL : dlopen(absolute, RTLD_NOW);
    const struct native_module *loaded = library == NULL ? NULL : dlsym(library, "native_module");

    if (loaded == NULL) {
        fail(path, absolute == NULL ? "no such file" : dlerror());
    }
    if (loaded->version != NATIVE_VERSION || loaded->variant != NATIVE_THIS_VARIANT) {
        fail(path, "it is of another version or variant");
    }
    return loaded;
}

int main(int count, char **words)
{
    static struct native_host host = {.call = answer, .may_grow = may_grow};
    enum native_end end;

    if (count < 5) {
        fail("usage", "train MODULE.so ROOT LIBRARIES ARGUMENT...");
    }
    module = load(words[1]);
    find_libraries_in(words[3]);
    if (chdir(words[2]) != 0 || !native_begin(&host)) {
        fail(words[2], strerror(errno));
    }
    arguments = words + 4;
    argument_count = count - 4;
    for (int fd = 0; fd < FIRST_DIRECTORY; fd++) {
        files[fd].path = strdup("stream");
        files[fd].fd = fd;
    }
    files[FIRST_DIRECTORY].path = strdup(".");
    files[FIRST_DIRECTORY].fd = open(".", O_RDONLY | O_CLOEXEC);
    instance = calloc(1, module->size);
    end = instance == NULL ? NATIVE_ENDED : native_instantiate(module, instance);
    if (end == NATIVE_RETURNED) {
        end = native_start(module, instance);
    }
    if (end == NATIVE_TRAPPED) {
        fprintf(stderr, "train: the program trapped: %d\n", (int)native_trap());
        status = 134;
    }
    if (end == NATIVE_THREW) {
        fprintf(stderr, "train: the program threw an exception that nothing catches\n");
        status = 134;
    }
    return end == NATIVE_RETURNED ? 0 : status;
}
