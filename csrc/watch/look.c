/* Looking at a tensor: see look.h.
 *
 * One pass finds how many values are finite and their range; only where that tells of
 * something odd, a second one counts what it is. */
#include "watch/look.h"

#include <math.h>

#include "watch/block_kernels.h"

static int64_t items_of(const tt_view *view, int first_axis)
{
    int64_t n = 1;
    for (int i = first_axis; i < view->rank; ++i)
        n *= view->dims[i];
    return n;
}

tt_view tt_look_part(const tt_view *view, int64_t max_bytes, uint64_t random,
                     bool *has_rows)
{
    int64_t item_bytes = (int64_t)tt_dtype_bytes(view->dtype);
    tt_view part = *view;
    *has_rows = view->rank > 0;
    for (int axis = 0; axis < view->rank; ++axis) {
        int64_t slice_bytes = items_of(view, axis + 1) * item_bytes;
        int64_t n = slice_bytes == 0 ? view->dims[axis] : max_bytes / slice_bytes;
        if (n >= view->dims[axis]) break;
        part.dims[axis] = n > 0 ? n : 1;
        part.data +=
            (int64_t)(random % (uint64_t)(view->dims[axis] - part.dims[axis] + 1)) *
            view->strides[axis];
        if (n > 0) break;
        if (axis + 1 < view->rank) *has_rows = false;
    }
    return part;
}

static tt_scan merged(tt_scan a, tt_scan b)
{
    a.n += b.n;
    if (b.minimum < a.minimum) a.minimum = b.minimum;
    if (b.maximum > a.maximum) a.maximum = b.maximum;
    return a;
}

/* Axes without gaps, of floats: the kernels may read them as they lie. */
static bool is_plain(const tt_view *view)
{
    int64_t stride = (int64_t)sizeof(float);
    if (view->dtype != TT_F32 || (uintptr_t)view->data % sizeof(float) != 0)
        return false;
    for (int i = view->rank - 1; i >= 0; --i) {
        if (view->strides[i] != stride && view->dims[i] != 1) return false;
        stride *= view->dims[i];
    }
    return true;
}

static tt_scan scan_blocks(const tt_view *view, const tt_block_kernels *kernels)
{
    tt_scan all = {.minimum = HUGE_VAL, .maximum = -HUGE_VAL};
    tt_blocks blocks;
    tt_block block;
    tt_blocks_begin(&blocks, view);
    while (tt_blocks_next(&blocks, &block)) {
        tt_scan one;
        if (block.f32 != NULL)
            kernels->scan(block.f32, block.n, &one);
        else
            tt_scan_f64(block.f64, block.n, &one);
        all = merged(all, one);
    }
    return all;
}

/* What is odd, counted one by one. */
static void recount(const tt_view *view, double low, double high, tt_oddity *oddity)
{
    uint64_t n_nan = 0, n_infinite = 0, n_below = 0, n_above = 0;
    tt_blocks blocks;
    tt_block block;
    tt_blocks_begin(&blocks, view);
    while (tt_blocks_next(&blocks, &block))
        for (int64_t i = 0; i < block.n; ++i) {
            double v = block.f32 != NULL ? (double)block.f32[i] : block.f64[i];
            n_nan += isnan(v) != 0;
            n_infinite += isinf(v) != 0;
            n_below += isfinite(v) && v < low;
            n_above += isfinite(v) && v > high;
        }
    tt_count(&oddity->n_nan, n_nan);
    tt_count(&oddity->n_infinite, n_infinite);
    tt_count(&oddity->n_below, n_below);
    tt_count(&oddity->n_above, n_above);
}

/* One row's range, and whether all of it is the same. */
static tt_scan scan_rows(const tt_view *view, const tt_block_kernels *kernels,
                         uint64_t *n_constant)
{
    tt_scan all = {.minimum = HUGE_VAL, .maximum = -HUGE_VAL};
    bool plain = is_plain(view);
    int64_t n_items = items_of(view, 1);
    tt_view row = *view;
    row.dims[0] = 1;
    for (int64_t r = 0; r < view->dims[0]; ++r, row.data += view->strides[0]) {
        tt_scan one;
        if (plain)
            kernels->scan((const float *)(const void *)row.data, n_items, &one);
        else
            one = scan_blocks(&row, kernels);
        *n_constant += one.n == n_items && one.minimum == one.maximum;
        all = merged(all, one);
    }
    return all;
}

void tt_look_at(const tt_view *view, bool has_rows, double low, double high, tt_isa isa,
                tt_oddity *oddity)
{
    const tt_block_kernels *kernels = tt_block_kernels_of(isa);
    int64_t n_items = items_of(view, 0);
    uint64_t n_constant = 0;
    tt_scan all;
    if (n_items == 0) return;
    if (has_rows && items_of(view, 1) >= TT_CONSTANT_ITEMS) {
        all = scan_rows(view, kernels, &n_constant);
    } else if (is_plain(view)) {
        kernels->scan((const float *)(const void *)view->data, n_items, &all);
    } else {
        all = scan_blocks(view, kernels);
    }
    tt_count(&oddity->n_rows, view->rank > 0 ? (uint64_t)view->dims[0] : 1);
    tt_count(&oddity->n_values, (uint64_t)n_items);
    if (n_constant > 0) tt_count(&oddity->n_constant, n_constant);
    if (all.n < n_items || all.minimum < low || all.maximum > high)
        recount(view, low, high, oddity);
}
