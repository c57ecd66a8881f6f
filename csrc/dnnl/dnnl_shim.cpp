/* oneDNN's primitives behind C functions: see dnnl_shim.h. */
#include <cstdio>
#include <cstring>

#include "dnnl/dnnl_handles.hpp"

namespace shim {

/* ---- translation tables -------------------------------------------------- */

int arg_code(tt_arg arg)
{
    static const int codes[] = {DNNL_ARG_SRC,
                                DNNL_ARG_SRC_1,
                                DNNL_ARG_SRC_2,
                                DNNL_ARG_WEIGHTS,
                                DNNL_ARG_WEIGHTS_1,
                                DNNL_ARG_WEIGHTS_2,
                                DNNL_ARG_WEIGHTS_3,
                                DNNL_ARG_BIAS,
                                DNNL_ARG_DST,
                                DNNL_ARG_DST_1,
                                DNNL_ARG_DST_2,
                                DNNL_ARG_DIFF_SRC,
                                DNNL_ARG_DIFF_WEIGHTS,
                                DNNL_ARG_DIFF_BIAS,
                                DNNL_ARG_DIFF_DST,
                                DNNL_ARG_SCALE,
                                DNNL_ARG_SHIFT,
                                DNNL_ARG_MEAN,
                                DNNL_ARG_VARIANCE,
                                DNNL_ARG_WORKSPACE,
                                DNNL_ARG_SCRATCHPAD,
                                DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC,
                                DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS,
                                DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST,
                                DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC,
                                DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_WEIGHTS,
                                DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST};
    static_assert(sizeof codes / sizeof codes[0] == TT_ARG_POST, "one per tt_arg");
    if (arg >= TT_ARG_POST)
        return DNNL_ARG_ATTR_MULTIPLE_POST_OP(arg - TT_ARG_POST) | DNNL_ARG_SRC_1;
    return codes[arg];
}

tt_arg quant_tensor(int i)
{
    static const tt_arg tensors[] = {TT_ARG_SRC, TT_ARG_WEIGHTS, TT_ARG_DST};
    return tensors[i % 3];
}

static dnnl_data_type_t data_type(tt_dtype dtype)
{
    switch (dtype) {
    case TT_F32:
        return dnnl_f32;
    case TT_F64:
        return dnnl_f64;
    case TT_F16:
        return dnnl_f16;
    case TT_BF16:
        return dnnl_bf16;
    case TT_S32:
        return dnnl_s32;
    case TT_S8:
        return dnnl_s8;
    case TT_U8:
        return dnnl_u8;
    default:
        throw failure{dnnl_unimplemented};
    }
}

static dnnl_alg_kind_t alg_kind(tt_alg alg)
{
    static const dnnl_alg_kind_t kinds[] = {dnnl_alg_kind_undef,
                                            dnnl_eltwise_abs,
                                            dnnl_eltwise_clip,
                                            dnnl_eltwise_elu,
                                            dnnl_eltwise_exp,
                                            dnnl_eltwise_gelu_erf,
                                            dnnl_eltwise_gelu_tanh,
                                            dnnl_eltwise_hardsigmoid,
                                            dnnl_eltwise_hardswish,
                                            dnnl_eltwise_linear,
                                            dnnl_eltwise_log,
                                            dnnl_eltwise_logistic,
                                            dnnl_eltwise_mish,
                                            dnnl_eltwise_pow,
                                            dnnl_eltwise_relu,
                                            dnnl_eltwise_round,
                                            dnnl_eltwise_soft_relu,
                                            dnnl_eltwise_sqrt,
                                            dnnl_eltwise_square,
                                            dnnl_eltwise_swish,
                                            dnnl_eltwise_tanh,
                                            dnnl_binary_add,
                                            dnnl_binary_sub,
                                            dnnl_binary_mul,
                                            dnnl_binary_div,
                                            dnnl_binary_max,
                                            dnnl_binary_min,
                                            dnnl_pooling_max,
                                            dnnl_pooling_avg_include_padding,
                                            dnnl_pooling_avg_exclude_padding,
                                            dnnl_resampling_nearest,
                                            dnnl_resampling_linear,
                                            dnnl_softmax_accurate,
                                            dnnl_softmax_log,
                                            dnnl_reduction_max,
                                            dnnl_reduction_min,
                                            dnnl_reduction_sum,
                                            dnnl_reduction_mul,
                                            dnnl_reduction_mean};
    static_assert(sizeof kinds / sizeof kinds[0] == TT_ALG_COUNT, "one per tt_alg");
    if (alg <= TT_ALG_NONE || alg >= TT_ALG_COUNT)
        throw failure{dnnl_invalid_arguments};
    return kinds[alg];
}

/* ---- descriptions -------------------------------------------------------- */

owned<dnnl_memory_desc> make_md(const tt_md &md)
{
    dnnl_memory_desc_t handle = nullptr;
    if (md.ndims == 0) return nullptr;
    if (md.any)
        check(dnnl_memory_desc_create_with_tag(
            &handle, md.ndims, md.dims, data_type(md.dtype), dnnl_format_tag_any));
    else
        check(dnnl_memory_desc_create_with_strides(&handle, md.ndims, md.dims,
                                                   data_type(md.dtype), md.strides));
    return owned<dnnl_memory_desc>(handle);
}

owned<dnnl_primitive_attr> user_scratchpad_attr()
{
    dnnl_primitive_attr_t handle = nullptr;
    check(dnnl_primitive_attr_create(&handle));
    owned<dnnl_primitive_attr> attr(handle);
    check(dnnl_primitive_attr_set_scratchpad_mode(handle, dnnl_scratchpad_mode_user));
    return attr;
}

static void quant_masks(const tt_attr &attr, int *masks)
{
    masks[0] = attr.src_scale_mask;
    masks[1] = attr.weights_scale_mask;
    masks[2] = attr.dst_scale_mask;
    masks[3] = attr.src_zero_point_mask;
    masks[4] = attr.weights_zero_point_mask;
    masks[5] = attr.dst_zero_point_mask;
}

void finish_prim(dnnl_primitive_desc_t desc, const tt_attr &attr, tt_prim **out)
{
    owned<dnnl_primitive_desc> pending(desc);
    owned<tt_prim> prim(fresh<tt_prim>());
    prim->desc = pending.release();
    check(dnnl_primitive_create(&prim->handle, desc));
    check(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &prim->impl));
    quant_masks(attr, prim->quant_mask);
    for (int i = 0; i < attr.n_posts; ++i)
        if (attr.posts[i].kind == TT_POST_SUM) prim->reads_dst = true;
    *out = prim.release();
}

} // namespace shim

