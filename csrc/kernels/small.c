/* Casts from and to small elements: see small.h.
 *
 * From them there are 256 cases at most, which are worked out first.  To them every
 * type goes by way of floats that are exact, or rounded to odd so that the second
 * rounding is as if from the number itself. */
#include "kernels/small.h"

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/eltwise_table.h"
#include "kernels/item.h"
#include "kernels/vector_math.h"

enum { GRAIN = 16384, CHUNK = 512, N_CODES = 256, MAX_ITEM_BYTES = 8 };

const tt_small_table *tt_small_table_best(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_small_avx512;
    if (isa == TT_ISA_AVX2) return &tt_small_avx2;
#endif
    return &tt_small_scalar;
}

static bool is_real(tt_dtype dtype)
{
    return tt_dtype_is_float(dtype) || tt_dtype_is_int(dtype) || dtype == TT_BOOL ||
           tt_dtype_is_small(dtype);
}

bool tt_small_cast_has(const tt_small_cast *cast)
{
    return is_real(cast->from) && is_real(cast->to) &&
           (tt_dtype_is_small(cast->from) || tt_dtype_is_small(cast->to));
}

/* ---- from small elements ----------------------------------------------------- */

typedef struct {
    const tt_small_cast *cast;
    const tt_small_table *rows;
    const tt_eltwise_table *widen;
    const void *src;
    void *dst;
    uint64_t cases[N_CODES]; /* items of `to`, close together */
} cast_call;

/* A value that a small element has, as an element of whole bytes. */
static void store_case(const tt_small_cast *cast, float value, void *items, int i)
{
    const bool wraps = tt_small_is_int(cast->from);
    if (cast->to == TT_BOOL)
        ((uint8_t *)items)[i] = value != 0.0f;
    else if (wraps && tt_dtype_is_int(cast->to))
        tt_item_store_int(cast->to, items, i, (int64_t)value);
    else if (tt_dtype_is_int(cast->to))
        tt_item_store(cast->to, items, i, trunc((double)value));
    else
        tt_item_store(cast->to, items, i, (double)value);
}

static void find_cases(cast_call *call)
{
    const tt_small_cast *cast = call->cast;
    uint8_t codes[N_CODES];
    float values[N_CODES];
    for (int i = 0; i < N_CODES; ++i)
        codes[i] = (uint8_t)i;
    call->rows->decode[cast->from](N_CODES, codes, values);
    if (tt_dtype_is_small(cast->to)) {
        call->rows->encode[cast->to](N_CODES, values, (uint8_t *)call->cases,
                                     cast->rule);
        return;
    }
    for (int i = 0; i < N_CODES; ++i)
        store_case(cast, values[i], call->cases, i);
}

#define LOOK_UP(type)                                  \
    {                                                  \
        const type *cases = (const void *)call->cases; \
        type *dst = (type *)call->dst;                 \
        for (int64_t i = begin; i < end; ++i)          \
            dst[i] = cases[src[i]];                    \
        break;                                         \
    }

static void look_up(void *arg, int64_t begin, int64_t end)
{
    const cast_call *call = arg;
    const uint8_t *src = call->src;
    if (call->cast->to == TT_F32) {
        call->rows->decode[call->cast->from](end - begin, src + begin,
                                             (float *)call->dst + begin);
        return;
    }
    switch (tt_dtype_bytes(call->cast->to)) {
    case 1:
        LOOK_UP(uint8_t)
    case 2:
        LOOK_UP(uint16_t)
    case 4:
        LOOK_UP(uint32_t)
    default:
        LOOK_UP(uint64_t)
    }
}

/* ---- to small elements ------------------------------------------------------- */

/* Low bits of integers of one width. */
#define KEEP_BITS(type)                            \
    {                                              \
        const type *from = (const type *)src + at; \
        for (int64_t i = 0; i < n; ++i)            \
            dst[i] = (uint8_t)(from[i] & mask);    \
        break;                                     \
    }

