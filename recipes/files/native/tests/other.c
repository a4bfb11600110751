/* Another program: its profile is not that of turns.c. */
#include <stdio.h>

static int collatz(long long n)
{
    int steps = 0;

    for (; n != 1; steps++) {
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    }
    return steps;
}

int main(void)
{
    int longest = 0;

    for (int n = 1; n < 20000; n++) {
        int steps = collatz(n);

        longest = steps > longest ? steps : longest;
    }
    printf("%d\n", longest);
    return 0;
}
