/*
 * Memory maps: a WebAssembly memory has no pages to map, so a map is a copy, written back when it ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct map {
    struct map *next;
    char *start;
    size_t size;
    /* The file to write back to, a duplicate of the caller's descriptor; -1 if there is none. */
    int fd;
    off_t offset;
};

static struct map *maps;

static void *refuse(int error)
{
    errno = error;
    return MAP_FAILED;
}

static int fill(char *start, size_t size, int fd, off_t offset)
{
    while (size > 0) {
        ssize_t got = pread(fd, start, size, offset);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        start += got;
        size -= got;
        offset += got;
    }
    return 0;
}

void *mmap(void *wanted, size_t size, int protection, int flags, int fd, off_t offset)
{
    int type = flags & MAP_TYPE, anonymous = flags & MAP_ANON;
    if (size == 0 || offset < 0 || (type != MAP_SHARED && type != MAP_PRIVATE))
        return refuse(EINVAL);
    if (flags & MAP_FIXED)
        return refuse(ENOTSUP);

    struct map *map = malloc(sizeof *map);
    size_t room = (size + 15) & ~(size_t)15;
    char *start = map && room >= size ? aligned_alloc(16, room) : NULL;
    if (start == NULL) {
        free(map);
        return refuse(ENOMEM);
    }
    memset(start, 0, room);
    *map = (struct map){.next = maps, .start = start, .size = size, .fd = -1, .offset = offset};
    if (!anonymous) {
        int failed = fill(start, size, fd, offset);
        if (!failed && type == MAP_SHARED && protection & PROT_WRITE)
            failed = (map->fd = dup(fd)) < 0;
        if (failed) {
            free(start);
            free(map);
            return MAP_FAILED;
        }
    }
    maps = map;
    return start;
}

/* Writes what lies within the file; a map does not make it longer. */
static int write_back(const struct map *map)
{
    struct stat state;
    if (map->fd < 0)
        return 0;
    if (fstat(map->fd, &state))
        return -1;
    size_t done = 0, size = map->size;
    if (state.st_size <= map->offset)
        return 0;
    if ((off_t)size > state.st_size - map->offset)
        size = state.st_size - map->offset;
    while (done < size) {
        ssize_t put = pwrite(map->fd, map->start + done, size - done, map->offset + done);
        if (put < 0)
            return -1;
        done += put;
    }
    return 0;
}

int msync(void *start, size_t size, int flags)
{
    for (struct map *map = maps; map; map = map->next)
        if ((char *)start >= map->start && (char *)start < map->start + map->size)
            return write_back(map);
    errno = ENOMEM;
    return -1;
}

/* Only whole maps can be given up. */
int munmap(void *start, size_t size)
{
    for (struct map **link = &maps; *link; link = &(*link)->next) {
        struct map *map = *link;
        if (map->start != start || size < map->size)
            continue;
        int failed = write_back(map);
        if (map->fd >= 0)
            close(map->fd);
        *link = map->next;
        free(map->start);
        free(map);
        return failed;
    }
    errno = EINVAL;
    return -1;
}

int mprotect(void *start, size_t size, int protection)
{
    return 0;
}
