/* Checking indices; see indices.h.  The loops find out only whether any is wrong, so
 * that the compiler vectorises them; the culprit is looked for afterwards. */
#include "kernels/indices.h"

static bool all_inside_64(const int64_t *indices, int64_t n, int64_t dim)
{
    uint64_t bad = 0;
    for (int64_t i = 0; i < n; ++i)
        bad |= (uint64_t)((indices[i] < -dim) | (indices[i] >= dim));
    return bad == 0;
}

static bool all_inside_32(const int32_t *indices, int64_t n, int64_t dim)
{
    int32_t low = dim > INT32_MAX ? INT32_MIN : (int32_t)-dim;
    int32_t last = dim > INT32_MAX ? INT32_MAX : (int32_t)(dim - 1);
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; ++i)
        bad |= (uint32_t)((indices[i] < low) | (indices[i] > last));
    return bad == 0;
}

tt_status tt_indices_check(const void *indices, bool is_32, int64_t n, int64_t dim,
                           tt_error *err)
{
    int64_t i = 0, index = 0;
    if (is_32 ? all_inside_32(indices, n, dim) : all_inside_64(indices, n, dim))
        return TT_OK;
    for (; i < n; ++i) {
        index = tt_index_at(indices, is_32, i);
        if (index < -dim || index >= dim) break;
    }
    return tt_fail(err, TT_BAD_INPUT,
                   "index %lld at position %lld is outside [-%lld, "
                   "%lld)",
                   (long long)index, (long long)i, (long long)dim, (long long)dim);
}
