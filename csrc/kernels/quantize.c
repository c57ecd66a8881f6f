/* Quantisation loops; see quantize.h.
 *
 * The loops are written once and compiled for each instruction set; the compiler
 * vectorises them.  Rounding to even is done by adding and subtracting 1.5 * 2^23,
 * exact for the magnitudes that are left after clamping. */
#include "kernels/quantize.h"

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

typedef struct {
    const tt_quantize *quantize;
    const void *src, *scales, *zero_points;
    void *dst;
} quantize_call;

/* A run of n elements that share a scale (scale_step 0) or have one each (1). */
typedef struct {
    const void *src;
    void *dst;
    const float *scales, *zero_points;
    int64_t n, scale_step;
} run_of;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE float round_even(float x)
{
    const float shift = 12582912.0f;
    x = x > -4194304.0f ? x : -4194304.0f; /* NaN too */
    x = x < 4194304.0f ? x : 4194304.0f;
    return (x + shift) - shift;
}

/* Separate loops for one and many scales, so that both vectorise. */
#define QUANTIZE(type, low, high)                                                \
    ALWAYS_INLINE void quantize_##type(const run_of *run)                        \
    {                                                                            \
        const float *src = run->src;                                             \
        type *dst = run->dst;                                                    \
        float scale = run->scales[0], zero = run->zero_points[0];                \
        for (int64_t i = 0; i < run->n && run->scale_step == 0; ++i) {           \
            float x = round_even(src[i] / scale) + zero;                         \
            x = x > (low) ? x : (low);                                           \
            dst[i] = (type)(int32_t)(x < (high) ? x : (high));                   \
        }                                                                        \
        for (int64_t i = 0; i < run->n && run->scale_step != 0; ++i) {           \
            float x = round_even(src[i] / run->scales[i]) + run->zero_points[i]; \
            x = x > (low) ? x : (low);                                           \
            dst[i] = (type)(int32_t)(x < (high) ? x : (high));                   \
        }                                                                        \
    }
#define DEQUANTIZE(type)                                                     \
    ALWAYS_INLINE void dequantize_##type(const run_of *run)                  \
    {                                                                        \
        const type *src = run->src;                                          \
        float *dst = run->dst;                                               \
        float scale = run->scales[0], zero = run->zero_points[0];            \
        for (int64_t i = 0; i < run->n && run->scale_step == 0; ++i)         \
            dst[i] = ((float)src[i] - zero) * scale;                         \
        for (int64_t i = 0; i < run->n && run->scale_step != 0; ++i)         \
            dst[i] = ((float)src[i] - run->zero_points[i]) * run->scales[i]; \
    }
QUANTIZE(uint8_t, 0.0f, 255.0f)
QUANTIZE(int8_t, -128.0f, 127.0f)
QUANTIZE(uint16_t, 0.0f, 65535.0f)
QUANTIZE(int16_t, -32768.0f, 32767.0f)
DEQUANTIZE(uint8_t)
DEQUANTIZE(int8_t)
DEQUANTIZE(uint16_t)
DEQUANTIZE(int16_t)
DEQUANTIZE(int32_t)

ALWAYS_INLINE void do_run(const run_of *run, tt_dtype quantized, bool back)
{
    switch (quantized) {
    case TT_U8:
        back ? dequantize_uint8_t(run) : quantize_uint8_t(run);
        break;
    case TT_S8:
        back ? dequantize_int8_t(run) : quantize_int8_t(run);
        break;
    case TT_U16:
        back ? dequantize_uint16_t(run) : quantize_uint16_t(run);
        break;
    case TT_S16:
        back ? dequantize_int16_t(run) : quantize_int16_t(run);
        break;
    default:
        dequantize_int32_t(run);
        break;
    }
}

static void do_run_scalar(const run_of *run, tt_dtype quantized, bool back)
{
    do_run(run, quantized, back);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void do_run_avx2(const run_of *run,
                                                        tt_dtype quantized, bool back)
{
    do_run(run, quantized, back);
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))) static void do_run_avx512(
    const run_of *run, tt_dtype quantized, bool back)
{
    do_run(run, quantized, back);
}
#endif

