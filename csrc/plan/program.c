/* Programs: the cache of plans by input shape, and running one plan. */
#include <string.h>

#include "base/alloc.h"
#include "base/fork.h"
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
    for (int i = 0; i < plan->n_outputs; ++i)
        if (tt_dtype_is_object(plan->outputs[i].dtype)) return false;
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
    tt_mutex_lock(&program->lock);
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
    tt_mutex_unlock(&program->lock);
    return status;
}

/* ---- checking what the caller gives ----------------------------------------------- */

static tt_status check_input(const tt_value *value, const tt_tensor *input,
                             tt_error *err)
{
    const tt_shape *want = &value->shape;
    char wanted[256], got[256];
    bool fits = want->rank == TT_UNKNOWN_RANK || want->rank == input->shape.rank;
    if (value->is_optional && input->shape.dtype == TT_NOTHING) return TT_OK;
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
                      tt_poll poll, void *poll_arg, int64_t *step_ns, tt_error *err)
{
    tt_context *context;
    tt_status status = TT_OK;
    TT_TRY(tt_context_lease(plan, &context, err));
    for (int i = 0; i < plan->n_inputs && status == TT_OK; ++i)
        status = tt_context_set(plan, context, i, inputs[i], err);
    for (int i = 0; i < plan->n_outputs && status == TT_OK; ++i)
        status = tt_context_set(plan, context, plan->n_inputs + i, outputs[i], err);
    if (status == TT_OK)
        status = tt_context_run(plan, context, poll, poll_arg, step_ns, err);
    tt_context_return(plan, context);
    atomic_fetch_add_explicit(&plan->model->n_runs, 1, memory_order_relaxed);
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
