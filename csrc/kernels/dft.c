/* Discrete Fourier transforms of tensors: see dft.h. */
#include "kernels/dft.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { BLOCK_BYTES = 1 << 18 }; /* of a part's scratch: fits the second cache */

static bool is_half(const tt_dft *dft)
{
    return dft->kind != TT_DFT_COMPLEX && dft->n % 2 == 0;
}

bool tt_dft_plan(tt_dft *dft, int n_threads)
{
    int64_t n = dft->n_outer * dft->n_inner, blocks;
    if (dft->kind != TT_DFT_HERMITIAN)
        dft->kind = dft->src_parts == 1 && dft->n % 2 == 0 && !dft->is_inverse
                        ? TT_DFT_REAL
                        : TT_DFT_COMPLEX;
    if (!tt_fft_plan(is_half(dft) ? dft->n / 2 : dft->n, &dft->fft)) return false;
    dft->lanes = TT_DFT_MAX_LANES;
    while (dft->lanes > 1 &&
           (dft->lanes / 2 >= n || 4 * dft->fft.m * dft->lanes * 4 > BLOCK_BYTES))
        dft->lanes /= 2;
    blocks = (n + dft->lanes - 1) / dft->lanes;
    dft->n_parts = blocks < n_threads ? (int)blocks : n_threads;
    return true;
}

int64_t tt_dft_table_items(const tt_dft *dft)
{
    return tt_fft_table_items(&dft->fft) + (is_half(dft) ? 2 * (dft->n / 2 + 1) : 0);
}

int64_t tt_dft_scratch_items(const tt_dft *dft)
{
    return 4 * tt_fft_array_items(&dft->fft, dft->lanes) * dft->n_parts;
}

tt_status tt_dft_fill(const tt_dft *dft, void *table, tt_error *err)
{
    int64_t n = tt_fft_table_items(&dft->fft), n_half = dft->n / 2 + 1;
    bool is_f64 = dft->dtype == TT_F64;
    if (is_f64)
        TT_TRY(tt_fft_fill_f64(&dft->fft, table, err));
    else
        TT_TRY(tt_fft_fill_f32(&dft->fft, table, err));
    for (int64_t k = 0; is_half(dft) && k < n_half; ++k) {
        double angle = 2.0 * 3.14159265358979323846 * (double)k / (double)dft->n;
        tt_item_store(is_f64 ? TT_F64 : TT_F32, table, n + k, cos(angle));
        tt_item_store(is_f64 ? TT_F64 : TT_F32, table, n + n_half + k, -sin(angle));
    }
    return TT_OK;
}

typedef struct {
    const tt_dft *dft;
    const void *table, *src, *window;
    void *dst, *scratch;
} dft_call;

#define S float
#define T float
#define LOAD(x) (x)
#define STORE(x) (x)
#define NAME(x) x##_f32
#define FFT tt_fft_get()->run_f32
#include "kernels/dft_ends.inc.h"
#undef S
#undef LOAD
#undef STORE
#undef NAME

#define S uint16_t
#define LOAD(x) tt_f32_from_f16(x)
#define STORE(x) tt_f16_from_f32(x)
#define NAME(x) x##_f16
#include "kernels/dft_ends.inc.h"
#undef LOAD
#undef STORE
#undef NAME

#define LOAD(x) tt_f32_from_bf16(x)
#define STORE(x) tt_bf16_from_f32(x)
#define NAME(x) x##_bf16
#include "kernels/dft_ends.inc.h"
#undef S
#undef T
#undef LOAD
#undef STORE
#undef NAME
#undef FFT

#define S double
#define T double
#define LOAD(x) (x)
#define STORE(x) (x)
#define NAME(x) x##_f64
#define FFT tt_fft_get()->run_f64
#include "kernels/dft_ends.inc.h"

static void run_parts(void *arg, int64_t begin, int64_t end)
{
    const dft_call *call = arg;
    for (int64_t part = begin; part < end; ++part)
        switch (call->dft->dtype) {
        case TT_F32:
            run_part_f32(call, part);
            break;
        case TT_F64:
            run_part_f64(call, part);
            break;
        case TT_F16:
            run_part_f16(call, part);
            break;
        default:
            run_part_bf16(call, part);
            break;
        }
}

void tt_dft_run(const tt_dft *dft, const void *table, const void *src,
                const void *window, void *dst, void *scratch)
{
    dft_call call = {dft, table, src, window, dst, scratch};
    tt_parallel_for(dft->n_parts, 1, run_parts, &call);
}
