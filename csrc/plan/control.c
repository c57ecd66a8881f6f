/* Control flow: If by inlining the branch that is taken, Loop and Scan by running
 * their body as a program of its own.
 *
 * A body's captures are the last inputs of its node (graph/graph.h) and become the
 * last inputs of the body's program.  Nothing here recurses: a Loop inside a Loop's
 * body is a node of that body's plan, and nesting is bounded by max_depth. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "plan/plan.h"

/* ---- If --------------------------------------------------------------------- */

/* First input of the node that is a capture of `body`. */
static int first_capture(const tt_node *node, const tt_graph *body)
{
    int at = node->n_inputs - node->n_captures;
    for (int i = 0; i < node->n_attributes; ++i) {
        const tt_attribute *attribute = &node->attributes[i];
        if (attribute->kind != TT_ATTRIBUTE_GRAPH) continue;
        if (attribute->as.graph == body) return at;
        at += attribute->as.graph->n_captures;
    }
    return at;
}

static const tt_graph *branch_of(const tt_node *node, bool condition)
{
    const tt_attribute *attribute =
        tt_attribute_find(node, condition ? "then_branch" : "else_branch");
    if (attribute == NULL || attribute->kind != TT_ATTRIBUTE_GRAPH) return NULL;
    return attribute->as.graph;
}

/* Copies the body's values; map[inner] is the outer index. */
static tt_status copy_values(tt_graph *graph, const tt_node *node, const tt_graph *body,
                             int *map, tt_error *err)
{
    int capture = first_capture(node, body);
    for (int i = 0; i < body->n_values; ++i)
        map[i] = TT_ABSENT;
    for (int i = 0; i < body->n_captures; ++i)
        map[body->captures[i].inner] = node->inputs[capture + i];
    for (int i = 0; i < body->n_values; ++i) {
        const tt_value *value = &body->values[i];
        if (map[i] != TT_ABSENT) continue;
        TT_TRY(tt_graph_add_value(graph, value->name, &value->shape, &map[i], err));
        if (value->constant != NULL)
            tt_graph_set_constant(graph, map[i], tt_constant_ref(value->constant));
    }
    return TT_OK;
}

static int *mapped_list(tt_graph *graph, const int *list, int n, const int *map)
{
    int *out = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *out);
    for (int i = 0; i < n && out != NULL; ++i)
        out[i] = list[i] < 0 ? TT_ABSENT : map[list[i]];
    return out;
}

/* Puts the body's nodes in the place of node `at`. */
static tt_status splice_nodes(tt_graph *graph, int at, const tt_graph *body,
                              const int *map, tt_error *err)
{
    int n_new = body->n_nodes, n_after = graph->n_nodes - at - 1;
    TT_TRY(
        tt_graph_reserve(graph, graph->n_values, (int64_t)graph->n_nodes + n_new, err));
    memmove(&graph->nodes[at + n_new], &graph->nodes[at + 1],
            (size_t)n_after * sizeof *graph->nodes);
    graph->n_nodes += n_new - 1;
    for (int i = 0; i < n_new; ++i) {
        tt_node *copy = &graph->nodes[at + i];
        *copy = body->nodes[i];
        copy->inputs = mapped_list(graph, copy->inputs, copy->n_inputs, map);
        copy->outputs = mapped_list(graph, copy->outputs, copy->n_outputs, map);
        if (copy->inputs == NULL || copy->outputs == NULL) {
            for (int k = i; k < n_new; ++k)
                graph->nodes[at + k].dead = true;
            return tt_fail(err, TT_NO_MEMORY, "inlining a branch");
        }
    }
    for (int i = at; i < graph->n_nodes; ++i) {
        const tt_node *moved = &graph->nodes[i];
        for (int k = 0; k < moved->n_outputs; ++k)
            if (moved->outputs[k] >= 0) graph->values[moved->outputs[k]].producer = i;
    }
    return TT_OK;
}

