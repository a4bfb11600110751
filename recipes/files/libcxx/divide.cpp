/* Division of integers of 128 bits, which libc++ needs and a program in C may not have: the compiler's own was built with a stack
   protector that nothing supports here. One bit at a time: it is asked for times of files. */

using Number = unsigned __int128;

static Number divide(Number number, Number by, Number *rest)
{
    Number quotient = 0, left = 0;
    for (int bit = 127; bit >= 0; bit--) {
        left = left << 1 | (number >> bit & 1);
        quotient <<= 1;
        if (left >= by) {
            left -= by;
            quotient |= 1;
        }
    }
    *rest = left;
    return quotient;
}

static Number magnitude(__int128 number)
{
    return number < 0 ? -static_cast<Number>(number) : static_cast<Number>(number);
}

extern "C" __int128 __divti3(__int128 number, __int128 by)
{
    Number rest, quotient = divide(magnitude(number), magnitude(by), &rest);
    return (number < 0) != (by < 0) ? -quotient : quotient;
}
