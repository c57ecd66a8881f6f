/* If and Loop.  They have neither shapes nor steps of their own: If is replaced by
 * the branch that is taken, Loop runs its body as a program (plan/control.c). */
#include "ops/op.h"

const tt_op tt_op_if = {.name = "If",
                        .domain = "",
                        .since = 1,
                        .summary = "one of two graphs, chosen by a condition",
                        .is_control_flow = true};

const tt_op tt_op_loop = {.name = "Loop",
                          .domain = "",
                          .since = 1,
                          .summary = "a graph run again and again",
                          .is_control_flow = true};
