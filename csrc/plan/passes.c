/* The rewrites in order: those that need no shapes once per model, the others once
 * per plan. */
#include "base/cpu.h"
#include "graph/chain.h"
#include "graph/fuse.h"
#include "plan/plan.h"

tt_status tt_graph_prepare(tt_model *model, tt_graph *graph, tt_error *err)
{
    unsigned passes = model->options.passes;
    bool folds = (passes & TT_PASS_FOLD) != 0, mixes = (passes & TT_PASS_BF16) != 0;
    /* weights that are rounded to bf16 stay what they are until layers have had them */
    if (folds) TT_TRY(tt_graph_fold_constants(model, graph, mixes, err));
    TT_TRY(tt_graph_split_nary(graph, err));
    if ((passes & TT_PASS_SIMPLIFY) != 0) TT_TRY(tt_graph_simplify(graph, err));
    if (mixes)
        TT_TRY(tt_graph_mix_bf16(graph, tt_cpu_multiplies_bf16(tt_cpu_get()), err));
    if (folds && mixes)
        TT_TRY(tt_graph_fold_constants(model, graph, /*keeps_f32=*/false, err));
    if ((passes & TT_PASS_FUSE) != 0) {
        TT_TRY(tt_graph_fuse_weights(graph, err));
        TT_TRY(tt_graph_fuse_parallel(graph, err));
    }
    return TT_OK;
}

tt_status tt_graph_optimise(tt_model *model, tt_graph *graph, tt_error *err)
{
    unsigned passes = model->options.passes;
    bool is_native = tt_cpu_multiplies_bf16(tt_cpu_get());
    if ((passes & TT_PASS_SIMPLIFY) != 0) TT_TRY(tt_graph_simplify(graph, err));
    if ((passes & TT_PASS_BF16) != 0) TT_TRY(tt_graph_fuse_bf16(graph, is_native, err));
    if ((passes & TT_PASS_FUSE) != 0) {
        TT_TRY(tt_graph_fuse_composed(graph, err));
        TT_TRY(tt_graph_fuse_pads(graph, err));
        TT_TRY(tt_graph_fuse_scores(graph, err));
    }
    if ((passes & TT_PASS_ATTENTION) != 0) TT_TRY(tt_graph_fuse_attention(graph, err));
    if ((passes & TT_PASS_FUSE) != 0) TT_TRY(tt_graph_fuse_posts(graph, err));
    if ((passes & TT_PASS_BF16) != 0)
        TT_TRY(tt_graph_store_bf16(graph, is_native, err));
    if ((passes & TT_PASS_CHAIN) != 0) TT_TRY(tt_graph_chain(graph, err));
    tt_graph_sweep(graph);
    return TT_OK;
}
