/* Ensembles of decision trees: TreeEnsembleClassifier and TreeEnsembleRegressor (ai.onnx.ml
 * 1 and 3) and TreeEnsemble (5).  The nodes are compiled once per model (forest_build.c)
 * and walked by kernels/forest.c. */
#include <string.h>

#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/move.h"
#include "ops/tree_table.h"

enum { SRC, FOREST, LABELS, DST, SCRATCH, N_POINTERS };

static bool is_v5(const tt_node *node)
{
    return strcmp(node->op_type, "TreeEnsemble") == 0;
}

static bool is_classifier(const tt_node *node)
{
    return strcmp(node->op_type, "TreeEnsembleClassifier") == 0;
}

static tt_status read_rule(const tt_node *node, tt_score_rule *rule, tt_error *err)
{
    return is_v5(node) ? tt_tree_rule_v5(node, rule, err)
                       : tt_tree_rule(node, rule, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_score_rule rule;
    tt_shape scores = {.dtype = TT_F32, .rank = 2};
    int64_t n_rows, n_columns;
    TT_TRY(tt_ml_rows(site, &n_rows, &n_columns, err));
    TT_TRY(read_rule(node, &rule, err));
    scores.dims[0] = n_rows;
    scores.dims[1] = rule.n_outputs;
    if (is_v5(node)) scores.dtype = tt_input_shape(site, 0)->dtype;
    TT_TRY(tt_check_shape(site, &scores, err));
    if (!is_classifier(node)) {
        out[0] = scores;
        return TT_OK;
    }
    out[0] = (tt_shape){.dtype = TT_S64, .rank = 1, .dims = {n_rows}};
    if (node->n_outputs > 1) out[1] = scores;
    return TT_OK;
}

/* A tt_make of plan/lower.h; the variant is whether rows are of double. */
static tt_status make_forest(const tt_node *node, int variant, tt_constant **out,
                             tt_error *err)
{
    tt_tree_table table;
    tt_status status = is_v5(node) ? tt_tree_table_read_v5(node, &table, err)
                                   : tt_tree_table_read(node, &table, err);
    if (status == TT_OK) status = tt_forest_build(node, &table, variant != 0, out, err);
    tt_tree_table_free(&table);
    return status;
}

/* A forest that is thrown away: whether it can be made. */
static tt_status check(const tt_node *node, tt_error *err)
{
    tt_constant *made = NULL;
    tt_status status = make_forest(node, 0, &made, err);
    tt_constant_unref(made);
    return status;
}

static void work_of(const tt_forest *forest, int64_t n_rows, tt_work *work)
{
    const tt_forest_tree *tree = tt_forest_at(forest, forest->trees);
    double levels = 0;
    for (int32_t t = 0; t < forest->n_trees; ++t)
        levels += tree[t].max_depth < 32 ? tree[t].max_depth : 32;
    work->flops = levels * (double)n_rows;
    work->bytes = (double)n_rows * (double)forest->n_features * 4 +
                  (double)forest->n_nodes * (forest->is_wide ? 16 : 8);
    work->cost_ns = 200 + (1.0 * levels + 3.0 * forest->n_features +
                           3.0 * (double)forest->n_scores * forest->n_trees) *
                              (double)n_rows;
}

/* The labels and the scores, as far as they are wanted. */
static tt_status take_outputs(tt_lower *lower, const tt_node *node,
                              tt_operand *operands, tt_error *err)
{
    int scores = is_classifier(node);
    operands[LABELS] = operands[DST] = TT_NO_OPERAND;
    if (scores)
        TT_TRY(
            tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[LABELS], err));
    if (scores < node->n_outputs)
        TT_TRY(
            tt_lower_dst(lower, node, scores, TT_ORDER_ROW_MAJOR, &operands[DST], err));
    return TT_OK;
}

static tt_status lower_trees(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_forest_call call;
    tt_operand operands[N_POINTERS];
    const tt_forest *forest;
    const void *made;
    tt_work work = {0};
    size_t bytes;
    memset(&call, 0, sizeof call);
    call.src_dtype = tt_input_shape(&site, 0)->dtype;
    TT_TRY(tt_ml_rows(&site, &call.n_rows, &call.n_columns, err));
    TT_TRY(read_rule(node, &call.rule, err));
    TT_TRY(tt_lower_made(lower, node, make_forest, call.src_dtype == TT_F64,
                         &operands[FOREST], &made, err));
    forest = made;
    if (forest->n_columns > call.n_columns)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "its trees compare feature %lld, the input has %lld",
                          (long long)forest->n_columns - 1, (long long)call.n_columns);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[SRC], err));
    TT_TRY(take_outputs(lower, node, operands, err));
    if (operands[LABELS] == TT_NO_OPERAND && operands[DST] == TT_NO_OPERAND)
        return TT_OK;
    call.dst_dtype = is_v5(node) ? call.src_dtype : TT_F32;
    work_of(forest, call.n_rows, &work);
    if (!tt_forest_split(
            forest, &call,
            tt_lower_is_parallel(lower, &work) ? tt_lower_threads(lower) : 1, &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "its working memory is too large");
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_forest_name(forest), tt_forest_run, &call,
                           sizeof call, operands, 2, 3, &work, err);
}

#define TREES(record, op_type, first, last, text)         \
    const tt_op tt_op_##record = {.name = op_type,        \
                                  .domain = TT_ML_DOMAIN, \
                                  .since = first,         \
                                  .until = last,          \
                                  .summary = text,        \
                                  .infer = infer,         \
                                  .check = check,         \
                                  .lower = lower_trees};

TREES(tree_ensemble, "TreeEnsemble", 5, 0, "decision trees, summed")
TREES(tree_ensemble_classifier, "TreeEnsembleClassifier", 1, 0,
      "decision trees that score classes")
TREES(tree_ensemble_regressor, "TreeEnsembleRegressor", 1, 0,
      "decision trees, summed to targets")
