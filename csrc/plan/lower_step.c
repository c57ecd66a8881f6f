/* Steps: kernels, primitives with their post-ops. */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "kernels/copy.h"
#include "ops/quantized.h"
#include "plan/lower_state.h"

/* Work that takes longer than this on one thread gains from a second one. */
static const double PARALLEL_NS = 30e3;
/* Rough speed of one core, for deciding only: operations and bytes per ns. */
static const double FLOPS_PER_NS = 120.0, BYTES_PER_NS = 20.0;

static double cost_ns(const tt_work *work)
{
    double compute, memory;
    if (work == NULL) return 0.0;
    if (work->cost_ns > 0.0) return work->cost_ns;
    compute = work->flops / FLOPS_PER_NS;
    memory = work->bytes / BYTES_PER_NS;
    return compute > memory ? compute : memory;
}

bool tt_lower_is_parallel(const tt_lower *lower, const tt_work *work)
{
    return lower->model->parallel != NULL && cost_ns(work) > PARALLEL_NS;
}

/* ---- adding a step -------------------------------------------------------- */

static tt_status add_pointers(tt_lower *lower, tt_step *step,
                              const tt_operand *operands, tt_error *err)
{
    tt_plan *plan = lower->plan;
    size_t wanted = (size_t)plan->n_pointers + (size_t)step->n_pointers;
    if (!tt_grow((void **)&plan->pointer_operands, &lower->pointers_capacity, wanted,
                 sizeof *plan->pointer_operands))
        return tt_fail(err, TT_NO_MEMORY, "%zu pointers of a plan", wanted);
    step->first_pointer = plan->n_pointers;
    for (int i = 0; i < step->n_pointers; ++i) {
        tt_operand operand = operands[i];
        plan->pointer_operands[plan->n_pointers++] = operand;
        if (operand == TT_NO_OPERAND) continue;
        tt_block *block = &plan->blocks[plan->operands[operand].block];
        if (block->first > plan->n_steps) block->first = plan->n_steps;
        if (block->last < plan->n_steps) block->last = plan->n_steps;
    }
    return TT_OK;
}

/* Names of the absorbed nodes, for profiles. */
static const char *fused_names(tt_lower *lower, const tt_node *node)
{
    const char *text = "";
    for (int i = 0; i < node->n_posts; ++i) {
        const char *name = node->posts[i].node ? node->posts[i].node : "";
        text = tt_region_printf(lower->plan->region, "%s%s%s", text,
                                text[0] != '\0' ? ", " : "", name);
        if (text == NULL) return "";
    }
    return text;
}

tt_status tt_lower_add_step(tt_lower *lower, const tt_node *node, const tt_step *made,
                            const tt_operand *operands, tt_error *err)
{
    tt_plan *plan = lower->plan;
    tt_step step = *made;
    if (!tt_grow((void **)&plan->steps, &lower->steps_capacity,
                 (size_t)plan->n_steps + 1, sizeof *plan->steps))
        return tt_fail(err, TT_NO_MEMORY, "%d steps of a plan", plan->n_steps);
    step.node = node->name ? node->name : "";
    step.op_type = node->op_type ? node->op_type : "";
    step.fused = fused_names(lower, node);
    step.call = -1;
    if (step.prim != NULL) step.call = plan->n_calls;
    TT_TRY(add_pointers(lower, &step, operands, err));
    if (step.prim != NULL) {
        size_t bytes = tt_prim_scratchpad_bytes(step.prim);
        plan->n_calls++;
        if (bytes > plan->scratchpad_bytes) plan->scratchpad_bytes = bytes;
    }
    plan->steps[plan->n_steps++] = step;
    return TT_OK;
}

