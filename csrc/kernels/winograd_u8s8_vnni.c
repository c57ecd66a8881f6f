/* Winograd convolution of bytes for AVX-512 with VNNI: see winograd_u8s8.h. */
#include "kernels/winograd_u8s8.h"

#ifdef __x86_64__
#include "kernels/u8s8_vnni.inc.h"

enum { PLANES = TT_WINOGRAD_PLANES, TILES = TT_WINOGRAD_TILES };

/* ---- inputs ----------------------------------------------------------------------- */

/* B^T d of one line, from places `step` apart. */
INLINE void forward(__m512i *d, const int step)
{
    __m512i a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = _mm512_sub_epi16(a, c);
    d[step] = _mm512_add_epi16(b, c);
    d[2 * step] = _mm512_sub_epi16(c, b);
    d[3 * step] = _mm512_sub_epi16(b, e);
}

/* B^T d B of 32 channels, a quarter of it, rounded. */
INLINE void transform(__m512i *d)
{
    const __m512i half = _mm512_set1_epi32(0x00010002); /* even channels, odd ones */
    const __m512i zero =
        _mm512_add_epi16(half, _mm512_set1_epi16(4 * TT_WINOGRAD_ZERO));
#pragma GCC unroll 4
    for (int x = 0; x < 4; ++x)
        forward(d + x, 4);
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y)
        forward(d + 4 * y, 1);
#pragma GCC unroll 16
    for (int p = 0; p < PLANES; ++p)
        d[p] = _mm512_srli_epi16(
            _mm512_add_epi16(d[p], p == TT_WINOGRAD_SUMS ? half : zero), 2);
}

/* 64 channels, or those of the mask. */
INLINE void input(const uint8_t *const *from, int64_t c, __mmask64 mask, uint8_t *to,
                  int64_t plane)
{
    const __m512i nothing = _mm512_setzero_si512();
    __m512i low[PLANES], high[PLANES];
#pragma GCC unroll 16
    for (int p = 0; p < PLANES; ++p)
        low[p] =
            _mm512_unpacklo_epi8(_mm512_maskz_loadu_epi8(mask, from[p] + c), nothing);
    transform(low);
#pragma GCC unroll 16
    for (int p = 0; p < PLANES; ++p)
        high[p] =
            _mm512_unpackhi_epi8(_mm512_maskz_loadu_epi8(mask, from[p] + c), nothing);
    transform(high);
#pragma GCC unroll 16
    for (int p = 0; p < PLANES; ++p)
        _mm512_storeu_si512(to + p * plane, _mm512_packus_epi16(low[p], high[p]));
}

static void inputs_vnni(const tt_winograd_u8s8_group *g)
{
    int64_t channels = g->kernel->src_channels;
    for (int64_t i = 0; i < g->n; ++i) {
        const uint8_t *from[PLANES];
        uint8_t *to = g->inputs + i * g->row;
        int64_t c = 0;
        tt_winograd_u8s8_locate(g, g->first + i, from);
        for (; c + VECTOR_BYTES <= channels; c += VECTOR_BYTES)
            input(from, c, ~(__mmask64)0, to + c, g->input_plane);
        if (c < channels)
            input(from, c, ~(__mmask64)0 >> (VECTOR_BYTES - (channels - c)), to + c,
                  g->input_plane);
    }
}

/* ---- products --------------------------------------------------------------------- */

/* What is the same for all tiles of a plane of a panel. */
typedef struct {
    __m512i start[VECTORS];
    __m512 step[VECTORS];
    const uint8_t *inputs;
    const int8_t *weights;
    float *products;
    int64_t row, n_groups;
} plane_state;

/* Whole blocks of tiles are many: then the next plane comes from L2, and each fetches a
 * quarter of it to L1.  With fewer tiles products do not wait for memory if each fetches
 * half of it, to L2, as L1 has no room. */
INLINE int64_t lines_ahead(const int tiles)
{
    return tiles == TILES ? 1 : 2;
}

INLINE void fetch(const int8_t *next, int64_t g, const int tiles)
{
    if (tiles == TILES) {
        _mm_prefetch(next + g * VECTOR_BYTES, _MM_HINT_T0);
        return;
    }
    _mm_prefetch(next + 2 * g * VECTOR_BYTES, _MM_HINT_T1);
    _mm_prefetch(next + (2 * g + 1) * VECTOR_BYTES, _MM_HINT_T1);
}

