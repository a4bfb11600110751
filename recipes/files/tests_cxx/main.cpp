/* Loads a module that throws and one that catches, and has the one call the other; the program catches as well. With a number, it
   lets that kind of exception leave main(); with `alone`, it loads nothing. */

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

#include "kinds.h"

namespace {

void *symbol(void *module, const char *name)
{
    void *found = module ? dlsym(module, name) : nullptr;
    if (!found) {
        std::fprintf(stderr, "%s: %s\n", name, dlerror());
        std::exit(1);
    }
    return found;
}

/* In the program itself, as describes() is in a module. */
int caught_here(Throws throws, int kind)
{
    try {
        throws(kind);
        return 0;
    } catch (const std::exception &exception) {
        std::printf("here: %s\n", exception.what());
        return 1;
    } catch (...) {
        std::printf("here: something else\n");
        return 2;
    }
}

void throws_here(int kind)
{
    if (kind == REFUSAL)
        throw Refusal(1, "the program refuses");
}

}

int main(int argc, char **argv)
{
    if (argc > 1 && std::strcmp(argv[1], "alone") == 0)
        return caught_here(throws_here, REFUSAL) - 1;
    void *first = dlopen("/test_cxx/throws.so", RTLD_NOW | RTLD_LOCAL), *second = dlopen("/test_cxx/catches.so", RTLD_NOW | RTLD_LOCAL);
    Throws throws = reinterpret_cast<Throws>(symbol(first, "throws"));
    Describes describes = reinterpret_cast<Describes>(symbol(second, "describes"));
    int *destroyed = static_cast<int *>(symbol(first, "destroyed"));
    char text[200];
    if (argc > 1) {
        throws(std::atoi(argv[1]));
        return 0;
    }
    for (int kind = NOTHING; kind < FROM_DESTRUCTOR; kind++) {
        int clause = describes(throws, kind, text, sizeof text);
        std::printf("%d: clause %d, %s\n", kind, clause, text);
        caught_here(throws, kind);
    }
    std::printf("%d destroyed\n", *destroyed);
    describes(throws_here, REFUSAL, text, sizeof text);
    std::printf("the other way: %s\n", text);
    /* Exceptions are collected: many more than there is room for at once. */
    int caught = 0;
    for (int i = 0; i < 200000; i++)
        caught += describes(throws, NUMBER, text, sizeof text) == 1;
    std::printf("%d caught\n", caught);
    return 0;
}
