/* Running a program: a chain of plans, each but the last with a node whose outputs'
 * shapes depend on data behind it (see tt_plan.tail). */
#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "plan/plan.h"

static void free_tensors(tt_tensor *tensors, int n)
{
    for (int i = 0; i < n && tensors != NULL; ++i)
        tt_tensor_free(&tensors[i]);
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
        status = tt_tensor_new(&plan->outputs[i], &out[i], err);
        pointers[plan->n_inputs + i] = out[i].data;
    }
    if (status == TT_OK)
        status = tt_plan_run(plan, pointers, pointers + plan->n_inputs, poll, poll_arg,
                             NULL, err);
    tt_free(pointers);
    for (int i = 0; i < plan->n_outputs; ++i) {
        if (status == TT_OK) {
            tt_tensor_own(&out[i]); /* the plan has lent them */
        } else {
            tt_free(out[i].data);
            out[i].data = NULL;
        }
    }
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

bool tt_node_runs_here(const tt_graph *graph, const tt_node *node)
{
    const tt_op *op = node->op;
    if (op == NULL || op->is_control_flow) return op != NULL;
    if (op->takes_sequences) return true;
    for (int i = 0; i < node->n_inputs + node->n_outputs; ++i) {
        int value =
            i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        tt_dtype dtype;
        if (value < 0) continue;
        dtype = graph->values[value].shape.dtype;
        if (tt_dtype_is_object(dtype) && (dtype != TT_STRING || !op->takes_strings))
            return false;
    }
    return true;
}

/* Runs a node that the table lacks, or whose operator does not take what comes. */
static tt_status eval_elsewhere(const flight *f, const tt_tensor *const *pointers,
                                tt_error *err)
{
    const tt_node *node = f->plan->eval;
    const tt_options *options = &f->plan->model->options;
    if (options->fallback != NULL)
        return options->fallback(options->fallback_arg, node->graph_index,
                                 node->node_index, pointers, node->n_inputs, f->eval,
                                 node->n_outputs, err);
    if (node->op == NULL)
        return tt_fail(err, TT_UNSUPPORTED, "%s '%s' is not in the operator table",
                       node->op_type, node->name);
    for (int i = 0; i < node->n_inputs; ++i)
        if (pointers[i] != NULL && tt_dtype_is_object(pointers[i]->shape.dtype))
            return tt_fail(err, TT_UNSUPPORTED,
                           "%s '%s': input %d is a %s, which only "
                           "load_model(fallback=True) can run",
                           node->op_type, node->name, i,
                           tt_dtype_name(pointers[i]->shape.dtype));
    return tt_fail(
        err, TT_UNSUPPORTED,
        "%s '%s' makes strings, which only load_model(fallback=True) can run",
        node->op_type, node->name);
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
    else if (tt_node_runs_here(f->plan->graph, node))
        status = node->op->eval(&site, pointers, f->eval, err);
    else
        status = eval_elsewhere(f, pointers, err);
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
