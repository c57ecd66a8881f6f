/* Layouts that primitives chose, packing into them, and executable calls. */
#include <cstring>

#include "dnnl/dnnl_handles.hpp"

using namespace shim;

namespace {

bool is_quant(tt_arg arg)
{
    return arg >= TT_ARG_SRC_SCALE && arg <= TT_ARG_DST_ZERO_POINT;
}

/* ---- what a primitive wants ---------------------------------------------- */

const_dnnl_memory_desc_t query_md(const tt_prim *prim, tt_arg arg)
{
    if (arg == TT_ARG_SCRATCHPAD)
        return dnnl_primitive_desc_query_md(prim->desc, dnnl_query_scratchpad_md, 0);
    return dnnl_primitive_desc_query_md(prim->desc, dnnl_query_exec_arg_md,
                                        arg_code(arg));
}

/* Number of scales or zero points: the product of the dims in the mask. */
int64_t quant_count(const tt_prim *prim, tt_arg arg)
{
    int i = arg - TT_ARG_SRC_SCALE, ndims = 0;
    int64_t count = 1;
    dnnl_dims_t *dims = nullptr;
    const_dnnl_memory_desc_t md = query_md(prim, quant_tensor(i));
    if (prim->quant_mask[i] < 0) return 0;
    check(dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &ndims));
    check(dnnl_memory_desc_query(md, dnnl_query_dims, &dims));
    for (int d = 0; d < ndims; ++d)
        if ((prim->quant_mask[i] >> d & 1) != 0 &&
            !tt_mul_i64(count, (*dims)[d], &count))
            throw failure{dnnl_invalid_arguments};
    return count;
}

} // namespace

owned<dnnl_memory_desc> shim::arg_md(const tt_prim *prim, tt_arg arg)
{
    dnnl_memory_desc_t copy = nullptr;
    if (is_quant(arg)) {
        dnnl_dim_t count = quant_count(prim, arg), one = 1;
        if (count == 0) return nullptr;
        check(dnnl_memory_desc_create_with_strides(
            &copy, 1, &count, arg < TT_ARG_SRC_ZERO_POINT ? dnnl_f32 : dnnl_s32, &one));
    } else {
        const_dnnl_memory_desc_t md = query_md(prim, arg);
        int ndims = 0;
        if (md != nullptr)
            check(dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &ndims));
        if (ndims == 0) return nullptr;
        check(dnnl_memory_desc_clone(&copy, md));
    }
    return owned<dnnl_memory_desc>(copy);
}

namespace {

bool has_arg(const tt_prim *prim, tt_arg arg)
{
    bool has = false;
    (void)guarded("asking for an argument", nullptr,
                  [&] { has = arg_md(prim, arg) != nullptr; });
    return has;
}

/* ---- execution ----------------------------------------------------------- */

bool is_output(tt_arg arg)
{
    return arg == TT_ARG_DST || arg == TT_ARG_DST_1 || arg == TT_ARG_DST_2 ||
           arg == TT_ARG_DIFF_SRC || arg == TT_ARG_DIFF_WEIGHTS ||
           arg == TT_ARG_DIFF_BIAS || arg == TT_ARG_WORKSPACE;
}

/* Does the description skip no byte between its first and its last? */
bool is_dense(const_dnnl_memory_desc_t md)
{
    int ndims = 0;
    dnnl_dims_t *dims = nullptr;
    dnnl_data_type_t type = dnnl_data_type_undef;
    int64_t count = 0;
    check(dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &ndims));
    check(dnnl_memory_desc_query(md, dnnl_query_dims, &dims));
    check(dnnl_memory_desc_query(md, dnnl_query_data_type, &type));
    return tt_numel(*dims, ndims, &count) &&
           (size_t)count * dnnl_data_type_size(type) == dnnl_memory_desc_get_size(md);
}

/* Bytes from the first element to the end of the last: less than oneDNN's size of a
 * strided tensor, whose last row the owner need not have padded. */
