/* Softmax of float rows and columns; compiled per instruction set (see simd.h).
 * Three passes: maximum, exponentials and their sum, scaling.  The sum runs in VF_N
 * lanes, which keeps its error at log(n) ULP. */
#include "kernels/simd.h"

static inline vf softmax_load(const float *src, const float *mask, int64_t i)
{
    vf x = vf_load(src + i);
    if (mask != NULL) x += vf_load(mask + i);
    return x;
}

static inline vf softmax_tail(const float *src, const float *mask, int64_t i, int64_t n)
{
    vf x = vf_load_n(src + i, n - i);
    if (mask != NULL) x += vf_load_n(mask + i, n - i);
    return vf_fill_from(x, n - i, -__builtin_inff());
}

static float softmax_high(const float *src, const float *mask, int64_t n)
{
    vf high = vf_set1(-__builtin_inff());
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        high = vf_max(softmax_load(src, mask, i), high);
    if (i < n) high = vf_max(softmax_tail(src, mask, i, n), high);
    return vf_high(high);
}

static void softmax_row(const float *src, const float *mask, float *dst, int64_t n,
                        bool log)
{
    vf shift = vf_set1(softmax_high(src, mask, n)), sum = vf_zero(), scale;
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        vf x = softmax_load(src, mask, i) - shift, e = vf_exp(x);
        sum += e;
        vf_store(dst + i, log ? x : e);
    }
    if (i < n) {
        vf x = softmax_tail(src, mask, i, n) - shift;
        vf e = vf_fill_from(vf_exp(x), n - i, 0.0f);
        sum += e;
        vf_store_n(dst + i, log ? x : e, n - i);
    }
    scale = log ? vf_set1(__builtin_logf(vf_sum(sum))) : vf_set1(1.0f / vf_sum(sum));
    for (i = 0; i + VF_N <= n; i += VF_N) {
        vf x = vf_load(dst + i);
        vf_store(dst + i, log ? x - scale : x * scale);
    }
    if (i < n) {
        vf x = vf_load_n(dst + i, n - i);
        vf_store_n(dst + i, log ? x - scale : x * scale, n - i);
    }
}

/* At most VF_N columns, `inner` apart from row to row. */
static void softmax_lanes(const float *src, float *dst, int64_t n, int64_t inner,
                          int64_t lanes, bool log)
{
    vf high = vf_set1(-__builtin_inff()), sum = vf_zero();
    for (int64_t i = 0; i < n; ++i)
        high = vf_max(vf_load_n(src + i * inner, lanes), high);
    for (int64_t i = 0; i < n; ++i) {
        vf x = vf_load_n(src + i * inner, lanes) - high, e = vf_exp(x);
        sum += e;
        vf_store_n(dst + i * inner, log ? x : e, lanes);
    }
    if (log) {
        float sums[VF_N];
        vf_store(sums, sum);
        for (int k = 0; k < VF_N; ++k)
            sums[k] = __builtin_logf(sums[k]);
        sum = vf_load(sums);
    }
    for (int64_t i = 0; i < n; ++i) {
        vf x = vf_load_n(dst + i * inner, lanes);
        vf_store_n(dst + i * inner, log ? x - sum : x / sum, lanes);
    }
}

static void softmax_columns(const float *src, float *dst, int64_t n, int64_t inner,
                            bool log)
{
    for (int64_t at = 0; at < inner; at += VF_N) {
        int64_t lanes = inner - at < VF_N ? inner - at : VF_N;
        softmax_lanes(src + at, dst + at, n, inner, lanes, log);
    }
}

const tt_softmax_table TABLE = {TABLE_NAME, softmax_row, softmax_columns};
