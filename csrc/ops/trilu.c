/* Trilu: the upper or lower triangle of matrices, zeros elsewhere. */
#include <string.h>

#include "base/threads.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_infer_same(site, out, err));
    if (out->rank < 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input has rank %d, expected 2 or more", out->rank);
    if (tt_has_input(site, 1)) {
        const tt_shape *k = tt_input_shape(site, 1);
        if (k->dtype != TT_S64 || tt_shape_numel(k) != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "k must be one int64, not %s", tt_dtype_name(k->dtype));
    }
    return TT_OK;
}

typedef struct {
    int64_t n_matrices, n_rows, n_columns;
    size_t item_bytes;
    bool upper;
} trilu_params;

typedef struct {
    const trilu_params *params;
    const char *src;
    char *dst;
    int64_t k;
} trilu_call;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const trilu_call *call = arg;
    const trilu_params *p = call->params;
    size_t item = p->item_bytes, row_bytes = (size_t)p->n_columns * item;
    for (int64_t row = begin; row < end; ++row) {
        const char *src = call->src + (size_t)row * row_bytes;
        char *dst = call->dst + (size_t)row * row_bytes;
        int64_t first = row % p->n_rows + call->k + (p->upper ? 0 : 1);
        size_t head;
        if (first < 0) first = 0;
        if (first > p->n_columns) first = p->n_columns;
        head = (size_t)first * item;
        if (p->upper) {
            memset(dst, 0, head);
            memcpy(dst + head, src + head, row_bytes - head);
        } else {
            memcpy(dst, src, head);
            memset(dst + head, 0, row_bytes - head);
        }
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const trilu_params *p = params;
    trilu_call call = {p, ptrs[0], ptrs[2], 0};
    int64_t row_bytes = p->n_columns * (int64_t)p->item_bytes;
    (void)err;
    if (ptrs[1] != NULL) memcpy(&call.k, ptrs[1], sizeof call.k);
    if (call.k > p->n_columns) call.k = p->n_columns; /* changes nothing, cannot wrap */
    if (call.k < -p->n_rows - 1) call.k = -p->n_rows - 1;
    tt_parallel_for(p->n_matrices * p->n_rows, 100000 / (row_bytes + 16) + 1, run_rows,
                    &call);
    return TT_OK;
}

static tt_status lower_trilu(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    trilu_params params = {.n_matrices = 1,
                           .n_rows = shape->dims[shape->rank - 2],
                           .n_columns = shape->dims[shape->rank - 1],
                           .item_bytes = tt_dtype_bytes(shape->dtype)};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape)};
    tt_operand operands[3];
    int64_t upper;
    TT_TRY(tt_attribute_int(node, "upper", 1, &upper, err));
    params.upper = upper != 0;
    for (int i = 0; i < shape->rank - 2; ++i)
        params.n_matrices *= shape->dims[i];
    work.cost_ns =
        15 + work.bytes / 30 + 10 * (double)params.n_matrices * (double)params.n_rows;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "trilu", run, &params, sizeof params, operands,
                           2, 1, &work, err);
}

const tt_op tt_op_trilu = {.name = "Trilu",
                           .domain = "",
                           .since = 14,
                           .summary = "upper or lower triangle of matrices",
                           .infer = infer,
                           .lower = lower_trilu};
