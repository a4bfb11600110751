/*
 * The local time, by the rules that TZ spells out, as POSIX has it: `EST5EDT,M3.2.0,M11.1.0`. Without TZ, and where it is no such rule (there
 * is no database of zones), it is UTC. wasi-libc has UTC alone.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* wasi-libc's own function; our header gives its name to ours. */
size_t libc_strftime(char *out, size_t size, const char *format, const struct tm *time) __asm__("strftime");

#define HOUR 3600
#define DAY 86400
#define NAME_SIZE 32
/* As glibc has it for a zone with summer time that does not say when: the rule of the United States. */
#define USUAL_RULES "M3.2.0,M11.1.0"

/* When a year's summer time begins, or ends. */
struct rule {
    /* 'J': day 1 to 365, the 29th of February is not counted. '0': day 0 to 365, it is. 'M': a weekday of a month. */
    char kind;
    int day, week, month;
    /* Seconds after midnight. */
    int time;
};

static struct {
    char *text;
    char names[2][NAME_SIZE];
    /* Seconds east of Greenwich: of the usual time, of summer time. */
    int offsets[2];
    int has_summer;
    struct rule begin, end;
} zone;

char *tzname[2] = {(char *)"UTC", (char *)"UTC"};
long timezone;
int daylight;

static const char *parse_name(const char *at, char *out)
{
    size_t size = 0;
    const char *start = at;
    if (*at == '<') {
        start = ++at;
        while (isalnum((unsigned char)*at) || *at == '+' || *at == '-')
            at++;
        size = (size_t)(at - start);
        if (*at++ != '>')
            return NULL;
    } else {
        while (isalpha((unsigned char)*at))
            at++;
        size = (size_t)(at - start);
    }
    if (size < 3 || size >= NAME_SIZE)
        return NULL;
    memcpy(out, start, size);
    out[size] = '\0';
    return at;
}

/* A number of at most three digits. */
static const char *parse_number(const char *at, int *out)
{
    int digits = 0;
    for (*out = 0; isdigit((unsigned char)*at) && digits < 3; at++, digits++)
        *out = *out * 10 + (*at - '0');
    return digits ? at : NULL;
}

/* [+-]hours[:minutes[:seconds]] */
static const char *parse_time(const char *at, int most_hours, int *out)
{
    int sign = *at == '-' ? -1 : 1, parts[3] = {0};
    if (*at == '-' || *at == '+')
        at++;
    for (int i = 0; i < 3; i++) {
        if (i > 0 && *at != ':')
            break;
        at = parse_number(i ? at + 1 : at, &parts[i]);
        if (at == NULL || (i > 0 && parts[i] > 59))
            return NULL;
    }
    if (parts[0] > most_hours)
        return NULL;
    *out = sign * (parts[0] * HOUR + parts[1] * 60 + parts[2]);
    return at;
}

static const char *parse_rule(const char *at, struct rule *out)
{
    *out = (struct rule){.kind = '0', .time = 2 * HOUR};
    if (*at == 'J' || *at == 'M')
        out->kind = *at++;
    if (out->kind == 'M') {
        int *const parts[] = {&out->month, &out->week, &out->day};
        for (int i = 0; i < 3; i++) {
            if ((i > 0 && *at++ != '.') || (at = parse_number(at, parts[i])) == NULL)
                return NULL;
        }
        if (out->month < 1 || out->month > 12 || out->week < 1 || out->week > 5 || out->day > 6)
            return NULL;
    } else if ((at = parse_number(at, &out->day)) == NULL || out->day > 365 || (out->kind == 'J' && out->day < 1)) {
        return NULL;
    }
    return *at == '/' ? parse_time(at + 1, 167, &out->time) : at;
}

/* Reads the rules of a zone with summer time. */
static int parse_rules(const char *at)
{
    at = parse_rule(at, &zone.begin);
    if (at == NULL || *at != ',')
        return 0;
    at = parse_rule(at + 1, &zone.end);
    return at != NULL && *at == '\0';
}

/* What is no zone is UTC, with the name that it begins with, or with none: so glibc shows it, and one can see it. */
static void parse(const char *at)
{
    if (*at == ':')
        at++;
    int west;
    if (*at == '\0' || strcmp(at, "UTC") == 0) {
        strcpy(zone.names[0], "UTC");
        strcpy(zone.names[1], "UTC");
        return;
    }
    if ((at = parse_name(at, zone.names[0])) == NULL || (at = parse_time(at, 24, &west)) == NULL)
        return;
    zone.offsets[0] = zone.offsets[1] = -west;
    if (*at == '\0' || (at = parse_name(at, zone.names[1])) == NULL) {
        strcpy(zone.names[1], zone.names[0]);
        return;
    }
    zone.offsets[1] = zone.offsets[0] + HOUR;
    if (*at != '\0' && *at != ',') {
        if ((at = parse_time(at, 24, &west)) == NULL)
            return;
        zone.offsets[1] = -west;
    }
    zone.has_summer = parse_rules(*at == ',' && at[1] ? at + 1 : USUAL_RULES);
}

