/* Counting what quantisation cuts off: how many elements of a quantised tensor lie at
 * the ends of their range.
 *
 * A plan compiled while a model counts has a step behind whatever makes the tensor that
 * a QuantizeLinear of the model makes, be it that operator, a loop that ends with it, or
 * an integer primitive.  What is dequantised again in the same loop is never stored, and
 * not counted.  The step looks at the tensor in one call of 64; counters belong
 * to the model, are atomic and so counted by all threads. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fork.h"
#include "graph/match.h"
#include "plan/lower_state.h"

enum { EVERY = 64 };

struct tt_clipping {
    const char *name; /* of the tensor that is quantised */
    atomic_llong n_calls, n_clipped, n_seen;
};

/* ---- the model's counters -------------------------------------------------------- */

static int main_index(const tt_model *model)
{
    return model->source->n_graphs - 1;
}

tt_status tt_model_count_clipping(tt_model *model, bool on, tt_error *err)
{
    const tt_graph *graph = tt_model_graph(model);
    tt_status status = TT_OK;
    bool is_quantized = false;
    for (int i = 0; i < graph->n_nodes; ++i)
        is_quantized = is_quantized || tt_node_is(&graph->nodes[i], "QuantizeLinear");
    if (!is_quantized) return TT_OK; /* plans stay as they are */
    tt_mutex_lock(&model->lock);
    if (on && model->clipping == NULL) {
        model->clipping =
            tt_calloc((size_t)graph->n_nodes + 1, sizeof *model->clipping);
        if (model->clipping == NULL)
            status = tt_fail(err, TT_NO_MEMORY, "counters of clipped values");
    }
    for (int i = 0; model->clipping != NULL && i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (tt_node_is(node, "QuantizeLinear") && node->n_inputs > 0 &&
            node->inputs[0] >= 0)
            model->clipping[i].name = graph->values[node->inputs[0]].name;
    }
    if (status == TT_OK) atomic_store(&model->counts_clipping, on);
    tt_mutex_unlock(&model->lock);
    return status;
}

bool tt_model_clipping(tt_model *model, int node, tt_clipped *out)
{
    const tt_clipping *c;
    tt_mutex_lock(&model->lock);
    c = model->clipping;
    tt_mutex_unlock(&model->lock);
    if (c == NULL || node >= tt_model_graph(model)->n_nodes) return false;
    c += node;
    *out = (tt_clipped){.name = c->name,
                        .n_clipped = atomic_load(&c->n_clipped),
                        .n_seen = atomic_load(&c->n_seen)};
    return true;
}

/* ---- which tensors ----------------------------------------------------------------- */

/* The least and the largest value of a node's result, where it has bounds. */
static void find_bounds(const tt_graph *graph, const tt_node *node, double *low,
                        double *high)
{
    static const struct {
        const char *op_type;
        double low, high;
    } bounded[] = {
        {"Relu",        0.0,  INFINITY},
        {"Sigmoid",     0.0,  1.0     },
        {"HardSigmoid", 0.0,  1.0     },
        {"Softmax",     0.0,  1.0     },
        {"Tanh",        -1.0, 1.0     },
    };
    const tt_attribute *min = tt_attribute_find(node, "min");
    const tt_attribute *max = tt_attribute_find(node, "max");
    *low = -INFINITY, *high = INFINITY;
    for (size_t i = 0; i < sizeof bounded / sizeof bounded[0]; ++i)
        if (tt_node_is(node, bounded[i].op_type))
            *low = bounded[i].low, *high = bounded[i].high;
    if (!tt_node_is(node, "Clip")) return;
    if (min != NULL && min->kind == TT_ATTRIBUTE_FLOAT)
        *low = (double)min->as.floats[0];
    if (max != NULL && max->kind == TT_ATTRIBUTE_FLOAT)
        *high = (double)max->as.floats[0];
    if (node->n_inputs > 1 && node->inputs[1] >= 0)
        (void)tt_match_any_scalar(graph, node->inputs[1], low);
    if (node->n_inputs > 2 && node->inputs[2] >= 0)
        (void)tt_match_any_scalar(graph, node->inputs[2], high);
}

/* Which ends of its range does the tensor reach by being cut off?  Not one where the
 * zero point is, nor one where what makes it ends too. */
static void find_ends(tt_graph *graph, const tt_node *node, tt_quantized_mark *mark)
{
    const bool is_signed = graph->values[node->outputs[0]].shape.dtype == TT_S8;
    const double least = is_signed ? -128.0 : 0.0, largest = least + 255.0;
    const tt_node *maker = tt_match_producer(graph, node->inputs[0], NULL);
    double scale, zero = 0.0, low, high;
    mark->counts_low = mark->counts_high = true;
    if (!tt_match_any_scalar(graph, node->inputs[1], &scale)) return;
    if (node->n_inputs > 2 && node->inputs[2] >= 0 &&
        !tt_match_any_scalar(graph, node->inputs[2], &zero))
        return;
    mark->counts_low = zero != least;
    mark->counts_high = zero != largest;
    if (maker == NULL) return;
    find_bounds(graph, maker, &low, &high);
    if (low >= (least - zero - 0.5) * scale) mark->counts_low = false;
    if (high <= (largest - zero + 0.5) * scale) mark->counts_high = false;
}

