/* Models: from flat bytes to something that can make programs. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/fork.h"
#include "plan/made.h"
#include "plan/packed.h"

/* Primitives that oneDNN keeps, about 130 KB each, whether a plan has them or not: what
 * bounds the memory after many input shapes.  Plans hold their own, so a smaller number
 * costs time only where a shape comes back after its plan was dropped. */
enum { PRIMITIVE_CACHE = 1024 };

tt_options tt_options_default(void)
{
    tt_options options = {.n_threads = tt_cpu_get()->n_threads,
                          .device = TT_DEVICE_CPU,
                          .passes = TT_PASS_ALL,
                          .limits = tt_limits_default()};
    return options;
}

/* ---- loading ---------------------------------------------------------------------- */

/* All operators that are missing, at once. */
static tt_status check_operators(const tt_source *source, const tt_options *options,
                                 tt_error *err)
{
    char text[900];
    size_t used = 0;
    int n_missing = 0;
    for (int g = 0; g < source->n_graphs; ++g) {
        for (int i = 0; i < source->graphs[g]->n_nodes; ++i) {
            tt_node *node = &source->graphs[g]->nodes[i];
            node->graph_index = g;
            node->node_index = i;
            if (node->op != NULL) continue;
            n_missing++;
            if (used + 100 < sizeof text) {
                int wrote = snprintf(text + used, sizeof text - used,
                                     "\n  %.40s%s%.40s '%.80s' opset %d", node->domain,
                                     node->domain[0] != '\0' ? "." : "", node->op_type,
                                     node->name, node->version);
                if (wrote > 0) used += (size_t)wrote;
                if (used >= sizeof text) used = sizeof text - 1;
            }
        }
    }
    if (n_missing == 0 || options->fallback != NULL) return TT_OK;
    return tt_fail(err, TT_UNSUPPORTED, "%d nodes have no operator here:%s", n_missing,
                   text);
}

/* What operators refuse at the door. */
static tt_status check_attributes(const tt_source *source, tt_error *err)
{
    for (int g = 0; g < source->n_graphs; ++g) {
        const tt_graph *graph = source->graphs[g];
        for (int i = 0; i < graph->n_nodes; ++i) {
            const tt_node *node = &graph->nodes[i];
            if (node->op != NULL && node->op->check != NULL)
                TT_TRY(node->op->check(node, err));
        }
    }
    return TT_OK;
}

/* The captures of a body become its last inputs. */
static tt_status expose_captures(tt_graph *graph, tt_error *err)
{
    int n = graph->n_inputs + graph->n_captures;
    int *inputs = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "inputs of a body");
    for (int i = 0; i < graph->n_inputs; ++i)
        inputs[i] = graph->inputs[i];
    for (int i = 0; i < graph->n_captures; ++i)
        inputs[graph->n_inputs + i] = graph->captures[i].inner;
    graph->inputs = inputs;
    graph->n_inputs = n;
    return TT_OK;
}

static tt_status make_arenas(tt_model *model, tt_error *err)
{
    TT_TRY(tt_arena_new(1, &model->serial, err));
    if (model->options.n_threads > 1)
        TT_TRY(tt_arena_new(model->options.n_threads, &model->parallel, err));
    return TT_OK;
}

typedef struct {
    tt_model *model;
    tt_error *err;
} preparing;

/* What can be done once, whatever the input shapes. */
static tt_status prepare(void *arg)
{
    preparing *p = arg;
    return tt_graph_prepare(p->model, p->model->graph, p->err);
}

static tt_status build(tt_model *model, const void *bytes, size_t n_bytes,
                       const tt_buffer *buffers, int n_buffers, tt_error *err)
{
    const tt_options *options = &model->options;
    preparing p = {model, err};
    tt_status status = tt_source_read(bytes, n_bytes, buffers, n_buffers,
                                      &options->limits, &model->source, err);
    if (status != TT_OK) return status;
    TT_TRY(check_operators(model->source, options, err));
    TT_TRY(check_attributes(model->source, err));
    for (int g = 0; g < model->source->n_graphs; ++g)
        TT_TRY(expose_captures(model->source->graphs[g], err));
    TT_TRY(tt_engine_new(options->device, options->staging, &model->engine, err));
    TT_TRY(tt_dnnl_set_cache_capacity(PRIMITIVE_CACHE, err));
    TT_TRY(make_arenas(model, err));
    TT_TRY(tt_graph_copy(model->source->graphs[model->source->n_graphs - 1],
                         &model->graph, err));
    return tt_arena_run(model->serial, prepare, &p, err);
}