using namespace shim;

namespace {

void append(dnnl_post_ops_t ops, const tt_post &post)
{
    switch (post.kind) {
    case TT_POST_SUM:
        check(dnnl_post_ops_append_sum(ops, post.scale, post.zero_point,
                                       dnnl_data_type_undef));
        return;
    case TT_POST_ELTWISE:
        check(dnnl_post_ops_append_eltwise(ops, alg_kind(post.alg), post.alpha,
                                           post.beta));
        return;
    case TT_POST_BINARY:
        check(dnnl_post_ops_append_binary(ops, alg_kind(post.alg),
                                          make_md(post.operand).get()));
        return;
    }
    throw failure{dnnl_invalid_arguments};
}

owned<dnnl_primitive_attr> make_attr(const tt_attr &attr)
{
    owned<dnnl_primitive_attr> result = user_scratchpad_attr();
    dnnl_primitive_attr_t handle = result.get();
    int masks[N_QUANT];
    quant_masks(attr, masks);
    for (int i = 0; i < N_QUANT; ++i) {
        int code = arg_code(quant_tensor(i));
        if (masks[i] < 0) continue;
        check(i < 3 ? dnnl_primitive_attr_set_scales_mask(handle, code, masks[i])
                    : dnnl_primitive_attr_set_zero_points_mask(handle, code, masks[i]));
    }
    if (attr.n_posts == 0) return result;
    if (attr.n_posts < 0 || attr.n_posts > TT_MAX_POSTS)
        throw failure{dnnl_invalid_arguments};
    dnnl_post_ops_t list = nullptr;
    check(dnnl_post_ops_create(&list));
    owned<dnnl_post_ops> ops(list);
    for (int i = 0; i < attr.n_posts; ++i)
        append(list, attr.posts[i]);
    check(dnnl_primitive_attr_set_post_ops(handle, list));
    return result;
}

/* "float32[1,3,224,224]" for messages. */
struct md_text {
    char text[160] = "nothing";
    explicit md_text(const tt_md &md)
    {
        char dims[112];
        tt_shape shape = {};
        if (md.ndims <= 0 || md.ndims > TT_MAX_RANK) return;
        shape.rank = md.ndims;
        memcpy(shape.dims, md.dims, sizeof shape.dims);
        (void)snprintf(text, sizeof text, "%s%s", tt_dtype_name(md.dtype),
                       tt_shape_text(&shape, dims, sizeof dims));
    }
};

/* ---- creation of primitives ---------------------------------------------- */

/* create(&desc, attr) asks oneDNN for an implementation.  What it refuses, for
 * whatever reason, is TT_UNSUPPORTED: the caller then takes another way. */
template <class Create>
tt_status new_prim(const char *kind, const tt_md &src, const tt_md &dst,
                   const tt_attr &attr, tt_prim **out, tt_error *err, Create create)
{
    dnnl_status_t refused = dnnl_success;
    *out = nullptr;
    TT_TRY(guarded(kind, err, [&] {
        dnnl_primitive_desc_t desc = nullptr;
        try {
            check(create(&desc, make_attr(attr).get()));
        } catch (const failure &f) {
            refused = f.status;
            if (refused != dnnl_unimplemented && refused != dnnl_invalid_arguments)
                throw;
            return;
        }
        finish_prim(desc, attr, out);
    }));
    if (refused == dnnl_success) return TT_OK;
    return tt_fail(err, TT_UNSUPPORTED, "oneDNN has no %s from %s to %s: %s", kind,
                   md_text(src).text, md_text(dst).text, status_name(refused));
}

using desc_out = dnnl_primitive_desc_t *;
using attr_in = const_dnnl_primitive_attr_t;

bool is_reference(const char *impl)
{
    return strstr(impl, "ref") != nullptr || strstr(impl, "simple") != nullptr;
}

dnnl_status_t conv_desc(bool is_transposed, tt_engine *engine, const tt_conv_params *p,
                        desc_out desc, attr_in attr)
{
    auto create = is_transposed ? dnnl_deconvolution_forward_primitive_desc_create
                                : dnnl_convolution_forward_primitive_desc_create;
    return create(desc, engine->handle, dnnl_forward_inference,
                  is_transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct,
                  make_md(p->src).get(), make_md(p->weights).get(),
                  make_md(p->bias).get(), make_md(p->dst).get(),
                  window(p->strides).dims, window(p->dilations).dims,
                  window(p->pads_begin).dims, window(p->pads_end).dims, attr);
}

tt_status new_conv(const char *kind, bool is_transposed, tt_engine *engine,
                   const tt_conv_params *p, tt_prim **out, tt_error *err)
{
    return new_prim(kind, p->src, p->dst, p->attr, out, err,
                    [&](desc_out desc, attr_in attr) {
                        return conv_desc(is_transposed, engine, p, desc, attr);
                    });
}

dnnl_rnn_direction_t rnn_direction(tt_rnn_direction direction)
{
    switch (direction) {
    case TT_RNN_LEFT2RIGHT:
        return dnnl_unidirectional_left2right;
    case TT_RNN_RIGHT2LEFT:
        return dnnl_unidirectional_right2left;
    case TT_RNN_BIDIRECTIONAL_CONCAT:
        return dnnl_bidirectional_concat;
    }
    throw failure{dnnl_invalid_arguments};
}

template <class Function>
dnnl_status_t new_gru(Function function, desc_out desc, tt_engine *engine,
                      const tt_rnn_params *p, attr_in attr)
{
    return function(desc, engine->handle, dnnl_forward_inference,
                    rnn_direction(p->direction), make_md(p->src_layer).get(),
                    make_md(p->src_iter).get(), make_md(p->weights_layer).get(),
                    make_md(p->weights_iter).get(), make_md(p->bias).get(),
                    make_md(p->dst_layer).get(), make_md(p->dst_iter).get(), 0, attr);
}

} // namespace

