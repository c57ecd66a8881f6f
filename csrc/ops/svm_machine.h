/* A support vector machine, or linear functions, as its node says it: the attributes,
 * checked against each other. */
#ifndef TT_OPS_SVM_MACHINE_H
#define TT_OPS_SVM_MACHINE_H

#include "kernels/svm.h"
#include "ops/op.h"

typedef struct {
    const float *at;
    int n; /* 0: there are none */
} tt_svm_floats;

typedef struct {
    tt_svm svm; /* but for its places */
    tt_score_rule rule;
    tt_svm_floats vectors, coefficients, prob_a, prob_b;
    tt_svm_floats rho;        /* one item stands for all */
    const int64_t *labels;    /* svm.n_classes */
    const int64_t *per_class; /* vectors of each class; not of linear ones */
    bool has_labels;          /* the first output */
} tt_svm_machine;

/* SVMClassifier and SVMRegressor; LinearClassifier and LinearRegressor. */
tt_status tt_svm_read(const tt_node *node, tt_svm_machine *machine, tt_error *err);
tt_status tt_svm_read_linear(const tt_node *node, tt_svm_machine *machine,
                             tt_error *err);

/* An attribute; none is no error. */
tt_status tt_svm_read_floats(const tt_node *node, const char *name, tt_svm_floats *out,
                             tt_error *err);

#endif
