/* Identity: the input itself. */
#include "ops/move.h"

const tt_op tt_op_identity = {.name = "Identity",
                              .domain = "",
                              .since = 1,
                              .summary = "the input itself",
                              .infer = tt_infer_same,
                              .lower = tt_lower_reshape,
                              .takes_sequences = true,
                              .is_reshape = true};
