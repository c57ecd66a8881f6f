/* Few rows times packed weights; compiled per instruction set (see simd.h).
 *
 * A panel is walked in blocks of BLOCK_K rows that stay in L1 while all rows of a pass
 * over them; dst holds the sums in between.  The last, narrower panel goes through a
 * buffer in one block. */
#include "kernels/tile.inc.h"
#include "kernels/vector_math.h"

#define PANEL_VECTORS 3
enum {
    PANEL = PANEL_VECTORS * VF_N,
    BLOCK_K = 4608 / PANEL,      /* 18 KiB of b */
    AHEAD = 4 * BLOCK_K * PANEL, /* floats: far enough for memory, well within L2 */
    MAX_ROWS = TILE_M(PANEL_VECTORS)
};

typedef struct {
    const tt_matmul_packed *k;
    const float *a, *b, *bias, *b_end;
    void *const *operands; /* of the finishes */
    float *dst;
} product;

/* `n_ahead` of the panel's vectors are fetched for each row of b, from vector `from`
 * on. */
#define ROWS_CASE(rows, n_ahead)                                                     \
    case (rows) * 4 + (n_ahead):                                                     \
        tile_ahead(rows, PANEL_VECTORS, k, a, a_row, a_item, b, PANEL, dst, dst_row, \
                   add, ahead, n_ahead);                                             \
        break
#define ROWS_CASES(rows) \
    ROWS_CASE(rows, 0);  \
    ROWS_CASE(rows, 1);  \
    ROWS_CASE(rows, 2);  \
    ROWS_CASE(rows, 3)

static void multiply_rows(int64_t rows, int n_ahead, int64_t k, const float *a,
                          int64_t a_row, int64_t a_item, const float *b, float *dst,
                          int64_t dst_row, bool add, const float *ahead)
{
    switch (rows * 4 + n_ahead) {
        ROWS_CASES(1);
        ROWS_CASES(2);
        ROWS_CASES(3);
        ROWS_CASES(4);
#if defined(__AVX512F__)
        ROWS_CASES(5);
        ROWS_CASES(6);
        ROWS_CASES(7);
        ROWS_CASES(8);
#endif
    }
}

/* How many of the panel's vectors tile number `tile` of `n_tiles` fetches ahead. */
static int ahead_of(int64_t n_tiles, int64_t tile_index, int *from)
{
    *from = 0;
    if (n_tiles == 1) return 3;
    *from = tile_index == 0 ? 0 : n_tiles == 2 ? 2 : (int)tile_index;
    if (n_tiles == 2) return tile_index == 0 ? 2 : 1;
    return tile_index < 3 ? 1 : 0;
}

/* All rows of a times b[k_begin, k_begin + n_k) of a panel. */
static void multiply_block(const product *p, const float *b, int64_t k_begin,
                           int64_t n_k, float *dst, int64_t dst_row, bool add)
{
    const tt_matmul_packed *k = p->k;
    int64_t n_tiles = (k->m + MAX_ROWS - 1) / MAX_ROWS, row = 0;
    bool fetches = p->b_end - b > AHEAD;
    for (int64_t t = 0; t < n_tiles; ++t) {
        int64_t rows = (k->m - row + n_tiles - t - 1) / (n_tiles - t);
        int from, n_ahead = ahead_of(n_tiles, t, &from);
        multiply_rows(rows, fetches ? n_ahead : 0, n_k,
                      p->a + row * k->a_row + k_begin * k->a_item, k->a_row, k->a_item,
                      b, dst + row * dst_row, dst_row, add,
                      fetches ? b + AHEAD + from * VF_N : b);
        row += rows;
    }
}

/* x (1 + tanh(c (x + 0.044715 x^3))) / 2 with c = sqrt(2 / pi), by the identity
 * (1 + tanh(y)) / 2 = sigmoid(2 y), which keeps the left tail. */
static inline float gelu_tanh_f32(float x)
{
    return x * sigmoid_f32(1.59576912f * madd_f32(0.044715f * x * x, x, x));
}

/* A function of float in all lanes: straight-line code, which becomes vectors. */
#define IN_LANES(x, item, value)         \
    do {                                 \
        float lanes[VF_N];               \
        vf_store(lanes, x);              \
        for (int i = 0; i < VF_N; ++i) { \
            float item = lanes[i];       \
            lanes[i] = (value);          \
        }                                \
        return vf_load(lanes);           \
    } while (0)

