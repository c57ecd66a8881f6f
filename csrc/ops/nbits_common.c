/* Weights of 4 and 8 bits as a step; see nbits_common.h. */
#include "ops/nbits_common.h"

#include <string.h>

#include "ops/move.h"
#include "ops/own_posts.h"

enum {
    X = TT_NBITS_X,
    B = TT_NBITS_B,
    SCALES = TT_NBITS_SCALES,
    ZEROS = TT_NBITS_ZEROS,
    BIAS,
    POST,
    DST = POST + TT_POST_OPS_MAX,
    SCRATCH,
    N_POINTERS
};

/* ---- running ------------------------------------------------------------------- */

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_nbits_layer *p = params;
    char *scratch = ptrs[SCRATCH];
    void *steps = scratch + p->steps_at, *sums = scratch + p->sums_at;
    bool has_sums = p->is_integer || ptrs[ZEROS] != NULL;
    tt_nbits_rows rows = {.m = p->m,
                          .k = p->k,
                          .n_blocks = p->n_blocks,
                          .block = p->block,
                          .src = ptrs[X],
                          .x = p->copies ? ptrs[SCRATCH] : NULL,
                          .q = p->is_integer ? ptrs[SCRATCH] : NULL,
                          .steps = steps,
                          .sums = has_sums ? sums : NULL};
    tt_nbits product = {.m = p->m,
                        .n = p->n,
                        .n_blocks = p->n_blocks,
                        .block = p->block,
                        .bits = p->bits,
                        .is_integer = p->is_integer,
                        .x = p->copies ? ptrs[SCRATCH] : ptrs[X],
                        .q = ptrs[SCRATCH],
                        .steps = steps,
                        .sums = sums,
                        .b = ptrs[B],
                        .scales = ptrs[SCALES],
                        .zeros = ptrs[ZEROS],
                        .dst = ptrs[DST],
                        .bias = ptrs[BIAS],
                        .posts = p->posts,
                        .accumulates = p->accumulates};
    (void)err;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        product.operands[i] = ptrs[POST + i];
    if (p->is_integer || p->copies || has_sums) tt_nbits_rows_run(&rows);
    tt_nbits_multiply(&product);
    return TT_OK;
}

/* ---- lowering ------------------------------------------------------------------- */

/* Places in the scratch memory, and its size. */
static size_t plan_scratch(tt_nbits_layer *p)
{
    size_t padded = (size_t)(p->n_blocks * p->block), rows = 0;
    size_t blocks = (size_t)p->m * (size_t)p->n_blocks * sizeof(float);
    if (p->is_integer) rows = (size_t)p->m * padded;
    if (p->copies) rows = (size_t)p->m * padded * sizeof(float);
    p->steps_at = (rows + 63) & ~(size_t)63;
    p->sums_at = p->steps_at + blocks;
    return p->sums_at + blocks + 64;
}

static void estimate(const tt_nbits_layer *p, tt_work *work)
{
    double weights = (double)p->n * (double)p->k;
    work->flops = 2.0 * (double)p->m * weights;
    work->bytes = weights * p->bits / 8 + 4.0 * (double)p->n * (double)p->n_blocks +
                  4.0 * (double)p->m * (double)(p->n + p->k);
}

size_t tt_nbits_packed_bytes(const tt_nbits_layer *p, int input)
{
    int64_t panel = tt_nbits_panel(), columns = (p->n + panel - 1) / panel * panel;
    size_t each = sizeof(float);
    if (input == B) each = (size_t)(p->block * p->bits / 8);
    return (size_t)(columns * p->n_blocks) * each;
}

tt_status tt_nbits_lower(tt_lower *lower, const tt_node *node, tt_nbits_layer *p,
                         tt_nbits_pack_input pack, tt_error *err)
{
    const int inputs[] = {X, B, SCALES, ZEROS, p->bias};
    tt_site site = tt_lower_site(lower, node);
    tt_operand operands[N_POINTERS];
    tt_own_posts posts;
    tt_work work = {0};
    if (tt_shape_numel(tt_output_shape(lower, node, 0)) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[DST], err);
    p->m = tt_shape_numel(tt_output_shape(lower, node, 0)) / p->n;
    p->copies = !p->is_integer && p->k % p->block != 0;
    for (int i = 0; i < POST; ++i)
        TT_TRY(tt_lower_src(lower, node, inputs[i], TT_ORDER_ROW_MAJOR, &operands[i],
                            err));
    for (int i = B; i <= ZEROS; ++i)
        TT_TRY(pack(lower, p, &site, i, &operands[i], err));
    TT_TRY(tt_own_posts_begin(lower, node, &posts, err));
    p->posts = posts.posts;
    p->accumulates = posts.accumulates;
    memcpy(&operands[POST], posts.operands, sizeof posts.operands);
    operands[DST] = posts.dst;
    TT_TRY(tt_lower_temporary(lower, plan_scratch(p), &operands[SCRATCH], err));
    estimate(p, &work);
    TT_TRY(tt_lower_kernel(lower, node, tt_nbits_name(), run, p, sizeof *p, operands,
                           DST, 2, &work, err));
    return tt_own_posts_end(lower, node, &posts, err);
}
