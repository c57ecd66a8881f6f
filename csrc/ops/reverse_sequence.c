/* ReverseSequence: the first len[b] steps of each batch entry backwards. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_axes(const tt_node *node, int64_t *batch, int64_t *time,
                           tt_error *err)
{
    TT_TRY(tt_attribute_int(node, "batch_axis", 1, batch, err));
    TT_TRY(tt_attribute_int(node, "time_axis", 0, time, err));
    if ((*batch == 0 && *time == 1) || (*batch == 1 && *time == 0)) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "batch_axis %lld and time_axis %lld must be 0 and 1",
                      (long long)*batch, (long long)*time);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *lengths;
    int64_t batch, time;
    TT_TRY(tt_need_inputs(site, 2, err));
    *out = *tt_input_shape(site, 0);
    lengths = tt_input_shape(site, 1);
    TT_TRY(read_axes(site->node, &batch, &time, err));
    if (out->rank < 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input has rank %d, expected 2 or more", out->rank);
    if (lengths->dtype != TT_S64 || lengths->rank != 1 ||
        lengths->dims[0] != out->dims[batch])
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "sequence_lens must be %lld int64, it is %lld of %s",
                          (long long)out->dims[batch],
                          (long long)tt_shape_numel(lengths),
                          tt_dtype_name(lengths->dtype));
    return TT_OK;
}

typedef struct {
    int64_t n_batches, n_steps, row_bytes, batch_bytes, step_bytes;
} reverse_params;

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const reverse_params *p = params;
    const int64_t *lengths = ptrs[1];
    for (int64_t b = 0; b < p->n_batches; ++b) {
        const char *src = (const char *)ptrs[0] + b * p->batch_bytes;
        char *dst = (char *)ptrs[2] + b * p->batch_bytes;
        if (lengths[b] < 0 || lengths[b] > p->n_steps)
            return tt_fail(err, TT_BAD_INPUT,
                           "sequence length %lld of entry %lld is outside [0, %lld]",
                           (long long)lengths[b], (long long)b, (long long)p->n_steps);
        for (int64_t t = 0; t < p->n_steps; ++t) {
            int64_t from = t < lengths[b] ? lengths[b] - 1 - t : t;
            memcpy(dst + t * p->step_bytes, src + from * p->step_bytes,
                   (size_t)p->row_bytes);
        }
    }
    return TT_OK;
}

static tt_status lower_reverse(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    reverse_params params = {.row_bytes = (int64_t)tt_dtype_bytes(shape->dtype)};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape)};
    tt_operand operands[3];
    int64_t batch, time, outer_bytes;
    TT_TRY(read_axes(node, &batch, &time, err));
    for (int i = 2; i < shape->rank; ++i)
        params.row_bytes *= shape->dims[i];
    outer_bytes = params.row_bytes * shape->dims[1];
    params.n_batches = shape->dims[batch];
    params.n_steps = shape->dims[time];
    params.batch_bytes = batch == 0 ? outer_bytes : params.row_bytes;
    params.step_bytes = time == 0 ? outer_bytes : params.row_bytes;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "reverse_sequence", run, &params, sizeof params,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_reverse_sequence = {.name = "ReverseSequence",
                                      .domain = "",
                                      .since = 10,
                                      .summary = "the begin of each sequence backwards",
                                      .infer = infer,
                                      .lower = lower_reverse,
                                      .takes_strings = true};
