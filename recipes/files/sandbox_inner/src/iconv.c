/*
 * Text in other encodings, by tables that say what glibc makes of each (encodings/tables.c). wasi-libc's own iconv reads Chinese and Korean and
 * writes none of it, knows few names, and writes `*` for what an encoding lacks, in silence; Native Client's glibc has its tables in libraries.
 *
 * A character goes from the reader to the writer as its Unicode code. A table is read once, when an encoding is opened for the first time.
 */
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tables.h"

#ifdef __native_client__
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define LOCK() pthread_mutex_lock(&lock)
#define UNLOCK() pthread_mutex_unlock(&lock)
#else
/* There is one thread. */
#define LOCK() ((void)0)
#define UNLOCK() ((void)0)
#endif

#ifndef ENCODINGS
#define ENCODINGS "/slib/encodings/"
#endif

#define MAX_NAME 64
#define PAGES 0x400 /* of 256 codes; beyond are linear ones alone */
#define MAX_CODE 0x10ffff
#define MAX_WRITTEN 32 /* bytes of two characters, with those that begin a text and select a mode */

/* Encodings of Unicode, which need no table. */
enum form { TABLE, UTF8, UTF16, UTF32, UCS2 };
enum order { LITTLE, BIG, MARKED };

static const struct unicode {
    const char *name;
    enum form form;
    enum order order;
} unicodes[] = {
    {"UTF-8", UTF8, LITTLE},
    {"UTF8", UTF8, LITTLE},
    {"ISO-10646/UTF8/", UTF8, LITTLE},
    {"ISO-10646/UTF-8/", UTF8, LITTLE},
    {"ISO-IR-193", UTF8, LITTLE},
    {"OSF05010001", UTF8, LITTLE},
    {"UNICODE-1-1-UTF-8", UTF8, LITTLE},
    {"UNICODE11UTF8", UTF8, LITTLE},
    {"UNICODE20UTF8", UTF8, LITTLE},
    {"X-UNICODE20UTF8", UTF8, LITTLE},
    {"UTF-16", UTF16, MARKED},
    {"UTF16", UTF16, MARKED},
    {"UTF-16LE", UTF16, LITTLE},
    {"UNICODEFEFF", UTF16, LITTLE},
    {"UTF16LE", UTF16, LITTLE},
    {"UTF-16BE", UTF16, BIG},
    {"UNICODEFFFE", UTF16, BIG},
    {"UTF16BE", UTF16, BIG},
    {"UTF-32", UTF32, MARKED},
    {"UTF32", UTF32, MARKED},
    {"UTF-32LE", UTF32, LITTLE},
    {"UTF32LE", UTF32, LITTLE},
    {"UTF-32BE", UTF32, BIG},
    {"UTF32BE", UTF32, BIG},
    {"UCS-4", UTF32, BIG},
    {"UCS4", UTF32, BIG},
    {"UCS-4BE", UTF32, BIG},
    {"UCS4BE", UTF32, BIG},
    {"CSUCS4", UTF32, BIG},
    {"ISO-10646", UTF32, BIG},
    {"ISO-10646/UCS4/", UTF32, BIG},
    {"10646-1:1993", UTF32, BIG},
    {"10646-1:1993/UCS4/", UTF32, BIG},
    {"OSF00010104", UTF32, BIG},
    {"OSF00010105", UTF32, BIG},
    {"OSF00010106", UTF32, BIG},
    {"UCS-4LE", UTF32, LITTLE},
    {"UCS4LE", UTF32, LITTLE},
    {"WCHAR_T", UTF32, LITTLE},
    {"INTERNAL", UTF32, LITTLE},
    {"UNICODE", UCS2, MARKED},
    {"CSUNICODE", UCS2, MARKED},
    {"UCS-2", UCS2, LITTLE},
    {"UCS2", UCS2, LITTLE},
    {"ISO-10646-UCS-2", UCS2, LITTLE},
    {"ISO-10646/UCS2/", UCS2, LITTLE},
    {"OSF00010100", UCS2, LITTLE},
    {"OSF00010101", UCS2, LITTLE},
    {"OSF00010102", UCS2, LITTLE},
    {"UCS-2LE", UCS2, LITTLE},
    {"UCS2LE", UCS2, LITTLE},
    {"UNICODELITTLE", UCS2, LITTLE},
    {"UCS-2BE", UCS2, BIG},
    {"UCS2BE", UCS2, BIG},
    {"UNICODEBIG", UCS2, BIG},
};

