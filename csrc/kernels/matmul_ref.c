/* Matrix products row by row: see matmul.h.  Floats accumulate in double, integers in
 * their own width. */
#include "base/threads.h"
#include "kernels/item.h"
#include "kernels/matmul.h"

enum { BLOCK = 64 }; /* columns at a time */

typedef struct {
    const tt_matmul_kernel *matmul;
    const void *a, *b, *bias;
    void *dst;
} job;

/* One row of the result, `n` columns from the pointers on. */
#define DEFINE_ROW(name, T, A)                                                         \
    static void name(const tt_matmul_kernel *p, const T *a, const T *b, const T *bias, \
                     T *dst, int64_t n)                                                \
    {                                                                                  \
        A sum[BLOCK];                                                                  \
        for (int64_t j = 0; j < n; ++j)                                                \
            sum[j] = bias != NULL ? (A)bias[j] : (A)0;                                 \
        for (int64_t k = 0; k < p->k; ++k) {                                           \
            A x = (A)a[k * p->a_k];                                                    \
            const T *row = b + k * p->b_k;                                             \
            if (p->b_n == 1)                                                           \
                for (int64_t j = 0; j < n; ++j)                                        \
                    sum[j] += x * (A)row[j];                                           \
            else                                                                       \
                for (int64_t j = 0; j < n; ++j)                                        \
                    sum[j] += x * (A)row[j * p->b_n];                                  \
        }                                                                              \
        for (int64_t j = 0; j < n; ++j)                                                \
            dst[j * p->dst_n] = (T)sum[j];                                             \
    }

DEFINE_ROW(row_f32, float, double)
DEFINE_ROW(row_f64, double, double)
DEFINE_ROW(row_u32, uint32_t, uint32_t)
DEFINE_ROW(row_u64, uint64_t, uint64_t)
DEFINE_ROW(row_u8, uint8_t, uint32_t)
DEFINE_ROW(row_u16, uint16_t, uint32_t)

static void row_half(const tt_matmul_kernel *p, const uint16_t *a, const uint16_t *b,
                     const uint16_t *bias, uint16_t *dst, int64_t n)
{
    double sum[BLOCK];
    for (int64_t j = 0; j < n; ++j)
        sum[j] = bias != NULL ? tt_item_load(p->dtype, bias, j) : 0.0;
    for (int64_t k = 0; k < p->k; ++k) {
        double x = tt_item_load(p->dtype, a, k * p->a_k);
        for (int64_t j = 0; j < n; ++j)
            sum[j] += x * tt_item_load(p->dtype, b, k * p->b_k + j * p->b_n);
    }
    for (int64_t j = 0; j < n; ++j)
        tt_item_store(p->dtype, dst, j * p->dst_n, sum[j]);
}

/* Offsets into a, b, bias and dst, in elements. */
static void row_block(const job *j, int64_t a, int64_t b, int64_t bias, int64_t dst,
                      int64_t n)
{
    const tt_matmul_kernel *p = j->matmul;
#define CALL(name, T)                                 \
    name(p, (const T *)j->a + a, (const T *)j->b + b, \
         p->has_bias ? (const T *)j->bias + bias : NULL, (T *)j->dst + dst, n)
    switch (p->dtype) {
    case TT_F32:
        CALL(row_f32, float);
        break;
    case TT_F64:
        CALL(row_f64, double);
        break;
    case TT_F16:
    case TT_BF16:
        CALL(row_half, uint16_t);
        break;
    case TT_S32: /* two's complement: the low bits do not know about signs */
    case TT_U32:
        CALL(row_u32, uint32_t);
        break;
    case TT_S64:
    case TT_U64:
        CALL(row_u64, uint64_t);
        break;
    case TT_S16:
    case TT_U16:
        CALL(row_u16, uint16_t);
        break;
    case TT_S8:
    case TT_U8:
        CALL(row_u8, uint8_t);
        break;
    default:
        break;
    }
#undef CALL
}

/* Rows [begin, end) of all batches. */
static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_matmul_kernel *p = j->matmul;
    for (int64_t row = begin; row < end; ++row) {
        int64_t m = row % p->m, rest = row / p->m;
        int64_t a = m * p->a_m, b = 0, dst = m * p->dst_m;
        for (int i = p->n_batch - 1; i >= 0; --i) {
            int64_t at = rest % p->batch[i];
            rest /= p->batch[i];
            a += at * p->a_batch[i];
            b += at * p->b_batch[i];
            dst += at * p->dst_batch[i];
        }
        for (int64_t n = 0; n < p->n; n += BLOCK)
            row_block(j, a, b + n * p->b_n, n, dst + n * p->dst_n,
                      p->n - n < BLOCK ? p->n - n : BLOCK);
    }
}

tt_status tt_matmul_run_ref(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_matmul_kernel *p = params;
    job j = {p, ptrs[0], ptrs[1], ptrs[2], ptrs[3]};
    int64_t rows = p->m, cost = p->n * p->k + 1;
    (void)err;
    for (int i = 0; i < p->n_batch; ++i)
        rows *= p->batch[i];
    tt_parallel_for(rows, cost > 32768 ? 1 : 32768 / cost, run_rows, &j);
    return TT_OK;
}
