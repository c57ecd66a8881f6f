/* Dims, strides, broadcasting. */
#include "base/shape.h"

#include <stdio.h>

#include "base/checked.h"

void tt_strides_row_major(const int64_t *dims, int rank, int64_t *strides)
{
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
        strides[i] = step;
        if (dims[i] > 1) step *= dims[i];
    }
}

void tt_strides_channels_last(const int64_t *dims, int rank, int64_t *strides)
{
    int64_t step = 1;
    if (rank < 3) {
        tt_strides_row_major(dims, rank, strides);
        return;
    }
    strides[1] = 1;
    if (dims[1] > 1) step = dims[1];
    for (int i = rank - 1; i >= 2; --i) {
        strides[i] = step;
        if (dims[i] > 1) step *= dims[i];
    }
    strides[0] = step;
}

int64_t tt_dims_product(const int64_t *dims, int n)
{
    int64_t out = 1;
    for (int i = 0; i < n; ++i)
        out *= dims[i];
    return out;
}

int64_t tt_dims_offset(int64_t index, const int64_t *dims, const int64_t *strides,
                       int n)
{
    int64_t offset = 0;
    for (int d = n - 1; d >= 0; --d) {
        offset += index % dims[d] * strides[d];
        index /= dims[d];
    }
    return offset;
}

int64_t tt_shape_numel(const tt_shape *shape)
{
    int64_t n = 0;
    (void)tt_numel(shape->dims, shape->rank, &n);
    return n;
}

size_t tt_shape_bytes(const tt_shape *shape)
{
    return (size_t)tt_shape_numel(shape) * tt_dtype_bytes(shape->dtype);
}

bool tt_shape_equal(const tt_shape *a, const tt_shape *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; ++i)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

static bool same_layout(const tt_shape *shape, const int64_t *strides,
                        const int64_t *expected)
{
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dims[i] == 0) return true;
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dims[i] > 1 && strides[i] != expected[i]) return false;
    return true;
}

bool tt_is_row_major(const tt_shape *shape, const int64_t *strides)
{
    int64_t expected[TT_MAX_RANK];
    tt_strides_row_major(shape->dims, shape->rank, expected);
    return same_layout(shape, strides, expected);
}

bool tt_is_channels_last(const tt_shape *shape, const int64_t *strides)
{
    int64_t expected[TT_MAX_RANK];
    tt_strides_channels_last(shape->dims, shape->rank, expected);
    return same_layout(shape, strides, expected);
}

bool tt_is_dense(const tt_shape *shape, const int64_t *strides)
{
    int64_t n = tt_shape_numel(shape), step = 1;
    if (n == 0) return true;
    while (step < n) {
        int next = -1;
        for (int i = 0; i < shape->rank; ++i)
            if (shape->dims[i] > 1 && strides[i] == step) next = i;
        if (next < 0) return false;
        step *= shape->dims[next];
    }
    return true;
}

int64_t tt_span(const tt_shape *shape, const int64_t *strides)
{
    int64_t last = 0;
    for (int i = 0; i < shape->rank; ++i) {
        if (shape->dims[i] == 0) return 0;
        last += (shape->dims[i] - 1) * strides[i];
    }
    return last + 1;
}

tt_status tt_shape_broadcast(const tt_shape *a, const tt_shape *b, tt_shape *out,
                             tt_error *err)
{
    int rank = a->rank > b->rank ? a->rank : b->rank;
    tt_shape result = {.dtype = out->dtype, .rank = rank};
    int64_t n;
    for (int i = 0; i < rank; ++i) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        if (da != db && da != 1 && db != 1) {
            char ta[256], tb[256];
            return tt_fail(err, TT_BAD_MODEL, "shapes %s and %s do not broadcast",
                           tt_shape_text(a, ta, sizeof ta),
                           tt_shape_text(b, tb, sizeof tb));
        }
        result.dims[i] = da == 1 ? db : da;
    }
    if (!tt_numel(result.dims, rank, &n)) {
        char t[256];
        return tt_fail(err, TT_LIMIT, "broadcast result %s has too many elements",
                       tt_shape_text(&result, t, sizeof t));
    }
    *out = result;
    return TT_OK;
}

const char *tt_shape_text(const tt_shape *shape, char *text, size_t text_bytes)
{
    size_t used = 0;
    int wrote = snprintf(text, text_bytes, "[");
    for (int i = 0; i < shape->rank && wrote >= 0; ++i) {
        used += (size_t)wrote;
        if (used >= text_bytes) return text;
        wrote = snprintf(text + used, text_bytes - used, "%s%lld", i ? "," : "",
                         (long long)shape->dims[i]);
    }
    if (wrote < 0) return text;
    used += (size_t)wrote;
    if (used < text_bytes) (void)snprintf(text + used, text_bytes - used, "]");
    return text;
}
