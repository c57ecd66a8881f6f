/* Sums of products: see einsum.h.
 *
 * The inner loop runs along the innermost dim of the result, BLOCK items at a time, or
 * where that is short along the innermost dim that is summed. */
#include "kernels/einsum.h"

#include "base/threads.h"
#include "kernels/item.h"

enum { BLOCK = 64, SHORT = 8 };

typedef struct {
    const tt_einsum_kernel *p;
    const void *x, *y;
    void *dst;
    int64_t n, n_blocks; /* items of the innermost dim of the result, blocks of them */
    int64_t n_run, n_runs; /* innermost dim that is summed, and how often */
    int64_t x_item, y_item, dst_item, x_run, y_run;
    bool is_along_run;
} call;

/* Offsets of a block in elements. */
typedef struct {
    int64_t x, y, dst, n;
} place;

/* sum[j] += the products of run number r. */
#define DEFINE_BLOCK(name, T, A, LOAD, STORE)                                 \
    static void add_##name(const call *c, const place *at, int64_t r, A *sum) \
    {                                                                         \
        const tt_einsum_kernel *p = c->p;                                     \
        const T *x = (const T *)c->x + at->x +                                \
                     tt_dims_offset(r, p->sum, p->sum_x, p->n_sum - 1);       \
        const T *y = NULL;                                                    \
        if (p->has_y)                                                         \
            y = (const T *)c->y + at->y +                                     \
                tt_dims_offset(r, p->sum, p->sum_y, p->n_sum - 1);            \
        if (c->is_along_run && p->has_y)                                      \
            for (int64_t j = 0; j < at->n; ++j)                               \
                for (int64_t k = 0; k < c->n_run; ++k)                        \
                    sum[j] += (A)LOAD(x[j * c->x_item + k * c->x_run]) *      \
                              (A)LOAD(y[j * c->y_item + k * c->y_run]);       \
        else if (c->is_along_run)                                             \
            for (int64_t j = 0; j < at->n; ++j)                               \
                for (int64_t k = 0; k < c->n_run; ++k)                        \
                    sum[j] += (A)LOAD(x[j * c->x_item + k * c->x_run]);       \
        else if (p->has_y)                                                    \
            for (int64_t k = 0; k < c->n_run; ++k)                            \
                for (int64_t j = 0; j < at->n; ++j)                           \
                    sum[j] += (A)LOAD(x[j * c->x_item + k * c->x_run]) *      \
                              (A)LOAD(y[j * c->y_item + k * c->y_run]);       \
        else                                                                  \
            for (int64_t k = 0; k < c->n_run; ++k)                            \
                for (int64_t j = 0; j < at->n; ++j)                           \
                    sum[j] += (A)LOAD(x[j * c->x_item + k * c->x_run]);       \
    }                                                                         \
                                                                              \
    static void block_##name(const call *c, const place *at)                  \
    {                                                                         \
        T *dst = (T *)c->dst + at->dst;                                       \
        A sum[BLOCK] = {0};                                                   \
        for (int64_t r = 0; r < c->n_runs; ++r)                               \
            add_##name(c, at, r, sum);                                        \
        for (int64_t j = 0; j < at->n; ++j)                                   \
            dst[j * c->dst_item] = (T)STORE(sum[j]);                          \
    }

#define SAME(x) (x)
#define F16(x) tt_f16_from_f32((float)(x))
#define BF16(x) tt_bf16_from_f32((float)(x))
DEFINE_BLOCK(f32, float, double, SAME, SAME)
DEFINE_BLOCK(product_f32, float, float, SAME, SAME) /* nothing to sum up */
DEFINE_BLOCK(f64, double, double, SAME, SAME)
DEFINE_BLOCK(f16, uint16_t, double, tt_f32_from_f16, F16)
DEFINE_BLOCK(bf16, uint16_t, double, tt_f32_from_bf16, BF16)
DEFINE_BLOCK(8, uint8_t, uint32_t, SAME, SAME)
DEFINE_BLOCK(16, uint16_t, uint32_t, SAME, SAME)
DEFINE_BLOCK(32, uint32_t, uint32_t, SAME, SAME)
DEFINE_BLOCK(64, uint64_t, uint64_t, SAME, SAME)

static void run_block(const call *c, const place *at)
{
    switch (c->p->dtype) {
    case TT_F32:
        if (c->n_run * c->n_runs == 1)
            block_product_f32(c, at);
        else
            block_f32(c, at);
        return;
    case TT_F64:
        block_f64(c, at);
        return;
    case TT_F16:
        block_f16(c, at);
        return;
    case TT_BF16:
        block_bf16(c, at);
        return;
    default:
        break;
    }
    switch (tt_dtype_bytes(c->p->dtype)) {
    case 1:
        block_8(c, at);
        break;
    case 2:
        block_16(c, at);
        break;
    case 4:
        block_32(c, at);
        break;
    default:
        block_64(c, at);
        break;
    }
}

static void run_blocks(void *arg, int64_t begin, int64_t end)
{
    const call *c = arg;
    const tt_einsum_kernel *p = c->p;
    for (int64_t block = begin; block < end; ++block) {
        int64_t line = block / c->n_blocks, i = block % c->n_blocks * BLOCK;
        int n = p->n_out - 1;
        place at = {
            .x = tt_dims_offset(line, p->out, p->out_x, n) + i * c->x_item,
            .y = tt_dims_offset(line, p->out, p->out_y, n) + i * c->y_item,
            .dst = tt_dims_offset(line, p->out, p->out_dst, n) + i * c->dst_item,
            .n = c->n - i < BLOCK ? c->n - i : BLOCK,
        };
        run_block(c, &at);
    }
}

tt_status tt_einsum_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_einsum_kernel *p = params;
    int out = p->n_out - 1, sum = p->n_sum - 1;
    call c = {.p = p,
              .x = ptrs[0],
              .y = ptrs[1],
              .dst = ptrs[2],
              .n = 1,
              .n_run = 1,
              .n_runs = 1};
    int64_t n_lines = 1, cost;
    (void)err;
    if (out >= 0) {
        c.n = p->out[out];
        c.x_item = p->out_x[out];
        c.y_item = p->out_y[out];
        c.dst_item = p->out_dst[out];
        n_lines = tt_dims_product(p->out, out);
    }
    if (sum >= 0) {
        c.n_run = p->sum[sum];
        c.x_run = p->sum_x[sum];
        c.y_run = p->sum_y[sum];
        c.n_runs = tt_dims_product(p->sum, sum);
    }
    c.n_blocks = (c.n + BLOCK - 1) / BLOCK;
    c.is_along_run = c.n < SHORT && c.n_run > c.n;
    cost = (c.n < BLOCK ? c.n : BLOCK) * (c.n_run * c.n_runs + 1) + 1;
    tt_parallel_for(n_lines * c.n_blocks, 30000 / cost + 1, run_blocks, &c);
    return TT_OK;
}
