/* Attributes of SVMClassifier and SVMRegressor. */
#include <string.h>

#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/svm_machine.h"

/* Pairs of more classes would have too many scores. */
enum { MAX_CLASSES = 1024 };

static const char *const kernels[] = {
#define NAME(code, name) [code] = name,
    TT_SVM_KERNEL_LIST(NAME)
#undef NAME
};

static bool is_classifier(const tt_node *node)
{
    return strcmp(node->op_type, "SVMClassifier") == 0;
}

/* ---- attributes ------------------------------------------------------------------- */

tt_status tt_svm_read_floats(const tt_node *node, const char *name, tt_svm_floats *out,
                             tt_error *err)
{
    TT_TRY(tt_attribute_floats(node, name, &out->at, &out->n, err));
    if (out->n < 0) out->n = 0;
    return TT_OK;
}

static tt_status read_kernel(const tt_node *node, tt_svm *svm, tt_error *err)
{
    const char *name;
    tt_svm_floats params;
    int found;
    TT_TRY(tt_attribute_string(node, "kernel_type", "LINEAR", &name, err));
    TT_TRY(tt_svm_read_floats(node, "kernel_params", &params, err));
    found = tt_ml_find_name(kernels, (int)(sizeof kernels / sizeof *kernels), name);
    if (found < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "kernel_type must be LINEAR, POLY, RBF or SIGMOID, not "
                          "'%.40s'",
                          name);
    if (params.n != 0 && params.n != 3)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "kernel_params has %d items, expected gamma, coef0 and "
                          "degree",
                          params.n);
    svm->kernel = (tt_svm_kernel)found;
    svm->gamma = params.n > 0 ? params.at[0] : 0;
    svm->coef0 = params.n > 0 ? params.at[1] : 0;
    svm->degree = params.n > 0 ? params.at[2] : 0;
    return TT_OK;
}

static tt_status mismatch(const tt_node *node, const tt_svm_machine *m, tt_error *err)
{
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "%d coefficients, %d numbers of support_vectors, %d rho, %d "
                      "prob_a and %d prob_b do not fit %lld vectors and %lld classes",
                      m->coefficients.n, m->vectors.n, m->rho.n, m->prob_a.n,
                      m->prob_b.n, (long long)m->svm.n_vectors,
                      (long long)m->svm.n_classes);
}

/* Vectors of n_features each; without any the coefficients are weights of `rows` linear
 * functions. */
static tt_status read_vectors(const tt_node *node, tt_svm_machine *m, int64_t n,
                              int64_t rows, tt_error *err)
{
    m->svm.n_vectors = n;
    if (n == 0) {
        m->vectors = m->coefficients;
        m->svm.kernel = TT_SVM_KERNEL_LINEAR;
        m->svm.n_vectors = n = rows;
    }
    if (m->vectors.n < n || m->vectors.n % n != 0) return mismatch(node, m, err);
    m->svm.n_features = m->vectors.n / n;
    return TT_OK;
}

static tt_status read_regressor(const tt_node *node, tt_svm_machine *m, tt_error *err)
{
    int64_t n, one_class;
    TT_TRY(tt_attribute_int(node, "n_supports", 0, &n, err));
    TT_TRY(tt_attribute_int(node, "one_class", 0, &one_class, err));
    if (n < 0 || n > INT32_MAX)
        return tt_fail_at(node, err, TT_BAD_MODEL, "n_supports is %lld", (long long)n);
    m->svm.kind = one_class != 0 ? TT_SVM_ONE_CLASS : TT_SVM_REGRESSION;
    m->rule.n_scores = m->rule.n_outputs = 1;
    if (m->rho.n != 1 || m->coefficients.n < 1 || (n > 0 && m->coefficients.n != n))
        return mismatch(node, m, err);
    TT_TRY(read_vectors(node, m, n, 1, err));
    if (n == 0) m->coefficients = (tt_svm_floats){NULL, 0}; /* one vector, once */
    return TT_OK;
}

