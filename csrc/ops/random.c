/* Random numbers: RandomUniform, RandomNormal (of a shape, or like another tensor),
 * Bernoulli and Multinomial.
 *
 * A node with a seed gives the same numbers in every call.  Bernoulli gives 1 with
 * probability x, as its text has it; the function body that ONNX adds gives the
 * opposite. */
#include "kernels/random.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/item.h"
#include "ops/elementwise.h"
#include "ops/move.h"
#include "ops/random_seed.h"

tt_status tt_random_read(const tt_node *node, tt_random *out, tt_error *err)
{
    static const double TWO_32 = 4294967296.0;
    const tt_attribute *attribute = tt_attribute_find(node, "seed");
    int64_t number = 0;
    float real = 0;
    *out = (tt_random){.has_seed = attribute != NULL};
    if (attribute == NULL) return TT_OK;
    if (attribute->kind == TT_ATTRIBUTE_INT) {
        TT_TRY(tt_attribute_int(node, "seed", 0, &number, err));
        out->seed = (uint32_t)(uint64_t)number;
        return TT_OK;
    }
    TT_TRY(tt_attribute_float(node, "seed", 0, &real, err));
    out->has_seed = isfinite(real);
    if (out->has_seed) {
        double rest = fmod(trunc((double)real), TWO_32);
        out->seed = (uint32_t)(rest < 0 ? rest + TWO_32 : rest);
    }
    return TT_OK;
}

/* The attribute `dtype`, else `usual`. */
static tt_status read_dtype(const tt_site *site, tt_dtype usual, tt_takes takes,
                            tt_dtype *out, tt_error *err)
{
    int64_t dtype;
    TT_TRY(tt_attribute_int(site->node, "dtype", (int64_t)usual, &dtype, err));
    if (!tt_dtype_is_known(dtype) || !tt_takes_dtype(takes, (tt_dtype)dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute 'dtype' is %lld (%s): random numbers of that type "
                          "cannot be drawn here",
                          (long long)dtype, tt_dtype_name((tt_dtype)dtype));
    *out = (tt_dtype)dtype;
    return TT_OK;
}

static bool is_named(const tt_node *node, const char *name)
{
    return strcmp(node->op->name, name) == 0;
}

/* ---- uniform and normal ------------------------------------------------------------ */

static tt_status infer_of_shape(tt_site *site, tt_shape *out, tt_error *err)
{
    const int64_t *dims;
    int n;
    TT_TRY(tt_check_inputs(site, 0, 0, err));
    TT_TRY(tt_attribute_ints(site->node, "shape", &dims, &n, err));
    if (n < 0 || n > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute 'shape' must be a list of at most %d dims",
                          TT_MAX_RANK);
    for (int i = 0; i < n; ++i) {
        if (dims[i] < 0)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "attribute 'shape' has a dim of %lld",
                              (long long)dims[i]);
        out->dims[i] = dims[i];
    }
    out->rank = n;
    TT_TRY(read_dtype(site, TT_F32, TT_TAKES_FLOAT, &out->dtype, err));
    return tt_check_shape(site, out, err);
}

static tt_status infer_like(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_dtype usual;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(tt_need_inputs(site, 1, err));
    *out = *tt_input_shape(site, 0);
    usual = out->dtype;
    TT_TRY(read_dtype(site, usual, TT_TAKES_FLOAT, &out->dtype, err));
    return tt_check_shape(site, out, err);
}

typedef struct {
    tt_random random;
    tt_dtype dtype;
    bool is_normal;
    int64_t n;
    /* offset + factor number; a uniform one is cut off, not rounded, to 1 / steps,
     * for [0, 1) is to stay open in every type */
    double offset, factor, steps;
} draw_params;

typedef struct {
    const draw_params *params;
    void *dst;
} draw_call;

static void store_draws(void *arg, const double *numbers, int64_t begin, int64_t end)
{
    const draw_call *call = arg;
    const draw_params *p = call->params;
    for (int64_t i = begin; i < end; ++i) {
        double number = numbers[i - begin];
        if (!p->is_normal) number = floor(number * p->steps) / p->steps;
        tt_item_store(p->dtype, call->dst, i, p->offset + p->factor * number);
    }
}

static tt_status run_draws(const void *params, void *const *ptrs, tt_error *err)
{
    const draw_params *p = params;
    draw_call call = {p, ptrs[0]};
    (void)err;
    if (p->is_normal)
        tt_random_normals(&p->random, p->n, store_draws, &call);
    else
        tt_random_uniforms(&p->random, p->n, store_draws, &call);
    return TT_OK;
}

