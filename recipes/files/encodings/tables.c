/*
 * Writes the tables that the sandbox's iconv reads (sandbox_inner/src/iconv.c): what the C library of this machine makes of every sequence of
 * bytes and of every character, for each of its encodings. So text comes out in the sandbox as it does outside.
 *
 *     tables GCONV-MODULES... FOLDER
 *
 * The first arguments are glibc's own lists of encodings and of their other names, the last one is the folder for the tables. There is a file for
 * each encoding, named after it, and `names`, with a line for each name: the name, a space, the file.
 *
 * A table consists of 32-bit words, of which the first eight and two for each mode are a header (tables.h says what is in them).
 */
#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#define MAX_WORDS 400000
#define MAX_CODE 0x40000 /* beyond lie private use, which only linear leads reach, and tags, which are dropped */
#define MAX_BYTES 8
#define MAX_CHARS 4

/* Encodings that no table of this kind can hold: their characters depend on more than a mode, or they are Unicode itself. */
static const char *const left_out[] = {
    "ISO-2022-CN", "ISO-2022-CN-EXT", "ISO-2022-JP-2", "ISO-2022-JP-3", "TSCII",    "UTF-7",    "UTF-7-IMAP",
    "UTF-16",      "UTF-16LE",        "UTF-16BE",      "UTF-32",        "UTF-32LE", "UTF-32BE", "UNICODE",
};

/* Encodings with modes: the bytes that select each, and those that a text begins with. */
static const struct shifting {
    const char *name;
    int stays;
    const char *begin;
    const char *select[MODES];
} shifting[] = {
    {"IBM930", 0, "", {"\x0f", "\x0e"}},
    {"IBM933", 0, "", {"\x0f", "\x0e"}},
    {"IBM935", 0, "", {"\x0f", "\x0e"}},
    {"IBM937", 0, "", {"\x0f", "\x0e"}},
    {"IBM939", 0, "", {"\x0f", "\x0e"}},
    {"IBM1364", 0, "", {"\x0f", "\x0e"}},
    {"IBM1371", 0, "", {"\x0f", "\x0e"}},
    {"IBM1388", 0, "", {"\x0f", "\x0e"}},
    {"IBM1390", 0, "", {"\x0f", "\x0e"}},
    {"IBM1399", 0, "", {"\x0f", "\x0e"}},
    {"ISO-2022-KR", 0, "\x1b$)C", {"\x0f", "\x0e"}},
    {"ISO-2022-JP", 1, "", {"\x1b(B", "\x1b(J", "\x1b$B", "\x1b$@"}},
};

/* What glibc has built in, and no list names. */
static const char *const ascii[] = {
    "ANSI_X3.4",
    "ISO-IR-6", "ANSI_X3.4-1986", "ISO_646.IRV:1991", "ASCII", "ISO646-US", "US-ASCII", "US", "IBM367", "CP367", "CSASCII", "OSF00010020",
};

static uint32_t words[MAX_WORDS];
static uint32_t size;
static const char *encoding;
static const struct shifting *shifts;

static struct pair {
    uint32_t first, second, code;
} pairs[1000], composed[4000];
static uint32_t pair_count, composed_count;

static uint32_t back[MODES][MAX_CODE]; /* what a walk over the table finds: the bytes of a character, as the sandbox keeps them */

static void die(const char *what)
{
    fprintf(stderr, "tables: %s: %s\n", encoding ? encoding : "-", what);
    exit(1);
}

static iconv_t open_or_die(const char *to, const char *from)
{
    iconv_t cd = iconv_open(to, from);
    if (cd == (iconv_t)-1)
        die(strerror(errno));
    return cd;
}

static uint32_t add(uint32_t word)
{
    if (size == MAX_WORDS)
        die("the table is too large");
    words[size] = word;
    return size++;
}

