/* Programs: the cache of plans by input shape, and running a chain of plans. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "plan/plan.h"

tt_status tt_program_new(tt_model *model, tt_graph *graph, tt_program **out,
                         tt_error *err)
{
    tt_program *program = tt_calloc(1, sizeof *program);
    bool *by_value = tt_calloc((size_t)graph->n_inputs + 1, sizeof *by_value);
    *out = NULL;
    if (program == NULL || by_value == NULL) {
        tt_free(program);
        tt_free(by_value);
        tt_graph_free(graph);
        return tt_fail(err, TT_NO_MEMORY, "a program");
    }
    program->model = model;
    program->graph = graph;
    program->by_value = by_value;
    pthread_mutex_init(&program->lock, NULL);
    *out = program;
    return TT_OK;
}

/* Tails of plans are programs with plans with tails: freed level by level through a
 * list instead of by recursion. */
void tt_program_free(tt_program *program)
{
    tt_program *todo = program;
    if (program != NULL) program->next = NULL;
    while (todo != NULL) {
        tt_program *now = todo;
        todo = now->next;
        for (tt_plan *plan = now->newest, *older; plan != NULL; plan = older) {
            older = plan->older;
            if (plan->tail != NULL) {
                plan->tail->next = todo;
                todo = plan->tail;
                plan->tail = NULL;
            }
            tt_plan_unref(plan);
        }
        tt_free(now->by_value);
        tt_free(now->output_names);
        tt_graph_free(now->graph);
        pthread_mutex_destroy(&now->lock);
        tt_free(now);
    }
}

tt_plan *tt_plan_ref(tt_plan *plan)
{
    atomic_fetch_add(&plan->refs, 1);
    return plan;
}

void tt_plan_unref(tt_plan *plan)
{
    if (plan != NULL && atomic_fetch_sub(&plan->refs, 1) == 1) tt_plan_free(plan);
}

bool tt_plan_is_static(const tt_plan *plan)
{
    return plan->tail == NULL;
}

int tt_program_n_outputs(const tt_program *program)
{
    return program->graph->n_outputs;
}

const tt_shape *tt_plan_output(const tt_plan *plan, int i)
{
    return &plan->outputs[i];
}

/* ---- the cache ------------------------------------------------------------------ */

/* Is the tensor, read in row-major order, equal to these bytes? */
static bool same_values(const tt_tensor *tensor, const void *bytes)
{
    size_t item = tt_dtype_bytes(tensor->shape.dtype);
    int64_t n = tt_shape_numel(&tensor->shape), index[TT_MAX_RANK] = {0};
    if (tt_is_row_major(&tensor->shape, tensor->strides))
        return memcmp(tensor->data, bytes, (size_t)n * item) == 0;
    for (int64_t i = 0; i < n; ++i) {
        int64_t at = 0;
        for (int d = 0; d < tensor->shape.rank; ++d)
            at += index[d] * tensor->strides[d];
        if (memcmp((const char *)tensor->data + at * (int64_t)item,
                   (const char *)bytes + (size_t)i * item, item) != 0)
            return false;
        for (int d = tensor->shape.rank - 1; d >= 0; --d) {
            if (++index[d] < tensor->shape.dims[d]) break;
            index[d] = 0;
        }
    }
    return true;
}

bool tt_plan_accepts(const tt_plan *plan, const tt_tensor *inputs)
{
    if (plan->counts_clipping !=
        atomic_load_explicit(&plan->model->counts_clipping, memory_order_relaxed))
        return false;
    for (int i = 0; i < plan->n_inputs; ++i) {
        const tt_tensor *key = &plan->inputs[i], *input = &inputs[i];
        if (!tt_shape_equal(&key->shape, &input->shape)) return false;
        if (key->data != NULL) {
            if (!same_values(input, key->data)) return false;
            continue;
        }
        for (int d = 0; d < key->shape.rank; ++d)
            if (key->strides[d] != input->strides[d]) return false;
    }
    return true;
}

