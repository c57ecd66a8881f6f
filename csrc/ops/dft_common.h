/* What DFT and STFT share when they are lowered. */
#ifndef TT_OPS_DFT_COMMON_H
#define TT_OPS_DFT_COMMON_H

#include "kernels/dft.h"
#include "plan/lower.h"

/* Adds the step: operands of signal, window (TT_NO_OPERAND: none) and result, all
 * row-major.  dft is complete but for what tt_dft_plan fills in. */
tt_status tt_dft_lower(tt_lower *lower, const tt_node *node, tt_dft *dft,
                       tt_operand src, tt_operand window, tt_operand dst,
                       tt_error *err);

#endif
