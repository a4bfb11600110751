#include "distance.h"

/* Two rows of the table are enough: row[j] is the distance of the first i bytes of one and the first j of the other. */
size_t
levenshtein(const char *one, size_t one_size, const char *other, size_t other_size, size_t *row)
{
    size_t i, j;

    for (j = 0; j <= other_size; j++)
        row[j] = j;
    for (i = 1; i <= one_size; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (j = 1; j <= other_size; j++) {
            size_t best = diagonal + (one[i - 1] != other[j - 1]);

            diagonal = row[j];
            if (best > row[j] + 1)
                best = row[j] + 1;
            if (best > row[j - 1] + 1)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[other_size];
}
