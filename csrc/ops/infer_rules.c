/* Readers of constant inputs, and the shape rules that many operators share. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/op.h"

/* TT_FAIL at a node: the text begins with type and name, `where` is the name. */
#define FAIL_AT(node_, err_, code_, format_, ...)                               \
    (tt_fail(err_, code_, "%s '%s': " format_, (node_)->op_type, (node_)->name, \
             __VA_ARGS__),                                                      \
     tt_error_where(err_, (node_)->name), code_)

/* ---- constant inputs ----------------------------------------------------- */

const tt_constant *tt_input_constant(const tt_site *site, int i)
{
    if (!tt_has_input(site, i)) return NULL;
    return tt_graph_constant(site->graph, site->node->inputs[i]);
}

tt_status tt_need_constant(tt_site *site, int i, const tt_constant **out, tt_error *err)
{
    *out = tt_input_constant(site, i);
    if (*out != NULL || !tt_has_input(site, i)) return TT_OK;
    site->needs_input = i;
    return FAIL_AT(site->node, err, TT_NEEDS_VALUE,
                   "the output shape depends on the value of input %d '%s'", i,
                   site->graph->values[site->node->inputs[i]].name);
}

/* The constant of input i with 0 or 1 dims and at most `max` items. */
static tt_status need_list(tt_site *site, int i, int max, const tt_constant **out,
                           int *n, tt_error *err)
{
    const tt_shape *shape;
    int64_t count;
    *n = -1;
    TT_TRY(tt_need_constant(site, i, out, err));
    if (*out == NULL) return TT_OK;
    shape = tt_constant_shape(*out);
    count = tt_shape_numel(shape);
    if (shape->rank > 1)
        return FAIL_AT(site->node, err, TT_BAD_MODEL,
                       "input %d must be a list, its rank is %d", i, shape->rank);
    if (count > max)
        return FAIL_AT(site->node, err, TT_BAD_MODEL,
                       "input %d has %lld items, at most %d fit here", i,
                       (long long)count, max);
    *n = (int)count;
    return TT_OK;
}

tt_status tt_need_ints(tt_site *site, int i, int64_t *out, int max, int *n,
                       tt_error *err)
{
    const tt_constant *constant;
    tt_dtype dtype;
    TT_TRY(need_list(site, i, max, &constant, n, err));
    if (constant == NULL) return TT_OK;
    dtype = tt_constant_shape(constant)->dtype;
    if (dtype == TT_S64) {
        memcpy(out, tt_constant_data(constant), (size_t)*n * sizeof *out);
        return TT_OK;
    }
    if (dtype != TT_S32)
        return FAIL_AT(site->node, err, TT_BAD_MODEL,
                       "input %d must be int64 or int32, not %s", i,
                       tt_dtype_name(dtype));
    for (int k = 0; k < *n; ++k)
        out[k] = ((const int32_t *)tt_constant_data(constant))[k];
    return TT_OK;
}

/* IEEE half precision, all of it: subnormals, infinities, NaN. */
static double half_value(uint16_t half)
{
    int exponent = (half >> 10) & 31, mantissa = half & 1023;
    double value;
    if (exponent == 31)
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    else if (exponent == 0)
        value = ldexp(mantissa, -24);
    else
        value = ldexp(mantissa + 1024, exponent - 25);
    return half & 0x8000 ? -value : value;
}