tt_status tt_graph_inline_if(tt_graph *graph, int at, tt_error *err)
{
    tt_node node = graph->nodes[at];
    const tt_constant *condition = graph->values[node.inputs[0]].constant;
    const tt_graph *body;
    tt_status status;
    int *map;
    if (tt_constant_shape(condition)->dtype != TT_BOOL ||
        tt_shape_numel(tt_constant_shape(condition)) != 1)
        return tt_fail(err, TT_BAD_MODEL, "If '%s': the condition is not one bool",
                       node.name);
    body = branch_of(&node, *(const bool *)tt_constant_data(condition));
    if (body == NULL || body->n_outputs != node.n_outputs)
        return tt_fail(err, TT_BAD_MODEL, "If '%s': expected branches with %d outputs",
                       node.name, node.n_outputs);
    map = tt_calloc((size_t)body->n_values + 1, sizeof *map);
    if (map == NULL) return tt_fail(err, TT_NO_MEMORY, "inlining '%s'", node.name);
    status = copy_values(graph, &node, body, map, err);
    if (status == TT_OK) status = splice_nodes(graph, at, body, map, err);
    for (int i = 0; i < node.n_outputs && status == TT_OK; ++i)
        if (node.outputs[i] >= 0)
            tt_graph_replace(graph, node.outputs[i], map[body->outputs[i]]);
    tt_free(map);
    return status;
}

/* ---- Loop and Scan ------------------------------------------------------------ */

typedef struct {
    tt_program *program;
    const tt_graph *body;
    tt_tensor *in, *out; /* of one run of the body */
    bool *owned;         /* is in[i].data ours? */
    int n_states;
    /* scan outputs: concatenated along a new first dim */
    tt_tensor *stacked;
    int64_t *stacked_capacity; /* iterations there is room for */
    int n_stacked;
} looping;

static void free_loop(looping *l)
{
    for (int i = 0; l->in != NULL && l->owned != NULL && i < l->body->n_inputs; ++i)
        if (l->owned[i]) tt_free(l->in[i].data);
    for (int i = 0; l->out != NULL && i < l->body->n_outputs; ++i)
        tt_free(l->out[i].data);
    for (int i = 0; l->stacked != NULL && i < l->n_stacked; ++i)
        tt_free(l->stacked[i].data);
    tt_free(l->in);
    tt_free(l->out);
    tt_free(l->owned);
    tt_free(l->stacked);
    tt_free(l->stacked_capacity);
}

static tt_status start_loop(looping *l, int n_states, int n_stacked, tt_error *err)
{
    l->n_states = n_states;
    l->n_stacked = n_stacked;
    l->in = tt_calloc((size_t)l->body->n_inputs + 1, sizeof *l->in);
    l->out = tt_calloc((size_t)l->body->n_outputs + 1, sizeof *l->out);
    l->owned = tt_calloc((size_t)l->body->n_inputs + 1, sizeof *l->owned);
    l->stacked = tt_calloc((size_t)n_stacked + 1, sizeof *l->stacked);
    l->stacked_capacity = tt_calloc((size_t)n_stacked + 1, sizeof(int64_t));
    if (!l->in || !l->out || !l->owned || !l->stacked || !l->stacked_capacity)
        return tt_fail(err, TT_NO_MEMORY, "running a body");
    return TT_OK;
}

/* Takes over the block of out[from] as the body's input `to`. */
static void carry(looping *l, int from, int to)
{
    if (l->owned[to]) tt_free(l->in[to].data);
    l->in[to] = l->out[from];
    l->out[from].data = NULL;
    l->owned[to] = true;
}

