/* Scan: a body over slices of its inputs, with states; its outputs are stacked.
 *
 * A slice is the input with other strides: nothing is copied. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "plan/body.h"

typedef struct {
    const tt_node *node;
    int n_states, n_scanned, n_stacked;
    int64_t n; /* iterations */
} scan;

/* Item i of a list attribute, 0 where there is none. */
static tt_status list_item_at(const scan *s, const char *name, int n, int i,
                              int64_t *out, tt_error *err)
{
    const int64_t *list;
    int n_list;
    *out = 0;
    TT_TRY(tt_attribute_ints(s->node, name, &list, &n_list, err));
    if (list == NULL) return TT_OK;
    if (n_list != n)
        return tt_fail(err, TT_BAD_MODEL, "Scan '%s': %s has %d items, expected %d",
                       s->node->name, name, n_list, n);
    *out = list[i];
    return TT_OK;
}

static tt_status axis_at(const scan *s, const char *name, int n, int i, int rank,
                         int *axis, tt_error *err)
{
    int64_t given;
    TT_TRY(list_item_at(s, name, n, i, &given, err));
    return tt_axis(s->node, given, rank, axis, err);
}

static tt_status is_backward(const scan *s, const char *name, int n, int i, bool *out,
                             tt_error *err)
{
    int64_t direction;
    TT_TRY(list_item_at(s, name, n, i, &direction, err));
    *out = direction != 0;
    if (direction == 0 || direction == 1) return TT_OK;
    return tt_fail(err, TT_BAD_MODEL, "Scan '%s': %s is %lld, expected 0 or 1",
                   s->node->name, name, (long long)direction);
}

/* The slice at `at` of an axis. */
static tt_tensor slice_of(const tt_tensor *tensor, int axis, int64_t at)
{
    tt_tensor slice = *tensor;
    int after = tensor->shape.rank - axis - 1;
    size_t item = tt_dtype_bytes(tensor->shape.dtype);
    memmove(slice.shape.dims + axis, slice.shape.dims + axis + 1,
            (size_t)after * sizeof slice.shape.dims[0]);
    memmove(slice.strides + axis, slice.strides + axis + 1,
            (size_t)after * sizeof slice.strides[0]);
    slice.shape.rank--;
    slice.data = (char *)tensor->data + at * tensor->strides[axis] * (int64_t)item;
    return slice;
}

static tt_status check_sliceable(const scan *s, const tt_tensor *tensor, tt_error *err)
{
    if (tensor != NULL && tensor->shape.rank >= 1 &&
        !(tt_dtype_is_object(tensor->shape.dtype) &&
          tensor->shape.dtype != TT_STRING) &&
        tt_dtype_bytes(tensor->shape.dtype) > 0)
        return TT_OK;
    return tt_fail(err, TT_BAD_MODEL,
                   "Scan '%s': an input that is scanned must be a tensor with an axis",
                   s->node->name);
}

/* The n slices of the scanned inputs, at iteration i. */
static tt_status set_slices(const scan *s, tt_body *body, const tt_tensor *scanned,
                            int64_t i, tt_error *err)
{
    for (int k = 0; k < s->n_scanned; ++k) {
        int axis;
        bool backward;
        TT_TRY(axis_at(s, "scan_input_axes", s->n_scanned, k, scanned[k].shape.rank,
                       &axis, err));
        TT_TRY(
            is_backward(s, "scan_input_directions", s->n_scanned, k, &backward, err));
        body->in[s->n_states + k] =
            slice_of(&scanned[k], axis, backward ? s->n - 1 - i : i);
    }
    return TT_OK;
}

static tt_status iterate(const scan *s, tt_body *body, const tt_tensor *scanned,
                         tt_error *err)
{
    if (s->n > body->program->model->options.limits.max_trip_count)
        return tt_fail(err, TT_LIMIT, "Scan '%s': %lld slices exceed max_trip_count",
                       s->node->name, (long long)s->n);
    for (int64_t i = 0; i < s->n; ++i) {
        TT_TRY(set_slices(s, body, scanned, i, err));
        TT_TRY(tt_body_run(body, err));
        for (int k = 0; k < s->n_states; ++k)
            tt_body_carry(body, k, k);
        for (int k = 0; k < s->n_stacked; ++k) {
            bool backward;
            TT_TRY(is_backward(s, "scan_output_directions", s->n_stacked, k, &backward,
                               err));
            TT_TRY(tt_body_stack(body, k, s->n_states + k, backward ? s->n - 1 - i : i,
                                 s->n, err));
        }
    }
    return s->n == 0 ? tt_body_stack_nothing(body, s->n_states, err) : TT_OK;
}

