/* Sequences of tensors: made, taken apart, measured.
 *
 * A sequence is one element, a reference to a list (base/object.h) that no operator
 * changes; so each of these is evaluated, and what leaves a list is a copy. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "kernels/copy.h"
#include "ops/eval.h"
#include "ops/fail.h"

static const tt_shape sequence_shape = {.dtype = TT_SEQUENCE};

static tt_status need_sequence(const tt_site *site, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 1, err));
    if (tt_input_shape(site, 0)->dtype == TT_SEQUENCE) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input 0 must be a sequence, it is %s",
                      tt_dtype_name(tt_input_shape(site, 0)->dtype));
}

static tt_status infer_sequence(tt_site *site, tt_shape *out, tt_error *err)
{
    (void)out;
    TT_TRY(need_sequence(site, err));
    return tt_needs_run(site, err);
}

/* Position `which` of the inputs, wrapped, in [0, n); `fallback` where there is none. */
static tt_status read_position(const tt_site *site, const tt_tensor *const *inputs,
                               int which, int64_t n, int64_t fallback, int64_t *out,
                               tt_error *err)
{
    const tt_tensor *input = which < site->node->n_inputs ? inputs[which] : NULL;
    *out = fallback;
    if (input == NULL) return TT_OK;
    if (tt_shape_numel(&input->shape) != 1 ||
        (input->shape.dtype != TT_S32 && input->shape.dtype != TT_S64))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the position must be one int32 or int64, it is %s",
                          tt_dtype_name(input->shape.dtype));
    *out = input->shape.dtype == TT_S64 ? *(const int64_t *)input->data
                                        : *(const int32_t *)input->data;
    if (*out >= -n && *out < n) {
        if (*out < 0) *out += n;
        return TT_OK;
    }
    return tt_fail_at(site->node, err, TT_BAD_INPUT,
                      "position %lld is outside [-%lld, %lld)", (long long)*out,
                      (long long)n, (long long)n);
}

/* out becomes the list; takes the reference. */
static tt_status give_list(const tt_site *site, tt_list *list, tt_tensor *out,
                           tt_error *err)
{
    tt_status status = tt_eval_output(site, &sequence_shape, out, err);
    if (status == TT_OK)
        *(tt_list **)out->data = list;
    else
        tt_list_unref(list);
    return status;
}

/* ---- SequenceEmpty, SequenceConstruct ------------------------------------------ */

static tt_status infer_made(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *first = NULL;
    (void)out;
    for (int i = 0; i < site->node->n_inputs; ++i) {
        TT_TRY(tt_need_inputs(site, i + 1, err));
        if (first == NULL) first = tt_input_shape(site, i);
        if (first->dtype == TT_SEQUENCE || first->dtype == TT_NOTHING)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d is a %s: a sequence holds tensors", i,
                              tt_dtype_name(first->dtype));
        if (tt_input_shape(site, i)->dtype != first->dtype)
            return tt_fail_at(
                site->node, err, TT_BAD_MODEL,
                "input %d is %s, input 0 is %s: the tensors of a sequence "
                "are of one type",
                i, tt_dtype_name(tt_input_shape(site, i)->dtype),
                tt_dtype_name(first->dtype));
    }
    return tt_needs_run(site, err);
}

static tt_status eval_construct(tt_site *site, const tt_tensor *const *inputs,
                                tt_tensor *out, tt_error *err)
{
    tt_list *list = NULL;
    tt_status status = TT_OK;
    for (int i = 0; i < site->node->n_inputs && status == TT_OK; ++i) {
        tt_tensor item;
        status = tt_tensor_clone(inputs[i], &item, err);
        if (status == TT_OK)
            status = tt_list_append(&list, &item, site->graph->limits, err);
    }
    if (status == TT_OK) return give_list(site, list, out, err);
    tt_list_unref(list);
    return status;
}

/* ---- SequenceAt, SequenceInsert, SequenceErase, SequenceLength -------------------- */

static tt_status eval_at(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                         tt_error *err)
{
    const tt_list *list = tt_tensor_list(inputs[0]);
    int64_t at;
    TT_TRY(read_position(site, inputs, 1, tt_list_n(list), -1, &at, err));
    if (at < 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%s",
                          "the position is missing");
    return tt_tensor_clone(tt_list_at(list, at), out, err);
}

