/*
 * Converts generated texts by the sandbox's iconv (own_iconv) and by this machine's, and compares what comes out: compare ENCODING...
 *
 * Of three kinds: bytes at random, characters that the encoding has with some that it may lack, and such a text as bytes with one byte changed. Ours
 * gets its input in pieces. Where both fail, what they wrote before must begin alike: glibc holds some characters back, and calls some bytes the
 * beginning of a character that no character begins with.
 */
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

iconv_t own_iconv_open(const char *to, const char *from);
size_t own_iconv(iconv_t cd, char **in, size_t *left, char **out, size_t *room);
int own_iconv_close(iconv_t cd);

typedef size_t converter(iconv_t cd, char **in, size_t *left, char **out, size_t *room);

enum { TEXTS = 300, MAX_CHARS = 40 };

struct result {
    int error;
    size_t left, size;
    char out[2000];
};

static uint64_t state = 88172645463325252u;

static uint32_t next(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void convert(converter *convert, iconv_t cd, char *in, size_t size, size_t piece, struct result *result)
{
    char *out = result->out;
    size_t room = sizeof result->out, at = 0, more = 0;

    memset(result, 0, sizeof *result);
    convert(cd, NULL, NULL, NULL, NULL);
    while (at < size && result->error == 0) {
        size_t here = piece + more < size - at ? piece + more : size - at, left = here;
        char *from = in + at;
        size_t done = convert(cd, &from, &left, &out, &room);
        at += here - left;
        if (done != (size_t)-1)
            more = 0;
        /* A character that is in two pieces. */
        else if (errno == EINVAL && at + left < size)
            more = left + 1;
        else
            result->error = errno;
    }
    result->left = size - at;
    if (result->error == 0)
        convert(cd, NULL, NULL, &out, &room);
    result->size = sizeof result->out - room;
}

static uint32_t has[0x30000], has_count;

static void find_characters(iconv_t to)
{
    has_count = 0;
    for (uint32_t code = 1; code < 0x30000; code++) {
        uint32_t one = code;
        char bytes[64], *in = (char *)&one, *out = bytes;
        size_t left = sizeof one, room = sizeof bytes;
        if ((code >= 0xd800 && code < 0xe000) || code == 0x1b)
            continue;
        iconv(to, NULL, NULL, NULL, NULL);
        if (iconv(to, &in, &left, &out, &room) != (size_t)-1)
            has[has_count++] = code;
    }
}

static size_t write_text(uint32_t *text)
{
    size_t count = next(MAX_CHARS);
    for (size_t i = 0; i < count; i++) {
        text[i] = has[next(next(3) ? has_count : has_count < 128 ? has_count : 128)];
        if (next(200) == 0)
            text[i] = 0x2000 + next(0x8000);
    }
    return count * sizeof *text;
}

static int compare(const char *name)
{
    iconv_t from = iconv_open("UTF-32LE", name), to = iconv_open(name, "UTF-32LE");
    iconv_t own_from = own_iconv_open("UTF-32LE", name), own_to = own_iconv_open(name, "UTF-32LE");
    int differ = 0;

    if (from == (iconv_t)-1 || to == (iconv_t)-1 || own_from == (iconv_t)-1 || own_to == (iconv_t)-1) {
        printf("%s can't be opened\n", name);
        return 1;
    }
    find_characters(to);
    for (int i = 0; i < TEXTS; i++) {
        uint32_t text[MAX_CHARS];
        char bytes[1000];
        size_t size = write_text(text);
        int reads = i % 3 != 0;
        struct result theirs, ours;

        if (reads) {
            char *in = (char *)text, *out = bytes;
            size_t room = sizeof bytes;
            iconv(to, NULL, NULL, NULL, NULL);
            iconv(to, &in, &size, &out, &room);
            iconv(to, NULL, NULL, &out, &room);
            size = sizeof bytes - room;
            if (i % 3 == 2 && size > 0) {
                if (next(2))
                    bytes[next(size)] = (char)(0x1c + next(0xe4));
                else
                    for (size = next(12), room = 0; room < size; room++)
                        bytes[room] = (char)(0x1c + next(0xe4));
            }
        }
        char *in = reads ? bytes : (char *)text;
        convert((converter *)iconv, reads ? from : to, in, size, size, &theirs);
        convert(own_iconv, reads ? own_from : own_to, in, size, 1 + next(9), &ours);
        size_t common = theirs.size < ours.size ? theirs.size : ours.size;
        int same = !theirs.error == !ours.error && memcmp(theirs.out, ours.out, common) == 0;
        if (!theirs.error)
            same = same && theirs.size == ours.size && theirs.left == ours.left;
        if (!same && differ++ == 0) {
            printf("%s, %s, error %d, ours %d:", name, reads ? "reading" : "writing", theirs.error, ours.error);
            for (size_t at = 0; at < size; at++)
                printf(" %02x", (unsigned char)in[at]);
            printf("\n");
        }
    }
    iconv_close(from);
    iconv_close(to);
    own_iconv_close(own_from);
    own_iconv_close(own_to);
    return differ;
}

int main(int argc, char **argv)
{
    int differ = 0;
    for (int i = 1; i < argc; i++)
        differ += compare(argv[i]);
    printf("%d encodings, %d texts each, %d differ\n", argc - 1, TEXTS, differ);
    return differ != 0;
}
