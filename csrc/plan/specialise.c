/* Shapes and constants in one walk: infer, fold, inline.
 *
 * Every node sees inputs with concrete shapes.  A node whose inputs are all constant
 * is computed now; so shape arithmetic, and the branches it decides, disappear. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/match.h"
#include "plan/plan.h"

static bool all_inputs_constant(const tt_graph *graph, const tt_node *node)
{
    for (int i = 0; i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0 && graph->values[node->inputs[i]].constant == NULL)
            return false;
    return true;
}

static tt_status set_shapes(tt_graph *graph, const tt_node *node,
                            const tt_shape *shapes, tt_error *err)
{
    for (int i = 0; i < node->n_outputs; ++i) {
        tt_site site = {graph, node, -1};
        if (node->outputs[i] < 0) continue;
        TT_TRY(tt_check_shape(&site, &shapes[i], err));
        graph->values[node->outputs[i]].shape = shapes[i];
    }
    return TT_OK;
}

static tt_status infer_node(tt_graph *graph, tt_node *node, int *needs_input,
                            tt_error *err)
{
    tt_site site = {graph, node, -1};
    size_t n = (size_t)node->n_outputs + 1;
    tt_shape few[4] = {{0}}, *shapes = few;
    tt_status status;
    if (n > sizeof few / sizeof few[0]) shapes = tt_calloc(n, sizeof *shapes);
    if (shapes == NULL) return tt_fail(err, TT_NO_MEMORY, "%zu shapes", n);
    status = node->op->infer(&site, shapes, err);
    if (status == TT_OK) status = set_shapes(graph, node, shapes, err);
    if (shapes != few) tt_free(shapes);
    *needs_input = site.needs_input;
    if (status != TT_OK) tt_error_where(err, node->name);
    return status;
}

/* Computes a node of constants that `eval` alone can run (NonZero, ...). */
static tt_status fold_by_eval(tt_graph *graph, tt_node *node, tt_error *err)
{
    tt_site site = {graph, node, -1};
    size_t n_in = (size_t)node->n_inputs + 1, n_out = (size_t)node->n_outputs + 1;
    tt_tensor *in = tt_calloc(n_in, sizeof *in), *out = tt_calloc(n_out, sizeof *out);
    const tt_tensor **pointers = tt_calloc(n_in, sizeof *pointers);
    tt_status status = TT_NO_MEMORY;
    if (in == NULL || out == NULL || pointers == NULL) goto done;
    for (int i = 0; i < node->n_inputs; ++i) {
        tt_constant *constant;
        if (node->inputs[i] < 0) continue;
        constant = graph->values[node->inputs[i]].constant;
        status = tt_constant_pin(constant, err); /* for good: it is rare */
        if (status != TT_OK) goto done;
        in[i].shape = *tt_constant_shape(constant);
        in[i].data = (void *)(uintptr_t)tt_constant_data(constant);
        tt_strides_row_major(in[i].shape.dims, in[i].shape.rank, in[i].strides);
        pointers[i] = &in[i];
    }
    status = node->op->eval(&site, pointers, out, err);
    for (int i = 0; i < node->n_outputs && status == TT_OK; ++i) {
        tt_constant *made = NULL;
        if (node->outputs[i] < 0) continue;
        status = tt_constant_new(&out[i].shape, out[i].data, tt_free, out[i].data,
                                 &made, err);
        if (status != TT_OK) break;
        out[i].data = NULL;
        graph->values[node->outputs[i]].shape = out[i].shape;
        tt_graph_set_constant(graph, node->outputs[i], made);
    }
done:
    for (int i = 0; i < node->n_outputs && out != NULL; ++i)
        tt_free(out[i].data);
    tt_free(in);
    tt_free(out);
    tt_free(pointers);
    if (status == TT_NO_MEMORY) return tt_fail(err, status, "folding '%s'", node->name);
    if (status == TT_OK) node->dead = true;
    return status;
}

/* What a plan makes of references it only borrows: no constant can keep it.  (A reshaped
 * constant keeps the one it was.) */