static void unlink_plan(tt_program *program, tt_plan *plan)
{
    if (plan->newer != NULL)
        plan->newer->older = plan->older;
    else
        program->newest = plan->older;
    if (plan->older != NULL)
        plan->older->newer = plan->newer;
    else
        program->oldest = plan->newer;
    plan->newer = plan->older = NULL;
    program->n_plans--;
    program->plan_bytes -= plan->memory.plan_bytes;
}

static void link_newest(tt_program *program, tt_plan *plan)
{
    plan->older = program->newest;
    plan->newer = NULL;
    if (program->newest != NULL)
        program->newest->newer = plan;
    else
        program->oldest = plan;
    program->newest = plan;
    program->n_plans++;
    program->plan_bytes += plan->memory.plan_bytes;
}

static void evict(tt_program *program)
{
    const tt_limits *limits = &program->model->options.limits;
    while (program->n_plans > 1 && (program->n_plans > limits->max_plans ||
                                    program->plan_bytes > limits->max_plan_bytes)) {
        tt_plan *plan = program->oldest;
        unlink_plan(program, plan);
        tt_plan_unref(plan);
    }
}

tt_status tt_program_find(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err)
{
    tt_status status = TT_OK;
    tt_plan *plan;
    pthread_mutex_lock(&program->lock);
    for (plan = program->newest; plan != NULL; plan = plan->older)
        if (tt_plan_accepts(plan, inputs)) break;
    if (plan != NULL && plan != program->newest) {
        unlink_plan(program, plan);
        link_newest(program, plan);
    } else if (plan == NULL) {
        status = tt_plan_compile(program, inputs, &plan, err);
        if (status == TT_OK) {
            link_newest(program, plan);
            evict(program);
        }
    }
    *out = status == TT_OK ? tt_plan_ref(plan) : NULL;
    pthread_mutex_unlock(&program->lock);
    return status;
}

/* ---- checking what the caller gives ----------------------------------------------- */

static tt_status check_input(const tt_value *value, const tt_tensor *input,
                             tt_error *err)
{
    const tt_shape *want = &value->shape;
    char wanted[256], got[256];
    bool fits = want->rank == TT_UNKNOWN_RANK || want->rank == input->shape.rank;
    if (want->dtype != TT_DTYPE_NONE && want->dtype != input->shape.dtype) {
        tt_status status = tt_fail(
            err, TT_BAD_INPUT_TYPE, "input '%s': expected %s, got %s", value->name,
            tt_dtype_name(want->dtype), tt_dtype_name(input->shape.dtype));
        tt_error_where(err, value->name);
        return status;
    }
    for (int d = 0; d < want->rank && fits; ++d)
        fits = want->dims[d] < 0 || want->dims[d] == input->shape.dims[d];
    if (fits) return TT_OK;
    tt_status status =
        tt_fail(err, TT_BAD_INPUT, "input '%s': expected shape %s, got %s", value->name,
                tt_shape_text(want, wanted, sizeof wanted),
                tt_shape_text(&input->shape, got, sizeof got));
    tt_error_where(err, value->name);
    return status;
}

static tt_status check_inputs(const tt_program *program, const tt_tensor *inputs,
                              tt_error *err)
{
    const tt_graph *graph = program->graph;
    for (int i = 0; i < graph->n_inputs; ++i)
        TT_TRY(check_input(&graph->values[graph->inputs[i]], &inputs[i], err));
    return TT_OK;
}

tt_status tt_program_plan(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err)
{
    *out = NULL;
    TT_TRY(check_inputs(program, inputs, err));
    return tt_program_find(program, inputs, out, err);
}

/* ---- running ---------------------------------------------------------------------- */

