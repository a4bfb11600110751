/* The distance between byte strings. */
#ifndef DISTANCE_H
#define DISTANCE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How many bytes have to be put in, taken out or exchanged to make one of the other (Levenshtein 1966). Works in
 * `row`, which has room for one number more than the other has bytes.
 */
size_t levenshtein(const char *one, size_t one_size, const char *other, size_t other_size, size_t *row);

#ifdef __cplusplus
}
#endif

#endif