/* A table that was read; it stays. */
static struct table {
    struct table *next;
    char file[MAX_NAME];
    uint32_t *words;
    uint32_t size;
    uint32_t **pages[MODES]; /* the bytes of characters, made when the first one is written */
    volatile int has_pages;
} *tables;

/* One half of a conversion. */
struct side {
    enum form form;
    enum order order;
    struct table *table;
    int mode;
    int begun;
    uint32_t held; /* a character that may be one with the next, or 0 */
};

struct conversion {
    struct side from, to;
};

/* Reads a whole file. Sets errno. */
static char *whole(const char *name, uint32_t *size)
{
    char path[sizeof ENCODINGS + MAX_NAME], *text = NULL;
    snprintf(path, sizeof path, "%s%s", ENCODINGS, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    off_t length = lseek(fd, 0, SEEK_END);
    if (length > 0 && length < 0x1000000 && lseek(fd, 0, SEEK_SET) == 0 && (text = malloc(length + 1))) {
        off_t got = 0;
        ssize_t count = 1;
        while (got < length && count > 0)
            if ((count = read(fd, text + got, length - got)) > 0)
                got += count;
        if (got < length) {
            free(text);
            text = NULL;
            errno = EIO;
        } else {
            text[length] = 0;
            *size = length;
        }
    }
    int error = errno;
    close(fd);
    errno = error;
    return text;
}

static int is_sign(char c)
{
    return !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

/* Whether two names are the same, but for case, and, if asked, for what is neither letter nor digit. The second one ends at a space, too. */
static int is_named(const char *name, const char *other, int loosely)
{
    for (;; name++, other++) {
        while (loosely && *name && is_sign(*name))
            name++;
        while (loosely && *other && *other != ' ' && is_sign(*other))
            other++;
        if (*name == 0)
            return *other == 0 || *other == ' ';
        if (*other == ' ' || strncasecmp(name, other, 1))
            return 0;
    }
}

/* The file of an encoding of this name. */
static int find_file(const char *name, int loosely, char file[MAX_NAME])
{
    static char *names;
    uint32_t size;

    if (names == NULL && (names = whole("names", &size)) == NULL) {
        if (errno == ENOENT)
            errno = EINVAL;
        return -1;
    }
    for (const char *line = names, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (!is_named(name, line, loosely))
            continue;
        line = strchr(line, ' ') + 1;
        if (end - line >= MAX_NAME)
            break;
        memcpy(file, line, end - line);
        file[end - line] = 0;
        return 0;
    }
    errno = EINVAL;
    return -1;
}

static struct table *read_table(const char *file)
{
    struct table *table;

    for (table = tables; table; table = table->next)
        if (strcmp(table->file, file) == 0)
            return table;
    if ((table = calloc(1, sizeof *table)) == NULL)
        return NULL;
    uint32_t size = 0;
    table->words = (uint32_t *)whole(file, &size);
    table->size = size / 4;
    if (table->words == NULL || table->size < HEADER_WORDS || table->words[H_MAGIC] != MAGIC) {
        if (table->words)
            errno = EINVAL;
        free(table->words);
        free(table);
        return NULL;
    }
    strcpy(table->file, file);
    table->next = tables;
    return tables = table;
}

static int open_side(struct side *side, const char *name)
{
    char file[MAX_NAME];
    char plain[MAX_NAME];

    memset(side, 0, sizeof *side);
    size_t length = strlen(name);
    /* glibc's own lists have names with two slashes at the end. */
    if (length > 2 && strcmp(name + length - 2, "//") == 0)
        length -= 2;
    if (length == 0 || length >= MAX_NAME) {
        errno = EINVAL;
        return -1;
    }
    memcpy(plain, name, length);
    plain[length] = 0;
    for (int loosely = 0; loosely < 2; loosely++) {
        for (size_t i = 0; i < sizeof unicodes / sizeof *unicodes; i++)
            if (is_named(plain, unicodes[i].name, loosely)) {
                side->form = unicodes[i].form;
                side->order = unicodes[i].order;
                return 0;
            }
        if (find_file(plain, loosely, file) == 0) {
            side->table = read_table(file);
            return side->table ? 0 : -1;
        }
        if (errno != EINVAL)
            return -1;
    }
    return -1;
}

iconv_t iconv_open(const char *to, const char *from)
{
    struct conversion *made = malloc(sizeof *made);
    if (made == NULL)
        return (iconv_t)-1;
    LOCK();
    int failed = open_side(&made->from, from) || open_side(&made->to, to);
    UNLOCK();
    if (failed) {
        int error = errno;
        free(made);
        errno = error;
        return (iconv_t)-1;
    }
    return (iconv_t)made;
}

int iconv_close(iconv_t conversion)
{
    free((void *)conversion);
    return 0;
}

/* What reading found: how many bytes it took, or a failure: errno is set. */
#define FAILED ((size_t)-1)

static size_t fail(int error)
{
    errno = error;
    return FAILED;
}

static size_t read_utf8(const unsigned char *in, size_t left, uint32_t *code)
{
    unsigned char lead = in[0];
    size_t more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 4;

    if (more == 4)
        return fail(EILSEQ);
    uint32_t found = more ? lead & (0x3f >> more) : lead;
    for (size_t i = 1; i <= more; i++) {
        if (i == left)
            return fail(EINVAL);
        if ((in[i] & 0xc0) != 0x80)
            return fail(EILSEQ);
        found = found << 6 | (in[i] & 0x3f);
        /* What is too long, a half of a pair or beyond Unicode shows in the second byte. */
        if (i == 1 && ((lead == 0xe0 && in[1] < 0xa0) || (lead == 0xed && in[1] >= 0xa0) || (lead == 0xf0 && in[1] < 0x90) ||
                       (lead == 0xf4 && in[1] >= 0x90)))
            return fail(EILSEQ);
    }
    *code = found;
    return more + 1;
}

static uint32_t unit(const unsigned char *in, size_t width, enum order order)
{
    uint32_t found = 0;
    for (size_t i = 0; i < width; i++)
        found = found << 8 | in[order == BIG ? i : width - 1 - i];
    return found;
}

static size_t read_wide(struct side *side, const unsigned char *in, size_t left, uint32_t *code)
{
    size_t width = side->form == UTF32 ? 4 : 2, taken = 0;

    if (left < width)
        return fail(EINVAL);
    if (side->order == MARKED && !side->begun) {
        /* A mark says the order; without one it is this machine's. */
        side->begun = unit(in, width, BIG) == 0xfeff ? 2 : 1;
        if (side->begun == 2 || unit(in, width, LITTLE) == 0xfeff) {
            *code = 0;
            return width;
        }
    }
    enum order order = side->order == BIG || side->begun == 2 ? BIG : LITTLE;
    uint32_t found = unit(in, width, order);
    taken = width;
    if (side->form == UTF16 && (found & 0xfc00) == 0xd800) {
        if (left < 4)
            return fail(EINVAL);
        uint32_t low = unit(in + 2, 2, order);
        if ((low & 0xfc00) != 0xdc00)
            return fail(EILSEQ);
        found = 0x10000 + ((found & 0x3ff) << 10) + (low & 0x3ff);
        taken = 4;
    }
    if (found > MAX_CODE || (found & 0xfffff800) == 0xd800)
        return fail(EILSEQ);
    *code = found;
    return taken;
}

/* How many bytes select a mode or begin a text. */
static size_t length_of(uint32_t packed)
{
    return packed > 0xffffff ? 4 : packed > 0xffff ? 3 : packed > 0xff ? 2 : 1;
}

/* Whether the input begins with these bytes: all of them, as many as there are (-1), or not. */
static int begins(const unsigned char *in, size_t left, uint32_t packed)
{
    size_t length = length_of(packed);
    for (size_t i = 0; i < length; i++) {
        if (i == left)
            return -1;
        if (in[i] != (packed >> 8 * (length - 1 - i) & 0xff))
            return 0;
    }
    return 1;
}

/* Reads up to two characters by a table; none if the bytes select a mode. */
static size_t read_table_character(struct side *side, const unsigned char *in, size_t left, uint32_t codes[2], int *count)
{
    const uint32_t *words = side->table->words;
    const uint32_t *at = words + words[H_ROOTS + side->mode];

    *count = 0;
    if (words[H_MODES] > 1) {
        int partly = 0;
        for (int i = -1; i < (int)words[H_MODES]; i++) {
            uint32_t wanted = i < 0 ? words[H_BEGIN] : words[H_SELECT + i];
            int found = wanted ? begins(in, left, wanted) : 0;
            if (found > 0) {
                if (i >= 0)
                    side->mode = i;
                return length_of(wanted);
            }
            partly |= found;
        }
        if (partly)
            return fail(EINVAL);
    }
    for (size_t i = 0;; i++) {
        if (i == left)
            return fail(EINVAL);
        uint32_t low = at[0] & 0xff, high = at[0] >> 8, entry = in[i] < low || in[i] > high ? 0 : at[1 + in[i] - low];
        if (entry == 0)
            return fail(EILSEQ);
        if (entry & IS_NODE) {
            at = words + (entry & ~IS_NODE);
            continue;
        }
        if (entry & IS_PAIR) {
            const uint32_t *pair = words + words[H_PAIRS] + 3 * (entry & ~IS_PAIR);
            codes[0] = pair[0];
            codes[1] = pair[1];
            *count = 2;
            return i + 1;
        }
        *count = 1;
        if (entry & IS_LINEAR) {
            for (size_t next = 1; next < 3; next++) {
                if (i + next == left)
                    return fail(EINVAL);
                unsigned char byte = in[i + next];
                if (next == 1 ? byte < 0x81 || byte > 0xfe : byte < 0x30 || byte > 0x39)
                    return fail(EILSEQ);
            }
            codes[0] = (entry & ~IS_LINEAR) + (in[i + 1] - 0x81) * 10 + in[i + 2] - 0x30;
            return codes[0] > MAX_CODE ? fail(EILSEQ) : i + 3;
        }
        codes[0] = entry - 1;
        return i + 1;
    }
}

/* Of a list of pairs, what belongs to this one, or 0. */
static uint32_t find_pair(const struct table *table, int list, uint32_t first, uint32_t second)
{
    const uint32_t *at = table->words + table->words[list], *end = at + 3 * table->words[list + 1];
    for (; at < end; at += 3)
        if (at[0] == first && at[1] == second)
            return at[2];
    return 0;
}

/* Whether a character is the first one of a pair of the list. */
static int begins_pair(const struct table *table, int list, uint32_t first)
{
    const uint32_t *at = table->words + table->words[list], *end = at + 3 * table->words[list + 1];
    for (; at < end; at += 3)
        if (at[0] == first && at[2])
            return 1;
    return 0;
}

/* Reads what comes next; `codes` is what to write then. */
static size_t read_next(struct side *side, const unsigned char *in, size_t left, uint32_t codes[2], int *count)
{
    size_t taken;

    *count = 1;
    if (side->form == UTF8)
        return read_utf8(in, left, codes);
    if (side->form != TABLE) {
        int begun = side->begun || side->order != MARKED;
        taken = read_wide(side, in, left, codes);
        /* That was the mark. */
        if (!begun && taken != FAILED && codes[0] == 0 && (side->begun == 2 || in[0] == 0xff))
            *count = 0;
        return taken;
    }
    taken = read_table_character(side, in, left, codes, count);
    if (taken == FAILED || *count != 1 || side->table->words[H_COMPOSED_COUNT] == 0)
        return taken;
    uint32_t code = codes[0], one;
    *count = 0;
    if (side->held && (one = find_pair(side->table, H_COMPOSED, side->held, code))) {
        code = one;
        side->held = 0;
    }
    if (side->held)
        codes[(*count)++] = side->held;
    side->held = begins_pair(side->table, H_COMPOSED, code) ? code : 0;
    if (!side->held)
        codes[(*count)++] = code;
    return taken;
}

/* Remembers the bytes of a character. */
static int remember(struct table *table, int mode, uint32_t code, uint32_t bytes, int anew)
{
    if (code >> 8 >= PAGES)
        return 0;
    uint32_t **page = &table->pages[mode][code >> 8];
    if (*page == NULL && (*page = calloc(256, sizeof **page)) == NULL)
        return -1;
    if (anew || (*page)[code & 255] == 0)
        (*page)[code & 255] = bytes;
    return 0;
}

/* The same walk as the one of tables.c, whose exceptions come after it. */
static int walk(struct table *table, int mode, uint32_t at, uint32_t before)
{
    uint32_t low = table->words[at] & 0xff, high = table->words[at] >> 8;
    for (uint32_t byte = low; byte <= high; byte++) {
        uint32_t entry = table->words[at + 1 + byte - low], bytes = before << 8 | byte;
        if (entry & IS_NODE) {
            if (walk(table, mode, entry & ~IS_NODE, bytes))
                return -1;
        } else if (entry && !(entry & (IS_PAIR | IS_LINEAR)) && remember(table, mode, entry - 1, bytes + 1, 0))
            return -1;
    }
    return 0;
}

static int make_pages(struct table *table)
{
    const uint32_t *words = table->words;
    int modes = words[H_MODES];

    for (int mode = 0; mode < modes; mode++) {
        if (table->pages[mode] == NULL && (table->pages[mode] = calloc(PAGES, sizeof(uint32_t *))) == NULL)
            return -1;
        if (walk(table, mode, words[H_ROOTS + mode], 0))
            return -1;
    }
    const uint32_t *list = words + words[H_EXCEPTIONS];
    for (uint32_t i = 0; i < words[H_EXCEPTION_COUNT]; i++)
        if (remember(table, list[2 * i] >> 24, list[2 * i] & 0xffffff, list[2 * i + 1], 1))
            return -1;
    table->has_pages = 1;
    return 0;
}

/* The bytes of a character among those in a row, and one more; 0 if it is not there. */
static uint32_t bytes_in_a_row(const uint32_t *words, uint32_t at, uint32_t before, uint32_t code)
{
    uint32_t low = words[at] & 0xff, high = words[at] >> 8, found = 0;
    for (uint32_t byte = low; byte <= high && found == 0; byte++) {
        uint32_t entry = words[at + 1 + byte - low], bytes = before << 8 | byte, start = entry & ~IS_LINEAR;
        if (entry & IS_NODE)
            found = before ? 0 : bytes_in_a_row(words, entry & ~IS_NODE, bytes, code);
        else if (!(entry & IS_PAIR) && entry & IS_LINEAR && code >= start && code - start < LINEAR)
            found = (bytes << 16 | linear_bytes(code - start)) + 1;
    }
    return found;
}

/* The bytes of a character in a mode, and one more; 0 if it has none. */
static uint32_t bytes_of(const struct table *table, int mode, uint32_t code)
{
    const uint32_t *page = code >> 8 < PAGES ? table->pages[mode][code >> 8] : NULL;

    if (page && page[code & 255])
        return page[code & 255];
    return code < 0x10000 || mode ? 0 : bytes_in_a_row(table->words, table->words[H_ROOTS], 0, code);
}

struct written {
    unsigned char bytes[MAX_WRITTEN];
    size_t count;
};

static void put(struct written *out, uint32_t packed, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out->bytes[out->count++] = packed >> 8 * (length - 1 - i);
}

static void put_unit(struct written *out, uint32_t code, size_t width, enum order order)
{
    for (size_t i = 0; i < width; i++)
        out->bytes[out->count++] = code >> 8 * (order == BIG ? width - 1 - i : i);
}

static int write_by_table(struct side *side, uint32_t code, struct written *out)
{
    const uint32_t *words = side->table->words;
    int modes = words[H_MODES], mode = words[H_STAYS] && code != '\n' && code != '\r' ? side->mode : 0;
    uint32_t bytes = bytes_of(side->table, mode, code);

    for (int i = 0; bytes == 0 && i < modes; i++)
        bytes = bytes_of(side->table, mode = i, code);
    if (bytes == 0)
        return -1;
    if (mode != side->mode)
        put(out, words[H_SELECT + mode], length_of(words[H_SELECT + mode]));
    side->mode = mode;
    put(out, bytes - 1, length_of(bytes - 1));
    return 0;
}

/* Writes a character, and with it one that was held back. Returns -1 and sets errno if the encoding has no such character. */
static int write_next(struct side *side, uint32_t code, struct written *out)
{
    if (side->form == UTF8) {
        if (code < 0x80)
            put(out, code, 1);
        else if (code < 0x800)
            put(out, 0xc080 | (code & 0x7c0) << 2 | (code & 0x3f), 2);
        else if (code < 0x10000)
            put(out, 0xe08080 | (code & 0xf000) << 4 | (code & 0xfc0) << 2 | (code & 0x3f), 3);
        else
            put(out, 0xf0808080 | (code & 0x1c0000) << 6 | (code & 0x3f000) << 4 | (code & 0xfc0) << 2 | (code & 0x3f), 4);
        return 0;
    }
    if (side->form != TABLE) {
        size_t width = side->form == UTF32 ? 4 : 2;
        if (side->form == UCS2 && code > 0xffff) {
            errno = EILSEQ;
            return -1;
        }
        if (side->order == MARKED && !side->begun)
            put_unit(out, 0xfeff, width, LITTLE);
        side->begun = 1;
        if (side->form == UTF16 && code > 0xffff) {
            put_unit(out, 0xd7c0 + (code >> 10), 2, side->order);
            code = 0xdc00 | (code & 0x3ff);
        }
        put_unit(out, code, width, side->order);
        return 0;
    }
    const uint32_t *words = side->table->words;
    if (!side->table->has_pages) {
        LOCK();
        int failed = !side->table->has_pages && make_pages(side->table);
        UNLOCK();
        if (failed) {
            errno = ENOMEM;
            return -1;
        }
    }
    if (!side->begun && words[H_BEGIN])
        put(out, words[H_BEGIN], length_of(words[H_BEGIN]));
    side->begun = 1;
    if (side->held) {
        uint32_t held = side->held, both = find_pair(side->table, H_PAIRS, held, code);
        side->held = 0;
        if (both) {
            put(out, both, length_of(both));
            return 0;
        }
        write_by_table(side, held, out);
    }
    if (begins_pair(side->table, H_PAIRS, code)) {
        side->held = code;
        return 0;
    }
    /* Tags say what language a text is in; what can't write them leaves them out. */
    if (write_by_table(side, code, out) == 0 || code >> 7 == 0xe0000 >> 7)
        return 0;
    errno = EILSEQ;
    return -1;
}

static int flush(struct written *from, char **out, size_t *room)
{
    if (from->count > *room) {
        errno = E2BIG;
        return -1;
    }
    memcpy(*out, from->bytes, from->count);
    *out += from->count;
    *room -= from->count;
    return 0;
}

/* Writes what was held back and what ends a text, and forgets all. */
static size_t finish(struct conversion *now, char **out, size_t *room)
{
    struct conversion before = *now;

    if (out && *out) {
        struct written last = {{0}, 0};
        if (now->to.table && !now->to.begun && now->to.table->words[H_BEGIN])
            put(&last, now->to.table->words[H_BEGIN], length_of(now->to.table->words[H_BEGIN]));
        int failed = now->from.held && write_next(&now->to, now->from.held, &last);
        if (failed && errno == ENOMEM) {
            *now = before;
            return FAILED;
        }
        if (now->to.held)
            write_by_table(&now->to, now->to.held, &last);
        if (now->to.table && now->to.mode)
            put(&last, now->to.table->words[H_SELECT], length_of(now->to.table->words[H_SELECT]));
        if (flush(&last, out, room)) {
            *now = before;
            return FAILED;
        }
    }
    now->from.mode = now->to.mode = now->from.begun = now->to.begun = 0;
    now->from.held = now->to.held = 0;
    return 0;
}

size_t iconv(iconv_t conversion, char **restrict in, size_t *restrict left, char **restrict out, size_t *restrict room)
{
    struct conversion *now = (struct conversion *)conversion;

    if (in == NULL || *in == NULL)
        return finish(now, out, room);
    while (*left) {
        struct conversion before = *now;
        struct written next = {{0}, 0};
        uint32_t codes[2];
        int count;
        size_t taken = read_next(&now->from, (const unsigned char *)*in, *left, codes, &count);
        int failed = taken == FAILED;
        for (int i = 0; !failed && i < count; i++)
            failed = write_next(&now->to, codes[i], &next) != 0;
        if (failed || flush(&next, out, room)) {
            *now = before;
            return FAILED;
        }
        *in += taken;
        *left -= taken;
    }
    return 0;
}
