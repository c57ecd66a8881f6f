/* Unique: the different elements (or slices along an axis), where each was first, which
 * each element is, and how often it came. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "kernels/item.h"
#include "kernels/sort.h"
#include "ops/eval.h"
#include "ops/fail.h"

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    *axis = -1;
    if (tt_attribute_find(node, "axis") == NULL) return TT_OK;
    TT_TRY(tt_attribute_int(node, "axis", 0, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int axis;
    (void)out;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    TT_TRY(read_axis(site->node, src->rank, &axis, err));
    if (!tt_dtype_is_float(src->dtype) && !tt_dtype_is_int(src->dtype) &&
        src->dtype != TT_BOOL)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "order of %s",
                          tt_dtype_name(src->dtype));
    return tt_needs_run(site, err);
}

/* n rows of row_items, one after the other in memory. */
typedef struct {
    tt_dtype dtype;
    int64_t n, row_items;
    const void *data;
} rows;

/* Negative, zero or positive as item i is less than, equal to or greater than item j;
 * NaN is greater than any number and equal to itself. */
static int compare_items(const rows *r, int64_t i, int64_t j)
{
    if (tt_dtype_is_float(r->dtype)) {
        double a = tt_item_load(r->dtype, r->data, i);
        double b = tt_item_load(r->dtype, r->data, j);
        if (a != a || b != b) return (a != a) - (b != b);
        return (a > b) - (a < b);
    }
    int64_t a = tt_item_load_int(r->dtype, r->data, i);
    int64_t b = tt_item_load_int(r->dtype, r->data, j);
    if (r->dtype == TT_U64)
        return ((uint64_t)a > (uint64_t)b) - ((uint64_t)a < (uint64_t)b);
    return (a > b) - (a < b);
}

static int compare_rows(const rows *r, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < r->row_items; ++k) {
        int order = compare_items(r, i * r->row_items + k, j * r->row_items + k);
        if (order != 0) return order;
    }
    return 0;
}

static bool row_before(const void *arg, int64_t i, int64_t j)
{
    return compare_rows(arg, i, j) < 0;
}

static bool index_before(const void *arg, int64_t i, int64_t j)
{
    const int64_t *first = arg;
    return first[i] < first[j];
}

/* Lists with room for n numbers each. */
typedef struct {
    int64_t *order, *scratch; /* of rows, then of groups */
    int64_t *first, *count;   /* of each group, in sorted order */
    int64_t *group;           /* of each row */
    int64_t n_groups;
} groups;

static void find_groups(const rows *r, bool sorted, groups *g)
{
    for (int64_t i = 0; i < r->n; ++i)
        g->order[i] = i;
    tt_sort_indices(g->order, g->scratch, r->n, row_before, r);
    g->n_groups = 0;
    for (int64_t i = 0; i < r->n; ++i) {
        int64_t row = g->order[i];
        if (i == 0 || compare_rows(r, g->order[i - 1], row) != 0) {
            g->first[g->n_groups] = row; /* the sort is stable: the lowest */
            g->count[g->n_groups++] = 0;
        }
        g->count[g->n_groups - 1]++;
        g->group[row] = g->n_groups - 1;
    }
    for (int64_t i = 0; i < g->n_groups; ++i)
        g->order[i] = i;
    if (!sorted)
        tt_sort_indices(g->order, g->scratch, g->n_groups, index_before, g->first);
    for (int64_t i = 0; i < g->n_groups; ++i)
        g->scratch[g->order[i]] = i; /* place of each group in the output */
}

static tt_status write_numbers(const tt_site *site, const rows *r, const groups *g,
                               tt_tensor *out, tt_error *err)
{
    for (int k = 1; k < site->node->n_outputs; ++k) {
        tt_shape shape = {.dtype = TT_S64, .rank = 1};
        int64_t *to;
        if (site->node->outputs[k] < 0) continue;
        shape.dims[0] = k == 2 ? r->n : g->n_groups;
        TT_TRY(tt_eval_output(site, &shape, &out[k], err));
        to = out[k].data;
        for (int64_t i = 0; i < shape.dims[0]; ++i)
            to[i] = k == 1   ? g->first[g->order[i]]
                    : k == 2 ? g->scratch[g->group[i]]
                             : g->count[g->order[i]];
    }
    return TT_OK;
}

