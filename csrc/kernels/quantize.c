/* Quantisation: choice of the instruction set, splitting into rows whose elements share
 * a scale or have one each, other types than f32. */
#include "kernels/quantize.h"

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"
#include "kernels/small.h"

enum {
    CHUNK = 512
}; /* elements whose scales, and real values, are held on the stack */

typedef struct {
    const tt_quantize *quantize;
    tt_quantize_row row[2]; /* one scale for all, one for each; NULL: small types */
    tt_quantize_row widen;  /* zero points to float; NULL: small types */
    const tt_small_table *small;
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
    } else if (q->scale == TT_F8E8M0) {
        call->small->decode[TT_F8E8M0](n, (const uint8_t *)call->scales + first,
                                       scales);
    } else {
        for (int64_t i = 0; i < n; ++i)
            scales[i] = (float)tt_item_load(q->scale, call->scales, first + i);
    }
    if (call->zero_points == NULL) {
        memset(zero_points, 0, (size_t)n * sizeof *zero_points);
    } else if (tt_dtype_is_small(q->quantized)) {
        call->small->decode[q->quantized](n, (const uint8_t *)call->zero_points + first,
                                          zero_points);
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

static float rounded(tt_dtype precision, float x)
{
    if (precision == TT_F16) return tt_f32_from_f16(tt_f16_from_f32(x));
    if (precision == TT_BF16) return tt_f32_from_bf16(tt_bf16_from_f32(x));
    return x;
}

/* Quotients of n <= CHUNK elements, in the precision asked for. */
static void divide(const tt_quantize *q, int64_t n, int step, const float *src,
                   const float *scales, float *quotients)
{
    const tt_dtype as = q->precision;
    if (as != TT_F16 && as != TT_BF16) {
        for (int64_t i = 0; i < n; ++i)
            quotients[i] = src[i] / scales[i * step];
        return;
    }
    for (int64_t i = 0; i < n; ++i)
        quotients[i] = rounded(as, rounded(as, src[i]) / rounded(as, scales[i * step]));
}

/* Quotients to small integers: clamped first, to bounds that are integers, so that
 * adding 1.5 * 2^23 rounds to even; NaN takes the lower bound.  Then the sum is what
 * the type can hold. */
static void round_quotients(tt_dtype dtype, int64_t n, int step,
                            const float *zero_points, float *x)
{
    const int half = 1 << (tt_dtype_bits(dtype) - 1);
    const bool is_signed = dtype == TT_S4 || dtype == TT_S2;
    const float lowest = is_signed ? (float)-half : 0.0f;
    const float largest = lowest + (float)(2 * half - 1), magic = 12582912.0f;
    for (int64_t i = 0; i < n; ++i) {
        const float zero = zero_points[i * step];
        const float low = lowest - zero, high = largest - zero;
        float y = x[i] > low ? x[i] : low;
        y = y < high ? y : high;
        x[i] = (y + magic) - magic + zero;
    }
}

/* n <= CHUNK elements to a small type. */
static void quantize_small(const quantize_call *call, int64_t n, int step,
                           const float *src, const float *scales,
                           const float *zero_points, uint8_t *dst)
{
    const tt_quantize *q = call->quantize;
    const tt_small_rule rule = {.saturate = q->saturate};
    float x[CHUNK];
    divide(q, n, step, src, scales, x);
    if (tt_small_is_int(q->quantized))
        round_quotients(q->quantized, n, step, zero_points, x);
    else
        for (int64_t i = 0; i < n; ++i)
            x[i] = zero_points[i * step] == 0.0f ? x[i] : x[i] + zero_points[i * step];
    call->small->encode[q->quantized](n, x, dst, rule);
}

static void dequantize_small(const quantize_call *call, int64_t n, int step,
                             const uint8_t *src, const float *scales,
                             const float *zero_points, float *dst)
{
    call->small->decode[call->quantize->quantized](n, src, dst);
    for (int64_t i = 0; i < n; ++i)
        dst[i] = (dst[i] - zero_points[i * step]) * scales[i * step];
}

static void dequantize_row(const quantize_call *call, int64_t at, int64_t n, int step,
                           const float *scales, const float *zero_points, float *dst)
{
    const tt_quantize *q = call->quantize;
    const char *src = call->src;
    src += at * (int64_t)tt_dtype_bytes(q->quantized);
    if (call->row[0] == NULL)
        dequantize_small(call, n, step, (const uint8_t *)src, scales, zero_points, dst);
    else
        call->row[step](n, src, dst, scales, zero_points);
}

static void quantize_row(const quantize_call *call, int64_t at, int64_t n, int step,
                         const float *src, const float *scales,
                         const float *zero_points)
{
    const tt_quantize *q = call->quantize;
    char *dst = call->dst;
    float quotients[CHUNK], ones[CHUNK];
    dst += at * (int64_t)tt_dtype_bytes(q->quantized);
    if (call->row[0] == NULL) {
        quantize_small(call, n, step, src, scales, zero_points, (uint8_t *)dst);
        return;
    }
    if (q->precision == TT_F16 || q->precision == TT_BF16) {
        divide(q, n, step, src, scales, quotients);
        for (int64_t i = 0; i < n; ++i)
            ones[i] = 1.0f;
        src = quotients;
        scales = ones;
    }
    call->row[step](n, src, dst, scales, zero_points);
}

/* Elements [at, at + n), at most CHUNK where needs_chunks(). */
static void do_row(const quantize_call *call, int64_t at, int64_t n, int step,
                   const float *scales, const float *zero_points)
{
    const tt_quantize *q = call->quantize;
    float real[CHUNK];
    const bool is_f32 = q->real == TT_F32;
    if (call->back) {
        float *dst = is_f32 ? (float *)call->dst + at : real;
        dequantize_row(call, at, n, step, scales, zero_points, dst);
        for (int64_t i = 0; i < n && !is_f32; ++i)
            tt_item_store(q->real, call->dst, at + i, (double)real[i]);
    } else {
        for (int64_t i = 0; i < n && !is_f32; ++i)
            real[i] = (float)tt_item_load(q->real, call->src, at + i);
        quantize_row(call, at, n, step, is_f32 ? (const float *)call->src + at : real,
                     scales, zero_points);
    }
}

static bool needs_chunks(const quantize_call *call)
{
    const tt_quantize *q = call->quantize;
    return q->real != TT_F32 || call->row[0] == NULL || q->precision == TT_F16 ||
           q->precision == TT_BF16;
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
        if ((s.step != 0 || needs_chunks(call)) && s.n > CHUNK) s.n = CHUNK;
        load_scales(call, s.first, s.step != 0 ? s.n : 1, scales, zero_points);
        do_row(call, begin, s.n, s.step, scales, zero_points);
        begin += s.n;
    }
}

