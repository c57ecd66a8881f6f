/* Few rows times packed weights; compiled per instruction set (see simd.h).
 *
 * A panel is walked in blocks of BLOCK_K rows that stay in L1 while all rows of a pass
 * over them; dst holds the sums in between.  The last, narrower panel goes through a
 * buffer in one block. */
#include "kernels/post_ops.inc.h"
#include "kernels/tile.inc.h"

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
    const float *operands[TT_POST_OPS_MAX];
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

/* One row of sums becomes columns [column, column + n) of row `row` of dst. */
static void finish_row(const product *p, const float *sums, int64_t row, int64_t column,
                       int64_t n)
{
    for (int64_t j = 0; j < n; j += VF_N) {
        int64_t lanes = n - j < VF_N ? n - j : VF_N;
        vf x = vf_load_n(sums + j, lanes);
        if (p->bias != NULL) x += vf_load_n(p->bias + column + j, lanes);
        posts_store(&p->k->posts, p->operands, x, p->dst,
                    row * p->k->dst_row + column + j, column + j, lanes);
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
    if (p->bias == NULL && !k->posts.has_clamp && k->posts.n == 0) return;
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
                 .a = ptrs[TT_MATMUL_PACKED_A],
                 .b = ptrs[TT_MATMUL_PACKED_B],
                 .bias = ptrs[TT_MATMUL_PACKED_BIAS],
                 .dst = ptrs[TT_MATMUL_PACKED_DST]};
    int64_t stride = PANEL * kernel->k;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        p.operands[i] = ptrs[TT_MATMUL_PACKED_POST + i];
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