/* Bytes as one number, the first one highest. */
static uint32_t packed(const unsigned char *bytes, size_t count)
{
    uint32_t number = 0;
    if (count > 4 || (count > 1 && bytes[0] == 0))
        die("a sequence of bytes that does not fit");
    for (size_t i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

/* The characters of a sequence of bytes in a mode: their number, or -1 for none, or -2 for more bytes wanted. */
static int decode(iconv_t cd, const char *select, const unsigned char *bytes, size_t count, uint32_t *out)
{
    char *in = (char *)select, *to = (char *)out;
    size_t left = strlen(select), room = sizeof(uint32_t) * MAX_CHARS;

    iconv(cd, NULL, NULL, NULL, NULL);
    if (left && iconv(cd, &in, &left, &to, &room) == (size_t)-1)
        die("a mode can't be selected");
    to = (char *)out;
    room = sizeof(uint32_t) * MAX_CHARS;
    in = (char *)bytes;
    left = count;
    if (iconv(cd, &in, &left, &to, &room) == (size_t)-1)
        return errno == EINVAL ? -2 : -1;
    iconv(cd, NULL, NULL, &to, &room);
    return (int)(sizeof(uint32_t) * MAX_CHARS - room) / (int)sizeof(uint32_t);
}

/* The bytes of a character, without those that begin or end a text: their number, or -1 for none. */
static int encode(iconv_t cd, const uint32_t *chars, size_t count, unsigned char *out)
{
    char *in = (char *)chars, *to = (char *)out;
    size_t left = count * sizeof *chars, room = 64;

    iconv(cd, NULL, NULL, NULL, NULL);
    if (iconv(cd, &in, &left, &to, &room) == (size_t)-1)
        return -1;
    size_t written = 64 - room;
    iconv(cd, NULL, NULL, &to, &room);
    if (shifts == NULL)
        written = 64 - room;
    size_t begin = shifts ? strlen(shifts->begin) : 0;
    if (begin && written >= begin && memcmp(out, shifts->begin, begin) == 0) {
        memmove(out, out + begin, written - begin);
        written -= begin;
    }
    return (int)written;
}

/* Whether two bytes begin characters in a row. */
static int is_linear(iconv_t cd, const unsigned char *lead, uint32_t *start)
{
    unsigned char bytes[4] = {lead[0], lead[1], 0x81, 0x30};
    uint32_t chars[MAX_CHARS];

    if (strcmp(encoding, "GB18030") || decode(cd, "", bytes, 4, chars) != 1 || chars[0] < 0x10000)
        return 0;
    *start = chars[0];
    for (uint32_t i = 0; i < LINEAR && *start + i <= 0x10ffff; i++) {
        bytes[2] = linear_bytes(i) >> 8;
        bytes[3] = linear_bytes(i);
        if (decode(cd, "", bytes, 4, chars) != 1 || chars[0] != *start + i)
            die("a lead that is not linear");
    }
    return 1;
}

/* Adds the node of what may follow some bytes: where it is, or 0 if no character begins with them. */
static uint32_t node(iconv_t cd, const char *select, unsigned char *bytes, size_t count)
{
    uint32_t entries[256] = {0}, chars[MAX_CHARS], start;
    int low = 256, high = -1;

    if (count == MAX_BYTES)
        die("sequences of any length");
    for (int byte = 0; byte < 256; byte++) {
        bytes[count] = byte;
        int found = decode(cd, select, bytes, count + 1, chars);
        /* The bytes that select a mode give no character. An escape that selects none may be one. */
        if (shifts && found == -2 && byte == 0x1b) {
            memset(bytes + count + 1, '!', 3);
            found = count == 0 && decode(cd, select, bytes, 4, chars) > 0 && chars[0] == 0x1b ? 1 : -1;
        }
        if (found == -1 || found == 0)
            continue;
        if (count == 1 && found == -2 && is_linear(cd, bytes, &start))
            entries[byte] = IS_LINEAR | start;
        else if (found == -2) {
            uint32_t next = node(cd, select, bytes, count + 1);
            if (next == 0)
                continue;
            entries[byte] = IS_NODE | next;
        } else if (found == 1)
            entries[byte] = chars[0] + 1;
        else if (found == 2) {
            pairs[pair_count] = (struct pair){chars[0], chars[1], packed(bytes, count + 1)};
            entries[byte] = IS_PAIR | pair_count++;
        } else
            die("more than two characters");
        if (low == 256)
            low = byte;
        high = byte;
    }
    bytes[count] = 0;
    if (high < 0)
        return 0;
    uint32_t at = size;
    add(low | high << 8);
    for (int byte = low; byte <= high; byte++)
        add(entries[byte]);
    return at;
}

/* What the sandbox finds of the bytes of characters when it walks over the table: the first sequence of each. */
static void walk(int mode, uint32_t at, uint32_t before)
{
    uint32_t low = words[at] & 0xff, high = words[at] >> 8;
    for (uint32_t byte = low; byte <= high; byte++) {
        uint32_t entry = words[at + 1 + byte - low], bytes = before << 8 | byte;
        if (entry & IS_NODE)
            walk(mode, entry & ~IS_NODE, bytes);
        else if (entry & IS_LINEAR)
            for (uint32_t i = 0, code = entry & ~IS_LINEAR; i < LINEAR && code + i < MAX_CODE; i++)
                back[mode][code + i] = (bytes << 16 | linear_bytes(i)) + 1;
        else if (entry && !(entry & IS_PAIR) && entry - 1 < MAX_CODE && back[mode][entry - 1] == 0)
            back[mode][entry - 1] = bytes + 1;
    }
}

static int deferred(iconv_t cd, unsigned char byte)
{
    uint32_t chars[MAX_CHARS];
    char *in = (char *)&byte, *to = (char *)chars;
    size_t left = 1, room = sizeof chars;
    iconv(cd, NULL, NULL, NULL, NULL);
    return iconv(cd, &in, &left, &to, &room) != (size_t)-1 && room == sizeof chars;
}

/* Single bytes that the next one may change. */
static void compositions(iconv_t cd)
{
    unsigned char bytes[3];
    uint32_t one[MAX_CHARS], other[MAX_CHARS], both[MAX_CHARS];

    for (int first = 0; first < 256; first++) {
        bytes[0] = first;
        if (!deferred(cd, first) || decode(cd, "", bytes, 1, one) != 1)
            continue;
        for (int second = 0; second < 256; second++) {
            bytes[1] = second;
            if (decode(cd, "", bytes + 1, 1, other) != 1 || decode(cd, "", bytes, 2, both) != 1)
                continue;
            composed[composed_count++] = (struct pair){one[0], other[0], both[0]};
            uint32_t middle = both[0];
            for (int third = 0; third < 256; third++) {
                bytes[2] = third;
                if (decode(cd, "", bytes + 2, 1, other) == 1 && decode(cd, "", bytes, 3, both) == 1)
                    composed[composed_count++] = (struct pair){middle, other[0], both[0]};
            }
        }
    }
}

/* The characters whose bytes are others than a walk finds. */
static void exceptions(iconv_t cd)
{
    int modes = shifts ? MODES : 1;
    for (uint32_t code = 0; code < MAX_CODE; code++) {
        unsigned char bytes[64], *rest = bytes;
        int mode = 0, written = -1;
        if (code < 0xd800 || code > 0xdfff)
            written = encode(cd, &code, 1, bytes);
        if (written > 0 && shifts)
            for (int i = 1; i < modes && shifts->select[i]; i++) {
                size_t length = strlen(shifts->select[i]);
                if ((size_t)written > length && memcmp(bytes, shifts->select[i], length) == 0) {
                    mode = i;
                    rest = bytes + length;
                    written -= length;
                    break;
                }
            }
        uint32_t is = written > 0 ? packed(rest, written) + 1 : 0;
        for (int i = 0; i < modes; i++) {
            /* An encoding that stays in its mode writes what another mode has as well, but for single bytes among double ones. */
            int stays = shifts && shifts->stays && (i == 1 || (i == 2 && back[i][code] > 0x100));
            uint32_t wanted = i == mode ? is : is && stays ? back[i][code] : 0;
            if (back[i][code] != wanted) {
                add(code | i << 24);
                add(wanted);
            }
        }
    }
}

static int compare_pairs(const void *one, const void *other)
{
    const struct pair *a = one, *b = other;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->second < b->second ? -1 : a->second > b->second;
}

static void add_pairs(struct pair *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add(list[i].first);
        add(list[i].second);
        add(list[i].code);
    }
}

static void file_name(char *path, const char *folder, const char *name)
{
    sprintf(path, "%s/%s", folder, name);
    for (char *at = path + strlen(folder) + 1; *at; at++)
        if (*at == '/' || *at == ':')
            *at = '_';
}

static void table(const char *name, const char *folder)
{
    char path[500];
    unsigned char bytes[MAX_BYTES + 1] = {0};

    encoding = name;
    shifts = NULL;
    for (size_t i = 0; i < sizeof shifting / sizeof *shifting; i++)
        if (strcmp(shifting[i].name, name) == 0)
            shifts = &shifting[i];
    iconv_t from = open_or_die("UTF-32LE", name), to = open_or_die(name, "UTF-32LE");
    size = HEADER_WORDS;
    memset(words, 0, sizeof words);
    memset(back, 0, sizeof back);
    pair_count = composed_count = 0;
    uint32_t *header = words;
    header[H_MAGIC] = MAGIC;
    header[H_MODES] = 1;
    header[H_ROOTS] = 0;
    if (shifts) {
        header[H_STAYS] = shifts->stays;
        header[H_BEGIN] = packed((const unsigned char *)shifts->begin, strlen(shifts->begin));
        for (header[H_MODES] = 0; header[H_MODES] < MODES && shifts->select[header[H_MODES]]; header[H_MODES]++)
            header[H_SELECT + header[H_MODES]] = packed((const unsigned char *)shifts->select[header[H_MODES]], strlen(shifts->select[header[H_MODES]]));
    }
    for (uint32_t mode = 0; mode < header[H_MODES]; mode++) {
        header[H_ROOTS + mode] = node(from, shifts ? shifts->select[mode] : "", bytes, 0);
        walk(mode, header[H_ROOTS + mode], 0);
    }
    if (!shifts)
        compositions(from);
    /* The bytes of a pair in the other direction: an encoding may read a pair that it does not write. */
    uint32_t used = pair_count;
    struct pair written[1000];
    memcpy(written, pairs, sizeof pairs);
    header[H_PAIRS] = size;
    header[H_PAIR_COUNT] = used;
    for (uint32_t i = 0; i < used; i++) {
        unsigned char out[64];
        uint32_t both[2] = {pairs[i].first, pairs[i].second};
        int count = encode(to, both, 2, out);
        if (count <= 0 || count > 4 || packed(out, count) != pairs[i].code)
            written[i].code = 0;
    }
    add_pairs(written, used);
    qsort(composed, composed_count, sizeof *composed, compare_pairs);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < composed_count; i++)
        if (kept == 0 || compare_pairs(&composed[kept - 1], &composed[i]))
            composed[kept++] = composed[i];
    header[H_COMPOSED] = size;
    header[H_COMPOSED_COUNT] = kept;
    add_pairs(composed, kept);
    header[H_EXCEPTIONS] = size;
    exceptions(to);
    header[H_EXCEPTION_COUNT] = (size - header[H_EXCEPTIONS]) / 2;
    iconv_close(from);
    iconv_close(to);

    file_name(path, folder, name);
    FILE *stream = fopen(path, "wb");
    if (stream == NULL || fwrite(words, sizeof *words, size, stream) != size || fclose(stream))
        die(strerror(errno));
}