tt_status tt_plan_run(tt_plan *plan, void *const *inputs, void *const *outputs,
                      tt_poll poll, void *poll_arg, tt_error *err)
{
    tt_context *context;
    tt_status status = TT_OK;
    TT_TRY(tt_context_lease(plan, &context, err));
    for (int i = 0; i < plan->n_inputs && status == TT_OK; ++i)
        status = tt_context_set(plan, context, i, inputs[i], err);
    for (int i = 0; i < plan->n_outputs && status == TT_OK; ++i)
        status = tt_context_set(plan, context, plan->n_inputs + i, outputs[i], err);
    if (status == TT_OK)
        status = tt_context_run(plan, context, poll, poll_arg, NULL, err);
    tt_context_return(plan, context);
    atomic_fetch_add_explicit(&plan->model->n_runs, 1, memory_order_relaxed);
    return status;
}

static void free_tensors(tt_tensor *tensors, int n)
{
    for (int i = 0; i < n && tensors != NULL; ++i) {
        tt_free(tensors[i].data);
        tensors[i].data = NULL;
    }
}

/* Runs the head; out[i] gets blocks of its own. */
static tt_status run_head(tt_plan *plan, const tt_tensor *inputs, tt_tensor *out,
                          tt_poll poll, void *poll_arg, tt_error *err)
{
    size_t n = (size_t)plan->n_inputs + (size_t)plan->n_outputs + 1;
    void **pointers = tt_calloc(n, sizeof *pointers);
    tt_status status = TT_OK;
    if (pointers == NULL) return tt_fail(err, TT_NO_MEMORY, "addresses of a run");
    for (int i = 0; i < plan->n_inputs; ++i)
        pointers[i] = inputs[i].data;
    for (int i = 0; i < plan->n_outputs && status == TT_OK; ++i) {
        size_t bytes = tt_shape_bytes(&plan->outputs[i]);
        out[i] = (tt_tensor){.shape = plan->outputs[i], .data = tt_alloc(bytes + 1)};
        tt_strides_row_major(out[i].shape.dims, out[i].shape.rank, out[i].strides);
        if (out[i].data == NULL)
            status = tt_fail(err, TT_NO_MEMORY, "%zu bytes of an output", bytes);
        pointers[plan->n_inputs + i] = out[i].data;
    }
    if (status == TT_OK)
        status =
            tt_plan_run(plan, pointers, pointers + plan->n_inputs, poll, poll_arg, err);
    tt_free(pointers);
    if (status != TT_OK) free_tensors(out, plan->n_outputs);
    return status;
}

/* Tensors in flight between a head and its tail. */
typedef struct {
    const tt_plan *plan;
    const tt_tensor *inputs; /* of the head */
    tt_tensor *head;         /* owned blocks */
    tt_tensor *eval;         /* owned blocks */
} flight;

static tt_tensor from_source(const flight *f, const tt_tail_source *source)
{
    tt_tensor tensor = {0};
    const tt_constant *constant;
    switch (source->kind) {
    case TT_FROM_NOWHERE:
        break;
    case TT_FROM_INPUT:
        return f->inputs[source->index];
    case TT_FROM_HEAD:
        return f->head[source->index];
    case TT_FROM_EVAL:
        return f->eval[source->index];
    case TT_FROM_CONSTANT:
        constant = f->plan->graph->values[source->index].constant;
        tensor.shape = *tt_constant_shape(constant);
        tensor.data = (void *)(uintptr_t)tt_constant_data(constant);
        tt_strides_row_major(tensor.shape.dims, tensor.shape.rank, tensor.strides);
        break;
    }
    return tensor;
}

static tt_status row_major_copy(tt_tensor *tensor, void **owned, tt_error *err)
{
    int64_t strides[TT_MAX_RANK];
    tt_copy *copy;
    *owned = NULL;
    if (tt_is_row_major(&tensor->shape, tensor->strides)) return TT_OK;
    tt_strides_row_major(tensor->shape.dims, tensor->shape.rank, strides);
    TT_TRY(tt_copy_compile(tt_dtype_bytes(tensor->shape.dtype), &tensor->shape,
                           tensor->strides, strides, &copy, err));
    *owned = tt_alloc(tt_shape_bytes(&tensor->shape) + 1);
    if (*owned != NULL) tt_copy_run(copy, tensor->data, *owned);
    tt_free(copy);
    if (*owned == NULL) return tt_fail(err, TT_NO_MEMORY, "a row-major input");
    tensor->data = *owned;
    memcpy(tensor->strides, strides, sizeof strides);
    return TT_OK;
}