/* A sequence of n tensors has n + 1 places, of which -1 is the last but one. */
static tt_status read_place(const tt_site *site, const tt_tensor *const *inputs,
                            int64_t n, int64_t *out, tt_error *err)
{
    const tt_tensor *place = site->node->n_inputs > 2 ? inputs[2] : NULL;
    int64_t given;
    *out = n;
    if (place == NULL) return TT_OK;
    if (tt_shape_numel(&place->shape) == 1 && place->shape.dtype == TT_S64) {
        given = *(const int64_t *)place->data;
        if (given == n) return TT_OK;
    } else if (tt_shape_numel(&place->shape) == 1 && place->shape.dtype == TT_S32 &&
               *(const int32_t *)place->data == n) {
        return TT_OK;
    }
    return read_position(site, inputs, 2, n, n, out, err);
}

static tt_status infer_insert(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 2, err));
    return infer_sequence(site, out, err);
}

static tt_status eval_insert(tt_site *site, const tt_tensor *const *inputs,
                             tt_tensor *out, tt_error *err)
{
    tt_list *list = tt_tensor_list(inputs[0]), *longer;
    tt_dtype dtype = inputs[1]->shape.dtype;
    tt_tensor item;
    int64_t at;
    TT_TRY(read_place(site, inputs, tt_list_n(list), &at, err));
    if (tt_list_n(list) > 0 && tt_list_at(list, 0)->shape.dtype != dtype)
        return tt_fail_at(site->node, err, TT_BAD_INPUT_TYPE,
                          "a tensor of %s cannot go into a sequence of %s",
                          tt_dtype_name(dtype),
                          tt_dtype_name(tt_list_at(list, 0)->shape.dtype));
    TT_TRY(tt_tensor_clone(inputs[1], &item, err));
    TT_TRY(tt_list_insert(list, at, &item, site->graph->limits, &longer, err));
    return give_list(site, longer, out, err);
}

static tt_status eval_erase(tt_site *site, const tt_tensor *const *inputs,
                            tt_tensor *out, tt_error *err)
{
    const tt_list *list = tt_tensor_list(inputs[0]);
    tt_list *shorter;
    int64_t at, n = tt_list_n(list);
    TT_TRY(read_position(site, inputs, 1, n, n - 1, &at, err));
    if (n == 0)
        return tt_fail_at(site->node, err, TT_BAD_INPUT, "%s", "the sequence is empty");
    TT_TRY(tt_list_erase(list, at, &shorter, err));
    return give_list(site, shorter, out, err);
}

static tt_status eval_length(tt_site *site, const tt_tensor *const *inputs,
                             tt_tensor *out, tt_error *err)
{
    tt_shape shape = {.dtype = TT_S64};
    TT_TRY(tt_eval_output(site, &shape, out, err));
    *(int64_t *)out->data = tt_list_n(tt_tensor_list(inputs[0]));
    return TT_OK;
}

/* ---- SplitToSequence --------------------------------------------------------------- */

typedef struct {
    const tt_tensor *tensor;
    const tt_tensor *lengths; /* one, or one per part; NULL: parts of 1 */
    int axis;
    bool drops_axis;
} splitting;

static int64_t length_at(const tt_tensor *lengths, int64_t i)
{
    return lengths->shape.dtype == TT_S64 ? ((const int64_t *)lengths->data)[i]
                                          : ((const int32_t *)lengths->data)[i];
}

/* The elements [begin, begin + length) of the axis as a tensor of its own. */
static tt_status copy_part(const splitting *s, int64_t begin, int64_t length,
                           tt_tensor *out, tt_error *err)
{
    const tt_shape *src = &s->tensor->shape;
    tt_shape shape = *src, kept;
    int64_t strides[TT_MAX_RANK], dst[TT_MAX_RANK];
    size_t item = tt_dtype_bytes(src->dtype);
    tt_copy *copy;
    shape.dims[s->axis] = length;
    kept = shape;
    if (s->drops_axis) {
        memmove(kept.dims + s->axis, kept.dims + s->axis + 1,
                (size_t)(kept.rank - s->axis - 1) * sizeof kept.dims[0]);
        kept.rank--;
    }
    tt_strides_row_major(src->dims, src->rank, strides);
    tt_strides_row_major(shape.dims, shape.rank, dst);
    TT_TRY(tt_copy_compile(item, &shape, strides, dst, &copy, err));
    if (tt_tensor_new(&kept, out, err) != TT_OK) {
        tt_free(copy);
        return TT_NO_MEMORY;
    }
    tt_copy_run(
        copy, (const char *)s->tensor->data + begin * strides[s->axis] * (int64_t)item,
        out->data);
    tt_free(copy);
    tt_tensor_own(out);
    return TT_OK;
}

