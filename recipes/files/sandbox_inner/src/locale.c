/*
 * The locales that there are, as on a Linux without language packages: any other is refused, so that a program does not take its numbers
 * and dates for another country's. Characters in UTF-8 are the same everywhere: LC_CTYPE may be named after any country that has it.
 *
 * Text is in UTF-8 whatever the locale is called: in wasi-libc's "C", iconv() takes it apart byte by byte. So wasi-libc's LC_CTYPE is always
 * "C.UTF-8", and what the program has set is kept here: "C" at first, as on Linux.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* wasi-libc's own function; our header gives its name to ours. */
char *libc_setlocale(int category, const char *name) __asm__("setlocale");

static const char *names_now[] = {"C", "C", "C", "C", "C", "C"};

_Static_assert(sizeof names_now / sizeof names_now[0] == LC_ALL, "a name for each category");

__attribute__((constructor)) static void text_is_utf8(void)
{
    libc_setlocale(LC_CTYPE, "C.UTF-8");
}

static const char *const variables[] = {
    [LC_CTYPE] = "LC_CTYPE",       [LC_NUMERIC] = "LC_NUMERIC",   [LC_TIME] = "LC_TIME",
    [LC_COLLATE] = "LC_COLLATE",   [LC_MONETARY] = "LC_MONETARY", [LC_MESSAGES] = "LC_MESSAGES",
};

/* libc's name of a locale that there is, or NULL. */
static const char *known(const char *name, size_t size)
{
    static const char *const names[][2] = {
        {"C", "C"}, {"POSIX", "C"}, {"C.UTF-8", "C.UTF-8"}, {"C.UTF8", "C.UTF-8"}, {"C.utf-8", "C.UTF-8"}, {"C.utf8", "C.UTF-8"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i][0]) == size && memcmp(names[i][0], name, size) == 0)
            return names[i][1];
    return NULL;
}

static const char *known_for(int category, const char *name, size_t size)
{
    const char *dot = memchr(name, '.', size);
    size_t before = dot ? (size_t)(dot - name) + 1 : 0;
    if (category == LC_CTYPE && dot)
        if ((size - before == 5 && strncasecmp(dot, ".UTF-8", 6) == 0) || (size - before == 4 && strncasecmp(dot, ".UTF8", 5) == 0))
            return "C.UTF-8";
    return known(name, size);
}

/* What the environment wants for one category. */
static const char *wanted(int category)
{
    const char *const order[] = {"LC_ALL", variables[category], "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(order[i]);
        if (value && *value)
            return known_for(category, value, strlen(value));
    }
    return "C";
}

/* The name of all categories: one, if they have the same, or theirs in wasi-libc's order with ; between them. */
static char *name_of(int category)
{
    static char all[LC_ALL * sizeof "C.UTF-8"];
    int same = 1;

    if (category < 0 || category > LC_ALL)
        return NULL;
    if (category < LC_ALL)
        return (char *)names_now[category];
    all[0] = '\0';
    for (int i = 0; i < LC_ALL; i++) {
        same &= strcmp(names_now[i], names_now[0]) == 0;
        if (i > 0)
            strcat(all, ";");
        strcat(all, names_now[i]);
    }
    return same ? (char *)names_now[0] : all;
}

/* Sets all categories or none. `names` is in wasi-libc's order of them. */
static char *set_all(const char *const names[])
{
    for (int i = 0; i < LC_ALL; i++)
        if (names[i] == NULL)
            return NULL;
    memcpy(names_now, names, sizeof names_now);
    return name_of(LC_ALL);
}

char *setlocale(int category, const char *name)
{
    const char *names[LC_ALL];

    if (name == NULL || category < 0 || category > LC_ALL)
        return name_of(category);
    if (category != LC_ALL) {
        const char *one = *name ? known_for(category, name, strlen(name)) : wanted(category);
        if (one)
            names_now[category] = one;
        return (char *)one;
    }
    /* One name for all, or a name for each with ; between them, as libc gives it. */
    for (int i = 0; i < LC_ALL; i++) {
        size_t size = strcspn(name, ";");
        names[i] = *name ? known_for(i, name, size) : wanted(i);
        if (name[size] == ';')
            name += size + 1;
    }
    return set_all(names);
}
