/* A module that throws. */

#include <new>
#include <string>

#include "kinds.h"

extern "C" int destroyed;
int destroyed;

namespace {

struct Counted {
    ~Counted() { destroyed++; }
};

/* Throws when it is destroyed, which ends the program. */
struct Careless {
    ~Careless() { throw Refusal(9, "a destructor threw"); }
};

}

extern "C" void throws(int kind)
{
    Counted counted;
    switch (kind) {
    case NUMBER:
        throw 42;
    case REFUSAL:
        throw Refusal(7, "it is refused");
    case NO_MEMORY:
        /* More than there can be. */
        (void)*static_cast<volatile char *>(::operator new(~std::size_t(0) / 2));
        break;
    case OUT_OF_RANGE:
        std::string("short").at(99);
        break;
    case NO_NUMBER:
        std::stoi("three");
        break;
    case AGAIN:
        try {
            throws(REFUSAL);
        } catch (...) {
            Counted another;
            throw;
        }
    case FROM_DESTRUCTOR:
        Careless careless;
        break;
    }
}