tt_status tt_model_new(const void *bytes, size_t n_bytes, const tt_buffer *buffers,
                       int n_buffers, const tt_options *options, tt_model **out,
                       tt_error *err)
{
    tt_model *model = tt_calloc(1, sizeof *model);
    tt_status status;
    *out = NULL;
    if (model == NULL) {
        for (int i = 0; i < n_buffers; ++i)
            if (buffers[i].release != NULL) buffers[i].release(buffers[i].owner);
        return tt_fail(err, TT_NO_MEMORY, "a model");
    }
    model->options = *options;
    pthread_mutex_init(&model->lock, NULL);
    pthread_mutex_init(&model->packed_lock, NULL);
    status = build(model, bytes, n_bytes, buffers, n_buffers, err);
    if (status != TT_OK) {
        tt_model_free(model);
        return status;
    }
    *out = model;
    return TT_OK;
}

void tt_model_free(tt_model *model)
{
    if (model == NULL) return;
    while (model->programs != NULL) {
        tt_program *next = model->programs->next;
        tt_program_free(model->programs);
        model->programs = next;
    }
    tt_packed_free_all(model);
    tt_made_free_all(model);
    tt_free(model->clipping);
    tt_graph_free(model->graph);
    tt_source_free(model->source);
    tt_arena_free(model->parallel);
    tt_arena_free(model->serial);
    tt_engine_free(model->engine);
    pthread_mutex_destroy(&model->packed_lock);
    pthread_mutex_destroy(&model->lock);
    tt_free(model);
}

const tt_graph *tt_model_graph(const tt_model *model)
{
    return model->source->graphs[model->source->n_graphs - 1];
}

/* ---- programs ---------------------------------------------------------------------- */

static bool same_request(const tt_program *program, const char *const *names, int n)
{
    if (program->body != NULL || program->n_output_names != n) return false;
    for (int i = 0; i < n; ++i)
        if (strcmp(program->output_names[i], names[i]) != 0) return false;
    return true;
}

static int find_value(const tt_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_values; ++i)
        if (graph->values[i].name != NULL && strcmp(graph->values[i].name, name) == 0)
            return i;
    return -1;
}

/* The model's graph with other outputs; taps need values that `prepare` may have
 * rewritten away, so they start from the graph as it was read. */
static tt_status select_outputs(tt_model *model, const char *const *names, int n,
                                tt_graph **out, tt_error *err)
{
    tt_graph *graph;
    int *outputs;
    if (n == 0) return tt_graph_copy(model->graph, out, err);
    TT_TRY(tt_graph_copy(tt_model_graph(model), &graph, err));
    *out = graph;
    outputs = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *outputs);
    if (outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "%d outputs", n);
    for (int i = 0; i < n; ++i) {
        outputs[i] = find_value(graph, names[i]);
        if (outputs[i] < 0)
            return tt_fail(err, TT_BAD_INPUT,
                           "output '%s': the model has no tensor of this name",
                           names[i]);
    }
    graph->outputs = outputs;
    graph->n_outputs = n;
    tt_graph_sweep(graph);
    return TT_OK;
}

typedef struct {
    tt_model *model;
    tt_graph *graph;
    tt_error *err;
} selecting;

static tt_status prepare_selected(void *arg)
{
    selecting *s = arg;
    return tt_graph_prepare(s->model, s->graph, s->err);
}

static tt_status new_program(tt_model *model, const char *const *names, int n,
                             tt_program **out, tt_error *err)
{
    tt_graph *graph = NULL;
    tt_program *program;
    tt_status status = select_outputs(model, names, n, &graph, err);
    if (status == TT_OK && n > 0) {
        selecting s = {model, graph, err};
        status = tt_arena_run(model->serial, prepare_selected, &s, err);
    }
    if (status != TT_OK) {
        tt_graph_free(graph);
        return status;
    }
    TT_TRY(tt_program_new(model, graph, &program, err));
    program->output_names = tt_calloc((size_t)n + 1, sizeof *program->output_names);
    if (program->output_names == NULL) {
        tt_program_free(program);
        return tt_fail(err, TT_NO_MEMORY, "a program");
    }
    for (int i = 0; i < n; ++i)
        program->output_names[i] = graph->values[graph->outputs[i]].name;
    program->n_output_names = n;
    program->next = model->programs;
    model->programs = program;
    *out = program;
    return TT_OK;
}

