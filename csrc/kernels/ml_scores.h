/* What ai.onnx.ml makes of the scores of a row: a transform, and the class. */
#ifndef TT_KERNELS_ML_SCORES_H
#define TT_KERNELS_ML_SCORES_H

#include <stdbool.h>
#include <stdint.h>

/* X(code, name in files) */
#define TT_TRANSFORM_LIST(X)                     \
    X(TT_TRANSFORM_NONE, "NONE")                 \
    X(TT_TRANSFORM_LOGISTIC, "LOGISTIC")         \
    X(TT_TRANSFORM_SOFTMAX, "SOFTMAX")           \
    X(TT_TRANSFORM_SOFTMAX_ZERO, "SOFTMAX_ZERO") \
    X(TT_TRANSFORM_PROBIT, "PROBIT")

typedef enum {
#define TT_TRANSFORM_ENUM(code, name) code,
    TT_TRANSFORM_LIST(TT_TRANSFORM_ENUM)
#undef TT_TRANSFORM_ENUM
} tt_score_transform;

typedef enum {
    TT_SCORES_PLAIN,       /* as many outputs as scores; the largest is the class */
    TT_SCORES_SECOND,      /* two, of which the second against a threshold tells */
    TT_SCORES_PROBABILITY, /* one, which becomes 1 - s and s, or logistic of -s and s */
    TT_SCORES_SIGNED       /* one, which becomes -s and s, or logistic of them */
} tt_score_kind;

typedef struct {
    tt_score_kind kind;
    tt_score_transform transform;
    int64_t n_scores, n_outputs; /* of a row, before and after */
    double threshold; /* above it a score means the second class; not of PLAIN */
} tt_score_rule;

/* In place. */
void tt_scores_transform(tt_score_transform transform, double *scores, int64_t n);

/* Turns the scores of a row into its outputs (room for both) and gives the number of
 * the class.  `has` says which scores anything was added to (NULL: all). */
int64_t tt_scores_finish(const tt_score_rule *rule, double *scores, const uint8_t *has);

#endif