static bool is_stored(tt_dtype quantized, bool dequantize)
{
    return quantized == TT_U8 || quantized == TT_S8 || quantized == TT_U16 ||
           quantized == TT_S16 || (dequantize && quantized == TT_S32) ||
           (tt_dtype_is_small(quantized) && quantized != TT_F8E8M0);
}

bool tt_quantize_has(const tt_quantize *quantize, bool dequantize)
{
    tt_dtype real = quantize->real, scale = quantize->scale;
    if (scale != TT_F32 && scale != TT_F16 && scale != TT_BF16 && scale != TT_F8E8M0)
        return false;
    if (real != TT_F32 && real != TT_F16 && real != TT_BF16 &&
        (dequantize || real != TT_S32))
        return false;
    return is_stored(quantize->quantized, dequantize);
}

/* The loops of a type; NULLs for small ones. */
static const tt_quantize_row *rows_of(const tt_quantize *quantize, bool back)
{
    static const tt_quantize_row none[2];
    const tt_quantize_table *t = tt_quantize_table_best();
    if (tt_dtype_is_small(quantize->quantized)) return none;
    return back ? t->dequantize[quantize->quantized] : t->quantize[quantize->quantized];
}

static void run(const tt_quantize *quantize, bool back, const void *src,
                const void *scales, const void *zero_points, void *dst)
{
    const tt_quantize_row *row = rows_of(quantize, back);
    const tt_quantize_row *widen = rows_of(quantize, true);
    quantize_call call = {
        .quantize = quantize,
        .row = {row[0], row[1]},
        .widen = widen[0],
        .small = tt_small_table_best(),
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
