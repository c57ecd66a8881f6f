/* Greedy suppression by overlap: see boxes.h. */
#include "kernels/boxes.h"

#include <stdbool.h>
#include <stddef.h>

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float area(const float *box)
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

/* Is the intersection over union greater than `overlap`?  A pair without area is not. */
static bool overlaps(const float *a, const float *b, double overlap)
{
    float left = larger(a[0], b[0]), top = larger(a[1], b[1]);
    float right = a[2] < b[2] ? a[2] : b[2], bottom = a[3] < b[3] ? a[3] : b[3];
    float both = larger(0.0f, right - left) * larger(0.0f, bottom - top);
    return (double)(both / (area(a) + area(b) - both)) > overlap;
}

int64_t tt_boxes_suppress(const float *boxes, const int32_t *classes, int64_t n,
                          double overlap, int64_t n_max, int32_t *kept)
{
    int64_t n_kept = 0;
    for (int64_t i = 0; i < n && n_kept < n_max; ++i) {
        bool is_kept = true;
        for (int64_t k = 0; k < n_kept && is_kept; ++k) {
            int64_t other = kept[k];
            if (classes == NULL || classes[i] == classes[other])
                is_kept = !overlaps(boxes + other * 4, boxes + i * 4, overlap);
        }
        if (is_kept) kept[n_kept++] = (int32_t)i;
    }
    return n_kept;
}
