/* Attributes of LinearClassifier and LinearRegressor, as a machine of one vector per
 * score. */
#include <string.h>

#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/svm_machine.h"

/* Scores of classes; one of two classes is the second one's. */
static tt_status read_classes(const tt_node *node, tt_svm_machine *m, int64_t *n_scores,
                              tt_error *err)
{
    int n;
    TT_TRY(tt_ml_labels(node, "classlabels_ints", &m->labels, &n, err));
    m->svm.n_classes = n;
    *n_scores = m->rho.n > 0 ? m->rho.n : n;
    if (*n_scores == 1 && n == 2) {
        m->rule.kind = TT_SCORES_PROBABILITY;
        m->rule.n_outputs = 2;
    } else if (*n_scores != n) {
        return tt_fail_at(node, err, TT_BAD_MODEL, "%lld intercepts for %d classes",
                          (long long)*n_scores, n);
    }
    return TT_OK;
}

static tt_status read_targets(const tt_node *node, tt_svm_machine *m, int64_t *n_scores,
                              tt_error *err)
{
    TT_TRY(tt_attribute_int(node, "targets", 1, n_scores, err));
    if (*n_scores < 1 || *n_scores > TT_ML_MAX_SCORES ||
        (m->rho.n > 0 && m->rho.n != *n_scores))
        return tt_fail_at(node, err, TT_BAD_MODEL, "%d intercepts for %lld targets",
                          m->rho.n, (long long)*n_scores);
    return TT_OK;
}

tt_status tt_svm_read_linear(const tt_node *node, tt_svm_machine *m, tt_error *err)
{
    int64_t n;
    memset(m, 0, sizeof *m);
    m->svm.kind = TT_SVM_LINEAR;
    m->svm.kernel = TT_SVM_KERNEL_LINEAR;
    m->has_labels = strcmp(node->op_type, "LinearClassifier") == 0;
    TT_TRY(tt_ml_transform(node, &m->rule.transform, err));
    TT_TRY(tt_svm_read_floats(node, "coefficients", &m->vectors, err));
    TT_TRY(tt_svm_read_floats(node, "intercepts", &m->rho, err));
    TT_TRY(m->has_labels ? read_classes(node, m, &n, err)
                         : read_targets(node, m, &n, err));
    if (m->vectors.n < n || m->vectors.n % n != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%d coefficients for %lld targets, expected as many for each",
                          m->vectors.n, (long long)n);
    m->rule.n_scores = n;
    if (m->rule.n_outputs == 0) m->rule.n_outputs = n;
    m->svm.n_vectors = n;
    m->svm.n_features = m->vectors.n / n;
    m->svm.n_padded = (n + TT_SVM_LANES - 1) / TT_SVM_LANES * TT_SVM_LANES;
    return TT_OK;
}