/* The first axis to another place: a copy, unless it stays. */
static tt_status move_first_axis(tt_tensor *from, int to, tt_tensor *out, tt_error *err)
{
    tt_shape shape = from->shape;
    int64_t strides[TT_MAX_RANK], own[TT_MAX_RANK];
    tt_copy *copy;
    if (to == 0) {
        *out = *from;
        from->data = NULL;
        return TT_OK;
    }
    tt_strides_row_major(from->shape.dims, from->shape.rank, own);
    for (int d = 0; d < shape.rank; ++d) {
        int source = d == to ? 0 : d < to ? d + 1 : d;
        shape.dims[d] = from->shape.dims[source];
        strides[d] = own[source];
    }
    TT_TRY(tt_tensor_new(&shape, out, err));
    TT_TRY(tt_copy_compile(tt_dtype_bytes(shape.dtype), &shape, strides, out->strides,
                           &copy, err));
    tt_copy_run(copy, from->data, out->data);
    tt_free(copy);
    tt_free(from->data); /* what it owned is out's now */
    from->data = NULL;
    return TT_OK;
}

static tt_status count_slices(scan *s, const tt_tensor *const *scanned, tt_error *err)
{
    s->n = -1;
    for (int k = 0; k < s->n_scanned; ++k) {
        int axis;
        int64_t n;
        TT_TRY(check_sliceable(s, scanned[k], err));
        TT_TRY(axis_at(s, "scan_input_axes", s->n_scanned, k, scanned[k]->shape.rank,
                       &axis, err));
        n = scanned[k]->shape.dims[axis];
        if (s->n >= 0 && n != s->n)
            return tt_fail(err, TT_BAD_INPUT,
                           "Scan '%s': inputs of %lld and %lld slices", s->node->name,
                           (long long)s->n, (long long)n);
        s->n = n;
    }
    return TT_OK;
}

static tt_status scan_tensors(scan *s, tt_body *body, const tt_tensor *const *inputs,
                              tt_tensor *scanned, tt_tensor *out, tt_error *err)
{
    TT_TRY(count_slices(s, inputs + s->n_states, err));
    for (int k = 0; k < s->n_states; ++k) {
        if (inputs[k] == NULL)
            return tt_fail(err, TT_BAD_MODEL, "Scan '%s': input %d is missing",
                           s->node->name, k);
        body->in[k] = *inputs[k];
    }
    for (int k = 0; k < s->n_scanned; ++k) {
        scanned[k] = *inputs[s->n_states + k];
        tt_strides_row_major(scanned[k].shape.dims, scanned[k].shape.rank,
                             scanned[k].strides);
    }
    TT_TRY(iterate(s, body, scanned, err));
    for (int k = 0; k < s->n_states; ++k)
        TT_TRY(tt_body_give(body, k, &out[k], err));
    for (int k = 0; k < s->n_stacked; ++k) {
        tt_tensor *all = &body->stacked[k].all;
        int part = body->graph->outputs[s->n_states + k], axis = 0;
        /* without slices the rank is what the body declares, or anybody's guess */
        if (s->n > 0 || body->graph->values[part].shape.rank != TT_UNKNOWN_RANK)
            TT_TRY(axis_at(s, "scan_output_axes", s->n_stacked, k, all->shape.rank,
                           &axis, err));
        TT_TRY(move_first_axis(all, axis, &out[s->n_states + k], err));
    }
    return TT_OK;
}

tt_status tt_scan_run(tt_body *body, const tt_node *node,
                      const tt_tensor *const *inputs, tt_tensor *out, tt_error *err)
{
    int n_formal = node->n_inputs - node->n_captures;
    scan s = {.node = node};
    int64_t n_scanned;
    tt_tensor *scanned;
    tt_status status;
    TT_TRY(tt_attribute_int(node, "num_scan_inputs", 0, &n_scanned, err));
    if (n_scanned < 1 || n_scanned > n_formal)
        return tt_fail(err, TT_BAD_MODEL,
                       "Scan '%s': num_scan_inputs is %lld, expected 1 to %d",
                       node->name, (long long)n_scanned, n_formal);
    s.n_scanned = (int)n_scanned;
    s.n_states = n_formal - s.n_scanned;
    s.n_stacked = node->n_outputs - s.n_states;
    TT_TRY(
        tt_body_begin(body, node, inputs, n_formal, node->n_outputs, s.n_stacked, err));
    scanned = tt_calloc((size_t)n_scanned, sizeof *scanned);
    if (scanned == NULL) return tt_fail(err, TT_NO_MEMORY, "inputs of a Scan");
    status = scan_tensors(&s, body, inputs, scanned, out, err);
    tt_free(scanned);
    return status;
}
