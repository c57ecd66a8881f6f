/* Float loops of reductions; compiled per instruction set (see simd.h).  Sums run in
 * 4 * VF_N lanes, so their error grows with n / (4 VF_N).  A NaN reaches the result
 * of every kind. */
#include "kernels/simd.h"

static inline vf reduce_start(tt_reduce_kind kind)
{
    if (kind == TT_REDUCE_MAX) return vf_set1(-__builtin_inff());
    if (kind == TT_REDUCE_MIN) return vf_set1(__builtin_inff());
    return vf_set1(kind == TT_REDUCE_PROD ? 1.0f : 0.0f);
}

/* Max and min keep a NaN that is already there and take one that comes: the second
 * argument wins where either is NaN, so a NaN in x needs a look of its own. */
static inline vf reduce_high(vf a, vf x)
{
    return vf_select((vi)(x == x), vf_max(x, a), x);
}

static inline vf reduce_low(vf a, vf x)
{
    return vf_select((vi)(x == x), vf_min(x, a), x);
}

static inline vf reduce_step(tt_reduce_kind kind, vf a, vf x)
{
    switch (kind) {
    case TT_REDUCE_MAX:
        return reduce_high(a, x);
    case TT_REDUCE_MIN:
        return reduce_low(a, x);
    case TT_REDUCE_PROD:
        return a * x;
    case TT_REDUCE_L1:
        return a + vf_abs(x);
    case TT_REDUCE_L2:
    case TT_REDUCE_SUM_SQUARE:
        return vf_fma(x, x, a);
    default:
        return a + x;
    }
}

static inline vf reduce_join(tt_reduce_kind kind, vf a, vf b)
{
    if (kind == TT_REDUCE_MAX) return reduce_high(a, b);
    if (kind == TT_REDUCE_MIN) return reduce_low(a, b);
    return kind == TT_REDUCE_PROD ? a * b : a + b;
}

static inline float reduce_lanes(tt_reduce_kind kind, vf a)
{
    float items[VF_N], out;
    if (kind != TT_REDUCE_PROD && vf_any_nan(a)) return __builtin_nanf("");
    if (kind == TT_REDUCE_MAX) return vf_high(a);
    if (kind == TT_REDUCE_MIN) return vf_low(a);
    if (kind != TT_REDUCE_PROD) return vf_sum(a);
    vf_store(items, a);
    out = items[0];
    for (int i = 1; i < VF_N; ++i)
        out *= items[i];
    return out;
}

static inline __attribute__((always_inline)) float reduce_run_of(tt_reduce_kind kind,
                                                                 const float *src,
                                                                 int64_t n)
{
    vf start = reduce_start(kind), a = start, b = start, c = start, d = start;
    int64_t i = 0;
    for (; i + 4 * VF_N <= n; i += 4 * VF_N) {
        a = reduce_step(kind, a, vf_load(src + i));
        b = reduce_step(kind, b, vf_load(src + i + VF_N));
        c = reduce_step(kind, c, vf_load(src + i + 2 * VF_N));
        d = reduce_step(kind, d, vf_load(src + i + 3 * VF_N));
    }
    for (; i + VF_N <= n; i += VF_N)
        a = reduce_step(kind, a, vf_load(src + i));
    if (i < n) {
        float neutral = kind == TT_REDUCE_MAX    ? -__builtin_inff()
                        : kind == TT_REDUCE_MIN  ? __builtin_inff()
                        : kind == TT_REDUCE_PROD ? 1.0f
                                                 : 0.0f;
        vf x = vf_fill_from(vf_load_n(src + i, n - i), n - i, neutral);
        b = reduce_step(kind, b, x);
    }
    a = reduce_join(kind, reduce_join(kind, a, b), reduce_join(kind, c, d));
    return reduce_lanes(kind, a);
}

static float reduce_run(tt_reduce_kind kind, const float *src, int64_t n)
{
    switch (kind) { /* constants: a loop of its own for each */
    case TT_REDUCE_MAX:
        return reduce_run_of(TT_REDUCE_MAX, src, n);
    case TT_REDUCE_MIN:
        return reduce_run_of(TT_REDUCE_MIN, src, n);
    case TT_REDUCE_PROD:
        return reduce_run_of(TT_REDUCE_PROD, src, n);
    case TT_REDUCE_L1:
        return reduce_run_of(TT_REDUCE_L1, src, n);
    case TT_REDUCE_L2:
    case TT_REDUCE_SUM_SQUARE:
        return reduce_run_of(TT_REDUCE_SUM_SQUARE, src, n);
    default:
        return reduce_run_of(TT_REDUCE_SUM, src, n);
    }
}

/* Four sums of rows go up in registers and meet before they reach dst, so the error of
 * a sum over n rows grows with n / n_rows + n_rows / 4, and dst is touched n / n_rows
 * times. */
static inline __attribute__((always_inline)) void reduce_add_of(
    tt_reduce_kind kind, const float *src, int64_t stride, int64_t n_rows, float *dst,
    int64_t n, bool is_first)
{
    const vf start = reduce_start(kind);
    for (int64_t i = 0; i < n; i += VF_N) {
        int64_t lanes = n - i < VF_N ? n - i : VF_N, row = 0;
        vf a = start, b = start, c = start, d = start;
        for (const float *x = src + i; row + 4 <= n_rows; row += 4, x += 4 * stride) {
            a = reduce_step(kind, a, vf_load_n(x, lanes));
            b = reduce_step(kind, b, vf_load_n(x + stride, lanes));
            c = reduce_step(kind, c, vf_load_n(x + 2 * stride, lanes));
            d = reduce_step(kind, d, vf_load_n(x + 3 * stride, lanes));
        }
        for (; row < n_rows; ++row)
            a = reduce_step(kind, a, vf_load_n(src + i + row * stride, lanes));
        a = reduce_join(kind, reduce_join(kind, a, b), reduce_join(kind, c, d));
        if (!is_first) a = reduce_join(kind, vf_load_n(dst + i, lanes), a);
        vf_store_n(dst + i, a, lanes);
    }
}

static void reduce_add(tt_reduce_kind kind, const float *src, int64_t stride,
                       int64_t n_rows, float *dst, int64_t n, bool is_first)
{
    switch (kind) {
    case TT_REDUCE_MAX:
        reduce_add_of(TT_REDUCE_MAX, src, stride, n_rows, dst, n, is_first);
        break;
    case TT_REDUCE_MIN:
        reduce_add_of(TT_REDUCE_MIN, src, stride, n_rows, dst, n, is_first);
        break;
    case TT_REDUCE_PROD:
        reduce_add_of(TT_REDUCE_PROD, src, stride, n_rows, dst, n, is_first);
        break;
    case TT_REDUCE_L1:
        reduce_add_of(TT_REDUCE_L1, src, stride, n_rows, dst, n, is_first);
        break;
    case TT_REDUCE_L2:
    case TT_REDUCE_SUM_SQUARE:
        reduce_add_of(TT_REDUCE_SUM_SQUARE, src, stride, n_rows, dst, n, is_first);
        break;
    default:
        reduce_add_of(TT_REDUCE_SUM, src, stride, n_rows, dst, n, is_first);
        break;
    }
}

const tt_reduce_table TABLE = {TABLE_NAME, reduce_run, reduce_add};
