/* Quantisation: choice of the instruction set, splitting into rows whose elements share
 * a scale or have one each, other types than f32. */
#include "kernels/quantize.h"

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum {
    CHUNK = 512
}; /* elements whose scales, and real values, are held on the stack */

typedef struct {
    const tt_quantize *quantize;
    tt_quantize_row row[2]; /* one scale for all, one for each */
    tt_quantize_row widen;  /* zero points to float */
    bool back;
    const void *src, *scales, *zero_points;
    void *dst;
} quantize_call;

const tt_quantize_table *tt_quantize_table_best(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_quantize_avx512;
    if (isa == TT_ISA_AVX2) return &tt_quantize_avx2;
#endif
    return &tt_quantize_scalar;
}

/* ---- scales ---------------------------------------------------------------- */

/* Scales and zero points [first, first + n), as floats. */
static void load_scales(const quantize_call *call, int64_t first, int64_t n,
                        float *scales, float *zero_points)
{
    const tt_quantize *q = call->quantize;
    if (q->scale == TT_F32) {
        memcpy(scales, (const float *)call->scales + first, (size_t)n * sizeof *scales);
    } else {
        for (int64_t i = 0; i < n; ++i)
            scales[i] = (float)tt_item_load(q->scale, call->scales, first + i);
    }
    if (call->zero_points == NULL) {
        memset(zero_points, 0, (size_t)n * sizeof *zero_points);
    } else {
        static const float one = 1.0f, zero = 0.0f;
        const char *from = call->zero_points;
        from += first * (int64_t)tt_dtype_bytes(q->quantized);
        call->widen(n, from, zero_points, &one, &zero);
    }
}

/* What follows element `at`: n elements whose scales start at index `first` and are
 * one for all (step 0) or one for each (1). */
typedef struct {
    int64_t first, n;
    int step;
} stretch;

static stretch stretch_at(const tt_quantize *q, int64_t at)
{
    int64_t inner = at % q->n_inner, axis = at / q->n_inner % q->n_axis;
    int64_t outer = at / q->n_inner / q->n_axis, block = q->block_size, n_blocks, left;
    if (block == 0 && q->n_inner > 1) return (stretch){axis, q->n_inner - inner, 0};
    if (block == 0) return (stretch){axis, q->n_axis - axis, q->n_axis > 1};
    n_blocks = q->n_axis / block + (q->n_axis % block != 0);
    axis /= block;
    if (q->n_inner > 1)
        return (stretch){(outer * n_blocks + axis) * q->n_inner + inner,
                         q->n_inner - inner, 1};
    left = at % q->n_axis % block;
    left = block - left < q->n_axis - at % q->n_axis ? block - left
                                                     : q->n_axis - at % q->n_axis;
    return (stretch){outer * n_blocks + axis, left, 0};
}

/* ---- rows ------------------------------------------------------------------- */

/* Elements [at, at + n), at most CHUNK where real values are not f32. */
static void do_row(const quantize_call *call, int64_t at, int64_t n, int step,
                   const float *scales, const float *zero_points)
{
    const tt_quantize *q = call->quantize;
    const int64_t width = (int64_t)tt_dtype_bytes(q->quantized);
    float real[CHUNK];
    const bool is_f32 = q->real == TT_F32;
    if (call->back) {
        float *dst = is_f32 ? (float *)call->dst + at : real;
        call->row[step](n, (const char *)call->src + at * width, dst, scales,
                        zero_points);
        for (int64_t i = 0; i < n && !is_f32; ++i)
            tt_item_store(q->real, call->dst, at + i, (double)real[i]);
    } else {
        for (int64_t i = 0; i < n && !is_f32; ++i)
            real[i] = (float)tt_item_load(q->real, call->src, at + i);
        call->row[step](n, is_f32 ? (const float *)call->src + at : real,
                        (char *)call->dst + at * width, scales, zero_points);
    }
}