/* dst[.., i, ..] = the first row of group i; `strides` are those of rows in src. */
static tt_status write_values(const tt_site *site, const rows *r, const groups *g,
                              const tt_shape *src, int axis, tt_tensor *out,
                              tt_error *err)
{
    size_t item = tt_dtype_bytes(r->dtype);
    tt_shape shape = axis < 0 ? (tt_shape){.dtype = r->dtype, .rank = 1} : *src;
    int64_t n_inner = 1;
    shape.dims[axis < 0 ? 0 : axis] = g->n_groups;
    for (int i = axis + 1; i < src->rank && axis >= 0; ++i)
        n_inner *= src->dims[i];
    TT_TRY(tt_eval_output(site, &shape, &out[0], err));
    for (int64_t i = 0; i < g->n_groups; ++i) {
        const char *from = (const char *)r->data +
                           (size_t)(g->first[g->order[i]] * r->row_items) * item;
        for (int64_t o = 0; o * n_inner < r->row_items; ++o)
            memcpy((char *)out[0].data +
                       (size_t)((o * g->n_groups + i) * n_inner) * item,
                   from + (size_t)(o * n_inner) * item, (size_t)n_inner * item);
    }
    return TT_OK;
}

/* The axis first, so that each slice is one row; *owned is freed by the caller. */
static tt_status make_rows(const tt_tensor *src, int axis, rows *r, void **owned,
                           tt_error *err)
{
    tt_shape moved = src->shape;
    int64_t from[TT_MAX_RANK], to[TT_MAX_RANK], strides[TT_MAX_RANK];
    tt_copy *copy;
    *owned = NULL;
    *r = (rows){src->shape.dtype, tt_shape_numel(&src->shape), 1, src->data};
    if (axis < 0) return TT_OK;
    tt_strides_row_major(src->shape.dims, src->shape.rank, strides);
    for (int i = 0, at = 1; i < moved.rank; ++i) {
        int place = i == axis ? 0 : at++;
        moved.dims[place] = src->shape.dims[i];
        from[place] = strides[i];
    }
    tt_strides_row_major(moved.dims, moved.rank, to);
    r->row_items = 1;
    for (int i = 1; i < moved.rank; ++i)
        r->row_items *= moved.dims[i];
    r->n = moved.dims[0];
    TT_TRY(tt_copy_compile(tt_dtype_bytes(moved.dtype), &moved, from, to, &copy, err));
    *owned = tt_alloc(tt_shape_bytes(&moved) + 1);
    if (*owned != NULL) tt_copy_run(copy, src->data, *owned);
    tt_free(copy);
    r->data = *owned;
    return *owned != NULL ? TT_OK : tt_fail(err, TT_NO_MEMORY, "slices to compare");
}

static tt_status eval(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                      tt_error *err)
{
    int64_t sorted, *lists = NULL;
    void *owned = NULL;
    tt_status status;
    groups g;
    rows r;
    int axis;
    TT_TRY(read_axis(site->node, inputs[0]->shape.rank, &axis, err));
    TT_TRY(tt_attribute_int(site->node, "sorted", 1, &sorted, err));
    status = make_rows(inputs[0], axis, &r, &owned, err);
    if (status == TT_OK) {
        lists = tt_calloc((size_t)r.n + 1, 5 * sizeof *lists);
        if (lists == NULL)
            status = tt_fail_at(site->node, err, TT_NO_MEMORY, "%lld slices to sort",
                                (long long)r.n);
    }
    if (status == TT_OK) {
        g = (groups){lists,           lists + r.n,     lists + 2 * r.n,
                     lists + 3 * r.n, lists + 4 * r.n, 0};
        find_groups(&r, sorted != 0, &g);
        status = write_values(site, &r, &g, &inputs[0]->shape, axis, out, err);
    }
    if (status == TT_OK) status = write_numbers(site, &r, &g, out, err);
    tt_free(lists);
    tt_free(owned);
    return status;
}

const tt_op tt_op_unique = {.name = "Unique",
                            .domain = "",
                            .since = 11,
                            .summary = "the different elements or slices",
                            .infer = infer,
                            .eval = eval};