static tt_status eval_node(const flight *f, const tt_tensor *const *pointers,
                           tt_poll poll, void *poll_arg, tt_error *err)
{
    tt_model *model = f->plan->model;
    tt_node *node = f->plan->eval;
    tt_site site = {f->plan->graph, node, -1};
    tt_status status;
    if (node->op != NULL && node->op->is_control_flow)
        status = tt_control_eval(model, node, pointers, f->eval, poll, poll_arg, err);
    else if (node->op != NULL)
        status = node->op->eval(&site, pointers, f->eval, err);
    else if (model->options.fallback != NULL)
        status = model->options.fallback(model->options.fallback_arg, node->graph_index,
                                         node->node_index, pointers, node->n_inputs,
                                         f->eval, node->n_outputs, err);
    else
        status = tt_fail(err, TT_UNSUPPORTED, "%s '%s' is not in the operator table",
                         node->op_type, node->name);
    if (status != TT_OK) tt_error_where(err, node->name);
    for (int i = 0; i < node->n_outputs && status == TT_OK; ++i)
        tt_strides_row_major(f->eval[i].shape.dims, f->eval[i].shape.rank,
                             f->eval[i].strides);
    return status;
}

static tt_status run_eval(const flight *f, tt_poll poll, void *poll_arg, tt_error *err)
{
    const tt_node *node = f->plan->eval;
    size_t n = (size_t)node->n_inputs + 1;
    tt_tensor *in = tt_calloc(n, sizeof *in);
    const tt_tensor **pointers = tt_calloc(n, sizeof *pointers);
    void **owned = tt_calloc(n, sizeof *owned);
    tt_status status = TT_OK;
    if (in == NULL || pointers == NULL || owned == NULL)
        status = tt_fail(err, TT_NO_MEMORY, "inputs of '%s'", node->name);
    for (int i = 0; i < node->n_inputs && status == TT_OK; ++i) {
        if (f->plan->eval_sources[i].kind == TT_FROM_NOWHERE) continue;
        in[i] = from_source(f, &f->plan->eval_sources[i]);
        pointers[i] = &in[i];
        status = row_major_copy(&in[i], &owned[i], err);
    }
    if (status == TT_OK) status = eval_node(f, pointers, poll, poll_arg, err);
    for (int i = 0; i < node->n_inputs && owned != NULL; ++i)
        tt_free(owned[i]);
    tt_free(owned);
    tt_free(pointers);
    tt_free(in);
    return status;
}

/* One hop of the chain: runs the plan; when it has a tail, gathers the tail's inputs
 * in *next (freed by the caller together with f's blocks). */
static tt_status hop(flight *f, tt_plan *plan, const tt_tensor *inputs,
                     tt_tensor **next, tt_poll poll, void *poll_arg, tt_error *err)
{
    size_t n_eval = plan->eval != NULL ? (size_t)plan->eval->n_outputs : 0;
    int n_next = plan->tail->graph->n_inputs;
    f->plan = plan;
    f->inputs = inputs;
    f->head = tt_calloc((size_t)plan->n_outputs + 1, sizeof *f->head);
    f->eval = tt_calloc(n_eval + 1, sizeof *f->eval);
    *next = tt_calloc((size_t)n_next + 1, sizeof **next);
    if (f->head == NULL || f->eval == NULL || *next == NULL)
        return tt_fail(err, TT_NO_MEMORY, "tensors of a run");
    TT_TRY(run_head(plan, inputs, f->head, poll, poll_arg, err));
    if (plan->eval != NULL) TT_TRY(run_eval(f, poll, poll_arg, err));
    for (int i = 0; i < n_next; ++i)
        (*next)[i] = from_source(f, &plan->tail_sources[i]);
    return TT_OK;
}

