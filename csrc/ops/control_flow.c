/* If, Loop, Scan and SequenceMap.  They have neither shapes nor steps of their own: If is
 * replaced by the branch that is taken, the others run their body as a program
 * (plan/control.c). */
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

/* Opset 8 had another Scan, over batches. */
const tt_op tt_op_scan = {.name = "Scan",
                          .domain = "",
                          .since = 9,
                          .summary = "a graph run over slices of tensors",
                          .is_control_flow = true};

const tt_op tt_op_sequence_map = {.name = "SequenceMap",
                                  .domain = "",
                                  .since = 17,
                                  .summary =
                                      "a graph run for each tensor of a sequence",
                                  .is_control_flow = true};
