/* Products of a block of attention: tiles of rows, dot products of few rows with keys in
 * place, packing; compiled per instruction set (see simd.h).
 *
 * Where ATTENTION_WORDS is defined, the products are of bfloat16, two of them in a word of
 * the size of a float (attention_words.inc.h): so are queries, keys, exponentials and
 * values in scratch, while scores, sums and results stay float. */
#include "kernels/copy_transpose.h"
#ifdef ATTENTION_WORDS
#include "kernels/attention_words.inc.h"
#else
/* Words in n items. */
static int64_t words_of(int64_t n)
{
    return n;
}
#endif
#include "kernels/tile.inc.h"

static int64_t vectors_of(int64_t n)
{
    return (n + VF_N - 1) / VF_N;
}

/* ---- matrix products -------------------------------------------------------------- */

/* One column of blocks: dst[m][n VF_N] (+)= a[m][k] b[k][n VF_N].  Up to 15 rows more
 * than m are read and written. */
#define COLUMN(n)                                                                      \
    static void column_##n(int64_t m, int64_t k, const float *a, int64_t a_row,        \
                           const float *b, int64_t b_row, float *dst, int64_t dst_row, \
                           bool add)                                                   \
    {                                                                                  \
        while (m > TILE_M(n) / 2) {                                                    \
            tile(TILE_M(n), n, k, a, a_row, /*a_item=*/1, b, b_row, dst, dst_row,      \
                 add);                                                                 \
            m -= TILE_M(n);                                                            \
            a += TILE_M(n) * a_row;                                                    \
            dst += TILE_M(n) * dst_row;                                                \
        }                                                                              \
        if (m > 1)                                                                     \
            tile(TILE_M(n) / 2, n, k, a, a_row, /*a_item=*/1, b, b_row, dst, dst_row,  \
                 add);                                                                 \
        else if (m == 1)                                                               \
            tile(1, n, k, a, a_row, /*a_item=*/1, b, b_row, dst, dst_row, add);        \
    }
COLUMN(1)
COLUMN(2)
COLUMN(3)
#if TILE_VECTORS > 3
COLUMN(4)
#endif

static void product(int64_t m, int64_t n_vectors, int64_t k, const float *a,
                    int64_t a_row, const float *b, int64_t b_row, float *dst,
                    int64_t dst_row, bool add)
{
    while (n_vectors > 0) {
        int64_t n_columns = (n_vectors + TILE_VECTORS - 1) / TILE_VECTORS;
        int64_t n = (n_vectors + n_columns - 1) / n_columns;
        if (n == 1)
            column_1(m, k, a, a_row, b, b_row, dst, dst_row, add);
        else if (n == 2)
            column_2(m, k, a, a_row, b, b_row, dst, dst_row, add);
        else if (n == 3)
            column_3(m, k, a, a_row, b, b_row, dst, dst_row, add);
#if TILE_VECTORS > 3
        else
            column_4(m, k, a, a_row, b, b_row, dst, dst_row, add);
#endif
        b += n * VF_N;
        dst += n * VF_N;
        n_vectors -= n;
    }
}

/* s[r][j] = q[r] . k[j] for n keys with unit stride along the head. */
static inline __attribute__((always_inline)) void dots(const int n_rows,
                                                       const int n_keys, const float *q,
                                                       int64_t size, const float *k,
                                                       int64_t k_row, float *s)
{
    vf sum[4][4];
    int64_t p = 0;
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; ++r)
#pragma GCC unroll 4
        for (int j = 0; j < n_keys; ++j)
            sum[r][j] = vf_zero();
    for (; p + VF_N <= size; p += VF_N)
#pragma GCC unroll 4
        for (int j = 0; j < n_keys; ++j) {
            vf key = vf_load(k + j * k_row + p);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; ++r)
                sum[r][j] = vf_fma(vf_load(q + r * size + p), key, sum[r][j]);
        }
    if (p < size)
#pragma GCC unroll 4
        for (int j = 0; j < n_keys; ++j) {
            vf key = vf_load_n(k + j * k_row + p, size - p);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; ++r)
                sum[r][j] =
                    vf_fma(vf_load_n(q + r * size + p, size - p), key, sum[r][j]);
        }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; ++r)
#pragma GCC unroll 4
        for (int j = 0; j < n_keys; ++j)
            s[r * TT_ATTENTION_KEYS + j] = vf_sum(sum[r][j]);
}

