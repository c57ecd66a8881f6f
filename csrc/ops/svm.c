/* Support vector machines of ai.onnx.ml, and the linear models that are no plain product:
 * one score for two classes, rare transforms.  The attributes are brought into one block
 * once per model, which kernels/svm.c runs on. */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/move.h"
#include "ops/svm_machine.h"

enum { SRC, MACHINE, LABELS, DST, SCRATCH, N_POINTERS };

static bool is_linear(const tt_node *node)
{
    return strncmp(node->op_type, "Linear", 6) == 0;
}

static tt_status read_any(const tt_node *node, tt_svm_machine *m, tt_error *err)
{
    return is_linear(node) ? tt_svm_read_linear(node, m, err)
                           : tt_svm_read(node, m, err);
}

/* ---- the block -------------------------------------------------------------------- */

/* Puts n items of `bytes` each behind what is there. */
static bool reserve(size_t *end, int64_t n, size_t bytes, size_t *place)
{
    size_t all;
    if (!tt_mul_size((size_t)n, bytes, &all) || !tt_round_up(*end, 64, place))
        return false;
    return tt_add_size(*place, all, end);
}

static bool plan_block(tt_svm_machine *m, size_t *end)
{
    tt_svm *svm = &m->svm;
    int64_t n;
    *end = sizeof *svm;
    return tt_mul_i64(svm->n_features, svm->n_padded, &n) &&
           reserve(end, n, sizeof(float), &svm->vectors) &&
           reserve(end, m->coefficients.n + 1, sizeof(float), &svm->coefficients) &&
           reserve(end, m->rho.n + svm->n_vectors, sizeof(float), &svm->rho) &&
           reserve(end, m->prob_a.n, sizeof(float), &svm->prob_a) &&
           reserve(end, m->prob_b.n, sizeof(float), &svm->prob_b) &&
           reserve(end, svm->n_classes + 1, sizeof(int64_t), &svm->starts) &&
           reserve(end, svm->n_classes, sizeof(int64_t), &svm->labels);
}

static void put_floats(char *to, size_t place, const tt_svm_floats *list)
{
    if (list->n > 0) memcpy(to + place, list->at, (size_t)list->n * sizeof(float));
}

static void write_block(const tt_svm_machine *m, char *to)
{
    const tt_svm *svm = &m->svm;
    float *vectors = (float *)(void *)(to + svm->vectors);
    float *rho = (float *)(void *)(to + svm->rho);
    int64_t *starts = (int64_t *)(void *)(to + svm->starts);
    memcpy(to, svm, sizeof *svm);
    for (int64_t v = 0; v < svm->n_vectors; ++v)
        for (int64_t f = 0; f < svm->n_features; ++f)
            vectors[f * svm->n_padded + v] = m->vectors.at[v * svm->n_features + f];
    put_floats(to, svm->coefficients, &m->coefficients);
    if (m->coefficients.n == 0) ((float *)(void *)(to + svm->coefficients))[0] = 1;
    put_floats(to, svm->rho, &m->rho);
    for (int64_t i = m->rho.n; svm->kind == TT_SVM_LINEAR && i < svm->n_vectors; ++i)
        rho[i] = m->rho.n > 0 ? rho[0] : 0;
    put_floats(to, svm->prob_a, &m->prob_a);
    put_floats(to, svm->prob_b, &m->prob_b);
    for (int64_t i = 0; i < svm->n_classes && svm->kind != TT_SVM_LINEAR; ++i)
        starts[i + 1] = starts[i] + m->per_class[i];
    if (svm->n_classes > 0)
        memcpy(to + svm->labels, m->labels, (size_t)svm->n_classes * sizeof *m->labels);
}

/* A tt_make of plan/lower.h. */
static tt_status make_machine(const tt_node *node, int variant, tt_constant **out,
                              tt_error *err)
{
    tt_svm_machine m;
    tt_shape shape = {.dtype = TT_U8, .rank = 1};
    size_t n_bytes;
    void *data;
    (void)variant;
    TT_TRY(read_any(node, &m, err));
    if (!plan_block(&m, &n_bytes) || n_bytes > INT64_MAX)
        return tt_fail_at(node, err, TT_LIMIT, "its vectors are too many");
    shape.dims[0] = (int64_t)n_bytes;
    TT_TRY(tt_constant_empty(&shape, out, &data, err));
    write_block(&m, data);
    return TT_OK;
}