static tt_status stack(looping *l, int which, int from, int64_t iteration,
                       tt_error *err)
{
    tt_tensor *part = &l->out[from], *all = &l->stacked[which];
    size_t bytes = tt_shape_bytes(&part->shape), total;
    if (iteration == 0) {
        all->shape = part->shape;
        if (part->shape.rank == TT_MAX_RANK)
            return tt_fail(err, TT_LIMIT, "a scan output of rank %d", TT_MAX_RANK + 1);
        memmove(all->shape.dims + 1, part->shape.dims,
                (size_t)part->shape.rank * sizeof part->shape.dims[0]);
        all->shape.rank = part->shape.rank + 1;
    } else if (part->shape.rank + 1 != all->shape.rank ||
               memcmp(part->shape.dims, all->shape.dims + 1,
                      (size_t)part->shape.rank * sizeof part->shape.dims[0]) != 0) {
        return tt_fail(err, TT_BAD_INPUT,
                       "a scan output changes its shape at iteration %lld",
                       (long long)iteration);
    }
    if (iteration == l->stacked_capacity[which]) {
        int64_t room = iteration == 0 ? 4 : 2 * iteration;
        void *grown;
        if (!tt_mul_size(bytes, (size_t)room, &total) ||
            total > (size_t)l->program->model->options.limits.max_tensor_bytes)
            return tt_fail(err, TT_LIMIT, "a scan output of %lld iterations",
                           (long long)room);
        grown = tt_alloc(total + 1);
        if (grown == NULL) return tt_fail(err, TT_NO_MEMORY, "%zu bytes", total);
        if (iteration > 0) memcpy(grown, all->data, bytes * (size_t)iteration);
        tt_free(all->data);
        all->data = grown;
        l->stacked_capacity[which] = room;
    }
    memcpy((char *)all->data + bytes * (size_t)iteration, part->data, bytes);
    all->shape.dims[0] = iteration + 1;
    tt_free(part->data);
    part->data = NULL;
    return TT_OK;
}

static void set_scalar(tt_tensor *tensor, tt_dtype dtype, void *data)
{
    *tensor = (tt_tensor){.shape = {.dtype = dtype}, .data = data};
}

/* Moves states and stacked outputs to the node's outputs; copies what is not ours. */
static tt_status finish_loop(looping *l, int first_state, tt_tensor *out, tt_error *err)
{
    for (int i = 0; i < l->n_states; ++i) {
        tt_tensor *state = &l->in[first_state + i];
        size_t bytes = tt_shape_bytes(&state->shape);
        out[i] = *state;
        if (l->owned[first_state + i]) {
            l->owned[first_state + i] = false;
            continue;
        }
        out[i].data = tt_alloc(bytes + 1);
        if (out[i].data == NULL) return tt_fail(err, TT_NO_MEMORY, "%zu bytes", bytes);
        memcpy(out[i].data, state->data, bytes);
    }
    for (int i = 0; i < l->n_stacked; ++i) {
        out[l->n_states + i] = l->stacked[i];
        l->stacked[i].data = NULL;
    }
    return TT_OK;
}

/* A body that never ran: [0, ...] as far as the body's signature tells. */
static tt_status empty_stacks(looping *l, int first, tt_error *err)
{
    for (int i = 0; i < l->n_stacked; ++i) {
        const tt_shape *part = &l->body->values[l->body->outputs[first + i]].shape;
        tt_shape *shape = &l->stacked[i].shape;
        shape->dtype = part->dtype != TT_DTYPE_NONE ? part->dtype : TT_F32;
        shape->rank = part->rank < 0 ? 1 : part->rank + 1;
        for (int k = 0; k < part->rank; ++k)
            shape->dims[k + 1] = part->dims[k] < 0 ? 0 : part->dims[k];
        l->stacked[i].data = tt_alloc(1);
        if (l->stacked[i].data == NULL)
            return tt_fail(err, TT_NO_MEMORY, "an empty scan output");
    }
    return TT_OK;
}

