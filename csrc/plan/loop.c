/* Loop: a body with states, for a number of trips or while a condition holds. */
#include "plan/body.h"

static tt_status iterate(tt_body *body, const tt_node *node, int64_t trips, bool go,
                         int n_states, tt_error *err)
{
    int64_t iteration = 0;
    body->in[0] = (tt_tensor){.shape = {.dtype = TT_S64}, .data = &iteration};
    body->in[1] = (tt_tensor){.shape = {.dtype = TT_BOOL}, .data = &go};
    for (; iteration < trips && go; ++iteration) {
        if (iteration >= body->program->model->options.limits.max_trip_count)
            return tt_fail(err, TT_LIMIT, "Loop '%s' exceeds max_trip_count = %lld",
                           node->name, (long long)iteration);
        TT_TRY(tt_body_run(body, err));
        if (body->out[0].shape.dtype != TT_BOOL ||
            tt_shape_numel(&body->out[0].shape) != 1)
            return tt_fail(err, TT_BAD_MODEL,
                           "Loop '%s': the condition of its body is not one bool",
                           node->name);
        go = *(const bool *)body->out[0].data;
        tt_tensor_free(&body->out[0]);
        for (int i = 0; i < n_states; ++i)
            tt_body_carry(body, 1 + i, 2 + i);
        for (int i = 0; i < body->n_stacked; ++i)
            TT_TRY(tt_body_stack(body, i, 1 + n_states + i, iteration, -1, err));
    }
    return iteration == 0 ? tt_body_stack_nothing(body, 1 + n_states, err) : TT_OK;
}

static tt_status read_trips(const tt_node *node, const tt_tensor *trips, int64_t *out,
                            tt_error *err)
{
    *out = INT64_MAX;
    if (trips == NULL) return TT_OK;
    if (trips->shape.dtype != TT_S64 || tt_shape_numel(&trips->shape) != 1)
        return tt_fail(err, TT_BAD_MODEL, "Loop '%s': M is not one int64", node->name);
    *out = *(const int64_t *)trips->data;
    return TT_OK;
}

static tt_status read_condition(const tt_node *node, const tt_tensor *condition,
                                bool *out, tt_error *err)
{
    *out = true;
    if (condition == NULL) return TT_OK;
    if (condition->shape.dtype != TT_BOOL || tt_shape_numel(&condition->shape) != 1)
        return tt_fail(err, TT_BAD_MODEL, "Loop '%s': cond is not one bool",
                       node->name);
    *out = *(const bool *)condition->data;
    return TT_OK;
}

tt_status tt_loop_run(tt_body *body, const tt_node *node,
                      const tt_tensor *const *inputs, tt_tensor *out, tt_error *err)
{
    int n_formal = node->n_inputs - node->n_captures, n_states = n_formal - 2;
    int64_t trips;
    bool condition;
    if (n_states < 0)
        return tt_fail(err, TT_BAD_MODEL, "Loop '%s': %d inputs, expected 2 or more",
                       node->name, n_formal);
    TT_TRY(tt_body_begin(body, node, inputs, n_formal, node->n_outputs + 1,
                         node->n_outputs - n_states, err));
    TT_TRY(read_trips(node, inputs[0], &trips, err));
    TT_TRY(read_condition(node, inputs[1], &condition, err));
    for (int i = 2; i < n_formal; ++i) {
        if (inputs[i] == NULL)
            return tt_fail(err, TT_BAD_MODEL, "Loop '%s': input %d is missing",
                           node->name, i);
        body->in[i] = *inputs[i];
    }
    TT_TRY(iterate(body, node, trips, condition, n_states, err));
    for (int i = 0; i < n_states; ++i)
        TT_TRY(tt_body_give(body, 2 + i, &out[i], err));
    for (int i = 0; i < body->n_stacked; ++i) {
        out[n_states + i] = body->stacked[i].all;
        body->stacked[i].all.data = NULL;
    }
    return TT_OK;
}
