/* What the module that throws and those that catch have in common. */
#pragma once

#include <stdexcept>

/* All of it is inline: each module has the type's information for itself. */
struct Refusal : std::runtime_error {
    int code;
    Refusal(int code, const char *why) : std::runtime_error(why), code(code) {}
};

/* What is thrown. */
enum Kind { NOTHING, NUMBER, REFUSAL, NO_MEMORY, OUT_OF_RANGE, NO_NUMBER, AGAIN, FROM_DESTRUCTOR, KINDS };

using Throws = void (*)(int kind);
using Describes = int (*)(Throws throws, int kind, char *text, unsigned long size);
