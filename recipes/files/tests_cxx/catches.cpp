/* A module that catches what another one throws. */

#include <cstdio>
#include <exception>
#include <new>

#include "kinds.h"

/* Writes what was caught. Gives a number for the clause that caught it, 0 for none. */
extern "C" int describes(Throws throws, int kind, char *text, unsigned long size)
{
    try {
        throws(kind);
    } catch (int number) {
        std::snprintf(text, size, "int %d", number);
        return 1;
    } catch (const Refusal &refusal) {
        std::snprintf(text, size, "Refusal %d: %s", refusal.code, refusal.what());
        return 2;
    } catch (const std::bad_alloc &) {
        std::snprintf(text, size, "bad_alloc");
        return 3;
    } catch (const std::exception &exception) {
        std::snprintf(text, size, "exception: %s", exception.what());
        return 4;
    }
    std::snprintf(text, size, "nothing, %d in flight", std::uncaught_exceptions());
    return 0;
}
