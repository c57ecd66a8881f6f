/* One channel of a causal convolution; compiled per instruction set (see simd.h). */
#include "kernels/simd.h"
#include "kernels/vector_math.h"

static void conv_row(int64_t length, int64_t taps, const float *x, const float *w,
                     float bias, bool is_silu, float *y)
{
    for (int64_t i = 0; i < length; i += VF_N) {
        int64_t n = length - i < VF_N ? length - i : VF_N;
        vf sum = vf_set1(bias);
        for (int64_t j = 0; j < taps; ++j)
            sum = vf_fma(vf_set1(w[j]), vf_load_n(x + i + j, n), sum);
        vf_store_n(y + i, sum, n);
    }
    if (!is_silu) return;
    for (int64_t i = 0; i < length; ++i)
        y[i] *= sigmoid_f32(y[i]);
}

const tt_causal_conv_table TABLE = {TABLE_NAME, conv_row};
