/* SequenceMap: a body for each item of a sequence; its outputs become sequences. */
#include "plan/body.h"

/* The number of items that all sequences among the inputs have. */
static tt_status count_items(const tt_node *node, const tt_tensor *const *inputs,
                             int n_formal, int64_t *out, tt_error *err)
{
    *out = -1;
    for (int i = 0; i < n_formal; ++i) {
        int64_t n;
        if (inputs[i] == NULL)
            return tt_fail(err, TT_BAD_MODEL, "SequenceMap '%s': input %d is missing",
                           node->name, i);
        if (inputs[i]->shape.dtype != TT_SEQUENCE) continue;
        n = tt_list_n(tt_tensor_list(inputs[i]));
        if (*out >= 0 && n != *out)
            return tt_fail(err, TT_BAD_INPUT,
                           "SequenceMap '%s': sequences of %lld and %lld tensors",
                           node->name, (long long)*out, (long long)n);
        *out = n;
    }
    if (n_formal > 0 && inputs[0]->shape.dtype == TT_SEQUENCE) return TT_OK;
    return tt_fail(err, TT_BAD_MODEL, "SequenceMap '%s': input 0 is no sequence",
                   node->name);
}

tt_status tt_sequence_map_run(tt_body *body, const tt_node *node,
                              const tt_tensor *const *inputs, tt_tensor *out,
                              tt_error *err)
{
    static const tt_shape sequence = {.dtype = TT_SEQUENCE};
    const tt_limits *limits = &body->program->model->options.limits;
    int n_formal = node->n_inputs - node->n_captures;
    int64_t n;
    TT_TRY(tt_body_begin(body, node, inputs, n_formal, node->n_outputs, 0, err));
    TT_TRY(count_items(node, inputs, n_formal, &n, err));
    for (int k = 0; k < node->n_outputs; ++k)
        TT_TRY(tt_tensor_new(&sequence, &out[k], err));
    for (int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < n_formal; ++k)
            body->in[k] = inputs[k]->shape.dtype == TT_SEQUENCE
                              ? *tt_list_at(tt_tensor_list(inputs[k]), i)
                              : *inputs[k];
        TT_TRY(tt_body_run(body, err));
        for (int k = 0; k < node->n_outputs; ++k)
            TT_TRY(tt_list_append(out[k].data, &body->out[k], limits, err));
    }
    return TT_OK;
}
