/* What throws.cpp and the library that it loads have in common. */
#pragma once

/* All of it is inline: each of the two has the type's information for itself. */
struct Refusal {
    int code;
};

/* Counts what is destroyed on the way. */
extern "C" int destroyed;

struct Counted {
    ~Counted() { destroyed++; }
};

using Function = int (*)(int);

/* Throws an int or a `Refusal`, or returns. */
inline int throws(int value)
{
    Counted counted;
    if (value % 3 == 1)
        throw value;
    if (value % 3 == 2)
        throw Refusal{value};
    return value;
}

/* Both have one, and call their own. */
extern "C" int whose();
