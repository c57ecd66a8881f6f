/* Masks of keys: see padding_mask.h.
 *
 *   [batch]                     how many keys count
 *   [2 batch]                   where they end, then where they begin
 *   [batch, keys]               does the key count?
 *   [batch, queries, keys]      the same for each query
 *   [batch, 1, most, most]      the same by places of queries and keys
 *   [batch or 1, 1]             nothing */
#include "ops/padding_mask.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"
#include "ops/fail.h"

typedef enum { NO_MASK, BY_LENGTH, BY_RANGE, BY_KEY } mask_kind;
enum { MASK, BIAS, N_SRC, DST = N_SRC, N_POINTERS };
enum { GRAIN_ITEMS = 16384 }; /* of a thread's share */

typedef struct {
    mask_kind kind;
    tt_dtype dtype, bias_dtype;
    float filter;
    int64_t batch, heads, queries, keys; /* of the result */
    int64_t mask[2], offset;             /* from batch to batch, query to query */
    int64_t bias[3];                     /* 0 along dims of 1 */
} padding_params;

/* ---- shapes ----------------------------------------------------------------------- */

static bool read_mask(const tt_shape *mask, const tt_padding *p, padding_params *out)
{
    const int64_t *dims = mask->dims;
    out->kind = BY_KEY;
    out->mask[0] = out->mask[1] = out->offset = 0;
    if (mask->dtype != TT_S32 && mask->dtype != TT_S64 && mask->dtype != TT_BOOL)
        return false;
    if (mask->rank == 1) {
        out->kind = dims[0] == p->batch ? BY_LENGTH : BY_RANGE;
        return dims[0] == p->batch || dims[0] == 2 * p->batch;
    }
    if (mask->rank == 2 && dims[1] != p->keys) {
        out->kind = NO_MASK;
        return dims[1] == 1 && (dims[0] == 1 || dims[0] == p->batch);
    }
    out->mask[0] = p->keys;
    if (mask->rank == 2) return dims[0] == p->batch;
    if (mask->rank == 3) {
        out->mask[0] *= p->queries;
        out->mask[1] = p->keys;
        return dims[0] == p->batch && dims[1] == p->queries && dims[2] == p->keys;
    }
    if (mask->rank != 4 || dims[0] != p->batch || dims[1] != 1 || dims[2] != dims[3] ||
        dims[2] < p->keys || p->past + p->queries > dims[2])
        return false;
    out->mask[0] = dims[2] * dims[3];
    out->mask[1] = dims[3];
    out->offset = p->past * dims[3];
    return true;
}

static bool bias_fits(const tt_shape *bias, const tt_padding *p)
{
    const int64_t wanted[] = {p->batch, p->heads, p->queries, p->keys};
    if (bias->rank != 4 || !tt_dtype_is_float(bias->dtype)) return false;
    for (int i = 0; i < 4; ++i)
        if (bias->dims[i] != wanted[i] && (bias->dims[i] != 1 || i == 3)) return false;
    return true;
}

static tt_status refuse(const tt_site *site, int i, const tt_padding *p, tt_error *err)
{
    const tt_shape *shape = tt_input_shape(site, i);
    char text[128];
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "mask or bias of %s %s does not go with scores "
                      "[%lld,%lld,%lld,%lld]",
                      tt_dtype_name(shape->dtype),
                      tt_shape_text(shape, text, sizeof text), (long long)p->batch,
                      (long long)p->heads, (long long)p->queries, (long long)p->keys);
}

tt_status tt_padding_check(const tt_site *site, const tt_padding *p, tt_error *err)
{
    padding_params unused;
    if (p->mask >= 0 && tt_has_input(site, p->mask) &&
        !read_mask(tt_input_shape(site, p->mask), p, &unused))
        return refuse(site, p->mask, p, err);
    if (p->bias >= 0 && tt_has_input(site, p->bias) &&
        !bias_fits(tt_input_shape(site, p->bias), p))
        return refuse(site, p->bias, p, err);
    return TT_OK;
}

/* ---- running ---------------------------------------------------------------------- */

typedef struct {
    const padding_params *p;
    void *const *ptrs;
} padding_call;