size_t touched_bytes(const_dnnl_memory_desc_t md)
{
    int ndims = 0, n_blocks = 0;
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    dnnl_data_type_t type = dnnl_data_type_undef;
    dnnl_dims_t *dims = nullptr, *strides = nullptr;
    int64_t last = 0;
    check(dnnl_memory_desc_query(md, dnnl_query_format_kind, &kind));
    if (kind != dnnl_blocked) return dnnl_memory_desc_get_size(md);
    check(dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &n_blocks));
    if (n_blocks != 0) return dnnl_memory_desc_get_size(md);
    check(dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &ndims));
    check(dnnl_memory_desc_query(md, dnnl_query_dims, &dims));
    check(dnnl_memory_desc_query(md, dnnl_query_strides, &strides));
    check(dnnl_memory_desc_query(md, dnnl_query_data_type, &type));
    for (int d = 0; d < ndims; ++d) {
        if ((*dims)[d] == 0) return 0;
        last += ((*dims)[d] - 1) * (*strides)[d];
    }
    return (size_t)(last + 1) * dnnl_data_type_size(type);
}

slot make_slot(const tt_prim *prim, tt_arg arg, const_dnnl_memory_desc_t md)
{
    slot s = {nullptr, touched_bytes(md), false, false};
    if (arg == TT_ARG_SCRATCHPAD) return s;
    s.is_written = is_output(arg);
    /* what lies between the elements of a strided output must survive */
    s.is_read =
        !s.is_written || (arg == TT_ARG_DST && prim->reads_dst) || !is_dense(md);
    return s;
}

void stage(const tt_call *call, int i, bool to_engine)
{
    const slot &s = call->slots[i];
    void *mapped = nullptr;
    if (!(to_engine ? s.is_read : s.is_written) || s.bytes == 0) return;
    check(dnnl_memory_map_data(call->args[i].memory, &mapped));
    if (mapped == nullptr) throw failure{dnnl_runtime_error};
    if (to_engine)
        memcpy(mapped, s.host, s.bytes);
    else
        memcpy(s.host, mapped, s.bytes);
    check(dnnl_memory_unmap_data(call->args[i].memory, mapped));
}

void execute_staged(const tt_call *call)
{
    for (int i = 0; i < call->n_args; ++i)
        stage(call, i, /*to_engine=*/true);
    check(dnnl_primitive_execute(call->prim->handle, call->stream, call->n_args,
                                 call->args));
    check(dnnl_stream_wait(call->stream));
    for (int i = 0; i < call->n_args; ++i)
        stage(call, i, /*to_engine=*/false);
}

void add_arg(tt_call *call, tt_engine *engine, int i, tt_arg arg)
{
    owned<dnnl_memory_desc> md = arg_md(call->prim, arg);
    if (md == nullptr && arg == TT_ARG_SCRATCHPAD) {
        dnnl_memory_desc_t empty = nullptr;
        check(dnnl_memory_desc_create_with_tag(&empty, 0, nullptr, dnnl_u8,
                                               dnnl_format_tag_undef));
        md.reset(empty);
    }
    call->args[i].arg = arg_code(arg);
    check(
        dnnl_memory_create(&call->args[i].memory, md.get(), engine->handle,
                           engine->staging ? DNNL_MEMORY_ALLOCATE : DNNL_MEMORY_NONE));
    if (engine->staging) call->slots[i] = make_slot(call->prim, arg, md.get());
}

} // namespace

