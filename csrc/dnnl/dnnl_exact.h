/* Does this processor add products of two bytes exactly?  Without VNNI oneDNN uses
 * instructions that saturate sums of two products at 16 bits. */
#ifndef TT_DNNL_EXACT_H
#define TT_DNNL_EXACT_H

#include "dnnl/dnnl_shim.h"

/* Found out once, by multiplying u8 and s8 at their extremes; call it inside an arena.
 * The answer holds for the process: ONEDNN_MAX_CPU_ISA is read once too. */
tt_status tt_dnnl_is_exact(tt_engine *engine, bool *out, tt_error *err);

#endif
