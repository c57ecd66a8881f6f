/* Kernel values of a block of rows; compiled per instruction set (see simd.h).  Defines
 * VALUES.  A tile of 4 rows and 2 vectors of support vectors stays in registers. */
#include "kernels/simd.h"
#include "kernels/vector_math.h"

enum { TILE_ROWS = 4, TILE = 2 };

static inline void tile(const tt_svm *svm, const float *rows, const float *vectors,
                        float *values, bool is_distance)
{
    vf sums[TILE_ROWS][TILE];
    for (int r = 0; r < TILE_ROWS; ++r)
        for (int v = 0; v < TILE; ++v)
            sums[r][v] = vf_set1(0);
    for (int64_t f = 0; f < svm->n_features; ++f, vectors += svm->n_padded) {
        vf a = vf_load(vectors), b = vf_load(vectors + VF_N);
        for (int r = 0; r < TILE_ROWS; ++r) {
            vf x = vf_set1(rows[r * svm->n_features + f]);
            if (is_distance) {
                vf to_a = x - a, to_b = x - b;
                sums[r][0] = vf_fma(to_a, to_a, sums[r][0]);
                sums[r][1] = vf_fma(to_b, to_b, sums[r][1]);
            } else {
                sums[r][0] = vf_fma(x, a, sums[r][0]);
                sums[r][1] = vf_fma(x, b, sums[r][1]);
            }
        }
    }
    for (int r = 0; r < TILE_ROWS; ++r)
        for (int v = 0; v < TILE; ++v)
            vf_store(values + r * svm->n_padded + v * VF_N, sums[r][v]);
}

/* Small whole powers by products. */
static void power(float *values, int64_t n, float degree)
{
    if (degree == 2.0f)
        for (int64_t i = 0; i < n; ++i)
            values[i] *= values[i];
    else if (degree == 3.0f)
        for (int64_t i = 0; i < n; ++i)
            values[i] *= values[i] * values[i];
    else
        for (int64_t i = 0; i < n; ++i)
            values[i] = powf(values[i], degree);
}

/* What the kernel makes of n products or squared distances. */
static void apply(const tt_svm *svm, float *values, int64_t n)
{
    const float gamma = svm->gamma, coef0 = svm->coef0, degree = svm->degree;
    switch (svm->kernel) {
    case TT_SVM_KERNEL_LINEAR:
        break;
    case TT_SVM_KERNEL_POLY:
        for (int64_t i = 0; i < n; ++i)
            values[i] = gamma * values[i] + coef0;
        power(values, n, degree);
        break;
    case TT_SVM_KERNEL_RBF:
        for (int64_t i = 0; i < n; ++i)
            values[i] = exp_f32(-gamma * values[i]);
        break;
    case TT_SVM_KERNEL_SIGMOID:
        for (int64_t i = 0; i < n; ++i)
            values[i] = tanh_f32(gamma * values[i] + coef0);
        break;
    }
}

void VALUES(const tt_svm *svm, const float *rows, int64_t n_rows, float *values)
{
    const float *vectors = tt_svm_at(svm, svm->vectors);
    const bool is_distance = svm->kernel == TT_SVM_KERNEL_RBF;
    for (int64_t v = 0; v < svm->n_padded; v += TILE * VF_N)
        for (int64_t r = 0; r < n_rows; r += TILE_ROWS) {
            const float *from = rows + r * svm->n_features;
            float *to = values + r * svm->n_padded + v;
            if (is_distance)
                tile(svm, from, vectors + v, to, true);
            else
                tile(svm, from, vectors + v, to, false);
        }
    apply(svm, values, n_rows * svm->n_padded);
}