extern "C" {

size_t tt_prim_arg_bytes(const tt_prim *prim, tt_arg arg)
{
    size_t bytes = 0;
    (void)guarded("asking for an argument's size", nullptr, [&] {
        owned<dnnl_memory_desc> md = arg_md(prim, arg);
        if (md != nullptr) bytes = dnnl_memory_desc_get_size(md.get());
    });
    return bytes;
}

size_t tt_prim_scratchpad_bytes(const tt_prim *prim)
{
    return tt_prim_arg_bytes(prim, TT_ARG_SCRATCHPAD);
}

/* ---- layouts ------------------------------------------------------------- */

tt_status tt_layout_new(const tt_prim *prim, tt_arg arg, tt_layout **out, tt_error *err)
{
    *out = nullptr;
    return guarded("asking for an argument's layout", err, [&] {
        owned<tt_layout> layout(fresh<tt_layout>());
        layout->md = arg_md(prim, arg).release();
        if (layout->md == nullptr) throw failure{dnnl_invalid_arguments};
        *out = layout.release();
    });
}

void tt_layout_free(tt_layout *layout)
{
    if (layout == nullptr) return;
    if (layout->md != nullptr) (void)dnnl_memory_desc_destroy(layout->md);
    tt_free(layout);
}

bool tt_layout_equal(const tt_layout *a, const tt_layout *b)
{
    return dnnl_memory_desc_equal(a->md, b->md) != 0;
}

size_t tt_layout_bytes(const tt_layout *layout)
{
    return dnnl_memory_desc_get_size(layout->md);
}

bool tt_layout_key(const tt_layout *layout, tt_hash *out)
{
    struct {
        int64_t bytes, offset, ndims, dtype, n_blocks;
        dnnl_dims_t dims, padded, padding, strides, blocks, indices;
    } all;
    std::memset(&all, 0, sizeof all);
    bool is_known = false;
    (void)guarded("describing a layout", nullptr, [&] {
        auto ask = [&](dnnl_query_t what, void *to) {
            check(dnnl_memory_desc_query(layout->md, what, to));
        };
        auto list = [&](dnnl_query_t what, dnnl_dims_t &to, int n) {
            dnnl_dims_t *found = nullptr;
            ask(what, static_cast<void *>(&found));
            if (found == nullptr) throw failure{dnnl_invalid_arguments};
            std::memcpy(to, *found, static_cast<size_t>(n) * sizeof(to[0]));
        };
        dnnl_format_kind_t kind = dnnl_format_kind_undef;
        dnnl_data_type_t dtype = dnnl_data_type_undef;
        dnnl_dim_t offset = 0;
        int ndims = 0, n_blocks = 0;
        ask(dnnl_query_format_kind, &kind);
        ask(dnnl_query_data_type, &dtype);
        if (kind != dnnl_blocked || dtype == dnnl_s8 || dtype == dnnl_u8) return;
        ask(dnnl_query_ndims_s32, &ndims);
        ask(dnnl_query_inner_nblks_s32, &n_blocks);
        ask(dnnl_query_submemory_offset_s64, &offset);
        list(dnnl_query_dims, all.dims, ndims);
        list(dnnl_query_padded_dims, all.padded, ndims);
        list(dnnl_query_padded_offsets, all.padding, ndims);
        list(dnnl_query_strides, all.strides, ndims);
        list(dnnl_query_inner_blks, all.blocks, n_blocks);
        list(dnnl_query_inner_idxs, all.indices, n_blocks);
        all.bytes = static_cast<int64_t>(tt_layout_bytes(layout));
        all.offset = offset;
        all.ndims = ndims;
        all.dtype = dtype;
        all.n_blocks = n_blocks;
        is_known = true;
    });
    if (is_known) *out = tt_hash_bytes(&all, sizeof all, /*seed=*/5);
    return is_known;
}

bool tt_layout_is(const tt_layout *layout, const tt_md *plain)
{
    bool same = false;
    (void)guarded("comparing layouts", nullptr, [&] {
        same = dnnl_memory_desc_equal(layout->md, make_md(*plain).get()) != 0;
    });
    return same;
}

tt_status tt_layout_pack(tt_engine *engine, const tt_md *plain, const void *src,
                         const tt_layout *layout, void *dst, tt_error *err)
{
    static const tt_arg args[] = {TT_ARG_SRC, TT_ARG_DST, TT_ARG_SCRATCHPAD};
    tt_call *made = nullptr;
    owned<tt_prim> prim;
    TT_TRY(guarded("choosing a reorder of weights", err, [&] {
        prim.reset(fresh<tt_prim>());
        owned<dnnl_primitive_attr> attr = user_scratchpad_attr();
        owned<dnnl_memory_desc> from = make_md(*plain);
        check(dnnl_reorder_primitive_desc_create(&prim->desc, from.get(),
                                                 engine->handle, layout->md,
                                                 engine->handle, attr.get()));
        check(dnnl_primitive_create(&prim->handle, prim->desc));
        for (int &mask : prim->quant_mask)
            mask = -1;
    }));
    std::unique_ptr<void, decltype(&tt_free)> scratchpad(
        tt_alloc(tt_prim_scratchpad_bytes(prim.get())), tt_free);
    if (scratchpad == nullptr)
        return tt_fail(err, TT_NO_MEMORY, "scratchpad to pack %zu bytes of weights",
                       tt_layout_bytes(layout));
    TT_TRY(tt_call_new(engine, prim.get(), args, 3, &made, err));
    owned<tt_call> call(made);
    TT_TRY(tt_call_bind(made, 0, const_cast<void *>(src), err));
    TT_TRY(tt_call_bind(made, 1, dst, err));
    TT_TRY(tt_call_bind(made, 2, scratchpad.get(), err));
    return tt_call_execute(made, err);
}

/* ---- calls --------------------------------------------------------------- */

tt_status tt_call_new(tt_engine *engine, const tt_prim *prim, const tt_arg *args,
                      int n_args, tt_call **out, tt_error *err)
{
    *out = nullptr;
    for (int i = 0; i < n_args; ++i)
        if (args[i] != TT_ARG_SCRATCHPAD && !has_arg(prim, args[i]))
            return tt_fail(err, TT_INTERNAL, "primitive %s has no argument number %d",
                           prim->impl, (int)args[i]);
    return guarded("creating a call", err, [&] {
        owned<tt_call> call(fresh<tt_call>());
        size_t count = n_args > 0 ? (size_t)n_args : 1;
        call->prim = prim;
        call->stream = engine->stream;
        if (engine->has_own_memory) {
            check(dnnl_stream_create(&call->own_stream, engine->handle,
                                     dnnl_stream_default_flags));
            call->stream = call->own_stream;
        }
        call->args = fresh<dnnl_exec_arg_t>(count);
        if (engine->staging) call->slots = fresh<slot>(count);
        for (int i = 0; i < n_args; ++i) {
            add_arg(call.get(), engine, i, args[i]);
            call->n_args = i + 1;
        }
        *out = call.release();
    });
}

void tt_call_free(tt_call *call)
{
    if (call == nullptr) return;
    (void)guarded("freeing a call", nullptr, [&] {
        for (int i = 0; i < call->n_args; ++i)
            (void)dnnl_memory_destroy(call->args[i].memory);
        if (call->own_stream != nullptr) (void)dnnl_stream_destroy(call->own_stream);
    });
    tt_free(call->args);
    tt_free(call->slots);
    tt_free(call);
}

tt_status tt_call_bind(tt_call *call, int index, void *data, tt_error *err)
{
    if (call->slots != nullptr) {
        call->slots[index].host = data;
        return TT_OK;
    }
    return guarded("binding an argument", err, [&] {
        check(dnnl_memory_set_data_handle(call->args[index].memory, data));
    });
}

tt_status tt_call_execute(tt_call *call, tt_error *err)
{
    return guarded("executing a primitive", err, [&] {
        if (call->slots != nullptr)
            execute_staged(call);
        else
            check(dnnl_primitive_execute(call->prim->handle, call->stream, call->n_args,
                                         call->args));
    });
}

} /* extern "C" */