/* `tiles` tiles from number `at` on. */
INLINE void some(const plane_state *p, int64_t at, const int8_t *next, const int tiles)
{
    const int8_t *weights = p->weights;
    const uint8_t *inputs = p->inputs + at * p->row;
    float *to = p->products + at * TT_CONV_U8S8_WIDE;
    __m512i sums[TILES][VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < tiles; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v)
            sums[i][v] = p->start[v];
    for (int64_t g = 0; g < p->n_groups; ++g, weights += VECTORS * VECTOR_BYTES) {
        __m512i w[VECTORS];
        fetch(next, g, tiles);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v)
            w[v] = _mm512_loadu_si512(weights + v * VECTOR_BYTES);
#pragma GCC unroll 6
        for (int i = 0; i < tiles; ++i) {
            __m512i src = four_bytes(inputs + i * p->row + g * 4);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; ++v)
                sums[i][v] = dot(sums[i][v], src, w[v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < tiles; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v)
            _mm512_storeu_ps(to + i * TT_CONV_U8S8_WIDE + v * LANES,
                             _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][v]), p->step[v]));
}

/* n times so many. */
#define SOME(tiles)                                                               \
    LOOP void some_##tiles(const plane_state *p, int64_t at, const int8_t *next,  \
                           int64_t n)                                             \
    {                                                                             \
        const int64_t part = p->n_groups * lines_ahead(tiles) * VECTOR_BYTES;     \
        for (int64_t i = 0; i < n; ++i, at += (tiles))                            \
            some(p, at, next + i % (VECTORS / lines_ahead(tiles)) * part, tiles); \
    }
SOME(1)
SOME(2)
SOME(3)
SOME(4)
SOME(5)
SOME(6)

typedef void (*run_some)(const plane_state *p, int64_t at, const int8_t *next,
                         int64_t n);
static const run_some by_tiles[TILES] = {some_1, some_2, some_3,
                                         some_4, some_5, some_6};

static void products_vnni(const tt_winograd_u8s8_panel *panel)
{
    const tt_winograd_u8s8_group *g = panel->group;
    int64_t bytes = tt_winograd_u8s8_plane_bytes(g->kernel->src_channels);
    int64_t n = (g->n + TILES - 1) / TILES, least = g->n / n, larger = g->n % n;
    plane_state p = {.row = g->row, .n_groups = (g->kernel->src_channels + 3) / 4};
    for (int i = 0; i < PLANES; ++i) {
        const int8_t *next =
            i + 1 < PLANES ? panel->weights + (i + 1) * bytes : panel->next;
        const int8_t *ends;
        p.inputs = g->inputs + i * g->input_plane;
        p.products = g->products + i * g->product_plane;
        p.weights = panel->weights + i * bytes;
        ends = p.weights + p.n_groups * VECTORS * VECTOR_BYTES;
        for (int v = 0; v < VECTORS; ++v) {
            const int8_t *end = ends + v * VECTOR_BYTES;
            p.start[v] = _mm512_mullo_epi32(
                _mm512_loadu_si512(end),
                _mm512_set1_epi32(-tt_winograd_u8s8_zero(g->kernel, i)));
            p.step[v] = _mm512_loadu_ps(end + VECTORS * VECTOR_BYTES);
        }
        if (larger > 0) by_tiles[least](&p, 0, next, larger); /* of one more */
        by_tiles[least - 1](&p, larger * (least + 1), next, n - larger);
    }
}

/* ---- outputs ---------------------------------------------------------------------- */

typedef struct {
    __m512 multiplier[VECTORS], offset[VECTORS];
    __m512 sum_scale, low, high;
    __m512i sum_sign, dst_sign; /* turns s8 to u8 and back */
    __mmask64 mask;             /* of the channels, in bytes */
    const tt_winograd_u8s8_panel *panel;
} constants;