/* bfloat16 is the upper half of a float. */
static double bfloat16_value(uint16_t upper)
{
    uint32_t bits = (uint32_t)upper << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Item k of a real dtype as double; false for any other dtype. */
static bool item_value(tt_dtype dtype, const void *data, int64_t k, double *out)
{
    switch (dtype) {
    case TT_F32:
        *out = (double)((const float *)data)[k];
        return true;
    case TT_F64:
        *out = ((const double *)data)[k];
        return true;
    case TT_F16:
        *out = half_value(((const uint16_t *)data)[k]);
        return true;
    case TT_BF16:
        *out = bfloat16_value(((const uint16_t *)data)[k]);
        return true;
    case TT_S8:
        *out = ((const int8_t *)data)[k];
        return true;
    case TT_U8:
    case TT_BOOL:
        *out = ((const uint8_t *)data)[k];
        return true;
    case TT_S16:
        *out = ((const int16_t *)data)[k];
        return true;
    case TT_U16:
        *out = ((const uint16_t *)data)[k];
        return true;
    case TT_S32:
        *out = ((const int32_t *)data)[k];
        return true;
    case TT_U32:
        *out = ((const uint32_t *)data)[k];
        return true;
    case TT_S64:
        *out = (double)((const int64_t *)data)[k];
        return true;
    case TT_U64:
        *out = (double)((const uint64_t *)data)[k];
        return true;
    default:
        return false;
    }
}

tt_status tt_need_floats(tt_site *site, int i, float *out, int max, int *n,
                         tt_error *err)
{
    const tt_constant *constant;
    tt_dtype dtype;
    TT_TRY(need_list(site, i, max, &constant, n, err));
    if (constant == NULL) return TT_OK;
    dtype = tt_constant_shape(constant)->dtype;
    if (!tt_dtype_is_float(dtype))
        return FAIL_AT(site->node, err, TT_BAD_MODEL,
                       "input %d must be of a float type, not %s", i,
                       tt_dtype_name(dtype));
    for (int k = 0; k < *n; ++k) {
        double value = 0.0;
        (void)item_value(dtype, tt_constant_data(constant), k, &value);
        out[k] = (float)value;
    }
    return TT_OK;
}

tt_status tt_need_inputs(const tt_site *site, int n, tt_error *err)
{
    for (int i = 0; i < n; ++i)
        if (!tt_has_input(site, i))
            return FAIL_AT(site->node, err, TT_BAD_MODEL,
                           "input %d is missing, the operator needs %d", i, n);
    return TT_OK;
}

bool tt_scalar_value(const tt_constant *constant, double *out)
{
    const tt_shape *shape;
    if (constant == NULL) return false;
    shape = tt_constant_shape(constant);
    if (tt_shape_numel(shape) != 1) return false;
    return item_value(shape->dtype, tt_constant_data(constant), 0, out);
}

/* ---- shape rules --------------------------------------------------------- */

tt_status tt_check_shape(const tt_site *site, const tt_shape *out, tt_error *err)
{
    const tt_limits *limits = site->graph->limits;
    int64_t n, bytes;
    char text[256];
    if (out->rank < 0 || out->rank > TT_MAX_RANK)
        return FAIL_AT(site->node, err, TT_LIMIT,
                       "the output would have rank %d, at most %d is supported",
                       out->rank, TT_MAX_RANK);
    if (!tt_dtype_is_known(out->dtype) || tt_dtype_bytes(out->dtype) == 0)
        return FAIL_AT(site->node, err, TT_UNSUPPORTED,
                       "an output of dtype %s is not supported",
                       tt_dtype_name(out->dtype));
    for (int i = 0; i < out->rank; ++i)
        if (out->dims[i] < 0)
            return FAIL_AT(site->node, err, TT_BAD_MODEL,
                           "the output shape %s has a negative dim",
                           tt_shape_text(out, text, sizeof text));
    if (!tt_numel(out->dims, out->rank, &n) ||
        !tt_mul_i64(n, (int64_t)tt_dtype_bytes(out->dtype), &bytes) ||
        bytes > limits->max_tensor_bytes)
        return FAIL_AT(site->node, err, TT_LIMIT,
                       "an output of shape %s and dtype %s exceeds max_tensor_bytes "
                       "(%lld)",
                       tt_shape_text(out, text, sizeof text), tt_dtype_name(out->dtype),
                       (long long)limits->max_tensor_bytes);
    return TT_OK;
}

tt_status tt_infer_same(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 1, err));
    out[0] = *tt_input_shape(site, 0);
    return tt_check_shape(site, &out[0], err);
}

/* Broadcasts all inputs, which must share one dtype. */
static tt_status broadcast_inputs(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_shape shape;
    TT_TRY(tt_need_inputs(site, node->n_inputs > 1 ? node->n_inputs : 1, err));
    shape = *tt_input_shape(site, 0);
    for (int i = 1; i < node->n_inputs; ++i) {
        const tt_shape *other = tt_input_shape(site, i);
        tt_status status;
        if (other->dtype != shape.dtype)
            return FAIL_AT(node, err, TT_BAD_MODEL,
                           "input %d is %s but input 0 is %s, they must agree", i,
                           tt_dtype_name(other->dtype), tt_dtype_name(shape.dtype));
        status = tt_shape_broadcast(&shape, other, &shape, err);
        if (status != TT_OK) {
            tt_error_where(err, node->name);
            return status;
        }
    }
    *out = shape;
    return TT_OK;
}

tt_status tt_infer_broadcast(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(broadcast_inputs(site, out, err));
    return tt_check_shape(site, out, err);
}

tt_status tt_infer_compare(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(broadcast_inputs(site, out, err));
    out->dtype = TT_BOOL;
    return tt_check_shape(site, out, err);
}

/* ---- layers --------------------------------------------------------------- */

tt_dtype tt_layer_dtype(const tt_site *site)
{
    tt_dtype dtype = tt_input_shape(site, 0)->dtype;
    bool is_mixed = dtype == TT_BF16 && tt_input_constant(site, 1) != NULL &&
                    tt_attribute_find(site->node, "mixed_bf16") != NULL;
    return is_mixed ? TT_F32 : dtype;
}

tt_status tt_check_input(const tt_site *site, int i, tt_dtype dtype, int rank,
                         const int64_t *dims, tt_error *err)
{
    tt_shape wanted = {.dtype = dtype, .rank = rank};
    char a[128], b[128];
    if (!tt_has_input(site, i)) return TT_OK;
    memcpy(wanted.dims, dims, (size_t)rank * sizeof *dims);
    if (tt_shape_equal(tt_input_shape(site, i), &wanted)) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d is %s %s, expected %s %s", i,
                      tt_dtype_name(tt_input_shape(site, i)->dtype),
                      tt_shape_text(tt_input_shape(site, i), a, sizeof a),
                      tt_dtype_name(dtype), tt_shape_text(&wanted, b, sizeof b));
}
