/* Weights of 4 and 8 bits; compiled per instruction set (see simd.h).
 *
 * A lane is a column.  Its four bytes of a vector of packed weights are, with 8 bits,
 * rows k to k + 3; with 4 bits the lower halves are rows k to k + 3 and the upper ones
 * rows k + 4 to k + 7. */
#include "kernels/int8_dot.inc.h"
#include "kernels/post_ops.inc.h"

#if defined(__AVX512F__)
enum { ROWS = 8 };
#else
enum { ROWS = 4 };
#endif
enum { GROUP_BYTES = 4 * VF_N };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* What a tile works on: some rows, one panel. */
typedef struct {
    const tt_nbits *p;
    const uint8_t *b;
    const float *scales, *zeros;
    int64_t row;
} tile_of;

/* Weight number i of a group as numbers around zero. */
ALWAYS_INLINE vf weights_of(vi group, int i, const int bits)
{
    if (bits == 8)
        return vi_to_float(((group ^ (int32_t)0x80808080u) << (24 - 8 * i)) >> 24);
#if defined(__AVX512F__)
    const vf table =
        _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_permutexvar_ps((__m512i)(group >> (i < 4 ? 8 * i : 8 * i - 28)),
                                 table);
#else
    vi shifted = group >> (i < 4 ? 8 * i : 8 * i - 28);
    return vi_to_float((shifted & 15) - 8);
#endif
}