static char *names[4000][2]; /* a name, and the encoding's */
static int name_count;

static void name_it(const char *name, const char *its_encoding)
{
    for (int i = 0; i < name_count; i++)
        if (strcmp(names[i][0], name) == 0)
            return;
    names[name_count][0] = strdup(name);
    names[name_count++][1] = strdup(its_encoding);
}

static int has_table(const char *name)
{
    for (int i = 0; i < name_count; i++)
        if (strcmp(names[i][0], name) == 0 && strcmp(names[i][1], name) == 0)
            return 1;
    return 0;
}

/* A name without the two slashes at its end. */
static void plain(char *name)
{
    size_t length = strlen(name);
    if (length > 2 && strcmp(name + length - 2, "//") == 0)
        name[length - 2] = 0;
    for (; *name; name++)
        *name = toupper((unsigned char)*name);
}

/* The encodings of a list, or, when they are known, their other names. */
static void list(const char *path, const char *folder, int aliases)
{
    char line[500], word[500], one[500], other[500];
    FILE *stream = fopen(path, "r");
    if (stream == NULL)
        die(strerror(errno));
    while (fgets(line, sizeof line, stream)) {
        if (sscanf(line, "%499s %499s %499s", word, one, other) != 3)
            continue;
        int internal = strcmp(other, "INTERNAL") == 0;
        plain(one);
        plain(other);
        if (aliases && strcmp(word, "alias") == 0 && has_table(other))
            name_it(one, other);
        if (aliases || strcmp(word, "module") || !internal || has_table(one))
            continue;
        int wanted = 1;
        for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
            wanted = wanted && strcmp(one, left_out[i]);
        if (wanted) {
            table(one, folder);
            name_it(one, one);
        }
    }
    fclose(stream);
}

