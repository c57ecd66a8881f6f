/* One token of linear attention; compiled per instruction set (see simd.h).  Whole rows
 * of the state, [value_size], are what loops run over. */
#include "kernels/simd.h"

/* y += a x */
static inline void add_row(int64_t n, float a, const float *x, float *y)
{
    vf factor = vf_set1(a);
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_fma(factor, vf_load(x + i), vf_load(y + i)));
    if (i < n)
        vf_store_n(y + i,
                   vf_fma(factor, vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)),
                   n - i);
}

/* x = a x, and y += b x */
static inline void scale_and_add_row(int64_t n, float a, float *x, float b, float *y)
{
    vf factor = vf_set1(a), weight = vf_set1(b);
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        vf scaled = factor * vf_load(x + i);
        vf_store(x + i, scaled);
        vf_store(y + i, vf_fma(weight, scaled, vf_load(y + i)));
    }
    if (i < n) {
        vf scaled = factor * vf_load_n(x + i, n - i);
        vf_store_n(x + i, scaled, n - i);
        vf_store_n(y + i, vf_fma(weight, scaled, vf_load_n(y + i, n - i)), n - i);
    }
}

/* What the value adds to each row of the state, times the key: beta v, or beta times its
 * difference from what the (decayed) state gives for the key. */
static void find_change(const tt_linear_token *t)
{
    int64_t n = t->value_size;
    memset(t->change, 0, (size_t)n * sizeof *t->change);
    for (int64_t r = 0; r < t->key_size && (t->is_delta || t->decay != NULL); ++r)
        scale_and_add_row(n, t->decay != NULL ? t->decay[r] : 1.0f, t->state + r * n,
                          t->is_delta ? t->k[r] : 0.0f, t->change);
    if (!t->is_delta) memset(t->change, 0, (size_t)n * sizeof *t->change);
    for (int64_t i = 0; i < n; ++i)
        t->change[i] = t->beta * (t->v[i] - t->change[i]);
}

static void run_token(const tt_linear_token *t)
{
    int64_t n = t->value_size;
    find_change(t);
    memset(t->y, 0, (size_t)(t->n_queries * n) * sizeof *t->y);
    for (int64_t r = 0; r < t->key_size; ++r) {
        float *row = t->state + r * n;
        add_row(n, t->k[r], t->change, row);
        for (int64_t h = 0; h < t->n_queries; ++h)
            add_row(n, t->scale * t->q[h * t->key_size + r], row, t->y + h * n);
    }
}

const tt_linear_table TABLE = {TABLE_NAME, run_token};
