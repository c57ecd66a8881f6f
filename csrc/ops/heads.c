/* Tensors of heads: see heads.h. */
#include "ops/heads.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { SRC, BIAS, N_SRC, DST = N_SRC, N_POINTERS };
enum { GRAIN_ITEMS = 16384 }; /* of a thread's share */

typedef struct {
    tt_dtype dtype;
    int64_t dims[4], src[4], dst[4];
    int64_t src_offset, bias_offset, dst_offset;
} place_params;

typedef struct {
    const place_params *p;
    void *const *ptrs;
} place_call;

static void copy_row_f32(const place_params *p, const float *src, const float *bias,
                         float *dst)
{
    int64_t n = p->dims[3];
    if (p->dst[3] == 1 && p->src[3] == 1 && bias == NULL) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
    } else if (p->dst[3] == 1 && p->src[3] == 1) {
        for (int64_t i = 0; i < n; ++i)
            dst[i] = src[i] + bias[i];
    } else {
        for (int64_t i = 0; i < n; ++i)
            dst[i * p->dst[3]] = src[i * p->src[3]] + (bias != NULL ? bias[i] : 0.0f);
    }
}

static void copy_row(const place_call *call, int64_t src, int64_t bias, int64_t dst)
{
    const place_params *p = call->p;
    const void *b = call->ptrs[BIAS];
    if (p->dtype == TT_F32) {
        copy_row_f32(p, (const float *)call->ptrs[SRC] + src,
                     b == NULL ? NULL : (const float *)b + bias,
                     (float *)call->ptrs[DST] + dst);
        return;
    }
    for (int64_t i = 0; i < p->dims[3]; ++i) {
        double item = tt_item_load(p->dtype, call->ptrs[SRC], src + i * p->src[3]);
        if (b != NULL) item += tt_item_load(p->dtype, b, bias + i);
        tt_item_store(p->dtype, call->ptrs[DST], dst + i * p->dst[3], item);
    }
}

/* Tokens [begin, end) of all heads of all batches. */
static void place_tokens(void *arg, int64_t begin, int64_t end)
{
    const place_call *call = arg;
    const place_params *p = call->p;
    for (int64_t i = begin; i < end; ++i) {
        int64_t t = i % p->dims[2], h = i / p->dims[2] % p->dims[1];
        int64_t b = i / p->dims[2] / p->dims[1];
        copy_row(call, p->src_offset + b * p->src[0] + h * p->src[1] + t * p->src[2],
                 p->bias_offset + h * p->dims[3],
                 p->dst_offset + b * p->dst[0] + h * p->dst[1] + t * p->dst[2]);
    }
}

static tt_status run_place(const void *params, void *const *ptrs, tt_error *err)
{
    const place_params *p = params;
    place_call call = {p, ptrs};
    (void)err;
    tt_parallel_for(p->dims[0] * p->dims[1] * p->dims[2], GRAIN_ITEMS / p->dims[3] + 1,
                    place_tokens, &call);
    return TT_OK;
}

tt_status tt_heads_place(tt_lower *lower, const tt_node *node, const tt_heads *src,
                         tt_operand bias, int64_t bias_offset, const tt_heads *to,
                         int64_t first, tt_error *err)
{
    place_params p = {.dtype = src->dtype,
                      .src_offset = src->offset,
                      .bias_offset = bias_offset,
                      .dst_offset = to->offset + first * to->strides[2]};
    const tt_operand operands[N_POINTERS] = {src->operand, bias, to->operand};
    tt_work work = {0};
    double n = 1.0;
    for (int i = 0; i < 4; ++i) {
        if (src->dims[i] == 0) return TT_OK;
        n *= (double)src->dims[i];
    }
    memcpy(p.dims, src->dims, sizeof p.dims);
    memcpy(p.src, src->strides, sizeof p.src);
    memcpy(p.dst, to->strides, sizeof p.dst);
    work.bytes = 2.0 * n * (double)tt_dtype_bytes(src->dtype);
    return tt_lower_kernel(lower, node, "heads", run_place, &p, sizeof p, operands,
                           N_SRC, 1, &work, err);
}

tt_status tt_heads_new(tt_lower *lower, tt_dtype dtype, const int64_t dims[4],
                       tt_heads *out, tt_error *err)
{
    tt_shape shape = {
        dtype, 4, {dims[0], dims[2], dims[1], dims[3]}
    };
    tt_operand operand;
    TT_TRY(tt_lower_tensor(lower, &shape, NULL, &operand, err));
    tt_heads_of(lower, operand, out);
    for (int i = 1; i <= 2; ++i) {
        int64_t stride = tt_operand_strides(lower, operand)[3 - i];
        out->dims[i] = dims[i];
        out->strides[i] = stride;
    }
    return TT_OK;
}

void tt_heads_of(const tt_lower *lower, tt_operand operand, tt_heads *out)
{
    const tt_shape *shape = tt_operand_shape(lower, operand);
    *out = (tt_heads){.operand = operand, .dtype = shape->dtype};
    memcpy(out->dims, shape->dims, sizeof out->dims);
    memcpy(out->strides, tt_operand_strides(lower, operand), sizeof out->strides);
}
