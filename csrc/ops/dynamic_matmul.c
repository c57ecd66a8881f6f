/* DynamicQuantizeMatMul of the domain trimtab: x of float32, made uint8 on the fly,
 * times weights of int8 or uint8.
 *
 *   inputs      x [.., m, k], b [k, n], scale [] or [n], zero point of b like scale (or
 *               absent), bias [n] (or absent)
 *   per_token   1: each row of x gets a scale and a zero point of its own; 0: one for
 *               all of x, as DynamicQuantizeLinear has it
 *
 * DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add become it
 * (graph/fuse_dynamic_quantized.c). */
#include <string.h>

#include "kernels/matmul_u8s8.h"
#include "ops/fail.h"
#include "ops/matmul_common.h"
#include "ops/move.h"
#include "ops/own_posts.h"

enum {
    X,
    B,
    SCALE,
    ZERO,
    BIAS,
    POST,
    DST = POST + TT_POST_OPS_MAX,
    SCRATCH,
    N_POINTERS
};

typedef struct {
    bool per_token, b_is_unsigned, is_packed;
    int64_t m, n, k, n_scales, n_zeros;
    size_t scale_at, zero_at, sum_at, b_scale_at, b_zero_at, b_at; /* in scratch */
    tt_post_ops posts;
    bool accumulates;
} dynamic_matmul;

static tt_status check_vector(const tt_site *site, int i, tt_dtype dtype, int64_t n,
                              bool may_be_one, tt_error *err)
{
    const tt_shape *shape;
    char text[160];
    if (!tt_has_input(site, i)) return TT_OK;
    shape = tt_input_shape(site, i);
    if (shape->dtype == dtype && shape->rank <= 1 &&
        (tt_shape_numel(shape) == n || (may_be_one && tt_shape_numel(shape) == 1)))
        return TT_OK;
    return tt_fail_at(
        site->node, err, TT_BAD_MODEL, "input %d is %s %s, expected %s [%lld]", i,
        tt_dtype_name(shape->dtype), tt_shape_text(shape, text, sizeof text),
        tt_dtype_name(dtype), (long long)n);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x, *b;
    int64_t per_token, n;
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(tt_attribute_int(site->node, "per_token", 1, &per_token, err));
    x = tt_input_shape(site, X);
    b = tt_input_shape(site, B);
    if (x->dtype != TT_F32 || x->rank < 2 || b->rank != 2 ||
        (b->dtype != TT_S8 && b->dtype != TT_U8))
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "inputs of %s (rank %d) and %s (rank %d), expected float32 of "
            "rank 2 or more, and int8 or uint8 of rank 2",
            tt_dtype_name(x->dtype), x->rank, tt_dtype_name(b->dtype), b->rank);
    TT_TRY(tt_matmul_infer(site, TT_F32, out, err));
    n = b->dims[1];
    TT_TRY(check_vector(site, SCALE, TT_F32, n, true, err));
    TT_TRY(check_vector(site, ZERO, b->dtype, n, true, err));
    return check_vector(site, BIAS, TT_F32, n, false, err);
}

/* ---- running ------------------------------------------------------------------- */

static const float *scales_of(const dynamic_matmul *p, const float *given, float *own)
{
    if (p->n_scales == p->n) return given;
    for (int64_t j = 0; j < p->n; ++j)
        own[j] = given[0];
    return own;
}

static const int32_t *zeros_of(const dynamic_matmul *p, const void *given, int32_t *own)
{
    int32_t any = 0;
    for (int64_t j = 0; j < p->n; ++j) {
        int64_t at = p->n_zeros == p->n ? j : 0;
        int32_t zero = p->b_is_unsigned ? -128 : 0;
        if (p->n_zeros > 0)
            zero += p->b_is_unsigned ? ((const uint8_t *)given)[at]
                                     : ((const int8_t *)given)[at];
        own[j] = zero;
        any |= zero;
    }
    return any == 0 ? NULL : own;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const dynamic_matmul *p = params;
    char *scratch = ptrs[SCRATCH];
    void *own_zero = scratch + p->b_zero_at, *own_scale = scratch + p->b_scale_at;
    void *scale = scratch + p->scale_at, *zero = scratch + p->zero_at;
    void *sum = scratch + p->sum_at;
    tt_quantize_rows rows = {.m = p->m,
                             .k = p->k,
                             .src_row = p->k,
                             .src = ptrs[X],
                             .per_row = p->per_token,
                             .dst = ptrs[SCRATCH],
                             .scale = scale,
                             .zero = zero,
                             .sum = sum};
    tt_u8s8 product = {.m = p->m,
                       .n = p->n,
                       .k = p->k,
                       .a = ptrs[SCRATCH],
                       .a_zero = zero,
                       .a_sum = sum,
                       .b = p->is_packed ? ptrs[B] : scratch + p->b_at,
                       .b_zero = zeros_of(p, ptrs[ZERO], own_zero),
                       .dst_row = p->n,
                       .dst = ptrs[DST],
                       .a_scale = scale,
                       .b_scale = scales_of(p, ptrs[SCALE], own_scale),
                       .bias = ptrs[BIAS],
                       .posts = p->posts,
                       .accumulates = p->accumulates};
    int64_t strides[3] = {0, p->n, 1};
    (void)err;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        product.operands[i] = ptrs[POST + i];
    if (!p->is_packed)
        tt_u8s8_pack(ptrs[B], p->b_is_unsigned, p->k, p->k, p->n, strides,
                     scratch + p->b_at);
    tt_quantize_rows_run(&rows);
    tt_u8s8_multiply(&product);
    return TT_OK;
}

