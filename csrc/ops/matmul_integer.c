/* MatMulInteger: bytes times bytes, exact sums of 32 bits.
 *
 * The own kernel multiplies uint8 by int8 (kernels/matmul_u8s8.h); other types and zero
 * points come in by corrections.  b is packed once where it is constant, else in every
 * run. */
#include <string.h>

#include "kernels/matmul_u8s8.h"
#include "ops/fail.h"
#include "ops/matmul_common.h"
#include "ops/move.h"

enum { A, B, A_ZERO, B_ZERO, DST, SCRATCH, N_POINTERS };

typedef struct {
    bool a_is_signed, b_is_unsigned, is_packed;
    int64_t m, n, k;
    int n_dims; /* of the batch */
    int64_t dims[TT_MAX_RANK], a_step[TT_MAX_RANK], b_step[TT_MAX_RANK]; /* matrices */
    int64_t n_a, n_b;           /* matrices in all */
    int64_t n_a_zero, n_b_zero; /* zero points in all: 0, 1, one matrix's, or all's */
    size_t zero_at, sum_at, b_at, b_zero_at; /* in the scratch memory, a at 0 */
} integer_matmul;

static bool is_byte(tt_dtype dtype)
{
    return dtype == TT_U8 || dtype == TT_S8;
}

/* 1, one per row (column) of a matrix, or of all of them: as their number. */
static tt_status check_zero(const tt_site *site, int i, bool of_columns, tt_error *err)
{
    const tt_shape *zero, *full = tt_input_shape(site, i - 2);
    int64_t n = tt_shape_numel(full), each, other;
    char text[160];
    if (!tt_has_input(site, i)) return TT_OK;
    zero = tt_input_shape(site, i);
    each = full->rank < 2 ? 1 : full->dims[full->rank - (of_columns ? 1 : 2)];
    other = full->dims[full->rank - (of_columns && full->rank > 1 ? 2 : 1)];
    if (zero->dtype == full->dtype &&
        (tt_shape_numel(zero) == 1 || tt_shape_numel(zero) == each ||
         (other > 0 && zero->rank == full->rank && tt_shape_numel(zero) == n / other)))
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "zero point %s %s of input %d, expected %s: one, or %lld",
                      tt_dtype_name(zero->dtype),
                      tt_shape_text(zero, text, sizeof text), i - 2,
                      tt_dtype_name(full->dtype), (long long)each);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 2, err));
    for (int i = 0; i < 2; ++i)
        if (!is_byte(tt_input_shape(site, i)->dtype))
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d is %s, expected int8 or uint8", i,
                              tt_dtype_name(tt_input_shape(site, i)->dtype));
    TT_TRY(tt_matmul_infer(site, TT_S32, out, err));
    TT_TRY(check_zero(site, A_ZERO, false, err));
    return check_zero(site, B_ZERO, true, err);
}

/* ---- running ------------------------------------------------------------------- */

/* Zero point number i of matrix number `matrix` with n of them, for the type in use. */
static int32_t zero_of(const void *zeros, int64_t n_zeros, int64_t n, int64_t matrix,
                       int64_t i, bool is_signed, int32_t more)
{
    int64_t at = n_zeros <= 1 ? 0 : n_zeros == n ? i : matrix * n + i;
    if (n_zeros == 0) return more;
    return more +
           (is_signed ? ((const int8_t *)zeros)[at] : ((const uint8_t *)zeros)[at]);
}

static void load_a(const integer_matmul *p, void *const *ptrs, int64_t matrix,
                   uint8_t *rows, int32_t *zeros, int32_t *sums)
{
    const uint8_t *a = (const uint8_t *)ptrs[A] + matrix * p->m * p->k;
    int64_t row_bytes = tt_u8s8_row_bytes(p->k);
    uint8_t flip = p->a_is_signed ? 128 : 0;
    for (int64_t i = 0; i < p->m; ++i) {
        uint8_t *row = rows + i * row_bytes;
        uint32_t sum = 0;
        for (int64_t j = 0; j < p->k; ++j) {
            row[j] = (uint8_t)(a[i * p->k + j] ^ flip);
            sum += row[j];
        }
        memset(row + p->k, 0, (size_t)(row_bytes - p->k));
        sums[i] = (int32_t)sum;
        zeros[i] =
            zero_of(ptrs[A_ZERO], p->n_a_zero, p->m, matrix, i, p->a_is_signed, flip);
    }
}

static void multiply(const integer_matmul *p, void *const *ptrs, int64_t index,
                     int64_t a_matrix, int64_t b_matrix)
{
    char *scratch = ptrs[SCRATCH];
    uint8_t *rows = ptrs[SCRATCH];
    int32_t *zeros = (int32_t *)(void *)(scratch + p->zero_at);
    int32_t *sums = (int32_t *)(void *)(scratch + p->sum_at);
    int32_t *b_zero = (int32_t *)(void *)(scratch + p->b_zero_at);
    int64_t strides[3] = {0, p->n, 1};
    bool has_zero = false;
    tt_u8s8 product = {.m = p->m,
                       .n = p->n,
                       .k = p->k,
                       .a = rows,
                       .a_zero = zeros,
                       .a_sum = sums,
                       .b = p->is_packed ? ptrs[B] : scratch + p->b_at,
                       .dst_row = p->n,
                       .sums = (int32_t *)ptrs[DST] + index * p->m * p->n};
    load_a(p, ptrs, a_matrix, rows, zeros, sums);
    if (!p->is_packed)
        tt_u8s8_pack((const char *)ptrs[B] + b_matrix * p->k * p->n, p->b_is_unsigned,
                     p->k, p->k, p->n, strides, scratch + p->b_at);
    for (int64_t j = 0; j < p->n; ++j) {
        b_zero[j] = zero_of(ptrs[B_ZERO], p->n_b_zero, p->n, b_matrix, j,
                            !p->b_is_unsigned, p->b_is_unsigned ? -128 : 0);
        has_zero |= b_zero[j] != 0;
    }
    if (has_zero) product.b_zero = b_zero;
    tt_u8s8_multiply(&product);
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const integer_matmul *p = params;
    int64_t index[TT_MAX_RANK] = {0}, a = 0, b = 0;
    (void)err;
    for (int64_t i = 0;; ++i) {
        int dim = p->n_dims - 1;
        multiply(p, ptrs, i, a, b);
        for (; dim >= 0; --dim) {
            a += p->a_step[dim];
            b += p->b_step[dim];
            if (++index[dim] < p->dims[dim]) break;
            a -= p->a_step[dim] * p->dims[dim];
            b -= p->b_step[dim] * p->dims[dim];
            index[dim] = 0;
        }
        if (dim < 0) return TT_OK;
    }
}

