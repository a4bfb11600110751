/*
 * A program that throws, for the tests of native code: by itself, with a library, and through functions that the host calls. The first argument is
 * what it does at last.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sandbox/calls.h>

#include "thrown.h"

int destroyed;

extern "C" __attribute__((weak)) int whose()
{
    return 1;
}

namespace {

int catches(Function function, int value)
{
    try {
        return function(value);
    } catch (int thrown) {
        return 100 + thrown;
    } catch (const Refusal &refusal) {
        return 200 + refusal.code;
    }
}

void *symbol(void *library, const char *name)
{
    void *found = library ? dlsym(library, name) : nullptr;
    if (!found) {
        std::printf("%s: %s\n", name, dlerror());
        std::exit(1);
    }
    return found;
}

/* Each catches what the other one throws. */
void across(void *library)
{
    auto others = reinterpret_cast<int (*)(Function, int)>(symbol(library, "catches"));
    auto passes = reinterpret_cast<int (*)(Function, int)>(symbol(library, "passes"));
    auto again = reinterpret_cast<Function>(symbol(library, "again"));
    auto address = reinterpret_cast<Function (*)(int)>(symbol(library, "address"));
    int caught = 0;
    for (int value = 3; value < 6; value++)
        std::printf("%d %d %d %d\n", others(throws, value), catches(again, value), others(again, value), catches(address(1), value));
    try {
        passes(throws, 7);
    } catch (int value) {
        std::printf("%d\n", value);
    }
    std::printf("%d %d\n", whose(), address(0)(0));
    for (int i = 0; i < 10000; i++)
        caught += others(again, i) != i;
    std::printf("%d caught, %d destroyed\n", caught, destroyed);
}

Function target;

/* Has the host call a function. */
int by_host(int value)
{
    uint64_t argument = static_cast<uint64_t>(value), result = 0;
    Counted counted;
    if (sandbox_call(reinterpret_cast<void *>(target), "i>i", &argument, &result) != 0)
        return -1;
    return static_cast<int>(result);
}

void dispatch(void *user, const uint64_t arguments[], uint64_t *result)
{
    *result = static_cast<uint64_t>(reinterpret_cast<Function>(user)(static_cast<int>(arguments[0])));
}

/* Is called by the host, and has it call: what is caught in between leaves nothing that catches. */
int between(int value)
{
    target = throws;
    int caught = catches(by_host, value);
    target = between;
    return caught + 1;
}

int ends(int)
{
    std::exit(9);
}

int aborts(int)
{
    __builtin_trap();
}

int compare(const void *left, const void *right)
{
    return throws(*static_cast<const int *>(left) + *static_cast<const int *>(right));
}

int sorts(int value)
{
    int values[] = {value, 1};
    std::qsort(values, 2, sizeof *values, compare);
    return 0;
}

void host()
{
    auto made = reinterpret_cast<Function>(sandbox_make("i>i", dispatch, reinterpret_cast<void *>(throws)));
    auto nested = reinterpret_cast<Function>(sandbox_make("i>i", dispatch, reinterpret_cast<void *>(by_host)));
    for (int value = 3; value < 6; value++) {
        target = throws;
        std::printf("%d %d %d", catches(by_host, value), catches(made, value), catches(sorts, value));
        target = made;
        std::printf(" %d %d", catches(by_host, value), catches(nested, value));
        target = between;
        std::printf(" %d\n", catches(by_host, value));
    }
    int caught = 0;
    for (int i = 0; i < 1000; i++) {
        target = between;
        caught += catches(nested, i) != i;
    }
    std::printf("%d caught, %d destroyed\n", caught, destroyed);
}

}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count < 2) {
        for (int value = 0; value < 1000; value++)
            catches(throws, value);
        std::printf("%d destroyed\n", destroyed);
        return 0;
    }
    if (std::strcmp(what, "works") == 0) {
        across(dlopen("/test/caught.so", RTLD_NOW));
        return 0;
    }
    host();
    try {
        target = between;
        by_host(4);
        target = std::strcmp(what, "trap") == 0 ? aborts : std::strcmp(what, "exit") == 0 ? ends : throws;
        by_host(3);
    } catch (...) {
        std::puts("this must not be caught");
    }
    /* Nothing catches. */
    return throws(4);
}