static tt_status loop_iterations(looping *l, const tt_node *node, int64_t trips,
                                 bool condition, tt_poll poll, void *poll_arg,
                                 tt_error *err)
{
    int64_t iteration = 0, polled_ns = 0;
    bool go = condition;
    set_scalar(&l->in[0], TT_S64, &iteration);
    set_scalar(&l->in[1], TT_BOOL, &go);
    for (; iteration < trips && go; ++iteration) {
        if (iteration >= l->program->model->options.limits.max_trip_count)
            return tt_fail(err, TT_LIMIT, "Loop '%s' exceeds max_trip_count = %lld",
                           node->name, (long long)iteration);
        TT_TRY(tt_program_run(l->program, l->in, l->out, poll, poll_arg, err));
        /* runs of a small body are too short to ask on their own */
        TT_TRY(tt_poll_ask(poll, poll_arg, &polled_ns, err));
        go = *(const bool *)l->out[0].data;
        for (int i = 0; i < l->n_states; ++i)
            carry(l, 1 + i, 2 + i);
        for (int i = 0; i < l->n_stacked; ++i)
            TT_TRY(stack(l, i, 1 + l->n_states + i, iteration, err));
        tt_free(l->out[0].data);
        l->out[0].data = NULL;
    }
    return iteration == 0 ? empty_stacks(l, 1 + l->n_states, err) : TT_OK;
}

static tt_status run_loop(looping *l, const tt_node *node,
                          const tt_tensor *const *inputs, tt_tensor *out, tt_poll poll,
                          void *poll_arg, tt_error *err)
{
    int n_formal = node->n_inputs - node->n_captures, n_states = n_formal - 2;
    int64_t trips = INT64_MAX;
    bool condition = true;
    if (n_states < 0 || l->body->n_inputs != n_formal + l->body->n_captures ||
        l->body->n_outputs != node->n_outputs + 1 || node->n_outputs < n_states)
        return tt_fail(err, TT_BAD_MODEL,
                       "Loop '%s': %d inputs and %d outputs do not fit a body with %d "
                       "and %d",
                       node->name, n_formal, node->n_outputs,
                       l->body->n_inputs - l->body->n_captures, l->body->n_outputs);
    if (inputs[0] != NULL) {
        if (inputs[0]->shape.dtype != TT_S64 || tt_shape_numel(&inputs[0]->shape) != 1)
            return tt_fail(err, TT_BAD_MODEL, "Loop '%s': M is not one int64",
                           node->name);
        trips = *(const int64_t *)inputs[0]->data;
    }
    if (inputs[1] != NULL) {
        if (inputs[1]->shape.dtype != TT_BOOL || tt_shape_numel(&inputs[1]->shape) != 1)
            return tt_fail(err, TT_BAD_MODEL, "Loop '%s': cond is not one bool",
                           node->name);
        condition = *(const bool *)inputs[1]->data;
    }
    TT_TRY(start_loop(l, n_states, node->n_outputs - n_states, err));
    for (int i = 2; i < node->n_inputs; ++i) {
        if (inputs[i] == NULL)
            return tt_fail(err, TT_BAD_MODEL, "Loop '%s': input %d is missing",
                           node->name, i);
        l->in[i] = *inputs[i];
    }
    TT_TRY(loop_iterations(l, node, trips, condition, poll, poll_arg, err));
    return finish_loop(l, 2, out, err);
}

tt_status tt_control_eval(tt_model *model, const tt_node *node,
                          const tt_tensor *const *inputs, tt_tensor *out, tt_poll poll,
                          void *poll_arg, tt_error *err)
{
    const tt_attribute *attribute = tt_attribute_find(node, "body");
    looping l = {0};
    tt_status status;
    if (attribute == NULL || attribute->kind != TT_ATTRIBUTE_GRAPH)
        return tt_fail(err, TT_BAD_MODEL, "%s '%s': attribute body is missing",
                       node->op_type, node->name);
    l.body = attribute->as.graph;
    TT_TRY(tt_model_body(model, attribute->as.graph, &l.program, err));
    l.body = l.program->graph;
    status = run_loop(&l, node, inputs, out, poll, poll_arg, err);
    free_loop(&l);
    return status;
}