/* ---- lowering ------------------------------------------------------------------- */

/* Steps from one matrix to the next along each dim of the batch; their number. */
static int64_t batch_steps(const tt_shape *shape, int n_dims, int64_t *steps)
{
    int64_t n = 1;
    for (int i = n_dims - 1, from = shape->rank - 3; i >= 0; --i, --from) {
        int64_t dim = from >= 0 ? shape->dims[from] : 1;
        steps[i] = dim == 1 ? 0 : n;
        n *= dim;
    }
    return n;
}

static void describe(const tt_site *site, integer_matmul *p)
{
    const tt_shape *a = tt_input_shape(site, A), *b = tt_input_shape(site, B);
    const tt_shape *dst = &site->graph->values[site->node->outputs[0]].shape;
    int ones = (a->rank == 1) + (b->rank == 1);
    p->a_is_signed = a->dtype == TT_S8;
    p->b_is_unsigned = b->dtype == TT_U8;
    p->m = a->rank == 1 ? 1 : a->dims[a->rank - 2];
    p->k = a->dims[a->rank - 1];
    p->n = b->rank == 1 ? 1 : b->dims[b->rank - 1];
    p->n_dims = dst->rank - (2 - ones);
    memcpy(p->dims, dst->dims, sizeof p->dims);
    p->n_a = batch_steps(a, p->n_dims, p->a_step);
    p->n_b = batch_steps(b, p->n_dims, p->b_step);
    p->n_a_zero =
        tt_has_input(site, A_ZERO) ? tt_shape_numel(tt_input_shape(site, A_ZERO)) : 0;
    p->n_b_zero =
        tt_has_input(site, B_ZERO) ? tt_shape_numel(tt_input_shape(site, B_ZERO)) : 0;
    if (p->n_b != 1 || (p->n_a_zero > 1 && p->n_a > 1)) return;
    p->m *= p->n_a; /* all rows meet one b */
    p->n_a = 1;
    p->n_dims = 0;
}

static void pack_b(const tt_md *b, const void *weights, void *made)
{
    int64_t strides[3] = {0, b->strides[0], b->strides[1]};
    tt_u8s8_pack(weights, b->dtype == TT_U8, b->dims[0], b->dims[0], b->dims[1],
                 strides, made);
}

/* Places in the scratch memory, and its size. */
static tt_status plan_scratch(integer_matmul *p, size_t packed_bytes, size_t *out)
{
    int64_t rows = p->m * tt_u8s8_row_bytes(p->k);
    p->zero_at = ((size_t)rows + 63) & ~(size_t)63;
    p->sum_at = p->zero_at + (size_t)p->m * 4;
    p->b_zero_at = p->sum_at + (size_t)p->m * 4;
    p->b_at = (p->b_zero_at + (size_t)p->n * 4 + 63) & ~(size_t)63;
    *out = p->b_at + (p->is_packed ? 0 : packed_bytes);
    return TT_OK;
}

static tt_status lower_integer(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand operands[N_POINTERS];
    integer_matmul p = {0};
    tt_work work = {0};
    size_t bytes, packed_bytes;
    describe(&site, &p);
    if (tt_shape_numel(tt_output_shape(lower, node, 0)) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[DST], err);
    for (int i = 0; i < 4; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    if (!tt_u8s8_packed_bytes(p.k, p.n, &packed_bytes))
        return tt_fail_at(node, err, TT_LIMIT, "packing %lld x %lld weights",
                          (long long)p.k, (long long)p.n);
    p.is_packed = tt_input_constant(&site, B) != NULL && p.n_b == 1;
    if (p.is_packed) {
        tt_md md = {
            .dtype = tt_input_shape(&site, B)->dtype,
            .ndims = 2,
            .dims = {p.k, p.n},
            .strides = {p.n, 1  }
        };
        TT_TRY(tt_lower_derived(lower, operands[B], &md, pack_b, packed_bytes,
                                &operands[B], err));
    }
    TT_TRY(plan_scratch(&p, packed_bytes, &bytes));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[DST], err));
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[SCRATCH], err));
    work.flops =
        2.0 * (double)tt_shape_numel(tt_output_shape(lower, node, 0)) * (double)p.k;
    work.bytes = (double)packed_bytes + (double)bytes;
    return tt_lower_kernel(lower, node, tt_u8s8_name(), run, &p, sizeof p, operands, 4,
                           2, &work, err);
}

const tt_op tt_op_matmul_integer = {
    .name = "MatMulInteger",
    .domain = "",
    .since = 10,
    .summary = "bytes times bytes, exact sums",
    .infer = infer,
    .lower = lower_integer,
};
