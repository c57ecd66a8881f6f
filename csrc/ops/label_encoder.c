/* LabelEncoder of ai.onnx.ml (2 and 4) where keys and values are numbers, made of it by
 * formats/onnx_ml.py: one of strings is none.  Keys are compared as integers in the order of the floats (kernels/forest.h), NaN equal to itself, and
 * found by bisection. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/threads.h"
#include "kernels/forest.h"
#include "kernels/item.h"
#include "kernels/sort.h"
#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/move.h"

enum { SRC, TABLE, DST, N_POINTERS, GRAIN = 4096 };

/* ---- the table -------------------------------------------------------------------- */

/* A list of numbers in any of the attributes that may hold it. */
typedef struct {
    tt_dtype dtype; /* TT_F32 or TT_S64 for lists */
    const void *data;
    int64_t n;
} numbers;

static tt_status read_numbers(const tt_node *node, const char *ints, const char *floats,
                              const char *tensor, numbers *out, tt_error *err)
{
    const tt_attribute *found = tt_attribute_find(node, tensor);
    const int64_t *whole;
    const float *real;
    int n_ints, n_floats;
    TT_TRY(tt_attribute_ints(node, ints, &whole, &n_ints, err));
    TT_TRY(tt_attribute_floats(node, floats, &real, &n_floats, err));
    if (n_ints > 0)
        *out = (numbers){TT_S64, whole, n_ints};
    else if (n_floats > 0)
        *out = (numbers){TT_F32, real, n_floats};
    else if (found == NULL || found->kind != TT_ATTRIBUTE_TENSOR)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "expected numbers in %s, %s or %s",
                          ints, floats, tensor);
    else
        *out = (numbers){tt_constant_shape(found->as.tensor)->dtype,
                         tt_constant_data(found->as.tensor),
                         tt_shape_numel(tt_constant_shape(found->as.tensor))};
    switch ((int)out->dtype) {
    case TT_F32:
    case TT_F64:
    case TT_S64:
    case TT_S32:
    case TT_S16:
        break;
    default:
        return tt_fail_at(node, err, TT_UNSUPPORTED, "a table of %s",
                          tt_dtype_name(out->dtype));
    }
    if (out->data == NULL && out->n > 0)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "%s is kept in a file of its own",
                          tensor);
    return TT_OK;
}

static bool is_real(tt_dtype dtype)
{
    return dtype == TT_F32 || dtype == TT_F64;
}

/* What stands for an item in comparisons. */
static inline int64_t key_of(tt_dtype dtype, const void *data, int64_t i)
{
    if (is_real(dtype))
        return tt_forest_key_f64(tt_item_load(dtype, data, i), INT64_MAX);
    return tt_item_load_int(dtype, data, i);
}

/* What is not in the table, as 8 bytes of the dtype of the values. */
static tt_status read_default(const tt_node *node, tt_dtype dtype, int64_t *out,
                              tt_error *err)
{
    const tt_attribute *found = tt_attribute_find(node, "default_tensor");
    float real;
    int64_t whole;
    *out = 0;
    TT_TRY(tt_attribute_float(node, "default_float", -0.0f, &real, err));
    TT_TRY(tt_attribute_int(node, "default_int64", -1, &whole, err));
    if (found != NULL) {
        const tt_shape *shape;
        if (found->kind != TT_ATTRIBUTE_TENSOR)
            return tt_fail_at(node, err, TT_BAD_MODEL, "default_tensor is no tensor");
        shape = tt_constant_shape(found->as.tensor);
        if (shape->dtype != dtype || tt_shape_numel(shape) != 1 ||
            tt_constant_data(found->as.tensor) == NULL)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "default_tensor must be one %s, as the values",
                              tt_dtype_name(dtype));
        memcpy(out, tt_constant_data(found->as.tensor), tt_dtype_bytes(dtype));
    } else if (is_real(dtype)) {
        tt_item_store(dtype, out, 0, (double)real);
    } else {
        tt_item_store_int(dtype, out, 0, whole);
    }
    return TT_OK;
}

typedef struct {
    numbers keys, values;
} table_lists;

static tt_status read_lists(const tt_node *node, table_lists *lists, tt_error *err)
{
    TT_TRY(read_numbers(node, "keys_int64s", "keys_floats", "keys_tensor", &lists->keys,
                        err));
    TT_TRY(read_numbers(node, "values_int64s", "values_floats", "values_tensor",
                        &lists->values, err));
    if (lists->keys.n != lists->values.n)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%lld keys, %lld values",
                          (long long)lists->keys.n, (long long)lists->values.n);
    return TT_OK;
}

