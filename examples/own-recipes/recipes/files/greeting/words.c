#include "words.h"

const char *greeting(void)
{
    return "hello from a recipe of your own";
}
