/* TensorScatter (24): new rows written into a cache at a place of each batch, once
 * around its end when it is circular. */
#include <string.h>

#include "base/threads.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { PAST, UPDATE, PLACES, N_SRC, DST = N_SRC, N_POINTERS };
enum { GRAIN_BYTES = 1 << 18 }; /* of a thread's share */

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "axis", -2, &value, err));
    TT_TRY(tt_axis(node, value, rank, axis, err));
    if (*axis != 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "axis is the batch, dim 0");
}

static tt_status read_mode(const tt_node *node, bool *is_circular, tt_error *err)
{
    const char *mode;
    TT_TRY(tt_attribute_string(node, "mode", "linear", &mode, err));
    *is_circular = strcmp(mode, "circular") == 0;
    if (*is_circular || strcmp(mode, "linear") == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "mode is '%.40s', expected linear or circular", mode);
}

static tt_status check_update(const tt_site *site, int axis, tt_error *err)
{
    const tt_shape *past = tt_input_shape(site, PAST);
    const tt_shape *update = tt_input_shape(site, UPDATE);
    bool fits = past->rank == update->rank && past->dtype == update->dtype;
    char a[128], b[128];
    for (int i = 0; fits && i < past->rank; ++i)
        fits = i == axis ? update->dims[i] <= past->dims[i]
                         : update->dims[i] == past->dims[i];
    if (fits) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "%s %s cannot be written into %s %s along dim %d",
                      tt_dtype_name(update->dtype), tt_shape_text(update, a, sizeof a),
                      tt_dtype_name(past->dtype), tt_shape_text(past, b, sizeof b),
                      axis);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *places;
    bool is_circular;
    int axis;
    TT_TRY(tt_need_inputs(site, 2, err));
    *out = *tt_input_shape(site, PAST);
    TT_TRY(read_axis(site->node, out->rank, &axis, err));
    TT_TRY(read_mode(site->node, &is_circular, err));
    TT_TRY(check_update(site, axis, err));
    if (tt_dtype_bytes(out->dtype) == 0)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "a cache of %s",
                          tt_dtype_name(out->dtype));
    if (!tt_has_input(site, PLACES)) return TT_OK;
    places = tt_input_shape(site, PLACES);
    if (places->dtype == TT_S64 && places->rank == 1 && places->dims[0] == out->dims[0])
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "write_indices must be one int64 per batch");
}

/* ---- running ---------------------------------------------------------------------- */

/* A part is what lies behind the axis for one index of the dims before it. */
typedef struct {
    int64_t n_batches, parts_per_batch;
    int64_t n_rows, n_new; /* along the axis: of the cache, of the update */
    size_t row_bytes;
    bool is_circular;
} scatter_params;

typedef struct {
    const scatter_params *p;
    void *const *ptrs;
} scatter_call;

static int64_t place_of(const scatter_params *p, const int64_t *places, int64_t batch)
{
    int64_t place = places != NULL ? places[batch] : 0;
    if (!p->is_circular || p->n_rows == 0) return place;
    place %= p->n_rows;
    return place < 0 ? place + p->n_rows : place;
}

static void copy_rows(const scatter_params *p, char *dst, int64_t at, const char *src,
                      int64_t from, int64_t n)
{
    if (n > 0)
        memcpy(dst + (size_t)at * p->row_bytes, src + (size_t)from * p->row_bytes,
               (size_t)n * p->row_bytes);
}

static void run_parts(void *arg, int64_t begin, int64_t end)
{
    const scatter_call *call = arg;
    const scatter_params *p = call->p;
    for (int64_t part = begin; part < end; ++part) {
        const char *past =
            (const char *)call->ptrs[PAST] + (size_t)(part * p->n_rows) * p->row_bytes;
        const char *update =
            (const char *)call->ptrs[UPDATE] + (size_t)(part * p->n_new) * p->row_bytes;
        char *dst = (char *)call->ptrs[DST] + (size_t)(part * p->n_rows) * p->row_bytes;
        int64_t place = place_of(p, call->ptrs[PLACES], part / p->parts_per_batch);
        int64_t wrapped = place + p->n_new - p->n_rows;
        if (wrapped < 0) wrapped = 0;
        copy_rows(p, dst, place, update, 0, p->n_new - wrapped);
        copy_rows(p, dst, 0, update, p->n_new - wrapped, wrapped);
        if (past == dst) continue; /* in place */
        copy_rows(p, dst, wrapped, past, wrapped, place - wrapped);
        if (wrapped == 0)
            copy_rows(p, dst, place + p->n_new, past, place + p->n_new,
                      p->n_rows - place - p->n_new);
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const scatter_params *p = params;
    scatter_call call = {p, ptrs};
    const int64_t *places = ptrs[PLACES];
    size_t part_bytes = (size_t)p->n_rows * p->row_bytes;
    for (int64_t b = 0; places != NULL && !p->is_circular && b < p->n_batches; ++b)
        if (places[b] < 0 || places[b] > p->n_rows - p->n_new)
            return tt_fail(err, TT_BAD_INPUT,
                           "write index %lld of batch %lld is outside [0, %lld]: %lld "
                           "rows do not fit into the cache of %lld behind it",
                           (long long)places[b], (long long)b,
                           (long long)(p->n_rows - p->n_new), (long long)p->n_new,
                           (long long)p->n_rows);
    if (part_bytes > 0)
        tt_parallel_for(p->n_batches * p->parts_per_batch,
                        (int64_t)(GRAIN_BYTES / part_bytes) + 1, run_parts, &call);
    return TT_OK;
}

static tt_status lower_scatter(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape past = *tt_input_shape(&site, PAST);
    const tt_shape update = *tt_input_shape(&site, UPDATE);
    scatter_params p = {.n_batches = past.dims[0],
                        .parts_per_batch = 1,
                        .row_bytes = tt_dtype_bytes(past.dtype)};
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(&past)};
    tt_operand o[N_POINTERS];
    int axis;
    TT_TRY(read_axis(node, past.rank, &axis, err));
    TT_TRY(read_mode(node, &p.is_circular, err));
    for (int i = 1; i < axis; ++i)
        p.parts_per_batch *= past.dims[i]; /* of a checked shape */
    for (int i = axis + 1; i < past.rank; ++i)
        p.row_bytes *= (size_t)past.dims[i];
    p.n_rows = past.dims[axis];
    p.n_new = update.dims[axis];
    for (int i = 0; i < N_SRC; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &o[i], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &o[DST], err));
    TT_TRY(tt_lower_kernel(lower, node, "tensor_scatter", run, &p, sizeof p, o, N_SRC,
                           1, &work, err));
    tt_lower_share(lower, PAST, DST);
    return TT_OK;
}

const tt_op tt_op_tensor_scatter = {.name = "TensorScatter",
                                    .domain = "",
                                    .since = 24,
                                    .summary = "new rows written into a cache",
                                    .infer = infer,
                                    .lower = lower_scatter};