/* ---- the operator ----------------------------------------------------------------- */

static tt_status check(const tt_node *node, tt_error *err)
{
    tt_svm_machine m;
    return read_any(node, &m, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_shape scores = {.dtype = TT_F32, .rank = 2};
    tt_svm_machine m;
    int64_t n_rows, n_columns;
    TT_TRY(tt_ml_rows(site, &n_rows, &n_columns, err));
    TT_TRY(read_any(node, &m, err));
    if (n_columns != m.svm.n_features)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "its vectors have %lld features, the input has %lld",
                          (long long)m.svm.n_features, (long long)n_columns);
    scores.dims[0] = n_rows;
    scores.dims[1] = m.rule.n_outputs;
    TT_TRY(tt_check_shape(site, &scores, err));
    if (!m.has_labels) {
        out[0] = scores;
        return TT_OK;
    }
    out[0] = (tt_shape){.dtype = TT_S64, .rank = 1, .dims = {n_rows}};
    if (node->n_outputs > 1) out[1] = scores;
    return TT_OK;
}

static void work_of(const tt_svm *svm, int64_t n_rows, tt_work *work)
{
    double vectors = (double)svm->n_padded * (double)n_rows;
    double decisions = svm->n_classes > 1 ? (double)svm->n_classes - 1 : 1;
    work->flops = 2 * vectors * (double)svm->n_features;
    work->bytes = 4 * (double)svm->n_padded * (double)svm->n_features;
    work->cost_ns = 200 + work->flops / 20 + vectors * (1 + 0.5 * decisions);
}

static tt_status lower_svm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_svm_call call;
    tt_svm_machine m;
    tt_operand operands[N_POINTERS];
    const void *made;
    tt_work work = {0};
    int64_t n_columns;
    size_t bytes;
    memset(&call, 0, sizeof call);
    call.src_dtype = tt_input_shape(&site, 0)->dtype;
    TT_TRY(tt_ml_rows(&site, &call.n_rows, &n_columns, err));
    TT_TRY(read_any(node, &m, err));
    call.rule = m.rule;
    TT_TRY(tt_lower_made(lower, node, make_machine, 0, &operands[MACHINE], &made, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[SRC], err));
    operands[LABELS] = operands[DST] = TT_NO_OPERAND;
    if (m.has_labels)
        TT_TRY(
            tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[LABELS], err));
    if (m.has_labels < node->n_outputs)
        TT_TRY(tt_lower_dst(lower, node, m.has_labels, TT_ORDER_ROW_MAJOR,
                            &operands[DST], err));
    if (operands[LABELS] == TT_NO_OPERAND && operands[DST] == TT_NO_OPERAND)
        return TT_OK;
    work_of(made, call.n_rows, &work);
    if (!tt_svm_split(made, &call,
                      tt_lower_is_parallel(lower, &work) ? tt_lower_threads(lower) : 1,
                      &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "its working memory is too large");
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_svm_name(), tt_svm_run, &call, sizeof call,
                           operands, 2, 3, &work, err);
}

#define MACHINE_OP(record, op_type, text)                 \
    const tt_op tt_op_##record = {.name = op_type,        \
                                  .domain = TT_ML_DOMAIN, \
                                  .since = 1,             \
                                  .summary = text,        \
                                  .infer = infer,         \
                                  .check = check,         \
                                  .lower = lower_svm};

MACHINE_OP(linear_classifier, "LinearClassifier", "linear functions that score classes")
MACHINE_OP(linear_regressor, "LinearRegressor", "linear functions")
MACHINE_OP(svm_classifier, "SVMClassifier", "support vectors that vote for classes")
MACHINE_OP(svm_regressor, "SVMRegressor", "support vectors, summed")