static bool makes_references(const tt_graph *graph, const tt_node *node)
{
    for (int i = 0; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0 &&
            tt_dtype_is_counted(graph->values[node->outputs[i]].shape.dtype))
            return true;
    return false;
}

/* May leave the node as it is: then it runs with the others. */
static tt_status fold_node(tt_model *model, tt_graph *graph, tt_node *node,
                           tt_error *err)
{
    tt_status status;
    bool is_constant = all_inputs_constant(graph, node);
    if (node->op->is_random || (!is_constant && !node->op->reads_shape_only))
        return TT_OK;
    if (node->is_kept) return TT_OK;
    if (makes_references(graph, node) &&
        !(node->op->is_reshape && node->n_outputs == 1))
        return TT_OK;
    if ((model->options.passes & TT_PASS_FOLD) == 0 && !node->op->reads_shape_only) {
        /* even then: small integers are shape arithmetic that others need */
        const tt_shape *shape = &graph->values[node->outputs[0]].shape;
        if (node->outputs[0] < 0 || tt_shape_numel(shape) > 64) return TT_OK;
    }
    status = tt_evaluate_node(model, graph, node, err);
    if (status == TT_LIMIT || status == TT_UNSUPPORTED) return TT_OK;
    if (status == TT_OK)
        node->dead = true;
    else
        tt_error_where(err, node->name);
    return status;
}

static bool is_if(const tt_node *node)
{
    return node->op != NULL && node->op->is_control_flow &&
           strcmp(node->op->name, "If") == 0;
}

/* SequenceConstruct, which is evaluated only where somebody wants the sequence. */
static tt_status set_listed(tt_graph *graph, tt_node *node, tt_error *err)
{
    tt_site site = {graph, node, -1};
    tt_shape shape = {.dtype = TT_SEQUENCE};
    tt_status status = node->op->infer(&site, &shape, err);
    if (status != TT_NEEDS_RUN) return status;
    for (int i = 0; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0) graph->values[node->outputs[i]].shape = shape;
    return TT_OK;
}

/* One node; *cut tells when the walk must stop before it. */
static tt_status visit(tt_model *model, tt_graph *graph, int i, tt_cut *cut,
                       tt_error *err)
{
    tt_node *node = &graph->nodes[i];
    int needs_input = -1, listed;
    tt_status status;
    if (tt_node_lists_tensors(node)) return set_listed(graph, node, err);
    if (is_if(node)) {
        if (graph->values[node->inputs[0]].constant != NULL)
            return tt_graph_inline_if(graph, i, err);
        *cut = (tt_cut){TT_CUT_VALUE, i, node->inputs[0]};
        return TT_OK;
    }
    if ((listed = tt_graph_listed_input(graph, node)) >= 0) {
        *cut = (tt_cut){TT_CUT_RUN, listed, -1};
        return TT_OK;
    }
    if (node->op == NULL || node->op->is_control_flow) {
        *cut = (tt_cut){TT_CUT_RUN, i, -1};
        return TT_OK;
    }
    if (!tt_node_runs_here(graph, node)) {
        *cut = (tt_cut){TT_CUT_RUN, i, -1};
        return TT_OK;
    }
    status = infer_node(graph, node, &needs_input, err);
    if (status == TT_OK && !tt_node_runs_here(graph, node)) { /* makes strings */
        *cut = (tt_cut){TT_CUT_RUN, i, -1};
        return TT_OK;
    }
    if (status == TT_OK) return fold_node(model, graph, node, err);
    if (status == TT_NEEDS_VALUE && needs_input >= 0) {
        *cut = (tt_cut){TT_CUT_VALUE, i, node->inputs[needs_input]};
        return TT_OK;
    }
    if (status != TT_NEEDS_RUN) return status;
    if (all_inputs_constant(graph, node) && !node->op->takes_sequences &&
        !node->op->takes_strings)
        return fold_by_eval(graph, node, err);
    *cut = (tt_cut){TT_CUT_RUN, i, -1};
    return TT_OK;
}

/* ---- all that is refused, at once ------------------------------------------- */

/* Nodes that are not supported as they are: the first error, and a line for each. */
typedef struct {
    tt_error first;
    char lines[sizeof(((tt_error *)0)->text)];
    size_t n_chars;
    int n_nodes;
} refusals;