static tt_status count_vectors(const tt_node *node, tt_svm_machine *m, int64_t *n,
                               tt_error *err)
{
    int n_counts;
    *n = 0;
    TT_TRY(tt_attribute_ints(node, "vectors_per_class", &m->per_class, &n_counts, err));
    for (int i = 0; i < n_counts; ++i)
        if (m->per_class[i] < 0 || m->per_class[i] > INT32_MAX ||
            (*n += m->per_class[i]) > INT32_MAX)
            return tt_fail_at(node, err, TT_BAD_MODEL, "%lld vectors of class %d",
                              (long long)m->per_class[i], i);
    if (*n > 0 && n_counts != m->svm.n_classes)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "vectors_per_class has %d items for %lld classes", n_counts,
                          (long long)m->svm.n_classes);
    return TT_OK;
}

/* Of pairs and of probabilities: what onnxruntime gives of them. */
static void choose_rule(tt_svm_machine *m, int64_t n_pairs)
{
    m->rule.n_scores = m->rule.n_outputs =
        m->svm.kind == TT_SVM_PAIRS ? n_pairs : m->svm.n_classes;
    if (m->svm.kind != TT_SVM_PAIRS || n_pairs != 1) return;
    m->rule.kind = m->rule.transform == TT_TRANSFORM_NONE ? TT_SCORES_SIGNED
                                                          : TT_SCORES_PROBABILITY;
    m->rule.n_outputs = 2;
}

static tt_status read_classifier(const tt_node *node, tt_svm_machine *m, tt_error *err)
{
    int64_t n, k, n_pairs;
    int n_labels;
    TT_TRY(tt_ml_labels(node, "classlabels_ints", &m->labels, &n_labels, err));
    if (n_labels < 2 || n_labels > MAX_CLASSES)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "%d classes, expected 2..%d",
                          n_labels, MAX_CLASSES);
    k = m->svm.n_classes = n_labels;
    n_pairs = k * (k - 1) / 2;
    TT_TRY(count_vectors(node, m, &n, err));
    m->svm.kind = n == 0            ? TT_SVM_LINEAR
                  : m->prob_a.n > 0 ? TT_SVM_PROBABILITIES
                                    : TT_SVM_PAIRS;
    if (m->coefficients.n < 1 || m->rho.n < (n > 0 ? n_pairs : 1) ||
        (n > 0 && m->coefficients.n != (k - 1) * n) || m->prob_a.n != m->prob_b.n ||
        (m->prob_a.n > 0 && m->prob_a.n < n_pairs))
        return mismatch(node, m, err);
    TT_TRY(read_vectors(node, m, n, k, err));
    if (n == 0) m->coefficients = (tt_svm_floats){NULL, 0};
    choose_rule(m, n_pairs);
    return TT_OK;
}

tt_status tt_svm_read(const tt_node *node, tt_svm_machine *m, tt_error *err)
{
    memset(m, 0, sizeof *m);
    TT_TRY(tt_ml_transform(node, &m->rule.transform, err));
    TT_TRY(read_kernel(node, &m->svm, err));
    TT_TRY(tt_svm_read_floats(node, "support_vectors", &m->vectors, err));
    TT_TRY(tt_svm_read_floats(node, "coefficients", &m->coefficients, err));
    TT_TRY(tt_svm_read_floats(node, "rho", &m->rho, err));
    TT_TRY(tt_svm_read_floats(node, "prob_a", &m->prob_a, err));
    TT_TRY(tt_svm_read_floats(node, "prob_b", &m->prob_b, err));
    TT_TRY(is_classifier(node) ? read_classifier(node, m, err)
                               : read_regressor(node, m, err));
    m->has_labels = is_classifier(node);
    m->svm.n_padded =
        (m->svm.n_vectors + TT_SVM_LANES - 1) / TT_SVM_LANES * TT_SVM_LANES;
    return TT_OK;
}