/* More names, a line each: the name, and a name that is known. */
static void more_names(const char *path)
{
    char line[500], one[500], other[500];
    FILE *stream = fopen(path, "r");
    if (stream == NULL)
        die(strerror(errno));
    while (fgets(line, sizeof line, stream)) {
        if (line[0] == '#' || sscanf(line, "%499s %499s", one, other) != 2)
            continue;
        int i = 0;
        while (i < name_count && strcmp(names[i][0], other))
            i++;
        encoding = other;
        if (i == name_count)
            die("no such encoding");
        name_it(one, names[i][1]);
    }
    fclose(stream);
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(((char *const *)one)[0], ((char *const *)other)[0]);
}

int main(int argc, char **argv)
{
    char path[500], file[500];
    if (argc < 4)
        die("usage: tables LABELS GCONV-MODULES... FOLDER");
    const char *folder = argv[argc - 1];
    table("ANSI_X3.4-1968", folder);
    name_it("ANSI_X3.4-1968", "ANSI_X3.4-1968");
    for (size_t i = 0; i < sizeof ascii / sizeof *ascii; i++)
        name_it(ascii[i], "ANSI_X3.4-1968");
    for (int aliases = 0; aliases < 2; aliases++)
        for (int i = 2; i < argc - 1; i++)
            list(argv[i], folder, aliases);
    more_names(argv[1]);
    qsort(names, name_count, sizeof *names, compare_names);
    sprintf(path, "%s/names", folder);
    FILE *stream = fopen(path, "w");
    for (int i = 0; stream && i < name_count; i++) {
        file_name(file, "", names[i][1]);
        fprintf(stream, "%s %s\n", names[i][0], file + 1);
    }
    if (stream == NULL || fclose(stream))
        die(strerror(errno));
    return 0;
}