extern "C" {

/* ---- primitives ---------------------------------------------------------- */

tt_status tt_conv_new(tt_engine *engine, const tt_conv_params *p, tt_prim **out,
                      tt_error *err)
{
    return new_conv("convolution", /*is_transposed=*/false, engine, p, out, err);
}

tt_status tt_deconv_new(tt_engine *engine, const tt_conv_params *p, tt_prim **out,
                        tt_error *err)
{
    return new_conv("deconvolution", /*is_transposed=*/true, engine, p, out, err);
}

tt_status tt_matmul_new(tt_engine *engine, const tt_matmul_params *p, tt_prim **out,
                        tt_error *err)
{
    return new_prim(
        "matmul", p->src, p->dst, p->attr, out, err, [&](desc_out desc, attr_in attr) {
            return dnnl_matmul_primitive_desc_create(
                desc, engine->handle, make_md(p->src).get(), make_md(p->weights).get(),
                make_md(p->bias).get(), make_md(p->dst).get(), attr);
        });
}

tt_status tt_pool_new(tt_engine *engine, const tt_pool_params *p, tt_prim **out,
                      tt_error *err)
{
    return new_prim(
        "pooling", p->src, p->dst, p->attr, out, err, [&](desc_out desc, attr_in attr) {
            return dnnl_pooling_forward_primitive_desc_create(
                desc, engine->handle, dnnl_forward_inference, alg_kind(p->alg),
                make_md(p->src).get(), make_md(p->dst).get(), window(p->strides).dims,
                window(p->kernel).dims, window(p->dilations).dims,
                window(p->pads_begin).dims, window(p->pads_end).dims, attr);
        });
}

tt_status tt_eltwise_new(tt_engine *engine, const tt_unary_params *p, tt_prim **out,
                         tt_error *err)
{
    return new_prim(
        "eltwise", p->src, p->dst, p->attr, out, err, [&](desc_out desc, attr_in attr) {
            return dnnl_eltwise_forward_primitive_desc_create(
                desc, engine->handle, dnnl_forward_inference, alg_kind(p->alg),
                make_md(p->src).get(), make_md(p->dst).get(), p->alpha, p->beta, attr);
        });
}

tt_status tt_softmax_new(tt_engine *engine, const tt_unary_params *p, tt_prim **out,
                         tt_error *err)
{
    return new_prim(
        "softmax", p->src, p->dst, p->attr, out, err, [&](desc_out desc, attr_in attr) {
            return dnnl_softmax_forward_primitive_desc_create(
                desc, engine->handle, dnnl_forward_inference, alg_kind(p->alg),
                make_md(p->src).get(), make_md(p->dst).get(), p->axis, attr);
        });
}

tt_status tt_reduction_new(tt_engine *engine, const tt_unary_params *p, tt_prim **out,
                           tt_error *err)
{
    return new_prim("reduction", p->src, p->dst, p->attr, out, err,
                    [&](desc_out desc, attr_in attr) {
                        return dnnl_reduction_primitive_desc_create(
                            desc, engine->handle, alg_kind(p->alg),
                            make_md(p->src).get(), make_md(p->dst).get(), p->alpha,
                            p->beta, attr);
                    });
}

tt_status tt_resampling_new(tt_engine *engine, const tt_unary_params *p, tt_prim **out,
                            tt_error *err)
{
    return new_prim("resampling", p->src, p->dst, p->attr, out, err,
                    [&](desc_out desc, attr_in attr) {
                        return dnnl_resampling_forward_primitive_desc_create(
                            desc, engine->handle, dnnl_forward_inference,
                            alg_kind(p->alg), /*factors=*/nullptr,
                            make_md(p->src).get(), make_md(p->dst).get(), attr);
                    });
}

tt_status tt_binary_new(tt_engine *engine, const tt_binary_params *p, tt_prim **out,
                        tt_error *err)
{
    return new_prim(
        "binary", p->src0, p->dst, p->attr, out, err, [&](desc_out desc, attr_in attr) {
            return dnnl_binary_primitive_desc_create(
                desc, engine->handle, alg_kind(p->alg), make_md(p->src0).get(),
                make_md(p->src1).get(), make_md(p->dst).get(), attr);
        });
}

tt_status tt_layer_norm_new(tt_engine *engine, const tt_layer_norm_params *p,
                            tt_prim **out, tt_error *err)
{
    unsigned flags = dnnl_normalization_flags_none;
    if (p->use_scale) flags |= dnnl_use_scale;
    if (p->use_shift) flags |= dnnl_use_shift;
    return new_prim("layer normalization", p->src, p->dst, tt_attr_default(), out, err,
                    [&](desc_out desc, attr_in attr) {
                        return dnnl_layer_normalization_forward_primitive_desc_create(
                            desc, engine->handle, dnnl_forward_inference,
                            make_md(p->src).get(), make_md(p->dst).get(),
                            /*stat_desc=*/nullptr, p->epsilon, flags, attr);
                    });
}

tt_status tt_reorder_new(tt_engine *engine, const tt_reorder_params *p, tt_prim **out,
                         tt_error *err)
{
    return new_prim("reorder", p->src, p->dst, p->attr, out, err,
                    [&](desc_out desc, attr_in attr) {
                        return dnnl_reorder_primitive_desc_create(
                            desc, make_md(p->src).get(), engine->handle,
                            make_md(p->dst).get(), engine->handle, attr);
                    });
}

tt_status tt_rnn_new(tt_engine *engine, const tt_rnn_params *p, tt_prim **out,
                     tt_error *err)
{
    return new_prim(
        "recurrent layer", p->src_layer, p->dst_layer, tt_attr_default(), out, err,
        [&](desc_out desc, attr_in attr) {
            if (p->kind == TT_RNN_GRU)
                return new_gru(dnnl_gru_forward_primitive_desc_create, desc, engine, p,
                               attr);
            if (p->kind == TT_RNN_LBR_GRU)
                return new_gru(dnnl_lbr_gru_forward_primitive_desc_create, desc, engine,
                               p, attr);
            return dnnl_lstm_forward_primitive_desc_create(
                desc, engine->handle, dnnl_forward_inference,
                rnn_direction(p->direction), make_md(p->src_layer).get(),
                make_md(p->src_iter).get(), make_md(p->src_iter_c).get(),
                make_md(p->weights_layer).get(), make_md(p->weights_iter).get(),
                make_md(p->weights_peephole).get(), /*projection=*/nullptr,
                make_md(p->bias).get(), make_md(p->dst_layer).get(),
                make_md(p->dst_iter).get(), make_md(p->dst_iter_c).get(), 0, attr);
        });
}

tt_status tt_conv_probe(tt_engine *engine, const tt_conv_params *p, bool is_transposed,
                        bool *is_fast, tt_error *err)
{
    *is_fast = false;
    return guarded("asking for a convolution", err, [&] {
        dnnl_primitive_desc_t handle = nullptr;
        const char *impl = nullptr;
        try {
            check(
                conv_desc(is_transposed, engine, p, &handle, make_attr(p->attr).get()));
        } catch (const failure &f) {
            if (f.status == dnnl_out_of_memory) throw;
            return;
        }
        owned<dnnl_primitive_desc> desc(handle);
        check(dnnl_primitive_desc_query(handle, dnnl_query_impl_info_str, 0, &impl));
        *is_fast = !is_reference(impl);
    });
}

void tt_prim_free(tt_prim *prim)
{
    if (prim == nullptr) return;
    (void)guarded("freeing a primitive", nullptr, [&] {
        if (prim->handle != nullptr) (void)dnnl_primitive_destroy(prim->handle);
        if (prim->desc != nullptr) (void)dnnl_primitive_desc_destroy(prim->desc);
    });
    tt_free(prim);
}

const char *tt_prim_impl(const tt_prim *prim)
{
    return prim->impl;
}

bool tt_prim_is_reference(const tt_prim *prim)
{
    return is_reference(prim->impl);
}

} /* extern "C" */
