/* Largest scores and logarithms of sums; compiled per instruction set (see simd.h). */
#include "kernels/simd.h"

static void loss_row(const float *scores, int64_t n, float *high, float *log_sum)
{
    vf top = vf_set1(-__builtin_inff()), sum = vf_zero();
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        top = vf_max(vf_load(scores + i), top);
    if (i < n)
        top = vf_max(
            vf_fill_from(vf_load_n(scores + i, n - i), n - i, -__builtin_inff()), top);
    *high = vf_high(top);
    top = vf_set1(*high);
    for (i = 0; i + VF_N <= n; i += VF_N)
        sum += vf_exp(vf_load(scores + i) - top);
    if (i < n)
        sum += vf_fill_from(vf_exp(vf_load_n(scores + i, n - i) - top), n - i, 0.0f);
    *log_sum = __builtin_logf(vf_sum(sum));
}

static void loss_columns(const float *scores, int64_t n, int64_t inner, int64_t lanes,
                         float *high, float *log_sum)
{
    for (int64_t at = 0; at < lanes; at += VF_N) {
        int64_t n_lanes = lanes - at < VF_N ? lanes - at : VF_N;
        vf top = vf_set1(-__builtin_inff()), sum = vf_zero();
        for (int64_t i = 0; i < n; ++i)
            top = vf_max(vf_load_n(scores + i * inner + at, n_lanes), top);
        for (int64_t i = 0; i < n; ++i)
            sum += vf_exp(vf_load_n(scores + i * inner + at, n_lanes) - top);
        vf_store_n(high + at, top, n_lanes);
        vf_store_n(log_sum + at, sum, n_lanes);
    }
    for (int64_t i = 0; i < lanes; ++i)
        log_sum[i] = __builtin_logf(log_sum[i]);
}

const tt_loss_table TABLE = {TABLE_NAME, loss_row, loss_columns};