tt_status tt_model_program(tt_model *model, const char *const *outputs, int n_outputs,
                           tt_program **out, tt_error *err)
{
    tt_status status = TT_OK;
    tt_program *program;
    tt_mutex_lock(&model->lock);
    for (program = model->programs; program != NULL; program = program->next)
        if (same_request(program, outputs, n_outputs)) break;
    if (program == NULL) status = new_program(model, outputs, n_outputs, &program, err);
    tt_mutex_unlock(&model->lock);
    *out = status == TT_OK ? program : NULL;
    return status;
}

static tt_status new_body(tt_model *model, const tt_graph *body, tt_program **out,
                          tt_error *err)
{
    tt_graph *graph;
    TT_TRY(tt_graph_copy(body, &graph, err));
    TT_TRY(tt_program_new(model, graph, out, err));
    (*out)->body = body;
    (*out)->next = model->programs;
    model->programs = *out;
    return TT_OK;
}

tt_status tt_model_body(tt_model *model, tt_graph *body, tt_program **out,
                        tt_error *err)
{
    tt_status status = TT_OK;
    tt_program *program;
    tt_mutex_lock(&model->lock);
    for (program = model->programs; program != NULL; program = program->next)
        if (program->body == body) break;
    if (program == NULL) status = new_body(model, body, &program, err);
    tt_mutex_unlock(&model->lock);
    *out = status == TT_OK ? program : NULL;
    return status;
}

/* ---- statistics --------------------------------------------------------------------- */

int64_t tt_model_weights_bytes(const tt_model *model)
{
    int64_t bytes = 0;
    for (int i = 0; i < model->source->n_constants; ++i)
        bytes +=
            (int64_t)tt_shape_bytes(tt_constant_shape(model->source->constants[i]));
    return bytes;
}

/* The file's weights by where they are now. */
static void count_weights(const tt_model *model, tt_model_stats *stats)
{
    for (int i = 0; i < model->source->n_constants; ++i) {
        const tt_constant *constant = model->source->constants[i];
        int64_t bytes = (int64_t)tt_shape_bytes(tt_constant_shape(constant));
        if (tt_constant_data(constant) != NULL)
            stats->weights_bytes += bytes;
        else
            stats->stored_bytes += bytes;
    }
}

void tt_model_stats_get(tt_model *model, tt_model_stats *stats)
{
    *stats = (tt_model_stats){.weights_bytes = 0};
    count_weights(model, stats);
    stats->packed_bytes = atomic_load(&model->packed_bytes);
    stats->contexts_bytes = atomic_load(&model->contexts_bytes);
    stats->n_contexts = atomic_load(&model->n_contexts);
    stats->n_compiles = atomic_load(&model->n_compiles);
    stats->n_runs = atomic_load(&model->n_runs);
    tt_mutex_lock(&model->lock);
    for (tt_program *p = model->programs; p != NULL; p = p->next) {
        tt_mutex_lock(&p->lock);
        stats->n_plans += p->n_plans;
        stats->plans_bytes += p->plan_bytes;
        tt_mutex_unlock(&p->lock);
    }
    tt_mutex_unlock(&model->lock);
}

static void trim_program(tt_program *program)
{
    tt_mutex_lock(&program->lock);
    for (tt_plan *plan = program->newest, *older; plan != NULL; plan = older) {
        older = plan->older;
        tt_mutex_lock(&plan->lock);
        tt_context *idle = plan->idle;
        plan->idle = NULL;
        plan->n_idle = 0;
        tt_mutex_unlock(&plan->lock);
        while (idle != NULL) {
            tt_context *next = idle->next;
            tt_context_free(plan, idle);
            idle = next;
        }
    }
    tt_mutex_unlock(&program->lock);
}

void tt_model_trim(tt_model *model)
{
    tt_mutex_lock(&model->lock);
    for (tt_program *p = model->programs; p != NULL; p = p->next)
        trim_program(p);
    tt_mutex_unlock(&model->lock);
}