tt_status tt_lower_kernel(tt_lower *lower, const tt_node *node, const char *name,
                          tt_kernel run, const void *params, size_t params_bytes,
                          const tt_operand *operands, int n_src, int n_dst,
                          const tt_work *work, tt_error *err)
{
    tt_step step = {.run = run,
                    .implementation = name,
                    .n_pointers = n_src + n_dst,
                    .n_src = n_src,
                    .is_parallel = tt_lower_is_parallel(lower, work)};
    void *copy = tt_region_alloc(lower->plan->region, 1, params_bytes + 1);
    if (copy == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of parameters", params_bytes);
    if (params_bytes > 0) memcpy(copy, params, params_bytes);
    step.params = copy;
    if (work != NULL) step.work = *work;
    return tt_lower_add_step(lower, node, &step, operands, err);
}

void tt_lower_share(tt_lower *lower, int src, int dst)
{
    tt_step *step = &lower->plan->steps[lower->plan->n_steps - 1];
    if (step->n_shared == TT_MAX_SHARED) return;
    step->shared[step->n_shared][0] = src;
    step->shared[step->n_shared++][1] = dst;
}

static tt_status run_copy(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_copy_run(params, ptrs[0], ptrs[1]);
    return TT_OK;
}

tt_status tt_lower_add_copy(tt_lower *lower, const tt_node *node, tt_operand src,
                            tt_operand dst, tt_error *err)
{
    const tt_operand_record from = lower->plan->operands[src];
    const tt_operand_record to = lower->plan->operands[dst];
    size_t item = tt_dtype_bytes(from.shape.dtype);
    tt_operand operands[2] = {src, dst};
    tt_work work = {0};
    tt_copy *copy;
    tt_status status;
    TT_TRY(tt_copy_compile(item, &from.shape, from.strides, to.strides, &copy, err));
    work.bytes = 2.0 * (double)tt_shape_bytes(&from.shape);
    work.cost_ns = tt_copy_cost_ns(copy);
    status = tt_lower_kernel(lower, node, "copy", run_copy, copy, tt_copy_bytes(copy),
                             operands, 1, 1, &work, err);
    tt_free(copy);
    return status;
}

/* ---- primitives ----------------------------------------------------------- */

typedef struct {
    tt_prim_create create;
    tt_engine *engine;
    const void *params;
    tt_prim *prim;
    tt_error *err;
} creation;

static tt_status create_in_arena(void *arg)
{
    creation *c = arg;
    return c->create(c->engine, c->params, &c->prim, c->err);
}

tt_status tt_lower_create(tt_lower *lower, tt_prim_create create, const void *params,
                          const tt_work *work, tt_prim **out, tt_error *err)
{
    creation c = {
        .create = create, .engine = lower->model->engine, .params = params, .err = err};
    bool parallel = tt_lower_is_parallel(lower, work);
    tt_arena *arena = parallel ? lower->model->parallel : lower->model->serial;
    *out = NULL;
    TT_TRY(tt_arena_run(arena, create_in_arena, &c, err));
    *out = c.prim;
    return TT_OK;
}

tt_status tt_lower_prim(tt_lower *lower, const tt_node *node, tt_prim *prim,
                        const tt_arg *args, const tt_operand *operands, int n_src,
                        int n_dst, const tt_work *work, tt_error *err)
{
    tt_plan *plan = lower->plan;
    int n = n_src + n_dst;
    tt_step step = {.prim = prim,
                    .implementation = tt_prim_impl(prim),
                    .n_pointers = n,
                    .n_src = n_src,
                    .is_parallel = tt_lower_is_parallel(lower, work)};
    tt_status status;
    step.args = tt_region_alloc(plan->region, (size_t)n, sizeof *args);
    if (step.args == NULL) {
        tt_prim_free(prim);
        return tt_fail(err, TT_NO_MEMORY, "%d arguments of a primitive", n);
    }
    memcpy(step.args, args, (size_t)n * sizeof *args);
    if (work != NULL) step.work = *work;
    status = tt_lower_add_step(lower, node, &step, operands, err);
    if (status != TT_OK) tt_prim_free(prim);
    return status;
}

/* ---- post-ops -------------------------------------------------------------- */

/* The operand's shape as `rank` dims: padded with ones in front, or with its leading
 * dims collapsed when they match the node's output or are all one. */
static tt_status post_shape(const tt_node *node, const tt_shape *operand,
                            const tt_shape *output, int rank, tt_shape *out,
                            tt_error *err)
{
    int extra = output->rank - rank, missing = output->rank - operand->rank;
    int64_t lead = 1, all = 1;
    out->dtype = operand->dtype;
    out->rank = rank;
    for (int i = 0; i < extra + 1 && i < output->rank; ++i) {
        lead *= i < missing ? 1 : operand->dims[i - missing];
        all *= output->dims[i];
    }
    if (extra > 0 && lead != 1 && lead != all)
        return tt_fail(err, TT_UNSUPPORTED,
                       "%s '%s': a post-op operand does not collapse to %d dims",
                       node->op_type, node->name, rank);
    for (int i = 0; i < rank; ++i) {
        int from = i + extra - missing;
        out->dims[i] = from < 0 ? 1 : operand->dims[from];
    }
    if (extra > 0) out->dims[0] = lead;
    return TT_OK;
}

static bool is_sum(const tt_lower *lower, const tt_node *node, const tt_node_post *post,
                   tt_order order, const tt_shape *output)
{
    const tt_value *value = &lower->graph->values[post->value];
    tt_operand operand = lower->value_operands[post->value];
    const tt_operand_record *record;
    const tt_value_hint *hint = &lower->hints->values[node->outputs[0]];
    if (post->alg != TT_ALG_ADD || operand == TT_NO_OPERAND || hint->output >= 0)
        return false;
    if (!tt_shape_equal(&value->shape, output)) return false;
    if (!tt_lower_is_last_use(lower, node, post->value)) return false;
    record = &lower->plan->operands[operand];
    if (!tt_order_holds(order, &record->shape, record->strides)) return false;
    for (int i = 0; i < node->n_inputs; ++i) {
        int input = node->inputs[i];
        tt_operand other = input < 0 ? TT_NO_OPERAND : lower->value_operands[input];
        if (other != TT_NO_OPERAND &&
            lower->plan->operands[other].block == record->block)
            return false;
    }
    return true;
}

static tt_status post_operand(tt_lower *lower, const tt_node *node,
                              const tt_node_post *post, int rank, tt_order order,
                              const tt_shape *output, tt_md *md, tt_operand *operand,
                              tt_error *err)
{
    const tt_shape *shape = &lower->graph->values[post->value].shape;
    bool full = tt_shape_numel(shape) == tt_shape_numel(output);
    tt_shape seen = {0};
    TT_TRY(post_shape(node, shape, output, rank, &seen, err));
    TT_TRY(tt_lower_value(lower, post->value, full ? order : TT_ORDER_ROW_MAJOR,
                          operand, err));
    *md = tt_operand_md(lower, *operand);
    md->ndims = rank;
    memcpy(md->dims, seen.dims, sizeof md->dims);
    if (full && order == TT_ORDER_CHANNELS_LAST)
        tt_strides_channels_last(seen.dims, rank, md->strides);
    else
        tt_strides_row_major(seen.dims, rank, md->strides);
    return TT_OK;
}

/* Does the post stand for alpha * (operand - beta)? */
static bool is_integer(const tt_lower *lower, const tt_node *node,
                       const tt_node_post *post)
{
    return tt_quantized_of(node) != NULL && post->value >= 0 &&
           tt_dtype_is_int(lower->graph->values[post->value].shape.dtype);
}

static void add_linear(tt_attr *attr, float alpha, float beta)
{
    attr->posts[attr->n_posts++] = (tt_post){
        .kind = TT_POST_ELTWISE, .alg = TT_ALG_LINEAR, .alpha = alpha, .beta = beta};
}

tt_status tt_lower_posts(tt_lower *lower, const tt_node *node, int rank, tt_order order,
                         tt_attr *attr, tt_arg *args, tt_operand *operands, int *n_args,
                         tt_operand *sum, tt_error *err)
{
    const tt_shape output = lower->graph->values[node->outputs[0]].shape;
    *sum = TT_NO_OPERAND;
    for (int i = 0; i < node->n_posts; ++i) {
        const tt_node_post *post = &node->posts[i];
        bool integer = is_integer(lower, node, post);
        tt_post *made;
        if (post->value >= 0 && *sum == TT_NO_OPERAND &&
            is_sum(lower, node, post, order, &output)) {
            made = &attr->posts[attr->n_posts++];
            *made = (tt_post){.kind = TT_POST_SUM, .alg = TT_ALG_ADD, .scale = 1.0f};
            if (integer) made->scale = post->alpha;
            if (integer) made->zero_point = (int)post->beta;
            *sum = lower->value_operands[post->value];
            continue;
        }
        /* x + alpha (q - beta) = alpha (x / alpha - beta + q) */
        if (integer) add_linear(attr, 1.0f / post->alpha, -post->beta);
        made = &attr->posts[attr->n_posts];
        *made = (tt_post){.kind = (tt_post_kind)post->kind,
                          .alg = (tt_alg)post->alg,
                          .alpha = post->alpha,
                          .beta = post->beta,
                          .scale = 1.0f};
        if (post->value >= 0) {
            TT_TRY(post_operand(lower, node, post, rank, order, &output, &made->operand,
                                &operands[*n_args], err));
            args[*n_args] = (tt_arg)(TT_ARG_POST + attr->n_posts);
            ++*n_args;
        }
        attr->n_posts++;
        if (integer) add_linear(attr, post->alpha, 0.0f);
    }
    return TT_OK;
}
