/* Backward primitives, and reorders to and from layouts that primitives chose. */
#include <cstring>

#include "dnnl/dnnl_handles.hpp"

using namespace shim;

namespace {

/* create(&desc, attr); what oneDNN refuses is TT_UNSUPPORTED. */
template <class Create>
tt_status new_prim(const char *kind, tt_prim **out, tt_error *err, Create create)
{
    dnnl_status_t refused = dnnl_success;
    *out = nullptr;
    TT_TRY(guarded(kind, err, [&] {
        dnnl_primitive_desc_t desc = nullptr;
        try {
            check(create(&desc, user_scratchpad_attr().get()));
        } catch (const failure &f) {
            refused = f.status;
            if (refused != dnnl_unimplemented && refused != dnnl_invalid_arguments)
                throw;
            return;
        }
        finish_prim(desc, tt_attr_default(), out);
    }));
    if (refused == dnnl_success) return TT_OK;
    return tt_fail(err, TT_UNSUPPORTED, "oneDNN has no %s: %s", kind,
                   status_name(refused));
}

/* Backward primitives are described with the forward one as a hint. */
owned<dnnl_primitive_desc> forward_hint(tt_engine *engine, const tt_conv_params *p)
{
    dnnl_primitive_desc_t desc = nullptr;
    check(dnnl_convolution_forward_primitive_desc_create(
        &desc, engine->handle, dnnl_forward_training, dnnl_convolution_direct,
        make_md(p->src).get(), make_md(p->weights).get(), make_md(p->bias).get(),
        make_md(p->dst).get(), window(p->strides).dims, window(p->dilations).dims,
        window(p->pads_begin).dims, window(p->pads_end).dims, nullptr));
    return owned<dnnl_primitive_desc>(desc);
}

} // namespace

extern "C" {

tt_status tt_conv_grad_src_new(tt_engine *engine, const tt_conv_params *p,
                               tt_prim **out, tt_error *err)
{
    return new_prim("gradient of a convolution's input", out, err,
                    [&](dnnl_primitive_desc_t *desc, const_dnnl_primitive_attr_t attr) {
                        return dnnl_convolution_backward_data_primitive_desc_create(
                            desc, engine->handle, dnnl_convolution_direct,
                            make_md(p->src).get(), make_md(p->weights).get(),
                            make_md(p->dst).get(), window(p->strides).dims,
                            window(p->dilations).dims, window(p->pads_begin).dims,
                            window(p->pads_end).dims, forward_hint(engine, p).get(),
                            attr);
                    });
}

tt_status tt_conv_grad_weights_new(tt_engine *engine, const tt_conv_params *p,
                                   tt_prim **out, tt_error *err)
{
    return new_prim("gradient of a convolution's weights", out, err,
                    [&](dnnl_primitive_desc_t *desc, const_dnnl_primitive_attr_t attr) {
                        return dnnl_convolution_backward_weights_primitive_desc_create(
                            desc, engine->handle, dnnl_convolution_direct,
                            make_md(p->src).get(), make_md(p->weights).get(),
                            make_md(p->bias).get(), make_md(p->dst).get(),
                            window(p->strides).dims, window(p->dilations).dims,
                            window(p->pads_begin).dims, window(p->pads_end).dims,
                            forward_hint(engine, p).get(), attr);
                    });
}

tt_status tt_relayout_new(tt_engine *engine, const tt_relayout_params *p, tt_prim **out,
                          tt_error *err)
{
    return new_prim("reorder", out, err,
                    [&](dnnl_primitive_desc_t *desc, const_dnnl_primitive_attr_t attr) {
                        owned<dnnl_memory_desc> chosen = arg_md(p->prim, p->arg);
                        owned<dnnl_memory_desc> plain = make_md(p->plain);
                        if (chosen == nullptr) throw failure{dnnl_invalid_arguments};
                        return dnnl_reorder_primitive_desc_create(
                            desc, (p->to_plain ? chosen : plain).get(), engine->handle,
                            (p->to_plain ? plain : chosen).get(), engine->handle, attr);
                    });
}

} /* extern "C" */