static void dispatch(const run_of *run, tt_dtype quantized, bool back)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512)
        do_run_avx512(run, quantized, back);
    else if (isa == TT_ISA_AVX2)
        do_run_avx2(run, quantized, back);
    else
#endif
        do_run_scalar(run, quantized, back);
}

enum {
    CHUNK = 512
}; /* elements whose scales, and real values, are held on the stack */

/* Scales and zero points of the elements [at, at + n). */
static void load_scales(const quantize_call *call, int64_t at, int64_t n, float *scales,
                        float *zero_points)
{
    const tt_quantize *q = call->quantize;
    int64_t inner = at % q->n_inner, axis = at / q->n_inner % q->n_axis;
    int64_t outer = at / q->n_inner / q->n_axis, n_blocks = 0;
    if (q->block_size != 0) n_blocks = (q->n_axis + q->block_size - 1) / q->block_size;
    for (int64_t i = 0; i < n; ++i) {
        int64_t index = axis;
        if (q->block_size != 0)
            index = (outer * n_blocks + axis / q->block_size) * q->n_inner + inner;
        scales[i] = (float)tt_item_load(q->scale, call->scales, index);
        zero_points[i] = 0;
        if (call->zero_points != NULL)
            zero_points[i] =
                (float)tt_item_load(q->quantized, call->zero_points, index);
        if (++inner < q->n_inner) continue;
        inner = 0;
        if (++axis < q->n_axis) continue;
        axis = 0;
        ++outer;
    }
}

/* Elements [at, at + n), n <= CHUNK, where real values are not f32. */
static void run_converted(const tt_quantize *q, run_of *run, int64_t at, bool back)
{
    float real[CHUNK];
    const void *src = run->src;
    void *dst = run->dst;
    if (back) {
        run->dst = real;
        dispatch(run, q->quantized, back);
        for (int64_t i = 0; i < run->n; ++i)
            tt_item_store(q->real, dst, at + i, (double)real[i]);
    } else {
        for (int64_t i = 0; i < run->n; ++i)
            real[i] = (float)tt_item_load(q->real, src, at + i);
        run->src = real;
        dispatch(run, q->quantized, back);
    }
}

static void run_range(const quantize_call *call, int64_t begin, int64_t end, bool back)
{
    const tt_quantize *q = call->quantize;
    bool is_f32 = q->real == TT_F32;
    int64_t quantized = (int64_t)tt_dtype_bytes(q->quantized);
    int64_t shared = q->block_size == 0 ? (q->n_axis == 1 ? end : q->n_inner) : 1;
    while (begin < end) {
        float scales[CHUNK], zero_points[CHUNK];
        run_of run = {.scales = scales, .zero_points = zero_points};
        int64_t left = shared > 1 ? shared - begin % shared : end - begin;
        run.n = left < end - begin ? left : end - begin;
        run.scale_step = shared > 1 ? 0 : 1;
        if ((shared <= 1 || !is_f32) && run.n > CHUNK) run.n = CHUNK;
        load_scales(call, begin, shared > 1 ? 1 : run.n, scales, zero_points);
        run.src = back     ? (const char *)call->src + begin * quantized
                  : is_f32 ? (const char *)call->src + begin * 4
                           : call->src;
        run.dst = !back    ? (char *)call->dst + begin * quantized
                  : is_f32 ? (char *)call->dst + begin * 4
                           : call->dst;
        if (is_f32)
            dispatch(&run, q->quantized, back);
        else
            run_converted(q, &run, begin, back);
        begin += run.n;
    }
}

static void quantize_range(void *arg, int64_t begin, int64_t end)
{
    run_range(arg, begin, end, false);
}

static void dequantize_range(void *arg, int64_t begin, int64_t end)
{
    run_range(arg, begin, end, true);
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

void tt_quantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                     const void *zero_points, void *dst)
{
    quantize_call call = {quantize, src, scales, zero_points, dst};
    int64_t n = quantize->n_outer * quantize->n_axis * quantize->n_inner;
    tt_parallel_for(n, 65536, quantize_range, &call);
}

void tt_dequantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                       const void *zero_points, void *dst)
{
    quantize_call call = {quantize, src, scales, zero_points, dst};
    int64_t n = quantize->n_outer * quantize->n_axis * quantize->n_inner;
    tt_parallel_for(n, 65536, dequantize_range, &call);
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
