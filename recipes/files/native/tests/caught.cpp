/* The library that throws.cpp loads. The program has what it needs of the library of C++. */
#include "thrown.h"

extern "C" __attribute__((weak)) int whose()
{
    return 2;
}

static Function addresses[] = {[](int) { return whose(); }, throws};

extern "C" int catches(Function function, int value)
{
    Counted counted;
    try {
        return function(value);
    } catch (int thrown) {
        return 1000 + thrown;
    } catch (const Refusal &refusal) {
        return 2000 + refusal.code;
    }
}

extern "C" int passes(Function function, int value)
{
    Counted counted;
    return function(value) + 1;
}

/* Throws again what it caught. */
extern "C" int again(int value)
{
    try {
        return throws(value);
    } catch (...) {
        Counted counted;
        throw;
    }
}

extern "C" Function address(int which)
{
    return addresses[which];
}
