/* Shape and Size: numbers that are known when the plan is made. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

/* Clamps as Python's slices do. */
static int64_t clamp_index(int64_t index, int64_t n)
{
    if (index < 0) index = index < -n ? 0 : index + n;
    return index > n ? n : index;
}

static tt_status range_of(const tt_node *node, int rank, int *start, int *end,
                          tt_error *err)
{
    int64_t from = 0, to = rank;
    if (node->version >= 15) {
        TT_TRY(tt_attribute_int(node, "start", 0, &from, err));
        TT_TRY(tt_attribute_int(node, "end", rank, &to, err));
    }
    *start = (int)clamp_index(from, rank);
    *end = (int)clamp_index(to, rank);
    if (*end < *start) *end = *start;
    return TT_OK;
}

static tt_status infer_shape(tt_site *site, tt_shape *out, tt_error *err)
{
    int start, end;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(range_of(site->node, tt_input_shape(site, 0)->rank, &start, &end, err));
    *out = (tt_shape){.dtype = TT_S64, .rank = 1, .dims = {end - start}};
    return TT_OK;
}

static tt_status infer_size(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 1, err));
    *out = (tt_shape){.dtype = TT_S64, .rank = 0};
    return TT_OK;
}

static tt_status bind_numbers(tt_lower *lower, const tt_node *node,
                              const int64_t *numbers, int n, tt_error *err)
{
    tt_constant *constant;
    tt_operand operand;
    void *data;
    TT_TRY(tt_constant_empty(tt_output_shape(lower, node, 0), &constant, &data, err));
    memcpy(data, numbers, (size_t)n * sizeof *numbers);
    TT_TRY(tt_lower_constant(lower, constant, &operand, err));
    tt_lower_bind(lower, node, 0, operand);
    return TT_OK;
}

static tt_status lower_shape(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *src = &tt_lower_graph(lower)->values[node->inputs[0]].shape;
    int start, end;
    TT_TRY(range_of(node, src->rank, &start, &end, err));
    return bind_numbers(lower, node, src->dims + start, end - start, err);
}

static tt_status lower_size(tt_lower *lower, const tt_node *node, tt_error *err)
{
    int64_t n = tt_shape_numel(&tt_lower_graph(lower)->values[node->inputs[0]].shape);
    return bind_numbers(lower, node, &n, 1, err);
}

const tt_op tt_op_shape = {.name = "Shape",
                           .domain = "",
                           .since = 1,
                           .summary = "the dims of a tensor",
                           .infer = infer_shape,
                           .lower = lower_shape,
                           .takes_strings = true,
                           .reads_shape_only = true};

const tt_op tt_op_size = {.name = "Size",
                          .domain = "",
                          .since = 1,
                          .summary = "the number of elements of a tensor",
                          .infer = infer_size,
                          .lower = lower_size,
                          .takes_strings = true,
                          .reads_shape_only = true};
