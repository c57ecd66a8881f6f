/* What this machine can do at most, measured: the yardstick for "percent of peak".
 *
 * Arithmetic is a loop over registers alone, bandwidth a loop that only reads.  Each
 * figure is the best of 25 runs of about 2 ms, so that a disturbance lowers it only if
 * it lasts. */
#ifndef TT_BASE_PEAKS_H
#define TT_BASE_PEAKS_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1e9 operations (two per multiply-add) and 1e9 bytes a second, of all threads
 * together.  0: the processor has no such instruction. */
typedef struct {
    double f32_gops;
    double bf16_gops;   /* AVX512-BF16 dot products (not AMX) */
    double int8_gops;   /* VNNI dot products (not AMX) */
    double l2_gbps;     /* reading what fits into half of each core's L2 */
    double l3_gbps;     /* reading half of the last-level cache */
    double memory_gbps; /* reading four times the last-level cache */
} tt_peaks;

/* n_threads >= 1.  Takes about 0.5 s and 128 MiB or four times the last-level
 * cache, whichever is more (at most 1 GiB).  TT_BAD_INPUT, TT_NO_MEMORY. */
tt_status tt_peaks_measure(int n_threads, tt_peaks *out, tt_error *err);

#ifdef __cplusplus
}
#endif

#endif