static void keep_bits(tt_dtype from_dtype, tt_dtype to, const void *src, int64_t at,
                      int64_t n, uint8_t *dst)
{
    const unsigned mask = (1u << tt_dtype_bits(to)) - 1;
    switch (tt_dtype_bytes(from_dtype)) {
    case 1:
        KEEP_BITS(uint8_t)
    case 2:
        KEEP_BITS(uint16_t)
    case 4:
        KEEP_BITS(uint32_t)
    default:
        KEEP_BITS(uint64_t)
    }
}

/* The low bits of the whole part. */
static void keep_bits_f64(tt_dtype to, const double *src, int64_t n, uint8_t *dst)
{
    const uint64_t mask = (1u << tt_dtype_bits(to)) - 1;
    for (int64_t i = 0; i < n; ++i) {
        /* beyond 2^63 doubles are multiples of 2^11 */
        const double x = src[i] > -0x1p63 && src[i] < 0x1p63 ? src[i] : 0.0;
        dst[i] = (uint8_t)((uint64_t)(int64_t)x & mask);
    }
}

/* An integer as a float, rounded to odd. */
static float odd_from_int(tt_dtype dtype, const void *src, int64_t i)
{
    const int64_t value = tt_item_load_int(dtype, src, i);
    const bool minus = dtype != TT_U64 && value < 0;
    uint64_t size = minus ? 0 - (uint64_t)value : (uint64_t)value;
    /* 53 bits are exact in a double; those below leave a trace in the last of them */
    if (size >> 53 != 0) size = (size >> 11 | ((size & 2047) != 0)) << 11;
    return round_to_odd(minus ? -(double)size : (double)size);
}

/* Elements [at, at + n) as floats; n <= CHUNK. */
static const float *as_floats(const cast_call *call, int64_t at, int64_t n,
                              float *floats)
{
    const tt_dtype from = call->cast->from;
    const void *src = (const char *)call->src + at * (int64_t)tt_dtype_bytes(from);
    if (from == TT_F32) return src;
    if (from == TT_F16)
        call->widen->load_f16(n, floats, src, NULL, NULL, NULL);
    else if (from == TT_BF16)
        call->widen->load_bf16(n, floats, src, NULL, NULL, NULL);
    else if (from == TT_F64)
        for (int64_t i = 0; i < n; ++i)
            floats[i] = round_to_odd(((const double *)src)[i]);
    else if (tt_dtype_bytes(from) <= 2)
        call->widen->casts[from][TT_F32](n, floats, src, NULL, NULL, NULL);
    else
        for (int64_t i = 0; i < n; ++i)
            floats[i] = odd_from_int(from, src, i);
    return floats;
}

static void encode(void *arg, int64_t begin, int64_t end)
{
    const cast_call *call = arg;
    const tt_small_cast *cast = call->cast;
    const bool to_int = tt_small_is_int(cast->to);
    uint8_t *dst = call->dst;
    float floats[CHUNK];
    for (int64_t at = begin, n; at < end; at += n) {
        n = end - at < CHUNK ? end - at : CHUNK;
        if (to_int && (tt_dtype_is_int(cast->from) || cast->from == TT_BOOL))
            keep_bits(cast->from, cast->to, call->src, at, n, dst + at);
        else if (to_int && cast->from == TT_F64)
            keep_bits_f64(cast->to, (const double *)call->src + at, n, dst + at);
        else
            call->rows->encode[cast->to](n, as_floats(call, at, n, floats), dst + at,
                                         cast->rule);
    }
}

void tt_small_cast_run(const tt_small_cast *cast, int64_t n, const void *src, void *dst)
{
    const bool from_small = tt_dtype_is_small(cast->from);
    cast_call call = {.cast = cast,
                      .rows = tt_small_table_best(),
                      .widen = tt_eltwise_table_of(tt_cpu_get()->isa),
                      .src = src,
                      .dst = dst};
    if (from_small && cast->to != TT_F32) find_cases(&call);
    tt_parallel_for(n, GRAIN, from_small ? look_up : encode, &call);
}