/* Notes the error of a node; what it would make has no type, so that its readers are
 * passed over. */
static void note_refusal(refusals *all, tt_graph *graph, const tt_node *node,
                         const tt_error *err)
{
    size_t room = sizeof all->lines - all->n_chars;
    int n = snprintf(all->lines + all->n_chars, room, "\n  %s", err->text);
    if (all->n_nodes++ == 0) all->first = *err;
    if (n > 0 && (size_t)n < room)
        all->n_chars += (size_t)n;
    else
        all->lines[all->n_chars] = '\0'; /* no room: the count tells */
    for (int i = 0; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0)
            graph->values[node->outputs[i]].shape.dtype = TT_DTYPE_NONE;
}

static bool reads_refused(const refusals *all, const tt_graph *graph,
                          const tt_node *node)
{
    for (int i = 0; all->n_nodes > 0 && i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0 &&
            graph->values[node->inputs[i]].shape.dtype == TT_DTYPE_NONE)
            return true;
    return false;
}

static tt_status refuse(const refusals *all, tt_error *err)
{
    if (all->n_nodes == 0) return TT_OK;
    if (err == NULL) return TT_UNSUPPORTED;
    *err = all->first;
    if (all->n_nodes == 1) return TT_UNSUPPORTED;
    (void)tt_fail(err, TT_UNSUPPORTED, "%d nodes cannot be run:%s", all->n_nodes,
                  all->lines);
    tt_error_where(err, all->first.where);
    return TT_UNSUPPORTED;
}

tt_status tt_graph_specialise(tt_model *model, tt_graph *graph, tt_cut *cut,
                              tt_error *err)
{
    refusals all = {.n_nodes = 0};
    int listed;
    cut->kind = TT_CUT_NONE;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_status status;
        /* an inlined If puts its branch at i: the same index again */
        while (!graph->nodes[i].dead && is_if(&graph->nodes[i]) &&
               graph->values[graph->nodes[i].inputs[0]].constant != NULL) {
            TT_TRY(tt_graph_inline_if(graph, i, err));
            if (i >= graph->n_nodes) return refuse(&all, err);
        }
        TT_TRY(tt_graph_fold_sequence(graph, i, err));
        if (graph->nodes[i].dead || reads_refused(&all, graph, &graph->nodes[i]))
            continue;
        status = visit(model, graph, i, cut, err);
        if (status == TT_UNSUPPORTED && err != NULL)
            note_refusal(&all, graph, &graph->nodes[i], err);
        else if (status != TT_OK)
            return all.n_nodes > 0 ? refuse(&all, err) : status;
        if (cut->kind != TT_CUT_NONE) return refuse(&all, err);
    }
    TT_TRY(refuse(&all, err));
    listed = tt_graph_listed_output(graph);
    if (listed >= 0) *cut = (tt_cut){TT_CUT_RUN, listed, -1};
    return TT_OK;
}

static bool shapes_known(const tt_graph *graph, const tt_node *node)
{
    for (int i = 0; i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0 && graph->values[node->inputs[i]].constant == NULL)
            return false;
    return node->n_inputs > 0;
}

/* Is it the Cast of a float32 constant to bfloat16? */
static bool is_rounding(const tt_graph *graph, const tt_node *node)
{
    const tt_attribute *to = tt_attribute_find(node, "to");
    return tt_node_is(node, "Cast") && to != NULL && to->kind == TT_ATTRIBUTE_INT &&
           to->as.ints[0] == TT_BF16 && node->inputs[0] >= 0 &&
           graph->values[node->inputs[0]].shape.dtype == TT_F32;
}

tt_status tt_graph_fold_constants(tt_model *model, tt_graph *graph, bool keeps_f32,
                                  tt_error *err)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        tt_cut cut = {0};
        if (node->dead || node->op == NULL || node->op->is_control_flow ||
            node->op->is_random || !shapes_known(graph, node) ||
            (keeps_f32 && is_rounding(graph, node)))
            continue;
        TT_TRY(visit(model, graph, i, &cut, err));
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
