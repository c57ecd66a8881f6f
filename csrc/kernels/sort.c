/* Bottom-up merge sort; see sort.h. */
#include "kernels/sort.h"

#include <string.h>

enum { RUN = 16 };

static void insertion_sort(int64_t *indices, int64_t n, tt_before before,
                           const void *arg)
{
    for (int64_t i = 1; i < n; ++i) {
        int64_t index = indices[i], at = i;
        for (; at > 0 && before(arg, index, indices[at - 1]); --at)
            indices[at] = indices[at - 1];
        indices[at] = index;
    }
}

static void merge(const int64_t *a, int64_t n_a, const int64_t *b, int64_t n_b,
                  int64_t *out, tt_before before, const void *arg)
{
    while (n_a > 0 && n_b > 0) {
        if (before(arg, *b, *a)) {
            *out++ = *b++;
            --n_b;
        } else {
            *out++ = *a++;
            --n_a;
        }
    }
    memcpy(out, a, (size_t)n_a * sizeof *out);
    memcpy(out + n_a, b, (size_t)n_b * sizeof *out);
}

void tt_sort_indices(int64_t *indices, int64_t *scratch, int64_t n, tt_before before,
                     const void *arg)
{
    int64_t *from = indices, *to = scratch;
    for (int64_t i = 0; i < n; i += RUN)
        insertion_sort(indices + i, n - i < RUN ? n - i : RUN, before, arg);
    for (int64_t width = RUN; width < n; width *= 2) {
        int64_t *swap = from;
        for (int64_t i = 0; i < n; i += 2 * width) {
            int64_t left = n - i < width ? n - i : width;
            int64_t right = n - i - left < width ? n - i - left : width;
            merge(from + i, left, from + i + left, right, to + i, before, arg);
        }
        from = to;
        to = swap;
    }
    if (from != indices) memcpy(indices, from, (size_t)n * sizeof *indices);
}