static tt_status read_split(const tt_site *site, const tt_tensor *const *inputs,
                            splitting *s, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t axis, keepdims;
    s->tensor = inputs[0];
    s->lengths = node->n_inputs > 1 ? inputs[1] : NULL;
    TT_TRY(tt_attribute_int(node, "axis", 0, &axis, err));
    TT_TRY(tt_attribute_int(node, "keepdims", 1, &keepdims, err));
    TT_TRY(tt_axis(node, axis, s->tensor->shape.rank, &s->axis, err));
    s->drops_axis = s->lengths == NULL && keepdims == 0;
    if (tt_dtype_bytes(s->tensor->shape.dtype) == 0)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "elements of %s",
                          tt_dtype_name(s->tensor->shape.dtype));
    if (s->lengths == NULL) return TT_OK;
    if (s->lengths->shape.rank > 1 ||
        (s->lengths->shape.dtype != TT_S64 && s->lengths->shape.dtype != TT_S32))
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s",
                          "split must be one length or a list of them");
    return TT_OK;
}

/* Length of part i that begins at `begin`. */
static tt_status part_length(const tt_site *site, const splitting *s, int64_t i,
                             int64_t begin, int64_t *out, tt_error *err)
{
    int64_t left = s->tensor->shape.dims[s->axis] - begin;
    bool is_list = s->lengths != NULL && s->lengths->shape.rank == 1;
    *out = s->lengths == NULL ? 1 : length_at(s->lengths, is_list ? i : 0);
    if (!is_list && *out > left && *out > 0) *out = left;
    if (*out < (is_list ? 0 : 1) || *out > left)
        return tt_fail_at(site->node, err, TT_BAD_INPUT,
                          "part %lld has %lld elements, %lld are left", (long long)i,
                          (long long)*out, (long long)left);
    return TT_OK;
}

static tt_status split(const tt_site *site, const splitting *s, tt_list **list,
                       tt_error *err)
{
    int64_t n = s->tensor->shape.dims[s->axis], begin = 0, length;
    bool is_list = s->lengths != NULL && s->lengths->shape.rank == 1;
    int64_t n_parts = is_list ? s->lengths->shape.dims[0] : INT64_MAX;
    for (int64_t i = 0; i < n_parts && (is_list || begin < n); ++i) {
        tt_tensor part;
        TT_TRY(part_length(site, s, i, begin, &length, err));
        TT_TRY(copy_part(s, begin, length, &part, err));
        TT_TRY(tt_list_append(list, &part, site->graph->limits, err));
        begin += length;
    }
    if (begin == n) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_INPUT,
                      "the lengths sum to %lld, the axis has %lld", (long long)begin,
                      (long long)n);
}

static tt_status infer_split(tt_site *site, tt_shape *out, tt_error *err)
{
    (void)out;
    TT_TRY(tt_need_inputs(site, 1, err));
    return tt_needs_run(site, err);
}

static tt_status eval_split(tt_site *site, const tt_tensor *const *inputs,
                            tt_tensor *out, tt_error *err)
{
    splitting s;
    tt_list *list = NULL;
    tt_status status = read_split(site, inputs, &s, err);
    if (status == TT_OK) status = split(site, &s, &list, err);
    if (status == TT_OK) return give_list(site, list, out, err);
    tt_list_unref(list);
    return status;
}

/* ---- ConcatFromSequence -------------------------------------------------------------- */

/* The shape of all parts together; every part is one index of a new axis when
 * `is_new`. */
static tt_status joined_shape(const tt_site *site, const tt_list *list, int axis,
                              bool is_new, tt_shape *out, tt_error *err)
{
    const tt_shape *first = &tt_list_at(list, 0)->shape;
    *out = *first;
    for (int64_t i = 1; i < tt_list_n(list); ++i) {
        const tt_shape *part = &tt_list_at(list, i)->shape;
        bool fits = part->rank == first->rank && part->dtype == first->dtype;
        for (int d = 0; fits && d < first->rank; ++d)
            fits = part->dims[d] == first->dims[d] || (d == axis && !is_new);
        if (fits && !is_new)
            fits = tt_add_i64(out->dims[axis], part->dims[axis], &out->dims[axis]);
        if (!fits) {
            char one[256], other[256];
            return tt_fail_at(
                site->node, err, TT_BAD_INPUT,
                "tensor %lld is %s%s, which does not fit %s%s", (long long)i,
                tt_dtype_name(part->dtype), tt_shape_text(part, other, sizeof other),
                tt_dtype_name(first->dtype), tt_shape_text(first, one, sizeof one));
        }
    }
    if (!is_new) return TT_OK;
    memmove(out->dims + axis + 1, out->dims + axis,
            (size_t)(out->rank - axis) * sizeof out->dims[0]);
    out->dims[axis] = tt_list_n(list);
    out->rank++;
    return TT_OK;
}