void tzset(void)
{
    const char *wanted = getenv("TZ");
    if (wanted == NULL)
        wanted = "";
    if (zone.text && strcmp(zone.text, wanted) == 0)
        return;
    free(zone.text);
    memset(&zone, 0, sizeof zone);
    zone.text = strdup(wanted);
    parse(wanted);
    tzname[0] = zone.names[0];
    tzname[1] = zone.names[1];
    timezone = -zone.offsets[0];
    daylight = zone.has_summer;
}

static int is_leap(long long year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970 to the first of January of a year. */
static long long days_before(long long year)
{
    long long past = year - 1;
#define FLOOR(value, by) ((value) >= 0 ? (value) / (by) : -((-(value) + (by) - 1) / (by)))
    return 365 * (year - 1970) + FLOOR(past, 4) - FLOOR(past, 100) + FLOOR(past, 400) - 477;
#undef FLOOR
}

/* Seconds since 1970 at which a rule says that something happens, by a clock that is `offset` east of Greenwich. */
static long long moment(const struct rule *rule, long long year, int offset)
{
    static const short before[2][13] = {
        {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
        {0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366},
    };
    int leap = is_leap(year);
    long long first = days_before(year), day = rule->day;
    if (rule->kind == 'J') {
        day = rule->day - 1 + (leap && rule->day >= 60);
    } else if (rule->kind == 'M') {
        const short *months = before[leap];
        /* The first of January 1970 was a Thursday. */
        int weekday = (int)((((first + months[rule->month - 1]) % 7) + 7 + 4) % 7);
        int date = (rule->day - weekday + 7) % 7 + 7 * (rule->week - 1);
        if (date >= months[rule->month] - months[rule->month - 1])
            date -= 7;
        day = months[rule->month - 1] + date;
    }
    return (first + day) * DAY + rule->time - offset;
}

static int is_summer(time_t time)
{
    struct tm utc;
    if (!zone.has_summer || gmtime_r(&time, &utc) == NULL)
        return 0;
    long long begin = moment(&zone.begin, utc.tm_year + 1900LL, zone.offsets[0]);
    long long end = moment(&zone.end, utc.tm_year + 1900LL, zone.offsets[1]);
    return begin < end ? time >= begin && time < end : time >= begin || time < end;
}

struct tm *localtime_r(const time_t *restrict time, struct tm *restrict out)
{
    tzset();
    int summer = is_summer(*time), offset = zone.offsets[summer];
    time_t shifted;
    if (__builtin_add_overflow(*time, offset, &shifted)) {
        errno = EOVERFLOW;
        return NULL;
    }
    if (gmtime_r(&shifted, out) == NULL)
        return NULL;
    out->tm_isdst = summer;
    out->tm_gmtoff = offset;
    out->tm_zone = zone.names[summer];
    return out;
}

struct tm *localtime(const time_t *time)
{
    static struct tm out;
    return localtime_r(time, &out);
}

/*
 * Of an hour that comes twice, the second one is meant, of one that does not come, as if it did by the usual time; but tm_isdst counts,
 * if it is given.
 */
time_t mktime(struct tm *local)
{
    struct tm copy = *local;
    tzset();
    errno = 0;
    time_t seconds = timegm(&copy);
    if (seconds == -1 && errno)
        return -1;
    time_t usual = seconds - zone.offsets[0], summer = seconds - zone.offsets[1];
    time_t out = usual;
    if (zone.has_summer && (local->tm_isdst > 0 || (local->tm_isdst < 0 && is_summer(usual) && is_summer(summer))))
        out = summer;
    return localtime_r(&out, &copy) ? *local = copy, out : -1;
}

char *ctime_r(const time_t *time, char *out)
{
    struct tm local;
    return localtime_r(time, &local) ? asctime_r(&local, out) : NULL;
}

char *ctime(const time_t *time)
{
    struct tm *local = localtime(time);
    return local ? asctime(local) : NULL;
}

/* A time that was not made by localtime() names no zone: it is that of TZ. */
size_t strftime(char *restrict out, size_t size, const char *restrict format, const struct tm *restrict time)
{
    struct tm copy = *time;
    tzset();
    if (copy.tm_zone == NULL)
        copy.tm_zone = copy.tm_isdst < 0 ? "" : tzname[copy.tm_isdst > 0];
    return libc_strftime(out, size, format, &copy);
}
