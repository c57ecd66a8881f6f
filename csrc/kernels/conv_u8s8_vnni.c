/* Convolution of u8 by s8 for AVX-512 with VNNI: see conv_u8s8.h.
 *
 * Four vectors of sums are a line: 64 channels of a pixel, or 32 channels of two pixels.
 * A tile keeps the sums of its lines in registers over all taps. */
#include "kernels/conv_u8s8.h"

#ifdef __x86_64__
#include "kernels/u8s8_vnni.inc.h"

enum { LINES = 6 };
/* Tiles of panels in L1; for larger ones a line read serves more lines of sums. */
enum { FEW_LINES = 4, FEW_GROUPS = 40 };

/* What is the same for all tiles of a block; vectors first, for their alignment. */
typedef struct {
    __m512i start[VECTORS];
    __m512 multiplier[VECTORS], offset[VECTORS];
    __m512 sum_scale, low, high;
    __m512i sum_sign, dst_sign; /* turns s8 to u8 and back */
    __mmask64 mask;             /* of the channels, in bytes */
    int64_t step;               /* from pixel to pixel of dst, in channels */
    const tt_conv_u8s8_block *block;
} constants;

/* How a line is finished: straight from registers to whole u8 that need no bounds but
 * their own, the same with bytes added, or anything. */
typedef enum { PLAIN, PLAIN_SUM, ANY } finish_kind;

/* ---- results ---------------------------------------------------------------------- */

/* 32 channels of each of two pixels <-> what packs give of their sums. */
INLINE __m512i by_pixel(__m512i bytes)
{
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes);
}

INLINE __m512i by_lane(__m512i bytes)
{
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), bytes);
}

INLINE void scale(const __m512i *sums, const __m512 *multiplier, const __m512 *offset,
                  __m512 *x)
{
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v)
        x[v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[v]), multiplier[v], offset[v]);
}

/* The bytes that are added to a line at pixel `at`. */
INLINE __m512i load_sum(const constants *c, int64_t at, const bool is_narrow,
                        const bool is_full)
{
    const uint8_t *from = c->block->sum + at * c->step;
    __m512i bytes;
    if (!is_narrow) {
        bytes =
            is_full ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(c->mask, from);
    } else {
        __mmask32 mask = is_full ? 0xffffffff : (__mmask32)c->mask;
        bool is_last = at + 1 == c->block->n;
        __m256i first = _mm256_maskz_loadu_epi8(mask, from);
        __m256i second = _mm256_maskz_loadu_epi8(is_last ? 0 : mask,
                                                 is_last ? from : from + c->step);
        bytes = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        bytes = by_lane(bytes);
    }
    return bytes;
}

INLINE void store_bytes(const constants *c, __m512i bytes, int64_t at,
                        const bool is_narrow, const bool is_full)
{
    char *to = c->block->dst + at * c->step;
    if (!is_narrow) {
        if (is_full)
            _mm512_storeu_si512(to, bytes);
        else
            _mm512_mask_storeu_epi8(to, c->mask, bytes);
        return;
    }
    bytes = by_pixel(bytes);
    if (is_full) {
        _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(bytes));
        if (at + 1 < c->block->n)
            _mm256_storeu_si256((__m256i *)(void *)(to + c->step),
                                _mm512_extracti64x4_epi64(bytes, 1));
        return;
    }
    _mm256_mask_storeu_epi8(to, (__mmask32)c->mask, _mm512_castsi512_si256(bytes));
    if (at + 1 < c->block->n)
        _mm256_mask_storeu_epi8(to + c->step, (__mmask32)c->mask,
                                _mm512_extracti64x4_epi64(bytes, 1));
}

INLINE void store_floats(const constants *c, const __m512 *x, int64_t at,
                         const bool is_narrow)
{
    float *to = (float *)(void *)c->block->dst + at * c->step;
    __m512 a, b, d, e;
    if (!is_narrow) {
        store_channels(to, x, c->mask);
        return;
    }
    a = _mm512_shuffle_f32x4(x[0], x[1], 0x44);
    b = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
    d = _mm512_shuffle_f32x4(x[2], x[3], 0x44);
    e = _mm512_shuffle_f32x4(x[2], x[3], 0xee);
    __mmask16 first = (__mmask16)c->mask, second = (__mmask16)(c->mask >> LANES);
    _mm512_mask_storeu_ps(to, first, _mm512_shuffle_f32x4(a, a, 0xd8));
    _mm512_mask_storeu_ps(to + 16, second, _mm512_shuffle_f32x4(b, b, 0xd8));
    if (at + 1 == c->block->n) return;
    to += c->step;
    _mm512_mask_storeu_ps(to, first, _mm512_shuffle_f32x4(d, d, 0xd8));
    _mm512_mask_storeu_ps(to + 16, second, _mm512_shuffle_f32x4(e, e, 0xd8));
}