static bool comes_before(const void *arg, int64_t a, int64_t b)
{
    const numbers *keys = arg;
    return key_of(keys->dtype, keys->data, a) < key_of(keys->dtype, keys->data, b);
}

/* n keys that rise, then n values of 8 bytes.  Of equal keys the first is found. */
static void write_table(const table_lists *lists, int64_t *order, int64_t *table)
{
    const int64_t n = lists->keys.n;
    const size_t bytes = tt_dtype_bytes(lists->values.dtype);
    for (int64_t i = 0; i < n; ++i)
        order[i] = i;
    tt_sort_indices(order, order + n, n, comes_before, &lists->keys);
    for (int64_t i = 0; i < n; ++i) {
        table[i] = key_of(lists->keys.dtype, lists->keys.data, order[i]);
        memcpy(&table[n + i],
               (const char *)lists->values.data + (size_t)order[i] * bytes, bytes);
    }
}

/* A tt_make of plan/lower.h. */
static tt_status make_table(const tt_node *node, int variant, tt_constant **out,
                            tt_error *err)
{
    tt_shape shape = {.dtype = TT_S64, .rank = 1};
    table_lists lists;
    int64_t *order;
    void *data;
    (void)variant;
    TT_TRY(read_lists(node, &lists, err));
    shape.dims[0] = 2 * lists.keys.n;
    order = tt_calloc((size_t)lists.keys.n + 1, 2 * sizeof *order);
    if (order == NULL)
        return tt_fail_at(node, err, TT_NO_MEMORY, "%lld keys",
                          (long long)lists.keys.n);
    tt_status status = tt_constant_empty(&shape, out, &data, err);
    if (status == TT_OK) write_table(&lists, order, data);
    tt_free(order);
    return status;
}

/* ---- items ------------------------------------------------------------------------ */

typedef struct {
    tt_dtype src, dst;
    int64_t n_items, n_keys, missing;
} encoder;

typedef struct {
    const encoder *encoder;
    const void *src;
    const int64_t *table;
    char *dst;
} encoder_run;

static void run_items(void *arg, int64_t begin, int64_t end)
{
    const encoder_run *run = arg;
    const encoder *e = run->encoder;
    const size_t bytes = tt_dtype_bytes(e->dst);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t key = key_of(e->src, run->src, i);
        int64_t low = 0, high = e->n_keys;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (run->table[middle] < key)
                low = middle + 1;
            else
                high = middle;
        }
        const bool is_found = low < e->n_keys && run->table[low] == key;
        memcpy(run->dst + (size_t)i * bytes,
               is_found ? &run->table[e->n_keys + low] : &e->missing, bytes);
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const encoder *e = params;
    encoder_run all = {e, ptrs[SRC], ptrs[TABLE], ptrs[DST]};
    (void)err;
    tt_parallel_for(e->n_items, GRAIN, run_items, &all);
    return TT_OK;
}

/* ---- the operator ----------------------------------------------------------------- */

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    table_lists lists;
    int64_t missing;
    tt_dtype dtype;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(read_lists(site->node, &lists, err));
    TT_TRY(read_default(site->node, lists.values.dtype, &missing, err));
    dtype = tt_input_shape(site, 0)->dtype;
    if (dtype != lists.keys.dtype)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "keys of %s for items of %s",
                          tt_dtype_name(lists.keys.dtype), tt_dtype_name(dtype));
    *out = *tt_input_shape(site, 0);
    out->dtype = lists.values.dtype;
    return tt_check_shape(site, out, err);
}

static tt_status lower_encoder(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    encoder e = {.src = tt_input_shape(&site, 0)->dtype};
    tt_operand operands[N_POINTERS];
    table_lists lists;
    const void *made;
    tt_work work = {0};
    TT_TRY(read_lists(node, &lists, err));
    e.n_items = tt_shape_numel(tt_input_shape(&site, 0));
    e.n_keys = lists.keys.n;
    e.dst = lists.values.dtype;
    TT_TRY(read_default(node, e.dst, &e.missing, err));
    TT_TRY(tt_lower_made(lower, node, make_table, 0, &operands[TABLE], &made, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[SRC], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[DST], err));
    work.bytes = 16 * (double)e.n_items;
    work.cost_ns = 30 + 20 * (double)e.n_items;
    return tt_lower_kernel(lower, node, "label_encoder", run, &e, sizeof e, operands, 2,
                           1, &work, err);
}

const tt_op tt_op_label_encoder = {.name = "LabelEncoder",
                                   .domain = "trimtab",
                                   .since = 1,
                                   .summary = "numbers by a table of numbers",
                                   .infer = infer,
                                   .lower = lower_encoder};