static void fill_row(const padding_call *call, int64_t batch, int64_t query, float *dst)
{
    const padding_params *p = call->p;
    const void *mask = call->ptrs[MASK];
    int64_t at = p->offset + batch * p->mask[0] + query * p->mask[1];
    int64_t first = 0, end = p->keys;
    if (p->kind == BY_LENGTH || p->kind == BY_RANGE)
        end = tt_item_load_int(p->dtype, mask, batch);
    if (p->kind == BY_RANGE) first = tt_item_load_int(p->dtype, mask, p->batch + batch);
    for (int64_t i = 0; i < p->keys; ++i) {
        bool counts = p->kind == BY_KEY ? tt_item_load_int(p->dtype, mask, at + i) > 0
                                        : p->kind == NO_MASK || (i >= first && i < end);
        dst[i] = counts ? 0.0f : p->filter;
    }
}

static void add_bias(const padding_params *p, const void *bias, int64_t at, float *dst)
{
    if (p->bias_dtype == TT_F32)
        for (int64_t i = 0; i < p->keys; ++i)
            dst[i] += ((const float *)bias)[at + i];
    else
        for (int64_t i = 0; i < p->keys; ++i)
            dst[i] += (float)tt_item_load(p->bias_dtype, bias, at + i);
}

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const padding_call *call = arg;
    const padding_params *p = call->p;
    for (int64_t row = begin; row < end; ++row) {
        int64_t query = row % p->queries, head = row / p->queries % p->heads;
        int64_t batch = row / p->queries / p->heads;
        float *dst = (float *)call->ptrs[DST] + row * p->keys;
        fill_row(call, batch, query, dst);
        if (call->ptrs[BIAS] != NULL)
            add_bias(p, call->ptrs[BIAS],
                     batch * p->bias[0] + head * p->bias[1] + query * p->bias[2], dst);
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const padding_params *p = params;
    padding_call call = {p, ptrs};
    (void)err;
    tt_parallel_for(p->batch * p->heads * p->queries, GRAIN_ITEMS / p->keys + 1,
                    run_rows, &call);
    return TT_OK;
}

/* ---- lowering --------------------------------------------------------------------- */

/* Dims of the sum of mask and bias; strides of the bias. */
static void fill_params(const tt_lower *lower, const tt_padding *padding,
                        tt_operand bias, padding_params *p)
{
    bool has_rows = p->kind == BY_KEY && p->mask[1] != 0;
    p->filter = padding->filter;
    p->batch = padding->batch;
    p->keys = padding->keys;
    p->heads = 1;
    p->queries = has_rows ? padding->queries : 1;
    if (bias == TT_NO_OPERAND) return;
    const tt_shape *shape = tt_operand_shape(lower, bias);
    const int64_t *strides = tt_operand_strides(lower, bias);
    p->bias_dtype = shape->dtype;
    p->heads = shape->dims[1];
    if (!has_rows) p->queries = shape->dims[2];
    for (int i = 0; i < 3; ++i)
        p->bias[i] = shape->dims[i] == 1 ? 0 : strides[i];
}

tt_status tt_padding_lower(tt_lower *lower, const tt_node *node,
                           const tt_padding *padding, tt_operand *out, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    padding_params p = {.kind = NO_MASK};
    tt_operand o[N_POINTERS] = {TT_NO_OPERAND, TT_NO_OPERAND, TT_NO_OPERAND};
    tt_shape made;
    tt_work work = {0};
    if (padding->bias >= 0)
        TT_TRY(tt_lower_src(lower, node, padding->bias, TT_ORDER_ROWS, &o[BIAS], err));
    *out = o[BIAS];
    if (padding->mask < 0 || !tt_has_input(&site, padding->mask)) return TT_OK;
    (void)read_mask(tt_input_shape(&site, padding->mask), padding,
                    &p); /* was checked */
    if (p.kind == NO_MASK) return TT_OK;
    p.dtype = tt_input_shape(&site, padding->mask)->dtype;
    fill_params(lower, padding, o[BIAS], &p);
    made = (tt_shape){
        TT_F32, 4, {p.batch, p.heads, p.queries, p.keys}
    };
    TT_TRY(tt_check_shape(&site, &made, err));
    TT_TRY(tt_lower_src(lower, node, padding->mask, TT_ORDER_ROW_MAJOR, &o[MASK], err));
    TT_TRY(tt_lower_tensor(lower, &made, NULL, &o[DST], err));
    *out = o[DST];
    if (tt_shape_numel(&made) == 0) return TT_OK;
    work.bytes = 2.0 * (double)tt_shape_bytes(&made);
    return tt_lower_kernel(lower, node, "padding_mask", run, &p, sizeof p, o, N_SRC, 1,
                           &work, err);
}