LOOP void finish_any(const constants *c, const __m512i *sums, int64_t at,
                     const bool is_narrow)
{
    const tt_conv_u8s8 *k = c->block->kernel;
    __m512i bytes;
    __m512 x[VECTORS];
    scale(sums, c->multiplier, c->offset, x);
    if (k->sum != TT_DTYPE_NONE) {
        bytes = load_sum(c, at, is_narrow, /*is_full=*/false);
        add_bytes(c->sum_scale, _mm512_xor_si512(bytes, c->sum_sign), x);
    }
    for (int v = 0; v < VECTORS; ++v)
        x[v] = _mm512_min_ps(_mm512_max_ps(x[v], c->low), c->high);
    if (k->dst == TT_F32) {
        store_floats(c, x, at, is_narrow);
        return;
    }
    bytes = _mm512_xor_si512(to_bytes(x), c->dst_sign);
    store_bytes(c, bytes, at, is_narrow, /*is_full=*/false);
}

/* ---- sums ------------------------------------------------------------------------- */

INLINE void finish(const constants *c, __m512i (*sums)[VECTORS], int64_t at,
                   const int lines, const bool is_narrow, const finish_kind kind)
{
    __m512 multiplier[VECTORS], offset[VECTORS];
    for (int v = 0; v < VECTORS; ++v) {
        multiplier[v] = c->multiplier[v];
        offset[v] = c->offset[v];
    }
#pragma GCC unroll 8
    for (int i = 0; i < lines; ++i, at += is_narrow ? 2 : 1) {
        /* a copy: an array whose address is taken would not stay in registers */
        const __m512i line[VECTORS] = {sums[i][0], sums[i][1], sums[i][2], sums[i][3]};
        __m512 x[VECTORS];
        if (kind == ANY) {
            finish_any(c, line, at, is_narrow);
            continue;
        }
        scale(line, multiplier, offset, x);
        if (kind == PLAIN_SUM)
            add_bytes(c->sum_scale, load_sum(c, at, is_narrow, /*is_full=*/true), x);
        store_bytes(c, to_bytes(x), at, is_narrow, /*is_full=*/true);
    }
}

/* `lines` lines from pixel `at` on; a line of `next` is fetched for each group. */
INLINE void tile(const constants *c, int64_t at, const int8_t *next, const int lines,
                 const bool is_narrow, const finish_kind kind)
{
    const int per_line = is_narrow ? 2 : 1, width = VECTORS / per_line;
    const tt_conv_u8s8_block *b = c->block;
    const int8_t *weights = b->weights;
    const uint8_t *rows[LINES * 2];
    __m512i sums[LINES][VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < lines * per_line; ++i)
        rows[i] = b->rows[at + i];
#pragma GCC unroll 8
    for (int i = 0; i < lines; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v)
            sums[i][v] = c->start[v];
    for (int64_t g = 0; g < b->n_groups; ++g, weights += width * VECTOR_BYTES) {
        int64_t offset = b->offsets[g];
        if (lines > FEW_LINES) _mm_prefetch(next + g * VECTOR_BYTES, _MM_HINT_T0);
        __m512i w[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v)
            w[v] = _mm512_loadu_si512(weights + v * VECTOR_BYTES);
#pragma GCC unroll 12
        for (int i = 0; i < lines * per_line; ++i) {
            __m512i src = four_bytes(rows[i] + offset);
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                __m512i *sum = &sums[i / per_line][i % per_line * width + v];
                *sum = dot(*sum, src, w[v]);
            }
        }
    }
    finish(c, sums, at, lines, is_narrow, kind);
}

/* n tiles, one behind the other.  Weights of deep layers come from memory: each tile
 * fetches a quarter of the next panel. */
#define TILES(name, lines, is_narrow, kind)                                    \
    LOOP void name(const constants *c, int64_t at, int64_t n)                  \
    {                                                                          \
        const int8_t *next = c->block->next;                                   \
        const int64_t quarter = c->block->n_groups * VECTOR_BYTES;             \
        for (int64_t i = 0; i < n; ++i, at += (lines) * ((is_narrow) ? 2 : 1)) \
            tile(c, at, next + i % 4 * quarter, lines, is_narrow, kind);       \
    }
