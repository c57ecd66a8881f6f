/* Weights in the layout that whoever multiplies by them wants: a primitive's, or one of
 * our own kernels'.  Made once per model and shared by its plans; the model owns them. */
#include "plan/packed.h"

#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fork.h"
#include "plan/lower_state.h"
#include "plan/packed_file.h"

struct tt_packed {
    tt_packed *next;
    tt_constant *source; /* reference */
    int64_t offset;
    tt_md plain;       /* how the source was seen */
    tt_layout *layout; /* a primitive's, or NULL: `make` says */
    tt_derive make;
    void *data; /* in the model's pool */
    size_t bytes;
    bool has_source_key; /* of a lazy source */
    tt_hash source_key;
    bool has_key;
    tt_hash key; /* names it in a file of packed weights */
};

/* What is asked for: the same fields. */
typedef tt_packed request;

static bool md_equal(const tt_md *a, const tt_md *b)
{
    if (a->dtype != b->dtype || a->ndims != b->ndims) return false;
    for (int i = 0; i < a->ndims; ++i)
        if (a->dims[i] != b->dims[i] || a->strides[i] != b->strides[i]) return false;
    return true;
}

/* Joined weights are made anew for each plan: they are the same by their key. */
static bool same_source(const tt_packed *made, const request *wanted)
{
    if (made->source == wanted->source) return true;
    return made->has_source_key && wanted->has_source_key &&
           tt_hash_equal(made->source_key, wanted->source_key);
}

static bool is_same(const tt_packed *made, const request *wanted)
{
    if (!same_source(made, wanted) || made->offset != wanted->offset) return false;
    if (made->make != wanted->make || !md_equal(&made->plain, &wanted->plain))
        return false;
    if (made->layout == NULL || wanted->layout == NULL)
        return made->layout == wanted->layout && made->bytes == wanted->bytes;
    return tt_layout_equal(made->layout, wanted->layout);
}

static tt_status fill(tt_model *model, const request *wanted, void *dst, tt_error *err)
{
    tt_status status = TT_OK;
    const char *src;
    TT_TRY(tt_constant_pin(wanted->source, err));
    src = (const char *)tt_constant_data(wanted->source) + wanted->offset;
    if (wanted->layout != NULL)
        status = tt_layout_pack(model->engine, &wanted->plain, src, wanted->layout, dst,
                                err);
    else
        wanted->make(&wanted->plain, src, dst);
    tt_constant_unpin(wanted->source);
    return status;
}

/* ---- in a file ----------------------------------------------------------- */

/* What was packed, from where, and into what.  A function's name is its place in this
 * library, which the file's owner keeps apart from other builds. */
static bool key_of(const request *wanted, tt_hash *out)
{
    struct {
        tt_hash source, layout;
        int64_t offset, bytes, make, dtype, ndims;
        int64_t dims[TT_MAX_RANK], strides[TT_MAX_RANK];
    } all;
    memset(&all, 0, sizeof all);
    all.source = wanted->source_key;
    if (!wanted->has_source_key && !tt_constant_key(wanted->source, &all.source))
        return false;
    if (wanted->layout != NULL && !tt_layout_key(wanted->layout, &all.layout))
        return false;
    if (wanted->layout == NULL)
        all.make = (int64_t)((intptr_t)wanted->make - (intptr_t)tt_packed_free_all);
    all.offset = wanted->offset;
    all.bytes = (int64_t)wanted->bytes;
    all.dtype = wanted->plain.dtype;
    all.ndims = wanted->plain.ndims;
    memcpy(all.dims, wanted->plain.dims, sizeof all.dims[0] * (size_t)all.ndims);
    memcpy(all.strides, wanted->plain.strides,
           sizeof all.strides[0] * (size_t)all.ndims);
    *out = tt_hash_bytes(&all, sizeof all, /*seed=*/6);
    return true;
}

tt_status tt_model_write_packed(tt_model *model, int descriptor, int *n_written,
                                tt_error *err)
{
    tt_packed_piece *pieces = NULL;
    tt_status status = TT_OK;
    size_t n = 0, capacity = 0;
    tt_mutex_lock(&model->packed_lock);
    for (tt_packed *p = model->packed; p != NULL && status == TT_OK; p = p->next) {
        if (!p->has_key) continue;
        if (!tt_grow((void **)&pieces, &capacity, n + 1, sizeof *pieces))
            status = tt_fail(err, TT_NO_MEMORY, "a list of packed weights");
        else
            pieces[n++] = (tt_packed_piece){p->key, p->data, p->bytes};
    }
    tt_mutex_unlock(&model->packed_lock); /* they stay as long as the model */
    if (status == TT_OK) status = tt_packed_file_write(descriptor, pieces, n, err);
    tt_free(pieces);
    *n_written = (int)n;
    return status;
}

bool tt_model_read_packed(tt_model *model, int descriptor, uint64_t offset)
{
    tt_mutex_lock(&model->packed_lock);
    if (model->packed_file == NULL)
        model->packed_file = tt_packed_file_open(descriptor, offset);
    tt_mutex_unlock(&model->packed_lock);
    return tt_packed_file_n(model->packed_file) > 0;
}

/* ---- in memory ----------------------------------------------------------- */

