/* Support vector machines over rows of f32: kernel values of rows and support vectors,
 * then decisions, votes and probabilities.
 *
 * A machine is one flat block: the header, then arrays that it gives the places of. */
#ifndef TT_KERNELS_SVM_H
#define TT_KERNELS_SVM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/ml_scores.h"

/* X(code, name in files) */
#define TT_SVM_KERNEL_LIST(X)         \
    X(TT_SVM_KERNEL_LINEAR, "LINEAR") \
    X(TT_SVM_KERNEL_POLY, "POLY")     \
    X(TT_SVM_KERNEL_RBF, "RBF")       \
    X(TT_SVM_KERNEL_SIGMOID, "SIGMOID")

typedef enum {
#define TT_SVM_KERNEL_ENUM(code, name) code,
    TT_SVM_KERNEL_LIST(TT_SVM_KERNEL_ENUM)
#undef TT_SVM_KERNEL_ENUM
} tt_svm_kernel;

typedef enum {
    TT_SVM_REGRESSION,   /* one sum */
    TT_SVM_ONE_CLASS,    /* its sign: 1 or -1 */
    TT_SVM_LINEAR,       /* vectors are the weights of the classes */
    TT_SVM_PAIRS,        /* a decision for each pair of classes */
    TT_SVM_PROBABILITIES /* the same, coupled to probabilities of classes */
} tt_svm_kind;

/* Rows of a block; vectors side by side are padded to a multiple of this too. */
enum { TT_SVM_ROWS = 16, TT_SVM_LANES = 32 };

typedef struct {
    tt_svm_kind kind;
    tt_svm_kernel kernel;
    float gamma, coef0, degree;
    int64_t n_features, n_vectors, n_padded, n_classes; /* n_classes 0: no labels */
    /* places in the block, in bytes */
    size_t vectors;        /* float[n_features][n_padded] */
    size_t coefficients;   /* float[n_classes - 1 or 1][n_vectors] */
    size_t rho;            /* float per pair, or one */
    size_t prob_a, prob_b; /* float per pair */
    size_t starts;         /* int64[n_classes + 1]: vectors of a class */
    size_t labels;         /* int64[n_classes] */
} tt_svm;

static inline const void *tt_svm_at(const tt_svm *svm, size_t place)
{
    return (const char *)svm + place;
}

typedef struct {
    tt_dtype src_dtype;
    int64_t n_rows;
    tt_score_rule rule; /* dst rows are rule.n_outputs wide */
    int n_slots;
    size_t slot_bytes;
} tt_svm_call;

/* Fills n_slots and slot_bytes; false when the working memory would overflow. */
bool tt_svm_split(const tt_svm *svm, tt_svm_call *call, int n_threads,
                  size_t *scratch_bytes);

/* ptrs: src (rows, dense), svm, labels (int64[n_rows] or NULL), dst or NULL, scratch.
 * A tt_kernel of plan/lower.h. */
tt_status tt_svm_run(const void *params, void *const *ptrs, tt_error *err);

const char *tt_svm_name(void);

/* values[row][n_padded] of n_rows rows of f32, dense; reads, and writes, up to the next
 * multiple of 4.  Per instruction set. */
typedef void (*tt_svm_values)(const tt_svm *svm, const float *rows, int64_t n_rows,
                              float *values);

void tt_svm_values_scalar(const tt_svm *svm, const float *rows, int64_t n_rows,
                          float *values);
void tt_svm_values_avx2(const tt_svm *svm, const float *rows, int64_t n_rows,
                        float *values);
void tt_svm_values_avx512(const tt_svm *svm, const float *rows, int64_t n_rows,
                          float *values);

#endif
