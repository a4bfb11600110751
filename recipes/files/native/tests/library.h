/* What loads.c and the libraries that it loads have of each other. */
#include <stdint.h>

struct answers {
    int sum, constructed, shared, of_second, weak, variable;
    int (*add)(int, int);
    int (*own)(int, int);
    int (*second)(int);
};

typedef void fill_function(struct answers *answers);
typedef void sort_function(int *values, int count, int (*compare)(const void *, const void *));

extern int shared;
int add(int a, int b);
int second(int a);
