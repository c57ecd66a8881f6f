/* What operators of ai.onnx.ml share. */
#ifndef TT_OPS_ML_COMMON_H
#define TT_OPS_ML_COMMON_H

#include "kernels/ml_scores.h"
#include "ops/op.h"

#define TT_ML_DOMAIN "ai.onnx.ml"

/* Scores and classes of one node: more are refused. */
enum { TT_ML_MAX_SCORES = 1 << 20 };

/* Attribute post_transform. */
tt_status tt_ml_transform(const tt_node *node, tt_score_transform *out, tt_error *err);

/* The integer labels of a classifier (attribute `name`); *n >= 1. */
tt_status tt_ml_labels(const tt_node *node, const char *name, const int64_t **out,
                       int *n, tt_error *err);

/* Place of `text` in n names, or -1. */
int tt_ml_find_name(const char *const *names, int n, const char *text);

/* Input 0 as rows: [n, f], or [f] as one row.  Numbers of float, double, int32, int64
 * and the smaller floats. */
tt_status tt_ml_rows(const tt_site *site, int64_t *n_rows, int64_t *n_columns,
                     tt_error *err);

#endif
