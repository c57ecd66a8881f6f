/* Transpose, and TransposeLast of domain trimtab (the last two dims, whatever the rank):
 * a view, always. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status swap_last(const tt_node *node, int rank, int *perm, tt_error *err)
{
    if (rank < 2)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "the input has %d dims, expected 2 or more", rank);
    for (int i = 0; i < rank; ++i)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return TT_OK;
}

/* perm is the reversal of the dims when the attribute is missing. */
static tt_status read_perm(const tt_node *node, int rank, int *perm, tt_error *err)
{
    const int64_t *list;
    unsigned seen = 0;
    int n;
    if (strcmp(node->op->name, "TransposeLast") == 0)
        return swap_last(node, rank, perm, err);
    TT_TRY(tt_attribute_ints(node, "perm", &list, &n, err));
    if (n >= 0 && n != rank)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "perm has %d items, the input has %d dims", n, rank);
    for (int i = 0; i < rank; ++i) {
        int64_t from = n < 0 ? rank - 1 - i : list[i];
        if (from < 0 || from >= rank || (seen & (1u << from)) != 0)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "perm must hold each of 0..%d once, item %d is %lld",
                              rank - 1, i, (long long)from);
        seen |= 1u << from;
        perm[i] = (int)from;
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int perm[TT_MAX_RANK];
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    TT_TRY(read_perm(site->node, src->rank, perm, err));
    *out = *src;
    for (int i = 0; i < src->rank; ++i)
        out->dims[i] = src->dims[perm[i]];
    return TT_OK;
}

static tt_status lower_transpose(tt_lower *lower, const tt_node *node, tt_error *err)
{
    int64_t strides[TT_MAX_RANK];
    int perm[TT_MAX_RANK], rank;
    tt_operand src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    rank = tt_operand_shape(lower, src)->rank;
    TT_TRY(read_perm(node, rank, perm, err));
    for (int i = 0; i < rank; ++i)
        strides[i] = tt_operand_strides(lower, src)[perm[i]];
    return tt_lower_view(lower, node, 0, src, strides, 0, err);
}

const tt_op tt_op_transpose = {.name = "Transpose",
                               .domain = "",
                               .since = 1,
                               .summary = "dims in another order",
                               .infer = infer,
                               .lower = lower_transpose,
                               .takes_strings = true};

const tt_op tt_op_transpose_last = {.name = "TransposeLast",
                                    .domain = "trimtab",
                                    .since = 1,
                                    .summary = "the last two dims exchanged",
                                    .infer = infer,
                                    .lower = lower_transpose};