static inline void prefetch_row(const float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i += 64 / (int64_t)sizeof *p)
        __builtin_prefetch(p + i);
}

/* A block of keys and values in memory. */
typedef struct {
    const float *k, *v;
    int64_t k_row, v_row;
    int64_t n_behind; /* keys that follow the first one in the same memory */
} rows_at;

/* Scores of at most TT_ATTENTION_FEW rows against n keys, in place.  A head's part of a
 * row is short and rows lie apart, which hardware does not foresee: keys are fetched
 * ahead, and the values that follow. */
static void few_scores(const tt_attention_kernel *k, int64_t rows, const float *q,
                       const rows_at *at, int64_t n, float *s)
{
    enum { AHEAD = 16, STEP = 2 };
    int64_t row = at->k_row, size = k->head_size, j = 0;
    for (; j + STEP <= n; j += STEP) {
        for (int64_t i = j; i < j + STEP; ++i) {
            if (i + AHEAD < at->n_behind) prefetch_row(at->k + (i + AHEAD) * row, size);
            prefetch_row(at->v + i * at->v_row, k->value_size);
        }
        if (rows == 1)
            dots(/*n_rows=*/1, STEP, q, size, at->k + j * row, row, s + j);
        else
            dots(TT_ATTENTION_FEW, STEP, q, size, at->k + j * row, row, s + j);
    }
    if (j < n)
        dots(TT_ATTENTION_FEW, /*n_keys=*/1, q, size, at->k + j * row, row, s + j);
}

/* ---- packing ---------------------------------------------------------------------- */

/* dst[i][j] = src[i][j] for `rows` rows of `n` items, filled up with zeros to `width`
 * items; rows of dst are dst_row apart. */
static void pack(const float *src, int64_t row, int64_t item, int64_t rows, int64_t n,
                 int64_t width, float *dst, int64_t dst_row)
{
    if (item != 1 && row == 1)
        TRANSPOSE((const char *)src, item * 4, (char *)dst, dst_row * 4, rows, n);
    for (int64_t i = 0; i < rows; ++i) {
        const float *from = src + i * row;
        float *to = dst + i * dst_row;
        int64_t j = 0;
        if (item == 1) {
            for (; j + VF_N <= n; j += VF_N)
                vf_store(to + j, vf_load(from + j));
            if (j < n) vf_store_n(to + j, vf_load_n(from + j, n - j), n - j);
        } else if (row != 1) {
            for (; j < n; ++j)
                to[j] = from[j * item];
        }
        for (j = n; j < width; ++j)
            to[j] = 0.0f;
    }
}

#ifdef ATTENTION_WORDS
/* The same of bfloat16, two rows to a word: dst[i / 2][j] holds src[i][j] and
 * src[i + 1][j]; a row that is missing is zeros. */
static void pack_words(const float *src, int64_t row, int64_t item, int64_t rows,
                       int64_t n, int64_t width, float *dst, int64_t dst_row)
{
    for (int64_t i = 0; i < rows; i += 2) {
        const float *from = src + i * row;
        const float *next = i + 1 < rows ? from + row : NULL;
        float *to = dst + i / 2 * dst_row;
        int64_t j = 0;
        if (item == 1)
            for (; j < n; j += VF_N) {
                int64_t lanes = n - j < VF_N ? n - j : VF_N;
                vf second = next != NULL ? vf_load_n(next + j, lanes) : vf_zero();
                vf_store(to + j, join_words(vf_load_n(from + j, lanes), second));
            }
        for (; j < n; j += VF_N) {
            vf first = gathered(from + j * item, item, n - j);
            vf second =
                next != NULL ? gathered(next + j * item, item, n - j) : vf_zero();
            vf_store(to + j, join_words(first, second));
        }
        for (; j < width; ++j)
            to[j] = 0.0f;
    }
}

/* The same for keys, whose items of a head mostly lie side by side: words along them are
 * made first, behind the result, and then transposed. */
static void pack_key_words(const float *src, int64_t row, int64_t item, int64_t rows,
                           int64_t n, int64_t width, float *dst, int64_t dst_row)
{
    int64_t words = words_of(rows);
    float *made = dst + words * dst_row;
    if (row != 1) {
        pack_words(src, row, item, rows, n, width, dst, dst_row);
        return;
    }
    for (int64_t j = 0; j < n; ++j)
        row_words(src + j * item, rows, made + j * words);
    pack(made, /*row=*/1, words, words, n, width, dst, dst_row);
}
#endif
