/* A stable sort of indices by any order. */
#ifndef TT_KERNELS_SORT_H
#define TT_KERNELS_SORT_H

#include <stdbool.h>
#include <stdint.h>

/* Must element a come before element b? */
typedef bool (*tt_before)(const void *arg, int64_t a, int64_t b);

/* Sorts n indices; scratch has room for n more.  Elements of which neither comes before
 * the other keep their order. */
void tt_sort_indices(int64_t *indices, int64_t *scratch, int64_t n, tt_before before,
                     const void *arg);

#endif