/* 2 to the bits of a mantissa. */
static double steps_of(tt_dtype dtype)
{
    switch (dtype) {
    case TT_F64:
        return 9007199254740992.0;
    case TT_F16:
        return 2048.0;
    case TT_BF16:
        return 256.0;
    default:
        return 16777216.0;
    }
}

static tt_status lower_draws(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    draw_params params = {.dtype = shape->dtype,
                          .n = tt_shape_numel(shape),
                          .steps = steps_of(shape->dtype)};
    tt_work work = {.bytes = (double)tt_shape_bytes(shape)};
    tt_operand dst;
    float first, second;
    params.is_normal =
        is_named(node, "RandomNormal") || is_named(node, "RandomNormalLike");
    TT_TRY(tt_random_read(node, &params.random, err));
    if (params.is_normal) {
        TT_TRY(tt_attribute_float(node, "mean", 0, &first, err));
        TT_TRY(tt_attribute_float(node, "scale", 1, &second, err));
        params.factor = (double)second;
    } else {
        TT_TRY(tt_attribute_float(node, "low", 0, &first, err));
        TT_TRY(tt_attribute_float(node, "high", 1, &second, err));
        params.factor = (double)second - (double)first;
    }
    params.offset = (double)first;
    work.cost_ns = 600 + (params.is_normal ? 25 : 8) * (double)params.n;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &dst, err));
    return tt_lower_kernel(lower, node, "random", run_draws, &params, sizeof params,
                           &dst, 0, 1, &work, err);
}

/* ---- Bernoulli --------------------------------------------------------------------- */

static tt_status infer_bernoulli(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_dtype usual;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_FLOAT, err));
    *out = *tt_input_shape(site, 0);
    usual = out->dtype;
    TT_TRY(read_dtype(site, usual, TT_TAKES_ANY, &out->dtype, err));
    return tt_check_shape(site, out, err);
}

typedef struct {
    tt_random random;
    tt_dtype src, dst;
    int64_t n;
} bernoulli_params;

typedef struct {
    const bernoulli_params *params;
    const void *src;
    void *dst;
} bernoulli_call;

static void store_coins(void *arg, const double *numbers, int64_t begin, int64_t end)
{
    const bernoulli_call *call = arg;
    const bernoulli_params *p = call->params;
    for (int64_t i = begin; i < end; ++i) {
        bool is_one = numbers[i - begin] < tt_item_load(p->src, call->src, i);
        tt_item_store(p->dst, call->dst, i, is_one ? 1.0 : 0.0);
    }
}

static tt_status run_bernoulli(const void *params, void *const *ptrs, tt_error *err)
{
    const bernoulli_params *p = params;
    bernoulli_call call = {p, ptrs[0], ptrs[1]};
    (void)err;
    tt_random_uniforms(&p->random, p->n, store_coins, &call);
    return TT_OK;
}

static tt_status lower_bernoulli(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    bernoulli_params params = {.dst = shape->dtype, .n = tt_shape_numel(shape)};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape),
                    .cost_ns = 600 + 9 * (double)params.n};
    tt_operand operands[2];
    TT_TRY(tt_random_read(node, &params.random, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    params.src = tt_operand_shape(lower, operands[0])->dtype;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    return tt_lower_kernel(lower, node, "bernoulli", run_bernoulli, &params,
                           sizeof params, operands, 1, 1, &work, err);
}

/* ---- Multinomial ------------------------------------------------------------------- */

static tt_status infer_multinomial(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x;
    int64_t n_samples;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_FLOAT, err));
    TT_TRY(tt_attribute_int(site->node, "sample_size", 1, &n_samples, err));
    x = tt_input_shape(site, 0);
    if (x->rank != 2 || n_samples < 0 || (x->dims[1] == 0 && x->dims[0] > 0))
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "expected logarithms of rank 2 with at least one class, and "
            "a sample_size of 0 or more; the rank is %d, sample_size %lld",
            x->rank, (long long)n_samples);
    out->rank = 2;
    out->dims[0] = x->dims[0];
    out->dims[1] = n_samples;
    TT_TRY(read_dtype(site, TT_S32, TT_TAKES_SIGNED, &out->dtype, err));
    if (out->dtype != TT_S32 && out->dtype != TT_S64)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute 'dtype' must be int32 or int64, not %s",
                          tt_dtype_name(out->dtype));
    return tt_check_shape(site, out, err);
}

typedef struct {
    tt_random random;
    tt_dtype src, dst;
    int64_t n_rows, n_classes, n_samples;
} multinomial_params;

