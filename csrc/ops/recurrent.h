/* What RNN, GRU and LSTM share: attributes, shapes, the plain kernel. */
#ifndef TT_OPS_RECURRENT_H
#define TT_OPS_RECURRENT_H

#include "kernels/recurrent.h"
#include "plan/lower.h"

/* Reads and checks attributes and input shapes of a node of this cell type. */
tt_status tt_recurrent_read(const tt_site *site, tt_cell cell, tt_recurrent_kernel *out,
                            tt_error *err);
tt_status tt_recurrent_infer(tt_site *site, tt_cell cell, tt_shape *out, tt_error *err);
/* One step of the plain kernel, which serves everything. */
tt_status tt_recurrent_lower(tt_lower *lower, const tt_node *node, tt_cell cell,
                             tt_error *err);

#endif