INLINE void store(const constants *c, int64_t at, __m512 *x, const bool is_plain)
{
    const tt_winograd_u8s8_panel *panel = c->panel;
    if (panel->sum != NULL) {
        __m512i bytes = _mm512_maskz_loadu_epi8(c->mask, panel->sum + at);
        add_bytes(c->sum_scale, _mm512_xor_si512(bytes, c->sum_sign), x);
    }
    if (is_plain) {
        _mm512_mask_storeu_epi8(panel->dst + at, c->mask, to_bytes(x));
        return;
    }
    for (int v = 0; v < VECTORS; ++v)
        x[v] = _mm512_min_ps(_mm512_max_ps(x[v], c->low), c->high);
    if (panel->group->kernel->dst == TT_F32) {
        store_channels((float *)(void *)panel->dst + at, x, c->mask);
        return;
    }
    _mm512_mask_storeu_epi8(panel->dst + at, c->mask,
                            _mm512_xor_si512(to_bytes(x), c->dst_sign));
}

/* A^T m A of a tile's vector of channels, in the units of dst: four outputs. */
INLINE void back(const constants *c, const float *from, int64_t plane, const int v,
                 __m512 (*x)[VECTORS])
{
    __m512 half[2][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const float *m = from + i * plane;
        __m512 b = _mm512_loadu_ps(m + 4 * plane), d = _mm512_loadu_ps(m + 8 * plane);
        half[0][i] = _mm512_loadu_ps(m) + (b + d);
        half[1][i] = (b - d) - _mm512_loadu_ps(m + 12 * plane);
    }
#pragma GCC unroll 2
    for (int y = 0; y < 2; ++y) {
        const __m512 *h = half[y];
        x[2 * y][v] =
            _mm512_fmadd_ps(h[0] + (h[1] + h[2]), c->multiplier[v], c->offset[v]);
        x[2 * y + 1][v] =
            _mm512_fmadd_ps((h[1] - h[2]) - h[3], c->multiplier[v], c->offset[v]);
    }
}

INLINE void outputs(const constants *c, const bool is_plain)
{
    const tt_winograd_u8s8_group *g = c->panel->group;
    for (int64_t i = 0; i < g->n; ++i) {
        tt_winograd_u8s8_place to = tt_winograd_u8s8_place_of(g->kernel, g->first + i);
        const float *from = g->products + i * TT_CONV_U8S8_WIDE;
        __m512 x[4][VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v)
            back(c, from + v * LANES, g->product_plane, v, x);
#pragma GCC unroll 2
        for (int y = 0; y < 2; ++y) {
            if (y >= to.rows) break;
            store(c, to.at + y * to.down, x[2 * y], is_plain);
            if (to.columns > 1)
                store(c, to.at + y * to.down + to.across, x[2 * y + 1], is_plain);
        }
    }
}

LOOP void outputs_plain(const constants *c)
{
    outputs(c, /*is_plain=*/true);
}

LOOP void outputs_any(const constants *c)
{
    outputs(c, /*is_plain=*/false);
}

static void outputs_vnni(const tt_winograd_u8s8_panel *panel)
{
    const tt_conv_u8s8 *k = panel->group->kernel;
    float sign = k->dst == TT_S8 ? 128.0f : 0.0f;
    float shift = sign - (k->sum == TT_S8 ? 128.0f * k->sum_scale : 0.0f);
    constants c = {.panel = panel,
                   .sum_scale = _mm512_set1_ps(k->sum_scale),
                   .low = _mm512_set1_ps(k->low + sign),
                   .high = _mm512_set1_ps(k->high + sign),
                   .sum_sign = _mm512_set1_epi8(k->sum == TT_S8 ? -128 : 0),
                   .dst_sign = _mm512_set1_epi8(k->dst == TT_S8 ? -128 : 0),
                   .mask = ~(__mmask64)0 >> (64 - panel->n_channels)};
    for (int v = 0; v < VECTORS; ++v) {
        c.multiplier[v] = _mm512_loadu_ps(panel->multiplier + v * LANES);
        c.offset[v] = _mm512_add_ps(_mm512_loadu_ps(panel->offset + v * LANES),
                                    _mm512_set1_ps(shift));
    }
    if (tt_conv_u8s8_is_plain(k) && k->is_bounded)
        outputs_plain(&c);
    else
        outputs_any(&c);
}

const tt_winograd_u8s8_table tt_winograd_u8s8_vnni = {
    .name = "winograd_u8s8:vnni",
    .inputs = inputs_vnni,
    .products = products_vnni,
    .outputs = outputs_vnni,
};
#endif