/* Sums of one block for all rows, in float32. */
ALWAYS_INLINE void block_floats(const tile_of *t, const int rows, const int bits,
                                const uint8_t *b, int64_t at, vf *out)
{
    enum { SUMS = 4 }; /* chains of additions that run side by side */
    const int each = 32 / bits, chains = rows == 1 ? SUMS : 1;
    int64_t row_floats = t->p->n_blocks * t->p->block;
    const float *x = t->p->x + t->row * row_floats + at;
    vf acc[ROWS][SUMS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < chains; ++c)
            acc[r][c] = vf_zero();
    for (int64_t k = 0; k < t->p->block; k += each, b += GROUP_BYTES) {
        vi group = vi_load(b);
#pragma GCC unroll 8
        for (int i = 0; i < each; ++i) {
            vf w = weights_of(group, i, bits);
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r)
                acc[r][i % chains] =
                    vf_fma(w, vf_set1(x[r * row_floats + k + i]), acc[r][i % chains]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
        out[r] = acc[r][0];
        if (chains == SUMS) out[r] = (acc[r][0] + acc[r][1]) + (acc[r][2] + acc[r][3]);
    }
}

/* Sums of one block for all rows, of integers. */
ALWAYS_INLINE void block_integers(const tile_of *t, const int rows, const int bits,
                                  const uint8_t *b, int64_t at, int64_t index, vf *out)
{
    const int each = 32 / bits, half = 1 << (bits - 1);
    int64_t row_bytes = t->p->n_blocks * t->p->block;
    const int8_t *q = t->p->q + t->row * row_bytes + at;
    vi acc[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
        acc[r][0] = acc[r][1] = (vi){0};
    for (int64_t k = 0; k < t->p->block; k += each, b += GROUP_BYTES) {
        vi group = vi_load(b), low = group, high = group;
        if (bits == 4) {
            low = group & (int32_t)0x0f0f0f0f;
            high = (group >> 4) & (int32_t)0x0f0f0f0f;
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const int8_t *row = q + r * row_bytes + k;
            acc[r][0] = vi_dot4(acc[r][0], low, vi_bytes4(row));
            if (bits == 4) acc[r][1] = vi_dot4(acc[r][1], high, vi_bytes4(row + 4));
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
        int64_t place = (t->row + r) * t->p->n_blocks + index;
        int32_t sum = (int32_t)t->p->sums[place];
        out[r] = vi_to_float(acc[r][0] + acc[r][1] - half * sum);
    }
}

ALWAYS_INLINE void nbits_tile(const tile_of *t, const int rows, const int bits,
                              const bool is_integer, vf *y)
{
    const tt_nbits *p = t->p;
    const uint8_t *b = t->b;
    int64_t block_bytes = p->block * bits / 8 * VF_N;
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
        y[r] = vf_zero();
    for (int64_t i = 0; i < p->n_blocks; ++i, b += block_bytes) {
        vf sums[ROWS], scale = vf_load(t->scales + i * VF_N);
        if (is_integer)
            block_integers(t, rows, bits, b, i * p->block, i, sums);
        else
            block_floats(t, rows, bits, b, i * p->block, sums);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            int64_t place = (t->row + r) * p->n_blocks + i;
            vf x = sums[r];
            if (t->zeros != NULL)
                x -= vf_load(t->zeros + i * VF_N) * vf_set1(p->sums[place]);
            if (is_integer) x *= vf_set1(p->steps[place]);
            y[r] = vf_fma(x, scale, y[r]);
        }
    }
}

#define TILE(rows)                           \
    if (t->p->bits == 4 && t->p->is_integer) \
        nbits_tile(t, rows, 4, true, y);     \
    else if (t->p->bits == 4)                \
        nbits_tile(t, rows, 4, false, y);    \
    else if (t->p->is_integer)               \
        nbits_tile(t, rows, 8, true, y);     \
    else                                     \
        nbits_tile(t, rows, 8, false, y)

/* 1, 2, 4 or 8 rows. */
static void tile_rows(const tile_of *t, int64_t rows, vf *y)
{
    switch (rows) {
    case 1:
        TILE(1);
        break;
    case 2:
        TILE(2);
        break;
    case 4:
        TILE(4);
        break;
#if defined(__AVX512F__)
    case 8:
        TILE(8);
        break;
#endif
    }
}

ALWAYS_INLINE void finish(const tt_nbits *p, vf x, int64_t row, int64_t column,
                          int64_t n)
{
    int64_t at = row * p->n + column;
    if (p->bias != NULL) x += vf_load_n(p->bias + column, n);
    if (p->accumulates) x += vf_load_n(p->dst + at, n);
    posts_store(&p->posts, p->operands, x, p->dst, at, column, n);
}

static void multiply(const tt_nbits *p, int64_t panel, int64_t row, int64_t row_end)
{
    int64_t column = panel * VF_N, left = p->n - column;
    tile_of t = {.p = p,
                 .b = (const uint8_t *)p->b +
                      panel * p->n_blocks * p->block * p->bits / 8 * VF_N,
                 .scales = p->scales + panel * p->n_blocks * VF_N,
                 .zeros = p->zeros};
    if (t.zeros != NULL) t.zeros += panel * p->n_blocks * VF_N;
    while (row < row_end) {
        int64_t rows = ROWS;
        vf y[ROWS];
        while (rows > row_end - row)
            rows /= 2;
        t.row = row;
        tile_rows(&t, rows, y);
        for (int64_t r = 0; r < rows; ++r)
            finish(p, y[r], row + r, column, left < VF_N ? left : VF_N);
        row += rows;
    }
}

/* ---- rows -------------------------------------------------------------------- */

/* One block of n numbers, of which the rest is zero, as integers. */
static void block_to_integers(const tt_nbits_rows *rows, const float *x, int64_t n,
                              int64_t place, int8_t *q)
{
    float highest = 0.0f, factor;
    vf high = vf_zero(), probe = vf_zero(), shift = vf_set1(12582912.0f);
    vi sum = {0};
    for (int64_t i = 0; i < n; i += VF_N) {
        vf item = vf_load_n(x + i, n - i < VF_N ? n - i : VF_N);
        high = vf_max(vf_abs(item), high);
        probe += item * vf_zero();
    }
    highest = vf_high(high);
    if (!(highest > 1e-36f)) highest = 0.0f;
    factor = highest > 0.0f ? 127.0f / highest : 0.0f;
    /* what is not finite makes its block NaN */
    rows->steps[place] = vf_any_nan(probe) ? vf_sum(probe) : highest / 127.0f;
    if (vf_any_nan(probe)) factor = 0.0f;
    for (int64_t i = 0; i < rows->block; i += VF_N) {
        int64_t lanes = n - i < VF_N ? (n - i > 0 ? n - i : 0) : VF_N;
        vf item = vf_load_n(x + (lanes > 0 ? i : 0), lanes) * vf_set1(factor);
        vi integers;
        item = vf_min(vf_max(item, vf_set1(-127.0f)), vf_set1(127.0f));
        integers = __builtin_convertvector((item + shift) - shift, vi);
        sum += integers;
        if (i + VF_N <= rows->block) {
            vi_store_bytes(q + i, integers);
        } else {
            int8_t bytes[VF_N];
            vi_store_bytes(bytes, integers);
            memcpy(q + i, bytes, (size_t)(rows->block - i));
        }
    }
    rows->sums[place] = (float)vi_sum(sum);
}

static void rows_of(const tt_nbits_rows *rows, int64_t row, int64_t row_end)
{
    int64_t padded = rows->n_blocks * rows->block;
    for (; row < row_end; ++row) {
        const float *src = rows->src + row * rows->k;
        if (rows->x != NULL) {
            memcpy(rows->x + row * padded, src, (size_t)rows->k * sizeof *src);
            memset(rows->x + row * padded + rows->k, 0,
                   (size_t)(padded - rows->k) * sizeof *src);
        }
        for (int64_t i = 0; i < rows->n_blocks; ++i) {
            int64_t at = i * rows->block, n = rows->k - at,
                    place = row * rows->n_blocks + i;
            if (n > rows->block) n = rows->block;
            if (rows->q != NULL) {
                block_to_integers(rows, src + at, n, place,
                                  rows->q + row * padded + at);
            } else if (rows->sums != NULL) {
                vf sum = vf_zero();
                for (int64_t j = 0; j < n; j += VF_N)
                    sum += vf_load_n(src + at + j, n - j < VF_N ? n - j : VF_N);
                rows->sums[place] = vf_sum(sum);
            }
        }
    }
}

const tt_nbits_table TABLE = {TABLE_NAME, VF_N, ROWS, multiply, rows_of};