/* Copies part by part to where it belongs. */
static tt_status join(const tt_list *list, int axis, bool is_new, tt_tensor *out,
                      tt_error *err)
{
    size_t item = tt_dtype_bytes(out->shape.dtype);
    char *data = out->data;
    for (int64_t i = 0; i < tt_list_n(list); ++i) {
        const tt_tensor *part = tt_list_at(list, i);
        int64_t strides[TT_MAX_RANK];
        tt_copy *copy;
        for (int d = 0; d < part->shape.rank; ++d)
            strides[d] = out->strides[is_new && d >= axis ? d + 1 : d];
        TT_TRY(tt_copy_compile(item, &part->shape, part->strides, strides, &copy, err));
        tt_copy_run(copy, part->data, data);
        tt_free(copy);
        data +=
            (is_new ? 1 : part->shape.dims[axis]) * out->strides[axis] * (int64_t)item;
    }
    return TT_OK;
}

static tt_status eval_concat(tt_site *site, const tt_tensor *const *inputs,
                             tt_tensor *out, tt_error *err)
{
    const tt_list *list = tt_tensor_list(inputs[0]);
    int64_t given, new_axis;
    tt_status status;
    tt_shape shape;
    int axis, rank;
    if (tt_attribute_find(site->node, "axis") == NULL)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%s",
                          "attribute 'axis' is missing");
    TT_TRY(tt_attribute_int(site->node, "axis", 0, &given, err));
    TT_TRY(tt_attribute_int(site->node, "new_axis", 0, &new_axis, err));
    if (tt_list_n(list) == 0)
        return tt_fail_at(site->node, err, TT_BAD_INPUT, "%s",
                          "an empty sequence has nothing to join");
    rank = tt_list_at(list, 0)->shape.rank + (new_axis != 0);
    if (rank > TT_MAX_RANK || tt_dtype_bytes(tt_list_at(list, 0)->shape.dtype) == 0)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "rank %d of %s", rank,
                          tt_dtype_name(tt_list_at(list, 0)->shape.dtype));
    TT_TRY(tt_axis(site->node, given, rank, &axis, err));
    TT_TRY(joined_shape(site, list, axis, new_axis != 0, &shape, err));
    TT_TRY(tt_eval_output(site, &shape, out, err));
    status = join(list, axis, new_axis != 0, out, err);
    if (status == TT_OK) {
        tt_tensor_own(out);
    } else { /* what is there of it is borrowed */
        tt_free(out->data);
        out->data = NULL;
    }
    return status;
}

/* ---- records -------------------------------------------------------------------------- */

#define SEQUENCE_OP(id, name_, infer_, eval_, text) \
    const tt_op tt_op_##id = {.name = name_,        \
                              .domain = "",         \
                              .since = 11,          \
                              .summary = text,      \
                              .infer = infer_,      \
                              .eval = eval_,        \
                              .takes_sequences = true};

SEQUENCE_OP(concat_from_sequence, "ConcatFromSequence", infer_sequence, eval_concat,
            "the tensors of a sequence as one")
SEQUENCE_OP(sequence_at, "SequenceAt", infer_sequence, eval_at,
            "one tensor of a sequence")
SEQUENCE_OP(sequence_construct, "SequenceConstruct", infer_made, eval_construct,
            "a sequence of the inputs")
SEQUENCE_OP(sequence_empty, "SequenceEmpty", infer_made, eval_construct,
            "a sequence of no tensors")
SEQUENCE_OP(sequence_erase, "SequenceErase", infer_sequence, eval_erase,
            "a sequence without one of its tensors")
SEQUENCE_OP(sequence_insert, "SequenceInsert", infer_insert, eval_insert,
            "a sequence with one tensor more")
SEQUENCE_OP(sequence_length, "SequenceLength", infer_sequence, eval_length,
            "the number of tensors of a sequence")
SEQUENCE_OP(split_to_sequence, "SplitToSequence", infer_split, eval_split,
            "the parts of a tensor along an axis as a sequence")
