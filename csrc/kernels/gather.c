/* Gather, GatherElements, GatherND; see gather.h. */
#include "kernels/gather.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/indices.h"

enum { GRAIN_BYTES = 96 * 1024 };

/* Rows so many that a thread has GRAIN_BYTES to copy. */
static int64_t grain_of(int64_t row_bytes)
{
    int64_t touched = row_bytes < 16 ? 16 : row_bytes;
    return touched >= GRAIN_BYTES ? 1 : GRAIN_BYTES / touched;
}

typedef struct {
    const void *params, *indices;
    const char *src;
    char *dst;
} gather_call;

/* ---- Gather -------------------------------------------------------------- */

/* Rows [begin, end) of all n_outer * n_indices; COPY moves one row. */
#define GATHER_ROWS(COPY)                                                          \
    for (; begin < end; ++begin) {                                                 \
        const char *from =                                                         \
            src + tt_index_wrapped(call->indices, gather->is_32, k, gather->dim) * \
                      gather->src_row_bytes;                                       \
        COPY;                                                                      \
        dst += gather->row_bytes;                                                  \
        if (++k == gather->n_indices) {                                            \
            k = 0;                                                                 \
            src += gather->src_outer_bytes;                                        \
        }                                                                          \
    }

static void gather_range(void *arg, int64_t begin, int64_t end)
{
    const gather_call *call = arg;
    const tt_gather *gather = call->params;
    int64_t k = begin % gather->n_indices;
    const char *src = call->src + begin / gather->n_indices * gather->src_outer_bytes;
    char *dst = call->dst + begin * gather->row_bytes;
    switch (gather->row_bytes) {
    case 1:
        GATHER_ROWS(*dst = *from) break;
    case 2:
        GATHER_ROWS(memcpy(dst, from, 2)) break;
    case 4:
        GATHER_ROWS(memcpy(dst, from, 4)) break;
    case 8:
        GATHER_ROWS(memcpy(dst, from, 8)) break;
    case 16:
        GATHER_ROWS(memcpy(dst, from, 16)) break;
    default:
        GATHER_ROWS(memcpy(dst, from, (size_t)gather->row_bytes)) break;
    }
}

tt_status tt_gather_run(const tt_gather *gather, const void *src, const void *indices,
                        void *dst, tt_error *err)
{
    gather_call call = {gather, indices, src, dst};
    int64_t n_rows = gather->n_outer * gather->n_indices;
    TT_TRY(
        tt_indices_check(indices, gather->is_32, gather->n_indices, gather->dim, err));
    if (n_rows <= grain_of(gather->row_bytes)) {
        if (n_rows > 0) gather_range(&call, 0, n_rows);
    } else {
        tt_parallel_for(n_rows, grain_of(gather->row_bytes), gather_range, &call);
    }
    return TT_OK;
}

/* ---- GatherElements ------------------------------------------------------ */

/* One row of dst along the last dim. */
#define ELEMENTS_ROW(bytes)                                                            \
    for (int64_t j = 0; j < n; ++j) {                                                  \
        int64_t index =                                                                \
            tt_index_wrapped(call->indices, gather->is_32, at + j, gather->dim);       \
        memcpy(dst + j * (bytes), src + (j * last_step + index * axis_step) * (bytes), \
               bytes);                                                                 \
    }

static void elements_range(void *arg, int64_t begin, int64_t end)
{
    const gather_call *call = arg;
    const tt_gather_elements *gather = call->params;
    int last = gather->rank - 1;
    int64_t n = gather->dims[last], axis_step = gather->src_strides[gather->axis];
    int64_t last_step = last == gather->axis ? 0 : gather->src_strides[last];
    for (int64_t row = begin; row < end; ++row) {
        int64_t rest = row, offset = 0, at = row * n;
        for (int i = last - 1; i >= 0; --i) {
            if (i != gather->axis)
                offset += rest % gather->dims[i] * gather->src_strides[i];
            rest /= gather->dims[i];
        }
        const char *src = call->src + offset * gather->item_bytes;
        char *dst = call->dst + at * gather->item_bytes;
        switch (gather->item_bytes) {
        case 1:
            ELEMENTS_ROW(1) break;
        case 2:
            ELEMENTS_ROW(2) break;
        case 4:
            ELEMENTS_ROW(4) break;
        case 8:
            ELEMENTS_ROW(8) break;
        default:
            ELEMENTS_ROW(16) break;
        }
    }
}

tt_status tt_gather_elements_run(const tt_gather_elements *gather, const void *src,
                                 const void *indices, void *dst, tt_error *err)
{
    gather_call call = {gather, indices, src, dst};
    int64_t n_rows = 1, row_bytes;
    for (int i = 0; i < gather->rank - 1; ++i)
        n_rows *= gather->dims[i];
    row_bytes = gather->dims[gather->rank - 1] * gather->item_bytes;
    if (n_rows == 0 || row_bytes == 0) return TT_OK;
    TT_TRY(tt_indices_check(indices, gather->is_32,
                            n_rows * gather->dims[gather->rank - 1], gather->dim, err));
    tt_parallel_for(n_rows, grain_of(row_bytes), elements_range, &call);
    return TT_OK;
}

/* ---- GatherND ------------------------------------------------------------ */

tt_status tt_tuples_check(const void *indices, bool is_32, int64_t n_tuples,
                          int n_index, const int64_t *dims, tt_error *err)
{
    for (int64_t t = 0; t < n_tuples; ++t)
        for (int k = 0; k < n_index; ++k) {
            int64_t index = tt_index_at(indices, is_32, t * n_index + k);
            if (index < -dims[k] || index >= dims[k])
                return tt_fail(err, TT_BAD_INPUT,
                               "index %lld for dim %d of tuple %lld is outside [-%lld, "
                               "%lld)",
                               (long long)index, k, (long long)t, (long long)dims[k],
                               (long long)dims[k]);
        }
    return TT_OK;
}

static void nd_range(void *arg, int64_t begin, int64_t end)
{
    const gather_call *call = arg;
    const tt_gather_nd *gather = call->params;
    for (int64_t t = begin; t < end; ++t)
        memcpy(call->dst + t * gather->slice_bytes,
               call->src + t / gather->n_tuples * gather->batch_bytes +
                   tt_tuple_offset(gather, call->indices, t),
               (size_t)gather->slice_bytes);
}

tt_status tt_gather_nd_run(const tt_gather_nd *gather, const void *src,
                           const void *indices, void *dst, tt_error *err)
{
    gather_call call = {gather, indices, src, dst};
    int64_t n = gather->n_batches * gather->n_tuples;
    TT_TRY(
        tt_tuples_check(indices, gather->is_32, n, gather->n_index, gather->dims, err));
    tt_parallel_for(n, grain_of(gather->slice_bytes), nd_range, &call);
    return TT_OK;
}