#define WIDE(lines)                                  \
    TILES(wide_plain_##lines, lines, false, PLAIN)   \
    TILES(wide_sum_##lines, lines, false, PLAIN_SUM) \
    TILES(wide_any_##lines, lines, false, ANY)
#define NARROW(lines)                                 \
    TILES(narrow_plain_##lines, lines, true, PLAIN)   \
    TILES(narrow_sum_##lines, lines, true, PLAIN_SUM) \
    TILES(narrow_any_##lines, lines, true, ANY)
WIDE(1)
WIDE(2)
WIDE(3)
WIDE(4)
WIDE(5)
WIDE(6)
NARROW(1)
NARROW(2)
NARROW(3)
NARROW(4)

/* ---- a block ---------------------------------------------------------------------- */

typedef void (*run_tiles)(const constants *c, int64_t at, int64_t n);

#define ALL(name) {name##1, name##2, name##3, name##4, name##5, name##6}
static const run_tiles wide[3][LINES] = {ALL(wide_plain_), ALL(wide_sum_),
                                         ALL(wide_any_)};
#define FEW(name) {name##1, name##2, name##3, name##4}
static const run_tiles narrow[3][FEW_LINES] = {FEW(narrow_plain_), FEW(narrow_sum_),
                                               FEW(narrow_any_)};

INLINE void set_scales(const tt_conv_u8s8_block *b, constants *c)
{
    const tt_conv_u8s8 *k = b->kernel;
    const int32_t *totals = tt_conv_u8s8_totals(b);
    float shift = (k->dst == TT_S8 ? 128.0f : 0.0f) -
                  (k->sum == TT_S8 ? 128.0f * k->sum_scale : 0.0f);
    for (int v = 0; v < VECTORS; ++v) {
        int from = v * LANES % b->width;
        c->start[v] = _mm512_mullo_epi32(_mm512_loadu_si512(totals + from),
                                         _mm512_set1_epi32(-k->src_zero_point));
        c->multiplier[v] = _mm512_loadu_ps(b->multiplier + from);
        c->offset[v] =
            _mm512_add_ps(_mm512_loadu_ps(b->offset + from), _mm512_set1_ps(shift));
    }
}

static constants constants_of(const tt_conv_u8s8_block *b)
{
    const tt_conv_u8s8 *k = b->kernel;
    float sign = k->dst == TT_S8 ? 128.0f : 0.0f;
    constants c = {.block = b,
                   .sum_scale = _mm512_set1_ps(k->sum_scale),
                   .low = _mm512_set1_ps(k->low + sign),
                   .high = _mm512_set1_ps(k->high + sign),
                   .sum_sign = _mm512_set1_epi8(k->sum == TT_S8 ? -128 : 0),
                   .dst_sign = _mm512_set1_epi8(k->dst == TT_S8 ? -128 : 0),
                   .mask = ~(__mmask64)0 >> (64 - b->n_channels),
                   .step = k->dst_channels};
    set_scales(b, &c);
    return c;
}

static finish_kind kind_of(const tt_conv_u8s8_block *b)
{
    const tt_conv_u8s8 *k = b->kernel;
    if (!tt_conv_u8s8_is_plain(k) || !k->is_bounded || b->n_channels != b->width)
        return ANY;
    return k->sum == TT_DTYPE_NONE ? PLAIN : PLAIN_SUM;
}

static void run_any(const tt_conv_u8s8_block *b)
{
    bool is_narrow = b->width == TT_CONV_U8S8_NARROW;
    int64_t per_line = is_narrow ? 2 : 1, lines = (b->n + per_line - 1) / per_line;
    int64_t most = is_narrow || b->n_groups <= FEW_GROUPS ? FEW_LINES : LINES;
    int64_t n = (lines + most - 1) / most, least = lines / n, larger = lines % n;
    const constants c = constants_of(b);
    const run_tiles *of = is_narrow ? narrow[kind_of(b)] : wide[kind_of(b)];
    if (larger > 0) of[least](&c, 0, larger); /* tiles of one line more */
    of[least - 1](&c, larger * (least + 1) * per_line, n - larger);
}

static void copy_any(uint8_t *to, const uint8_t *from, int64_t n, int64_t step)
{
    uint64_t every = 0; /* bits 0, step, 2 step .. */
    int64_t first = 0;  /* that is copied, of a vector */
    if (step >= VECTOR_BYTES) {
        tt_conv_u8s8_scalar.copy(to, from, n, step);
        return;
    }
    for (int64_t i = 0; i < VECTOR_BYTES; i += step)
        every |= (uint64_t)1 << i;
    for (int64_t i = 0; i < n; i += VECTOR_BYTES) {
        __m512i x = _mm512_loadu_si512(to + i);
        _mm512_storeu_si512(to + i,
                            _mm512_mask_loadu_epi8(x, every << first, from + i));
        first += (step - VECTOR_BYTES % step) % step;
        if (first >= step) first -= step;
    }
}

const tt_conv_u8s8_table tt_conv_u8s8_vnni = {
    .name = "conv_u8s8:vnni", .copy = copy_any, .run = run_any};
#endif