static vf finish_vector(const tt_finish *finish, vf x, vf operand)
{
    float alpha = finish->alpha;
    vf a = vf_set1(alpha), b = vf_set1(finish->beta);
    switch (finish->kind) {
    case TT_FINISH_LINEAR:
        return vf_fma(a, x, b);
    case TT_FINISH_RELU: /* 0 times -inf would be NaN */
        if (alpha == 0.0f) return vf_max(vf_zero(), x);
        return vf_select((vi)(x > vf_zero()), x, a * x);
    case TT_FINISH_CLIP:
        return vf_min(b, vf_max(a, x));
    case TT_FINISH_HARD_SWISH:
        return x * vf_min(vf_set1(1.0f), vf_max(vf_zero(), vf_fma(a, x, b)));
    case TT_FINISH_SIGMOID:
        IN_LANES(x, y, sigmoid_f32(y));
    case TT_FINISH_TANH:
        IN_LANES(x, y, tanh_f32(y));
    case TT_FINISH_SWISH:
        IN_LANES(x, y, y * sigmoid_f32(alpha * y));
    case TT_FINISH_GELU_ERF:
        IN_LANES(x, y, gelu_erf_f32(y));
    case TT_FINISH_GELU_TANH:
        IN_LANES(x, y, gelu_tanh_f32(y));
    case TT_FINISH_ADD:
        return x + operand;
    case TT_FINISH_MUL:
        return x * operand;
    }
    return x;
}

/* One row of sums becomes columns [column, column + n) of row `row` of dst. */
static void finish_row(const product *p, const float *sums, int64_t row, int64_t column,
                       int64_t n)
{
    const tt_matmul_packed *k = p->k;
    float *dst = p->dst + row * k->dst_row + column;
    for (int64_t j = 0; j < n; j += VF_N) {
        int64_t lanes = n - j < VF_N ? n - j : VF_N;
        vf x = vf_load_n(sums + j, lanes);
        if (k->has_bias) x += vf_load_n(p->bias + column + j, lanes);
        for (int i = 0; i < k->n_finishes; ++i) {
            const tt_finish *f = &k->finishes[i];
            vf operand = vf_zero();
            if (f->kind >= TT_FINISH_ADD)
                operand = vf_load_n(
                    (const float *)p->operands[i] + row * f->row + column + j, lanes);
            x = finish_vector(f, x, operand);
        }
        vf_store_n(dst + j, x, lanes);
    }
}

static void whole_panel(const product *p, const float *b, int64_t column)
{
    const tt_matmul_packed *k = p->k;
    float *dst = p->dst + column;
    bool add = k->accumulates;
    for (int64_t at = 0; at < k->k; at += BLOCK_K) {
        int64_t n_k = k->k - at < BLOCK_K ? k->k - at : BLOCK_K;
        multiply_block(p, b + at * PANEL, at, n_k, dst, k->dst_row, add);
        add = true;
    }
    if (!k->has_bias && k->n_finishes == 0) return;
    for (int64_t row = 0; row < k->m; ++row)
        finish_row(p, dst + row * k->dst_row, row, column, PANEL);
}

static void narrow_panel(const product *p, const float *b, int64_t column, int64_t n)
{
    const tt_matmul_packed *k = p->k;
    float sums[MAX_ROWS * PANEL];
    for (int64_t row = 0; row < k->m; row += MAX_ROWS) {
        int64_t rows = k->m - row < MAX_ROWS ? k->m - row : MAX_ROWS;
        multiply_rows(rows, 0, k->k, p->a + row * k->a_row, k->a_row, k->a_item, b,
                      sums, PANEL, false, b);
        for (int64_t i = 0; i < rows; ++i) {
            float *line = sums + i * PANEL;
            const float *dst = p->dst + (row + i) * k->dst_row + column;
            for (int64_t j = 0; j < n && k->accumulates; ++j)
                line[j] += dst[j];
            finish_row(p, line, row + i, column, n);
        }
    }
}

static void panels(const tt_matmul_packed *kernel, void *const *ptrs, int64_t begin,
                   int64_t end)
{
    product p = {.k = kernel,
                 .a = ptrs[0],
                 .b = ptrs[1],
                 .bias = ptrs[2],
                 .operands = ptrs + 3,
                 .dst = ptrs[3 + kernel->n_finishes]};
    int64_t stride = PANEL * kernel->k;
    p.b_end = p.b + end * stride;
    for (int64_t i = begin; i < end; ++i) {
        int64_t column = i * PANEL, left = kernel->n - column;
        if (left >= PANEL)
            whole_panel(&p, p.b + i * stride, column);
        else
            narrow_panel(&p, p.b + i * stride, column, left);
    }
}

const tt_matmul_packed_table TABLE = {TABLE_NAME, PANEL, panels};