/* Models of some size get large blocks, which have huge pages. */
static void *take(tt_model *model, size_t bytes)
{
    const size_t smallest = (size_t)64 << 10, largest = (size_t)16 << 20;
    size_t whole = (size_t)tt_model_weights_bytes(model);
    if (model->packed_pool.newest == NULL)
        model->packed_pool.block_bytes = whole < smallest  ? smallest
                                         : whole > largest ? largest
                                                           : whole;
    return tt_pool_alloc(&model->packed_pool, bytes);
}

/* Takes wanted->layout, on success only. */
static tt_status make_packed(tt_model *model, const request *wanted, tt_packed **out,
                             tt_error *err)
{
    tt_packed *packed = tt_calloc(1, sizeof *packed);
    void *data = take(model, wanted->bytes);
    tt_status status = TT_OK;
    if (packed == NULL || data == NULL)
        status =
            tt_fail(err, TT_NO_MEMORY, "%zu bytes of packed weights", wanted->bytes);
    bool has_key = false;
    tt_hash key = {
        {0, 0}
    };
    if (status == TT_OK && model->packed_file != NULL) has_key = key_of(wanted, &key);
    if (status == TT_OK &&
        !(has_key && tt_packed_file_read(model->packed_file, key, data, wanted->bytes)))
        status = fill(model, wanted, data, err);
    if (status != TT_OK) {
        tt_pool_undo(&model->packed_pool, data);
        tt_free(packed);
        return status;
    }
    *packed = *wanted;
    packed->data = data;
    packed->has_key = has_key;
    packed->key = key;
    tt_constant_ref(packed->source);
    packed->next = model->packed;
    model->packed = packed;
    atomic_fetch_add(&model->packed_bytes, (long long)packed->bytes);
    *out = packed;
    return TT_OK;
}

static tt_status find_or_make(tt_model *model, const request *wanted, tt_packed **out,
                              bool *is_new, tt_error *err)
{
    *is_new = false;
    for (*out = model->packed; *out != NULL; *out = (*out)->next)
        if (is_same(*out, wanted)) return TT_OK;
    *is_new = true;
    return make_packed(model, wanted, out, err);
}

/* The operand of packed weights; wanted->layout is taken in any case. */
static tt_status bind_packed(tt_lower *lower, const tt_operand_record *record,
                             const request *wanted, tt_operand *out, tt_error *err)
{
    tt_model *model = lower->model;
    tt_operand_record made = *record;
    tt_packed *packed = NULL;
    tt_block block = {.kind = TT_BLOCK_CONSTANT, .last_reader = INT_MAX};
    tt_status status;
    bool is_new;
    tt_mutex_lock(&model->packed_lock);
    status = find_or_make(model, wanted, &packed, &is_new, err);
    tt_mutex_unlock(&model->packed_lock);
    if (status != TT_OK || !is_new) tt_layout_free(wanted->layout);
    TT_TRY(status);
    lower->plan->memory.packed_bytes += (int64_t)packed->bytes;
    block.bytes = packed->bytes;
    block.data = packed->data;
    made.offset = 0;
    TT_TRY(tt_lower_add_block(lower, &block, &made.block, err));
    return tt_lower_add_operand(lower, &made, out, err);
}

static tt_status source_of(const tt_lower *lower, const tt_operand_record *record,
                           request *wanted, tt_error *err)
{
    const tt_block *block = &lower->plan->blocks[record->block];
    if (block->kind != TT_BLOCK_CONSTANT || block->constant == NULL)
        return tt_fail(err, TT_INTERNAL, "packing weights that are not constant");
    wanted->source = block->constant;
    wanted->has_source_key = tt_constant_is_lazy(block->constant) &&
                             tt_constant_key(block->constant, &wanted->source_key);
    wanted->offset = record->offset;
    return TT_OK;
}

tt_status tt_lower_packed(tt_lower *lower, const tt_prim *prim, tt_arg arg,
                          tt_operand weights, const tt_md *plain, tt_operand *out,
                          tt_error *err)
{
    const tt_operand_record record = lower->plan->operands[weights];
    request wanted = {.plain = *plain};
    TT_TRY(source_of(lower, &record, &wanted, err));
    TT_TRY(tt_layout_new(prim, arg, &wanted.layout, err));
    if (tt_layout_is(wanted.layout, plain)) {
        tt_layout_free(wanted.layout);
        *out = weights;
        return TT_OK;
    }
    wanted.bytes = tt_layout_bytes(wanted.layout);
    return bind_packed(lower, &record, &wanted, out, err);
}

tt_status tt_lower_derived(tt_lower *lower, tt_operand weights, const tt_md *plain,
                           tt_derive make, size_t n_bytes, tt_operand *out,
                           tt_error *err)
{
    const tt_operand_record record = lower->plan->operands[weights];
    request wanted = {.plain = *plain, .make = make, .bytes = n_bytes};
    TT_TRY(source_of(lower, &record, &wanted, err));
    return bind_packed(lower, &record, &wanted, out, err);
}

void tt_packed_free_all(tt_model *model)
{
    while (model->packed != NULL) {
        tt_packed *next = model->packed->next;
        tt_constant_unref(model->packed->source);
        tt_layout_free(model->packed->layout);
        tt_free(model->packed);
        model->packed = next;
    }
    tt_pool_free(&model->packed_pool);
    tt_packed_file_close(model->packed_file);
    model->packed_file = NULL;
}