static void free_flight(flight *f)
{
    if (f->plan == NULL) return;
    free_tensors(f->head, f->plan->n_outputs);
    if (f->plan->eval != NULL) free_tensors(f->eval, f->plan->eval->n_outputs);
    tt_free(f->head);
    tt_free(f->eval);
}

/* Plans, tensors and inputs of all hops stay alive until the last has run: a later
 * input may be an earlier one's block. */
typedef struct {
    flight flight;
    tt_plan *plan;
    tt_tensor *inputs; /* gathered; NULL for the first hop */
} stop;

tt_status tt_program_run(tt_program *program, const tt_tensor *inputs,
                         tt_tensor *outputs, tt_poll poll, void *poll_arg,
                         tt_error *err)
{
    stop *stops = NULL;
    size_t n_stops = 0, capacity = 0;
    const tt_tensor *now = inputs;
    tt_status status = TT_OK;
    memset(outputs, 0, (size_t)program->graph->n_outputs * sizeof *outputs);
    while (status == TT_OK) {
        stop *s;
        if (!tt_grow((void **)&stops, &capacity, n_stops + 1, sizeof *stops)) {
            status = tt_fail(err, TT_NO_MEMORY, "%zu parts of a run", n_stops);
            break;
        }
        s = &stops[n_stops++];
        *s = (stop){0};
        status = n_stops == 1 ? tt_program_plan(program, now, &s->plan, err)
                              : tt_program_find(program, now, &s->plan, err);
        if (status != TT_OK) break;
        if (s->plan->tail == NULL) {
            status = run_head(s->plan, now, outputs, poll, poll_arg, err);
            break;
        }
        status = hop(&s->flight, s->plan, now, &s->inputs, poll, poll_arg, err);
        now = s->inputs;
        program = s->plan->tail;
    }
    for (size_t i = n_stops; i-- > 0;) {
        free_flight(&stops[i].flight);
        tt_free(stops[i].inputs);
        tt_plan_unref(stops[i].plan);
    }
    tt_free(stops);
    return status;
}

/* ---- binding ---------------------------------------------------------------------- */

struct tt_binding {
    tt_plan *plan;
    tt_context *context;
};

tt_status tt_binding_new(tt_plan *plan, void *const *inputs, void *const *outputs,
                         tt_binding **out, tt_error *err)
{
    tt_binding *binding = tt_calloc(1, sizeof *binding);
    tt_status status;
    *out = NULL;
    if (binding == NULL) return tt_fail(err, TT_NO_MEMORY, "a binding");
    status = tt_context_lease(plan, &binding->context, err);
    if (status != TT_OK) {
        tt_free(binding);
        return status;
    }
    binding->plan = tt_plan_ref(plan);
    for (int i = 0; i < plan->n_inputs && status == TT_OK; ++i)
        status = tt_context_set(plan, binding->context, i, inputs[i], err);
    for (int i = 0; i < plan->n_outputs && status == TT_OK; ++i)
        status =
            tt_context_set(plan, binding->context, plan->n_inputs + i, outputs[i], err);
    if (status != TT_OK) {
        tt_binding_free(binding);
        return status;
    }
    *out = binding;
    return TT_OK;
}

void tt_binding_free(tt_binding *binding)
{
    if (binding == NULL) return;
    tt_context_return(binding->plan, binding->context);
    tt_plan_unref(binding->plan);
    tt_free(binding);
}

tt_status tt_binding_run(tt_binding *binding, tt_poll poll, void *poll_arg,
                         tt_error *err)
{
    return tt_context_run(binding->plan, binding->context, poll, poll_arg, NULL, err);
}