/* ---- lowering ------------------------------------------------------------------- */

static void pack_b(const tt_md *b, const void *weights, void *made)
{
    int64_t strides[3] = {0, b->strides[0], b->strides[1]};
    tt_u8s8_pack(weights, b->dtype == TT_U8, b->dims[0], b->dims[0], b->dims[1],
                 strides, made);
}

static size_t aligned(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

/* Places in the scratch memory, and its size. */
static size_t plan_scratch(dynamic_matmul *p, size_t packed_bytes)
{
    size_t rows = (size_t)p->m * 4, columns = (size_t)p->n * 4;
    p->scale_at = aligned((size_t)(p->m * tt_u8s8_row_bytes(p->k)));
    p->zero_at = p->scale_at + rows;
    p->sum_at = p->zero_at + rows;
    p->b_scale_at = aligned(p->sum_at + rows);
    p->b_zero_at = p->b_scale_at + columns;
    p->b_at = aligned(p->b_zero_at + columns);
    return p->b_at + (p->is_packed ? 0 : packed_bytes);
}

static int64_t n_of(const tt_site *site, int i)
{
    return tt_has_input(site, i) ? tt_shape_numel(tt_input_shape(site, i)) : 0;
}

static tt_status lower_dynamic(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape b = *tt_input_shape(&site, B);
    dynamic_matmul p = {.n = b.dims[1],
                        .k = b.dims[0],
                        .b_is_unsigned = b.dtype == TT_U8,
                        .n_scales = n_of(&site, SCALE),
                        .n_zeros = n_of(&site, ZERO)};
    tt_operand operands[N_POINTERS];
    tt_own_posts posts;
    tt_work work = {0};
    size_t packed_bytes, bytes;
    int64_t per_token;
    if (tt_shape_numel(tt_output_shape(lower, node, 0)) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[DST], err);
    TT_TRY(tt_attribute_int(node, "per_token", 1, &per_token, err));
    p.per_token = per_token != 0;
    p.m = tt_shape_numel(tt_output_shape(lower, node, 0)) / p.n;
    if (!tt_u8s8_packed_bytes(p.k, p.n, &packed_bytes))
        return tt_fail_at(node, err, TT_LIMIT, "packing %lld x %lld weights",
                          (long long)p.k, (long long)p.n);
    for (int i = 0; i < POST; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    p.is_packed = tt_input_constant(&site, B) != NULL;
    if (p.is_packed) {
        tt_md md = {
            .dtype = b.dtype, .ndims = 2, .dims = {p.k, p.n},
                    .strides = {p.n, 1  }
        };
        TT_TRY(tt_lower_derived(lower, operands[B], &md, pack_b, packed_bytes,
                                &operands[B], err));
    }
    TT_TRY(tt_own_posts_begin(lower, node, &posts, err));
    p.posts = posts.posts;
    p.accumulates = posts.accumulates;
    memcpy(&operands[POST], posts.operands, sizeof posts.operands);
    operands[DST] = posts.dst;
    bytes = plan_scratch(&p, packed_bytes);
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[SCRATCH], err));
    work.flops = 2.0 * (double)p.m * (double)p.n * (double)p.k;
    work.bytes = (double)packed_bytes + 5.0 * (double)p.m * (double)(p.k + p.n);
    TT_TRY(tt_lower_kernel(lower, node, tt_u8s8_name(), run, &p, sizeof p, operands,
                           DST, 2, &work, err));
    return tt_own_posts_end(lower, node, &posts, err);
}

const tt_op tt_op_dynamic_quantize_matmul = {
    .name = "DynamicQuantizeMatMul",
    .domain = "trimtab",
    .since = 1,
    .summary = "rows made uint8 on the fly, times weights of int8",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_dynamic,
};
