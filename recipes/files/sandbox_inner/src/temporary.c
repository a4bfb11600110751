/*
 * Temporary files, in /tmp: the host must mount a writable directory there, else they fail as any other file does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 100
#define RANDOM_LETTERS 6

/* The six X at the end of the name, or NULL. */
static char *letters(char *template)
{
    size_t size = strlen(template);
    if (size >= RANDOM_LETTERS && strcmp(template + size - RANDOM_LETTERS, "XXXXXX") == 0)
        return template + size - RANDOM_LETTERS;
    errno = EINVAL;
    return NULL;
}

static int fill(char *out)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
    unsigned char random[RANDOM_LETTERS];
    if (getentropy(random, sizeof random))
        return -1;
    for (int i = 0; i < RANDOM_LETTERS; i++)
        out[i] = alphabet[random[i] % 32];
    return 0;
}

int mkostemp(char *template, int flags)
{
    char *end = letters(template);
    if (end == NULL)
        return -1;
    for (int i = 0; i < TRIES; i++) {
        if (fill(end))
            return -1;
        int fd = open(template, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int mkstemp(char *template)
{
    return mkostemp(template, 0);
}

char *mkdtemp(char *template)
{
    char *end = letters(template);
    if (end == NULL)
        return NULL;
    for (int i = 0; i < TRIES; i++) {
        if (fill(end))
            return NULL;
        if (mkdir(template, 0700) == 0)
            return template;
        if (errno != EEXIST)
            return NULL;
    }
    return NULL;
}

char *mktemp(char *template)
{
    char *end = letters(template);
    struct stat state;
    for (int i = 0; end && i < TRIES; i++)
        if (fill(end) == 0 && lstat(template, &state) && errno == ENOENT)
            return template;
    template[0] = '\0';
    return template;
}

FILE *tmpfile(void)
{
    char name[] = P_tmpdir "/tmpfile.XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0)
        return NULL;
    unlink(name);
    FILE *stream = fdopen(fd, "w+");
    if (stream == NULL)
        close(fd);
    return stream;
}

char *tmpnam(char *name)
{
    static char buffer[L_tmpnam];
    char *out = name ? name : buffer;
    strcpy(out, P_tmpdir "/t.XXXXXX");
    return mktemp(out)[0] ? out : NULL;
}

char *tempnam(const char *dir, const char *prefix)
{
    char *name;
    if (asprintf(&name, "%s/%.5sXXXXXX", dir ? dir : P_tmpdir, prefix ? prefix : "") < 0)
        return NULL;
    if (mktemp(name)[0])
        return name;
    free(name);
    return NULL;
}