typedef struct {
    const multinomial_params *params;
    const void *src;
    double *sums; /* [n_rows, n_classes]: of exponentials, up to each class */
    void *dst;
} multinomial_call;

static void sum_rows(void *arg, int64_t begin, int64_t end)
{
    const multinomial_call *call = arg;
    const multinomial_params *p = call->params;
    for (int64_t row = begin; row < end; ++row) {
        int64_t at = row * p->n_classes;
        double high = -INFINITY, sum = 0;
        for (int64_t i = at; i < at + p->n_classes; ++i)
            high = fmax(high, tt_item_load(p->src, call->src, i));
        for (int64_t i = at; i < at + p->n_classes; ++i) {
            sum += exp(tt_item_load(p->src, call->src, i) - high);
            call->sums[i] = sum;
        }
    }
}

/* The first class whose sum is above what was drawn. */
static int64_t find_class(const double *sums, int64_t n, double wanted)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sums[middle] > wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void store_classes(void *arg, const double *numbers, int64_t begin, int64_t end)
{
    const multinomial_call *call = arg;
    const multinomial_params *p = call->params;
    for (int64_t i = begin; i < end; ++i) {
        const double *sums = call->sums + i / p->n_samples * p->n_classes;
        double wanted = numbers[i - begin] * sums[p->n_classes - 1];
        tt_item_store_int(p->dst, call->dst, i, find_class(sums, p->n_classes, wanted));
    }
}

static tt_status run_multinomial(const void *params, void *const *ptrs, tt_error *err)
{
    const multinomial_params *p = params;
    multinomial_call call = {p, ptrs[0], ptrs[2], ptrs[1]};
    tt_parallel_for(p->n_rows, 5000 / p->n_classes + 1, sum_rows, &call);
    for (int64_t row = 0; row < p->n_rows; ++row)
        if (!isfinite(call.sums[(row + 1) * p->n_classes - 1]))
            return tt_fail(err, TT_BAD_INPUT,
                           "row %lld of the logarithms has NaN, +inf or no finite "
                           "number: there is no distribution",
                           (long long)row);
    tt_random_uniforms(&p->random, p->n_rows * p->n_samples, store_classes, &call);
    return TT_OK;
}

static tt_status lower_multinomial(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    multinomial_params params = {
        .dst = shape->dtype, .n_rows = shape->dims[0], .n_samples = shape->dims[1]};
    tt_work work = {0};
    tt_operand operands[3];
    const tt_shape *x;
    size_t bytes;
    TT_TRY(tt_random_read(node, &params.random, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    x = tt_operand_shape(lower, operands[0]);
    params.src = x->dtype;
    params.n_classes = x->dims[1];
    if (!tt_mul_size((size_t)tt_shape_numel(x), sizeof(double), &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "sums of %lld rows",
                          (long long)params.n_rows);
    work.bytes = 2.0 * (double)bytes;
    work.cost_ns = 600 + 12.0 * (double)tt_shape_numel(x) +
                   30.0 * (double)params.n_rows * (double)params.n_samples;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[2], err));
    if (params.n_classes == 0) return TT_OK; /* no rows either */
    return tt_lower_kernel(lower, node, "multinomial", run_multinomial, &params,
                           sizeof params, operands, 1, 2, &work, err);
}

/* ---- records ----------------------------------------------------------------------- */

#define RANDOM(record_, name_, since_, infer_, lower_, summary_) \
    const tt_op tt_op_##record_ = {.name = name_,                \
                                   .domain = "",                 \
                                   .since = since_,              \
                                   .summary = summary_,          \
                                   .infer = infer_,              \
                                   .lower = lower_,              \
                                   .is_random = true}

RANDOM(random_uniform, "RandomUniform", 1, infer_of_shape, lower_draws,
       "numbers drawn between low and high");
RANDOM(random_uniform_like, "RandomUniformLike", 1, infer_like, lower_draws,
       "numbers drawn between low and high, as many as the input has");
RANDOM(random_normal, "RandomNormal", 1, infer_of_shape, lower_draws,
       "numbers drawn from a normal distribution");
RANDOM(random_normal_like, "RandomNormalLike", 1, infer_like, lower_draws,
       "numbers drawn from a normal distribution, as many as the input has");
RANDOM(bernoulli, "Bernoulli", 15, infer_bernoulli, lower_bernoulli,
       "one with the probability that the input gives, else zero");
RANDOM(multinomial, "Multinomial", 7, infer_multinomial, lower_multinomial,
       "classes drawn by the logarithms of their probabilities");
