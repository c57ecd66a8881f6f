/* Discrete Fourier transforms of tensors: real and complex signals, windows, one-sided
 * spectra.
 *
 * Transform t of n_outer * n_inner reads from offset (t / n_inner) * src_outer +
 * (t % n_inner) * src_inner on, samples src_step apart, and writes likewise; all counts
 * are elements, a complex number is two neighbours. */
#ifndef TT_KERNELS_DFT_H
#define TT_KERNELS_DFT_H

#include "base/dtype.h"
#include "kernels/fft.h"

typedef enum {
    TT_DFT_COMPLEX, /* through a transform of length n */
    TT_DFT_REAL,    /* real signal, n even: length n / 2 */
    TT_DFT_HERMITIAN, /* inverse of a one-sided spectrum, real: length n / 2, or n if odd */
} tt_dft_kind;

typedef struct {
    tt_dft_kind kind;
    tt_dtype dtype; /* any float; computed in f32, f64 in f64 */
    bool is_inverse;
    int src_parts, dst_parts; /* 1: real, 2: complex */
    int64_t n;                /* length */
    int64_t n_src, n_dst;     /* samples there are (the others are 0), bins wanted */
    int64_t n_outer, n_inner;
    int64_t src_outer, src_inner, src_step, dst_outer, dst_inner, dst_step;
    int64_t lanes; /* transforms at a time */
    int n_parts;   /* each with a scratch */
    tt_fft fft;
} tt_dft;

/* Chooses kind, lanes and parts for what is in the other fields (kind only for
 * TT_DFT_HERMITIAN); false when n is out of range. */
bool tt_dft_plan(tt_dft *dft, int n_threads);

int64_t tt_dft_table_items(const tt_dft *dft);   /* of float, or of double for f64 */
int64_t tt_dft_scratch_items(const tt_dft *dft); /* the same */
tt_status tt_dft_fill(const tt_dft *dft, void *table, tt_error *err);

enum { TT_DFT_MAX_LANES = 16 };

/* window: n items of dtype, or NULL. */
void tt_dft_run(const tt_dft *dft, const void *table, const void *src,
                const void *window, void *dst, void *scratch);

#endif