tt_status tt_plan_mark_quantized(tt_plan *plan, tt_error *err)
{
    tt_graph *graph = plan->graph;
    plan->counts_clipping = atomic_load(&plan->model->counts_clipping);
    if (!plan->counts_clipping) return TT_OK;
    plan->quantized = tt_region_alloc(plan->region, (size_t)graph->n_values + 1,
                                      sizeof *plan->quantized);
    if (plan->quantized == NULL)
        return tt_fail(err, TT_NO_MEMORY, "marks of quantised tensors");
    plan->n_marked = graph->n_values;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        tt_quantized_mark *mark;
        if (node->dead || !tt_node_is(node, "QuantizeLinear") ||
            node->graph_index != main_index(plan->model))
            continue;
        mark = &plan->quantized[node->outputs[0]];
        mark->counter = &plan->model->clipping[node->node_index];
        find_ends(graph, node, mark);
    }
    return TT_OK;
}

/* ---- the step ------------------------------------------------------------------------ */

typedef struct {
    tt_clipping *counter;
    uint8_t low, high;
    bool counts_low, counts_high;
    int n_dims; /* of the tensor, by falling strides; the last is contiguous */
    int64_t dims[TT_MAX_RANK], strides[TT_MAX_RANK];
} count_params;

/* Elements of a contiguous run that are one of both. */
static int64_t count_run(const uint8_t *x, int64_t n, uint8_t a, uint8_t b)
{
    int64_t total = 0;
    while (n > 0) {
        const int64_t n_block = n < 4096 ? n : 4096;
        int32_t sum = 0;
        for (int64_t i = 0; i < n_block; ++i)
            sum += (x[i] == a) | (x[i] == b);
        total += sum;
        x += n_block, n -= n_block;
    }
    return total;
}

static tt_status run_count(const void *params, void *const *ptrs, tt_error *err)
{
    const count_params *p = params;
    const uint8_t a = p->counts_low ? p->low : p->high;
    const uint8_t b = p->counts_high ? p->high : p->low;
    const int last = p->n_dims - 1;
    const uint8_t *at = ptrs[0];
    int64_t index[TT_MAX_RANK] = {0}, n_clipped = 0, n_seen = 0;
    (void)err;
    if (atomic_fetch_add_explicit(&p->counter->n_calls, 1, memory_order_relaxed) %
            EVERY !=
        0)
        return TT_OK;
    for (;;) {
        int d = last - 1;
        if (p->counts_low || p->counts_high)
            n_clipped += count_run(at, p->dims[last], a, b);
        n_seen += p->dims[last];
        for (; d >= 0; --d) {
            at += p->strides[d];
            if (++index[d] < p->dims[d]) break;
            at -= p->strides[d] * p->dims[d];
            index[d] = 0;
        }
        if (d < 0) break;
    }
    atomic_fetch_add(&p->counter->n_clipped, n_clipped);
    atomic_fetch_add(&p->counter->n_seen, n_seen);
    return TT_OK;
}

/* Dims by falling strides, merged where they are contiguous; false: no contiguous run. */
static bool find_runs(const tt_operand_record *record, count_params *p)
{
    for (int i = 0; i < record->shape.rank; ++i) {
        int at = p->n_dims;
        if (record->shape.dims[i] == 1) continue;
        for (; at > 0 && p->strides[at - 1] < record->strides[i]; --at) {
            p->strides[at] = p->strides[at - 1];
            p->dims[at] = p->dims[at - 1];
        }
        p->strides[at] = record->strides[i];
        p->dims[at] = record->shape.dims[i];
        p->n_dims++;
    }
    if (p->n_dims == 0) p->dims[p->n_dims] = p->strides[p->n_dims] = 1, p->n_dims = 1;
    while (p->n_dims > 1 && p->strides[p->n_dims - 2] ==
                                p->strides[p->n_dims - 1] * p->dims[p->n_dims - 1]) {
        p->dims[p->n_dims - 2] *= p->dims[p->n_dims - 1];
        p->strides[p->n_dims - 2] = p->strides[p->n_dims - 1];
        p->n_dims--;
    }
    return p->strides[p->n_dims - 1] == 1;
}

tt_status tt_lower_count_clipping(tt_lower *lower, int value, tt_error *err)
{
    const tt_plan *plan = lower->plan;
    const tt_node counter = {.name = lower->graph->values[value].name,
                             .op_type = "CountClipping"};
    const tt_quantized_mark *mark;
    const tt_operand_record *record;
    count_params p = {0};
    tt_operand operand;
    tt_work work = {0};
    bool is_signed;
    if (plan->quantized == NULL || value >= plan->n_marked) return TT_OK;
    mark = &plan->quantized[value];
    if (mark->counter == NULL || lower->graph->values[value].constant != NULL)
        return TT_OK;
    TT_TRY(tt_lower_operand_of(lower, value, &operand, err));
    record = &plan->operands[operand];
    is_signed = record->shape.dtype == TT_S8;
    if ((!is_signed && record->shape.dtype != TT_U8) ||
        tt_shape_numel(&record->shape) == 0 || !find_runs(record, &p))
        return TT_OK;
    p.counter = mark->counter;
    p.low = is_signed ? 0x80 : 0;
    p.high = is_signed ? 0x7f : 0xff;
    p.counts_low = mark->counts_low;
    p.counts_high = mark->counts_high;
    work.bytes = (double)tt_shape_numel(&record->shape) / EVERY;
    work.cost_ns = 10.0;
    return tt_lower_kernel(lower, &counter, "count_clipping", run_count, &p, sizeof p,
                           &operand, 1, 0, &work, err);
}