/* Few scales, one for each element in turn: written out over and over, so that rows
 * are long. */
static void do_pattern(const quantize_call *call, int64_t begin, int64_t end)
{
    const int64_t n_axis = call->quantize->n_axis, period = CHUNK / n_axis * n_axis;
    float scales[CHUNK], zero_points[CHUNK];
    for (int64_t done = 0, at = begin % n_axis; done < period; at = 0) {
        int64_t n = n_axis - at < period - done ? n_axis - at : period - done;
        load_scales(call, at, n, scales + done, zero_points + done);
        done += n;
    }
    for (; begin < end; begin += period)
        do_row(call, begin, end - begin < period ? end - begin : period, 1, scales,
               zero_points);
}

static void do_range(void *arg, int64_t begin, int64_t end)
{
    const quantize_call *call = arg;
    const tt_quantize *q = call->quantize;
    if (q->block_size == 0 && q->n_inner == 1 && q->n_axis > 1 && q->n_axis <= CHUNK) {
        do_pattern(call, begin, end);
        return;
    }
    while (begin < end) {
        float scales[CHUNK], zero_points[CHUNK];
        stretch s = stretch_at(q, begin);
        if (q->n_axis == 1 && q->block_size == 0) s = (stretch){0, end - begin, 0};
        if (s.n > end - begin) s.n = end - begin;
        if ((s.step != 0 || q->real != TT_F32) && s.n > CHUNK) s.n = CHUNK;
        load_scales(call, s.first, s.step != 0 ? s.n : 1, scales, zero_points);
        do_row(call, begin, s.n, s.step, scales, zero_points);
        begin += s.n;
    }
}

bool tt_quantize_has(const tt_quantize *quantize, bool dequantize)
{
    tt_dtype real = quantize->real, q = quantize->quantized, scale = quantize->scale;
    if (scale != TT_F32 && scale != TT_F16 && scale != TT_BF16) return false;
    if (real != TT_F32 && real != TT_F16 && real != TT_BF16 &&
        (dequantize || real != TT_S32))
        return false;
    return q == TT_U8 || q == TT_S8 || q == TT_U16 || q == TT_S16 ||
           (dequantize && q == TT_S32);
}

static void run(const tt_quantize *quantize, bool back, const void *src,
                const void *scales, const void *zero_points, void *dst)
{
    const tt_quantize_table *t = tt_quantize_table_best();
    const tt_quantize_row *row =
        back ? t->dequantize[quantize->quantized] : t->quantize[quantize->quantized];
    quantize_call call = {
        .quantize = quantize,
        .row = {row[0], row[1]},
        .widen = t->dequantize[quantize->quantized][0],
        .back = back,
        .src = src,
        .scales = scales,
        .zero_points = zero_points,
        .dst = dst,
    };
    tt_parallel_for(quantize->n_outer * quantize->n_axis * quantize->n_inner, 65536,
                    do_range, &call);
}

void tt_quantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                     const void *zero_points, void *dst)
{
    run(quantize, false, src, scales, zero_points, dst);
}

void tt_dequantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                       const void *zero_points, void *dst)
{
    run(quantize, true, src, scales, zero_points, dst);
}

void tt_range_with_zero(const float *src, int64_t n, float *low, float *high)
{
    float lows[16] = {0}, highs[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; ++k) {
            lows[k] = src[i + k] < lows[k] ? src[i + k] : lows[k];
            highs[k] = src[i + k] > highs[k] ? src[i + k] : highs[k];
        }
    for (; i < n; ++i) {
        lows[0] = src[i] < lows[0] ? src[i] : lows[0];
        highs[0] = src[i] > highs[0] ? src[i] : highs[0];
    }
    *low = *high = 0;
    for (int k = 0; k < 16; ++k) {
        *low = lows[k] < *low ? lows[k] : *low;
        *high = highs[k] > *high ? highs[k] : *high;
    }
}
