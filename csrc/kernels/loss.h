/* Losses of classes: how unlikely the scores make the class that is right.
 *
 * Scores are [n_samples, n_classes, inner], row-major, and positions are the samples and
 * inner dims.  The loss of a position is -weight log p[target], with log p the scores
 * themselves or their log-softmax over the classes; a position whose target is the
 * ignored class has neither loss nor weight.  The mean is the sum over the sum of the
 * weights.  Scores are read from memory once; partial sums are of fixed groups of
 * positions, so that the result does not depend on the number of threads. */
#ifndef TT_KERNELS_LOSS_H
#define TT_KERNELS_LOSS_H

#include <stdbool.h>

#include "base/dtype.h"
#include "base/status.h"

typedef enum { TT_LOSS_NONE, TT_LOSS_SUM, TT_LOSS_MEAN } tt_loss_reduction;

enum {
    TT_LOSS_SCORES,
    TT_LOSS_TARGETS, /* int32 or int64 [n_samples, inner] */
    TT_LOSS_WEIGHTS, /* [n_classes], or NULL: ones */
    TT_LOSS_Y,       /* [n_samples, inner] or one item; NULL: unwanted */
    TT_LOSS_LOG,     /* log p, like the scores; NULL: unwanted, or not computed */
    TT_LOSS_PARTS,   /* tt_loss_parts_bytes of working memory */
    TT_LOSS_N
};

typedef struct {
    tt_dtype dtype; /* of scores, weights, y and log p */
    bool is_32;     /* targets are int32 */
    bool has_ignored, needs_softmax;
    int64_t ignored;
    tt_loss_reduction reduction;
    int64_t n_samples, n_classes, inner;
} tt_loss;

size_t tt_loss_parts_bytes(const tt_loss *k);
/* A tt_kernel of plan/lower.h.  TT_BAD_INPUT names the first target that is no class. */
tt_status tt_loss_run(const void *params, void *const *ptrs, tt_error *err);
/* Name of the version that runs on this processor. */
const char *tt_loss_name(void);

/* At most TT_LOSS_LANES neighbouring positions of float scores, whose classes are `inner`
 * apart: the largest score and the logarithm of the sum of e^(score - largest).  Per
 * instruction set; positions with inner == 1 come one by one. */
enum { TT_LOSS_LANES = 64 };
typedef struct {
    const char *name;
    void (*row)(const float *scores, int64_t n, float *high, float *log_sum);
    void (*columns)(const float *scores, int64_t n, int64_t inner, int64_t lanes,
                    float *high, float *log_sum);
} tt_loss_table;

extern const tt_loss_table tt_loss_scalar, tt_loss_avx2, tt_loss_avx512;

#endif
