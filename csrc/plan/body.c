/* The tensors of a body's iterations, and outputs that iterations add to: body.h. */
#include "plan/body.h"

#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

void tt_body_end(tt_body *body)
{
    for (int i = 0; body->in != NULL && body->owned && i < body->graph->n_inputs; ++i)
        if (body->owned[i]) tt_tensor_free(&body->in[i]);
    for (int i = 0; body->out != NULL && i < body->graph->n_outputs; ++i)
        tt_tensor_free(&body->out[i]);
    for (int i = 0; body->stacked != NULL && i < body->n_stacked; ++i)
        tt_tensor_free(&body->stacked[i].all);
    tt_free(body->in);
    tt_free(body->out);
    tt_free(body->owned);
    tt_free(body->stacked);
}

tt_status tt_body_begin(tt_body *body, const tt_node *node,
                        const tt_tensor *const *inputs, int n_formal, int n_outputs,
                        int n_stacked, tt_error *err)
{
    const tt_graph *graph = body->graph;
    int first_capture = node->n_inputs - node->n_captures;
    if (n_formal < 0 || n_stacked < 0 || n_outputs < n_stacked ||
        graph->n_inputs != n_formal + graph->n_captures ||
        node->n_captures != graph->n_captures || graph->n_outputs != n_outputs)
        return tt_fail(err, TT_BAD_MODEL,
                       "%s '%s': %d inputs and %d outputs do not fit a body with %d "
                       "and %d",
                       node->op_type, node->name, first_capture, node->n_outputs,
                       graph->n_inputs - graph->n_captures, graph->n_outputs);
    body->in = tt_calloc((size_t)graph->n_inputs + 1, sizeof *body->in);
    body->out = tt_calloc((size_t)graph->n_outputs + 1, sizeof *body->out);
    body->owned = tt_calloc((size_t)graph->n_inputs + 1, sizeof *body->owned);
    body->stacked = tt_calloc((size_t)n_stacked + 1, sizeof *body->stacked);
    body->n_stacked = n_stacked;
    if (!body->in || !body->out || !body->owned || !body->stacked)
        return tt_fail(err, TT_NO_MEMORY, "running the body of '%s'", node->name);
    for (int i = 0; i < node->n_captures; ++i)
        if (inputs[first_capture + i] != NULL)
            body->in[n_formal + i] = *inputs[first_capture + i];
    return TT_OK;
}

tt_status tt_body_run(tt_body *body, tt_error *err)
{
    TT_TRY(tt_program_run(body->program, body->in, body->out, body->poll,
                          body->poll_arg, err));
    /* runs of a small body are too short to ask on their own */
    return tt_poll_ask(body->poll, body->poll_arg, &body->polled_ns, err);
}

void tt_body_carry(tt_body *body, int from, int to)
{
    if (body->owned[to]) tt_tensor_free(&body->in[to]);
    body->in[to] = body->out[from];
    body->out[from].data = NULL;
    body->owned[to] = true;
}

tt_status tt_body_give(tt_body *body, int which, tt_tensor *out, tt_error *err)
{
    if (!body->owned[which]) return tt_tensor_clone(&body->in[which], out, err);
    *out = body->in[which];
    body->owned[which] = false;
    return TT_OK;
}

/* ---- stacking ------------------------------------------------------------------ */

static tt_status check_stackable(tt_dtype dtype, int rank, tt_error *err)
{
    if (dtype == TT_SEQUENCE || dtype == TT_NOTHING ||
        (dtype != TT_DTYPE_NONE && tt_dtype_bytes(dtype) == 0))
        return tt_fail(err, TT_BAD_MODEL, "a scan output cannot be of %s",
                       tt_dtype_name(dtype));
    if (rank >= TT_MAX_RANK)
        return tt_fail(err, TT_LIMIT, "a scan output of rank %d", TT_MAX_RANK + 1);
    return TT_OK;
}

static bool same_dims(const tt_shape *part, const tt_shape *all)
{
    return part->dtype == all->dtype && part->rank + 1 == all->rank &&
           memcmp(part->dims, all->dims + 1,
                  (size_t)part->rank * sizeof part->dims[0]) == 0;
}

/* Room for `room` parts, of which `n` are there. */
static tt_status make_room(const tt_body *body, tt_stacked *stacked, size_t bytes,
                           int64_t n, int64_t room, tt_error *err)
{
    size_t total;
    void *grown;
    if (!tt_mul_size(bytes, (size_t)room, &total) ||
        total > (size_t)body->program->model->options.limits.max_tensor_bytes)
        return tt_fail(err, TT_LIMIT, "a scan output of %lld iterations",
                       (long long)room);
    grown = tt_alloc(total + 1);
    if (grown == NULL) return tt_fail(err, TT_NO_MEMORY, "%zu bytes", total);
    if (tt_dtype_is_object(stacked->all.shape.dtype)) memset(grown, 0, total);
    if (n > 0) memcpy(grown, stacked->all.data, bytes * (size_t)n);
    tt_free(stacked->all.data);
    stacked->all.data = grown;
    stacked->capacity = room;
    return TT_OK;
}

/* Takes the shape of the first part. */
static tt_status begin_stack(const tt_body *body, tt_stacked *stacked,
                             const tt_tensor *part, int64_t n, tt_error *err)
{
    tt_shape *shape = &stacked->all.shape;
    TT_TRY(check_stackable(part->shape.dtype, part->shape.rank, err));
    shape->dtype = part->shape.dtype;
    shape->rank = part->shape.rank + 1;
    memcpy(shape->dims + 1, part->shape.dims,
           (size_t)part->shape.rank * sizeof shape->dims[0]);
    TT_TRY(
        make_room(body, stacked, tt_shape_bytes(&part->shape), 0, n < 0 ? 4 : n, err));
    shape->dims[0] = n < 0 ? 0 : n; /* (elements of n are zero or set) */
    return TT_OK;
}

tt_status tt_body_stack(tt_body *body, int which, int from, int64_t at, int64_t n,
                        tt_error *err)
{
    tt_stacked *stacked = &body->stacked[which];
    tt_tensor *part = &body->out[from], *all = &stacked->all;
    size_t bytes = tt_shape_bytes(&part->shape);
    if (all->data == NULL)
        TT_TRY(begin_stack(body, stacked, part, n, err));
    else if (!same_dims(&part->shape, &all->shape))
        return tt_fail(err, TT_BAD_INPUT,
                       "a scan output changes its shape at iteration %lld",
                       (long long)at);
    if (at >= stacked->capacity)
        TT_TRY(make_room(body, stacked, bytes, at, 2 * at, err));
    if (bytes > 0) memcpy((char *)all->data + bytes * (size_t)at, part->data, bytes);
    if (n < 0) all->shape.dims[0] = at + 1;
    tt_free(part->data); /* what it owned is ours now */
    part->data = NULL;
    return TT_OK;
}

tt_status tt_body_stack_nothing(tt_body *body, int first, tt_error *err)
{
    for (int i = 0; i < body->n_stacked; ++i) {
        const tt_shape *part =
            &body->graph->values[body->graph->outputs[first + i]].shape;
        tt_shape shape = {.dtype = part->dtype != TT_DTYPE_NONE ? part->dtype : TT_F32,
                          .rank = part->rank < 0 ? 1 : part->rank + 1};
        TT_TRY(check_stackable(shape.dtype, part->rank, err));
        for (int k = 0; k < part->rank; ++k)
            shape.dims[k + 1] = part->dims[k] < 0 ? 0 : part->dims[k];
        TT_TRY(tt_tensor_new(&shape, &body->stacked[i].all, err));
    }
    return TT_OK;
}
