/* How gradients change weights, in one pass over all that an optimizer keeps: stochastic
 * gradient descent and Adam as PyTorch defines them, in f32. */
#ifndef TT_KERNELS_OPTIMIZER_H
#define TT_KERNELS_OPTIMIZER_H

#include <stdbool.h>

#include "base/threads.h"

typedef enum { TT_OPTIMIZER_SGD, TT_OPTIMIZER_ADAM } tt_optimizer_kind;

/* What an update is made of; the vectors have n items each. */
typedef struct {
    tt_optimizer_kind kind;
    int64_t n;
    float *weights;
    const float *gradient;
    float *first, *second; /* SGD: momentum or NULL, unused; Adam: means of g and g^2 */
    float rate;
    float decay;  /* times the weights, is added to the gradient */
    float shrink; /* times the weights, is taken from them (AdamW) */
    /* SGD: momentum = keep[0] momentum + add[0] g, and the step is that, or with
     * nesterov g + keep[0] momentum.  Adam: first = keep[0] first + add[0] g, second =
     * keep[1] second + add[1] g^2, and the step first / (sqrt(second) root +
     * epsilon). */
    float keep[2], add[2];
    float root, epsilon;
    bool nesterov;
} tt_optimizer_update;

/* On the threads of the current arena. */
void tt_optimizer_run(const tt_optimizer_update *update);

/* Items [begin, end); per instruction set. */
typedef void (*tt_optimizer_part)(const tt_optimizer_update *u, int64_t begin,
                                  int64_t end);

extern const tt_optimizer_part tt_optimizer_scalar[2], tt_optimizer_avx2[2],
    tt_optimizer_avx512[2];

#endif
