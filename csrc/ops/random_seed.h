/* The attribute `seed` of operators that draw random numbers. */
#ifndef TT_OPS_RANDOM_SEED_H
#define TT_OPS_RANDOM_SEED_H

#include "kernels/random.h"
#include "ops/op.h"

/* A float, or an integer (Dropout); its low 32 bits seed.  None, or one that is not
 * finite: no seed. */
tt_status tt_random_read(const tt_node *node, tt_random *out, tt_error *err);

#endif
