#include <stdio.h>

#include "words.h"

int main(void)
{
    puts(greeting());
    return 0;
}
