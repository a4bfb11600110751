/*
 * Streams of descriptors. glibc 2.9 asks for a descriptor's flags before it makes a stream of it, and nobody can answer; without this question, the
 * stream is one that was opened by name, with the descriptor put in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that is there whenever a program runs: what loads it. */
#define ANY_FILE "/slib/runnable-ld.so"

/* NULL with EBADF for a descriptor that is not open, and with EINVAL for a mode that is none. */
FILE *
fdopen(int fd, const char *mode)
{
    struct stat state;
    FILE *stream;
    int error;

    if (mode == NULL || strchr("rwa", mode[0]) == NULL || mode[0] == '\0') {
        errno = EINVAL;
        return NULL;
    }
    error = errno;
    if (fstat(fd, &state) != 0 && errno == EBADF)
        return NULL;
    errno = error;
    stream = fopen(ANY_FILE, "r");
    if (stream == NULL)
        return NULL;
    close(stream->_fileno);
    stream->_fileno = fd;
    stream->_flags &= ~(_IO_NO_READS | _IO_NO_WRITES | _IO_IS_APPENDING);
    if (strchr(mode, '+') == NULL)
        stream->_flags |= mode[0] == 'r' ? _IO_NO_WRITES : _IO_NO_READS;
    if (mode[0] == 'a') {
        stream->_flags |= _IO_IS_APPENDING;
        lseek(fd, 0, SEEK_END);
        errno = error;
    }
    return stream;
}

FILE *
tmpfile(void)
{
    char name[] = P_tmpdir "/tmpfXXXXXX";
    FILE *stream;
    int fd = mkstemp(name);

    if (fd < 0)
        return NULL;
    unlink(name);
    stream = fdopen(fd, "w+");
    if (stream == NULL)
        close(fd);
    return stream;
}
