/* The rewrites in order: those that need no shapes once per model, the others once
 * per plan. */
#include "base/cpu.h"
#include "dnnl/dnnl_exact.h"
#include "graph/chain.h"
#include "graph/fuse.h"
#include "graph/match.h"
#include "plan/plan.h"

static bool has_linear(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (tt_node_is(&graph->nodes[i], "DequantizeLinear")) return true;
    return false;
}

static tt_status fold(tt_model *model, tt_graph *graph, bool keeps_f32, tt_error *err)
{
    if ((model->options.passes & TT_PASS_FOLD) == 0) return TT_OK;
    return tt_graph_fold_constants(model, graph, keeps_f32, err);
}

/* Constants are folded, but for the weights of integer layers (fuse_quantized.c), which
 * are found by constants that folding makes, and those that are rounded to bfloat16
 * (keeps_f32), which stay what they are until layers have had them. */
static tt_status prepare_constants(tt_model *model, tt_graph *graph, bool keeps_f32,
                                   tt_error *err)
{
    unsigned passes = model->options.passes;
    bool quantize = (passes & TT_PASS_QUANTIZE) != 0 && has_linear(graph), is_exact;
    if (quantize) TT_TRY(tt_graph_keep_linear(graph, err));
    TT_TRY(fold(model, graph, keeps_f32, err));
    if ((passes & TT_PASS_SIMPLIFY) != 0) TT_TRY(tt_graph_simplify(graph, err));
    if (!quantize) return TT_OK;
    TT_TRY(tt_dnnl_is_exact(model->engine, &is_exact, err));
    TT_TRY(tt_graph_keep_weights(graph, is_exact, err));
    TT_TRY(tt_graph_fuse_weight_only(graph, err));
    return fold(model, graph, keeps_f32, err);
}

tt_status tt_graph_prepare(tt_model *model, tt_graph *graph, tt_error *err)
{
    unsigned passes = model->options.passes;
    bool mixes = (passes & TT_PASS_BF16) != 0;
    TT_TRY(tt_graph_split_nary(graph, err));
    TT_TRY(prepare_constants(model, graph, mixes, err));
    if (mixes) {
        TT_TRY(tt_graph_mix_bf16(graph, tt_cpu_multiplies_bf16(tt_cpu_get()), err));
        TT_TRY(fold(model, graph, /*keeps_f32=*/false, err));
    }
    if ((passes & TT_PASS_FUSE) != 0) {
        TT_TRY(tt_graph_fuse_weights(graph, err));
        TT_TRY(tt_graph_fuse_parallel(graph, err));
    }
    return TT_OK;
}

/* Layers of 8 bits become integer operators; what they did not want is folded. */
static tt_status fuse_quantized(tt_model *model, tt_graph *graph, tt_error *err)
{
    bool is_exact, has_left;
    TT_TRY(tt_dnnl_is_exact(model->engine, &is_exact, err));
    TT_TRY(tt_graph_fuse_quantized(graph, model->engine, is_exact, &has_left, err));
    return has_left ? fold(model, graph, /*keeps_f32=*/false, err) : TT_OK;
}

tt_status tt_graph_optimise(tt_model *model, tt_graph *graph, tt_error *err)
{
    unsigned passes = model->options.passes;
    bool quantize = (passes & TT_PASS_QUANTIZE) != 0 && has_linear(graph);
    bool is_native = tt_cpu_multiplies_bf16(tt_cpu_get());
    if ((passes & TT_PASS_SIMPLIFY) != 0) TT_TRY(tt_graph_simplify(graph, err));
    if ((passes & TT_PASS_BF16) != 0) TT_TRY(tt_graph_fuse_bf16(graph, is_native, err));
    if ((passes & TT_PASS_FUSE) != 0) {
        TT_TRY(tt_graph_fuse_composed(graph, err));
        TT_TRY(tt_graph_fuse_pads(graph, err));
        TT_TRY(tt_graph_fuse_scores(graph, err));
    }
    if ((passes & TT_PASS_INTEGER) != 0) {
        TT_TRY(tt_graph_fuse_bytes(graph, err));
        TT_TRY(tt_graph_fuse_integer(graph, err));
    }
    if (quantize) TT_TRY(fuse_quantized(model, graph, err));
    if ((passes & TT_PASS_ATTENTION) != 0) TT_TRY(tt_graph_fuse_attention(graph, err));
    if ((passes & TT_PASS_DYNAMIC) != 0)
        TT_TRY(tt_graph_fuse_dynamic_quantized(graph, err));
    if ((passes & TT_PASS_FUSE) != 0) TT_TRY(tt_graph_fuse_posts(graph, err));
    if (quantize) TT_TRY(tt_graph_fuse_requantize(graph, err));
    if ((passes & TT_PASS_BF16) != 0)
        TT_TRY(tt_graph_store_bf16(graph, is_native, err));
    if ((passes & TT_PASS_CHAIN) != 0) TT_TRY(tt_graph_chain(graph, err));
    tt_graph_sweep(graph);
    return TT_OK;
}
