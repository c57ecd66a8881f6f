/* The loops over columns with AVX-512: see table_kernels.h.  16 values at a time; what
 * is not fast (NaN, infinite, far away) goes through the plain form. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")

#include <immintrin.h>

#include "watch/table_places.inc.h"

enum { N = 16 };

static inline __mmask16 lanes(int64_t n)
{
    return n >= N ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

/* Sums of quanta and of their squares; those of even and odd lanes, 64 bits each. */
typedef struct {
    __m512i sum_even, sum_odd, squares_even, squares_odd;
} sums512;

static inline void add_quanta(sums512 *sums, __m512i quanta)
{
    __m512i odd = _mm512_srai_epi64(quanta, 32);
    __m512i even = _mm512_mul_epi32(quanta, _mm512_set1_epi32(1));
    sums->sum_even = _mm512_add_epi64(sums->sum_even, even);
    sums->sum_odd = _mm512_add_epi64(sums->sum_odd, odd);
    sums->squares_even =
        _mm512_add_epi64(sums->squares_even, _mm512_mul_epi32(quanta, quanta));
    sums->squares_odd = _mm512_add_epi64(sums->squares_odd, _mm512_mul_epi32(odd, odd));
}

static inline void store_sums(const sums512 *sums, tt_tile *tile)
{
    tile->sum =
        _mm512_reduce_add_epi64(_mm512_add_epi64(sums->sum_even, sums->sum_odd));
    tile->squares_even = (uint64_t)_mm512_reduce_add_epi64(sums->squares_even);
    tile->squares_odd = (uint64_t)_mm512_reduce_add_epi64(sums->squares_odd);
}

static inline __mmask16 are_fast(__mmask16 in, __m512i quanta)
{
    __m512i shifted = _mm512_add_epi32(quanta, _mm512_set1_epi32(TT_QUANTA_FAST));
    return _mm512_mask_cmple_epu32_mask(in, shifted,
                                        _mm512_set1_epi32(2 * TT_QUANTA_FAST));
}

/* ---- search trees: see tt_table_level ---------------------------------------------- */

/* Nodes `at` of a level of 16, 32, 64 or 128. */
static inline __m512 nodes_16(const float *level, __m512i at)
{
    return _mm512_permutexvar_ps(at, _mm512_loadu_ps(level));
}

static inline __m512 nodes_32(const float *level, __m512i at)
{
    return _mm512_permutex2var_ps(_mm512_loadu_ps(level), at,
                                  _mm512_loadu_ps(level + 16));
}

static inline __m512 nodes_64(const float *level, __m512i at)
{
    __mmask16 is_upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
    return _mm512_mask_mov_ps(nodes_32(level, at), is_upper, nodes_32(level + 32, at));
}

static inline __m512 nodes_128(const float *level, __m512i at)
{
    __mmask16 is_upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(64));
    return _mm512_mask_mov_ps(nodes_64(level, at), is_upper, nodes_64(level + 64, at));
}

static inline __m512i descend(__m512i at, __mmask16 is_behind)
{
    at = _mm512_add_epi32(at, at);
    return _mm512_mask_add_epi32(at, is_behind, at, _mm512_set1_epi32(1));
}

/* How many edges are not above the values of a tile. */
static inline __attribute__((always_inline)) void find_places(const float *tree,
                                                              const int n_levels,
                                                              const float *x, int64_t n,
                                                              tt_tile *tile)
{
    for (int64_t i = 0; i < n; i += N) {
        __m512 v = _mm512_maskz_loadu_ps(lanes(n - i), x + i);
        __m512i at = _mm512_setzero_si512();
        for (int k = 0; k < n_levels; ++k) {
            const float *level = tree + tt_table_level(k);
            __m512 node = k == 0   ? _mm512_set1_ps(level[0])
                          : k <= 4 ? nodes_16(level, at)
                          : k == 5 ? nodes_32(level, at)
                          : k == 6 ? nodes_64(level, at)
                                   : nodes_128(level, at);
            at = descend(at, _mm512_cmp_ps_mask(v, node, _CMP_GE_OQ));
        }
        _mm_storeu_si128((__m128i *)(tile->places + i),
                         _mm512_maskz_cvtepi32_epi8(tile->fast[i / N], at));
    }
}

static void find_places_f32(const tt_table_bins *bins, const float *x, int64_t n,
                            tt_tile *tile)
{
    TT_SWITCH_LEVELS(bins->n_levels, find_places, bins->tree_f32, x, n, tile)
}

/* ---- distinct values ------------------------------------------------------------ */

static inline __m512i mix(__m512i x)
{
    x = _mm512_add_epi32(x, _mm512_set1_epi32((int)TT_MIX_SEED));
    x = _mm512_xor_si512(x, _mm512_srli_epi32(x, 16));
    x = _mm512_mullo_epi32(x, _mm512_set1_epi32((int)TT_MIX_FACTOR_1));
    x = _mm512_xor_si512(x, _mm512_srli_epi32(x, 13));
    x = _mm512_mullo_epi32(x, _mm512_set1_epi32((int)TT_MIX_FACTOR_2));
    return _mm512_xor_si512(x, _mm512_srli_epi32(x, 16));
}

/* The register of each lane: bytes out of 64 pairs. */
static inline __m512i registers_at(const uint8_t *registers, __m512i at)
{
    __m512i pairs = _mm512_permutex2var_epi16(_mm512_loadu_si512(registers),
                                              _mm512_srli_epi32(at, 1),
                                              _mm512_loadu_si512(registers + 64));
    __m512i is_odd = _mm512_and_si512(at, _mm512_set1_epi32(1));
    pairs = _mm512_srlv_epi32(pairs, _mm512_slli_epi32(is_odd, 3));
    return _mm512_and_si512(pairs, _mm512_set1_epi32(0xff));
}
_Static_assert(TT_DISTINCT_REGISTERS == 128, "two vectors");

/* tt_distinct_add of the lanes. */
static inline void add_words(uint8_t *registers, __mmask16 in, __m512i words)
{
    __m512i hash = mix(words), at, rest, rank;
    at = _mm512_and_si512(hash, _mm512_set1_epi32(TT_DISTINCT_REGISTERS - 1));
    rest = _mm512_or_si512(_mm512_srli_epi32(hash, TT_DISTINCT_INDEX_BITS),
                           _mm512_set1_epi32(1 << (TT_DISTINCT_MAX_RANK - 1)));
    rest = _mm512_and_si512(rest, _mm512_sub_epi32(_mm512_setzero_si512(), rest));
    /* a power of two as a float: its exponent is where the bit is */
    rank = _mm512_srli_epi32(_mm512_castps_si512(_mm512_cvtepi32_ps(rest)), 23);
    rank = _mm512_sub_epi32(rank, _mm512_set1_epi32(126));
    in = _mm512_mask_cmpgt_epi32_mask(in, rank, registers_at(registers, at));
    if (__builtin_expect(in != 0, 0)) {
        int32_t ats[N], ranks[N];
        _mm512_storeu_si512(ats, at);
        _mm512_storeu_si512(ranks, rank);
        for (unsigned left = in; left != 0; left &= left - 1) {
            int lane = __builtin_ctz(left);
            if (ranks[lane] > registers[ats[lane]])
                registers[ats[lane]] = (uint8_t)ranks[lane];
        }
    }
}

/* ---- floats ---------------------------------------------------------------------- */

static void sum_f32(const tt_table_bins *bins, const float *x, int64_t n, tt_tile *tile,
                    const tt_table_cells *cells)
{
    const __m512 origin = _mm512_set1_ps((float)bins->origin);
    const __m512 inverse = _mm512_set1_ps((float)bins->inverse);
    const __m512i offset = _mm512_set1_epi32(bins->offset);
    __m512 low = _mm512_set1_ps(HUGE_VALF), high = _mm512_set1_ps(-HUGE_VALF);
    sums512 sums = {0};
    for (int64_t i = 0; i < n; i += N) {
        __mmask16 in = lanes(n - i), fast, missing;
        __m512 v = _mm512_maskz_loadu_ps(in, x + i);
        __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(v, origin), inverse);
        __m512i quanta = _mm512_sub_epi32(_mm512_cvtps_epi32(scaled), offset);
        tile->fast[i / N] = fast = are_fast(in, quanta);
        missing = _mm512_mask_cmp_ps_mask(in, v, v, _CMP_UNORD_Q);
        tile->n_missing += __builtin_popcount(missing);
        if (__builtin_expect((fast | missing) != in, 0))
            add_others(bins, in & ~(fast | missing), x + i, NULL, cells);
        tile->n += __builtin_popcount(fast);
        low = _mm512_mask_min_ps(low, fast, low, v);
        high = _mm512_mask_max_ps(high, fast, high, v);
        add_quanta(&sums, _mm512_maskz_mov_epi32(fast, quanta));
    }
    store_sums(&sums, tile);
    tile->minimum = (double)_mm512_reduce_min_ps(low) + 0.0; /* no -0 */
    tile->maximum = (double)_mm512_reduce_max_ps(high) + 0.0;
}

static void add_f32(const tt_table_bins *bins, const float *x, int64_t n,
                    const tt_table_cells *cells)
{
    tt_tile tile;
    begin(&tile);
    sum_f32(bins, x, n, &tile, cells);
    find_places_f32(bins, x, n, &tile);
    for (int64_t i = 0; i < n; i += N) {
        __m512 v = _mm512_maskz_loadu_ps(tile.fast[i / N], x + i);
        v = _mm512_add_ps(v, _mm512_setzero_ps()); /* no -0 */
        count_eight(&tile, i);
        count_eight(&tile, i + 8);
        add_words(cells->registers, tile.fast[i / N], _mm512_castps_si512(v));
    }
    finish(&tile, bins, (n + N - 1) / N * N, cells);
}

/* ---- doubles: two halves of 8 --------------------------------------------------- */

static inline __m512i join(__m256i low, __m256i high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __m256i half_quanta(__m512d v, __m512d origin, __m512d inverse)
{
    return _mm512_cvtpd_epi32(_mm512_mul_pd(_mm512_sub_pd(v, origin), inverse));
}

/* tt_word_of. */
static inline __m256i half_words(__m512d v)
{
    __m256 single = _mm512_cvtpd_ps(v);
    __mmask8 is_single = _mm512_cmp_pd_mask(_mm512_cvtps_pd(single), v, _CMP_EQ_OQ);
    __m256i words = _mm256_castps_si256(single), low, high;
    if (is_single == 0xff) return words;
    low = _mm512_cvtepi64_epi32(_mm512_castpd_si512(v));
    high = _mm512_cvtepi64_epi32(_mm512_srli_epi64(_mm512_castpd_si512(v), 32));
    low = _mm512_castsi512_si256(mix(_mm512_castsi256_si512(low)));
    return _mm256_mask_mov_epi32(_mm256_xor_si256(low, high), is_single, words);
}

static void sum_f64(const tt_table_bins *bins, const double *x, int64_t n,
                    tt_tile *tile, const tt_table_cells *cells)
{
    const __m512d origin = _mm512_set1_pd(bins->origin);
    const __m512d inverse = _mm512_set1_pd(bins->inverse);
    const __m512i offset = _mm512_set1_epi32(bins->offset);
    __m512d low = _mm512_set1_pd(HUGE_VAL), high = _mm512_set1_pd(-HUGE_VAL);
    sums512 sums = {0};
    for (int64_t i = 0; i < n; i += N) {
        __mmask16 in = lanes(n - i), fast;
        unsigned missing;
        __m512d a = _mm512_maskz_loadu_pd((__mmask8)in, x + i);
        __m512d b = _mm512_maskz_loadu_pd((__mmask8)(in >> 8), x + i + 8);
        __m512i quanta = _mm512_sub_epi32(
            join(half_quanta(a, origin, inverse), half_quanta(b, origin, inverse)),
            offset);
        tile->fast[i / N] = fast = are_fast(in, quanta);
        missing = _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q);
        missing |= (unsigned)_mm512_cmp_pd_mask(b, b, _CMP_UNORD_Q) << 8;
        tile->n_missing += __builtin_popcount(missing);
        if (__builtin_expect((fast | missing) != in, 0))
            add_others(bins, in & ~(fast | missing), NULL, x + i, cells);
        tile->n += __builtin_popcount(fast);
        low = _mm512_mask_min_pd(low, (__mmask8)fast, low, a);
        low = _mm512_mask_min_pd(low, (__mmask8)(fast >> 8), low, b);
        high = _mm512_mask_max_pd(high, (__mmask8)fast, high, a);
        high = _mm512_mask_max_pd(high, (__mmask8)(fast >> 8), high, b);
        add_quanta(&sums, _mm512_maskz_mov_epi32(fast, quanta));
    }
    store_sums(&sums, tile);
    tile->minimum = _mm512_reduce_min_pd(low) + 0.0; /* no -0 */
    tile->maximum = _mm512_reduce_max_pd(high) + 0.0;
}

/* Nodes `at` of a level of 8, 16, 32, or of any. */
static inline __m512d pairs_16(const double *level, __m512i at)
{
    return _mm512_permutex2var_pd(_mm512_loadu_pd(level), at,
                                  _mm512_loadu_pd(level + 8));
}

static inline __m512d nodes_f64(const double *level, int k, __m512i at)
{
    __mmask8 is_upper;
    if (k <= 3) return _mm512_permutexvar_pd(at, _mm512_loadu_pd(level));
    if (k == 4) return pairs_16(level, at);
    if (k > 5) return _mm512_i64gather_pd(at, level, 8);
    is_upper = _mm512_test_epi64_mask(at, _mm512_set1_epi64(16));
    return _mm512_mask_mov_pd(pairs_16(level, at), is_upper, pairs_16(level + 16, at));
}

static inline __attribute__((always_inline)) void find_halves(const double *tree,
                                                              const int n_levels,
                                                              const double *x,
                                                              int64_t n, tt_tile *tile)
{
    for (int64_t i = 0; i < (n + N - 1) / N * N; i += N / 2) {
        __mmask8 fast = (__mmask8)(tile->fast[i / N] >> (i % N));
        __m512d v = _mm512_maskz_loadu_pd(fast, x + i);
        __m512i at = _mm512_setzero_si512();
        for (int k = 0; k < n_levels; ++k) {
            __m512d node = nodes_f64(tree + tt_table_level(k), k, at);
            __mmask8 is_behind = _mm512_cmp_pd_mask(v, node, _CMP_GE_OQ);
            at = _mm512_add_epi64(at, at);
            at = _mm512_mask_add_epi64(at, is_behind, at, _mm512_set1_epi64(1));
        }
        _mm_storel_epi64((__m128i *)(tile->places + i),
                         _mm512_maskz_cvtepi64_epi8(fast, at));
    }
}

static void find_places_f64(const tt_table_bins *bins, const double *x, int64_t n,
                            tt_tile *tile)
{
    TT_SWITCH_LEVELS(bins->n_levels, find_halves, bins->tree_f64, x, n, tile)
}

static void add_f64(const tt_table_bins *bins, const double *x, int64_t n,
                    const tt_table_cells *cells)
{
    tt_tile tile;
    begin(&tile);
    sum_f64(bins, x, n, &tile, cells);
    find_places_f64(bins, x, n, &tile);
    for (int64_t i = 0; i < n; i += N) {
        __mmask16 fast = tile.fast[i / N];
        __m512d a = _mm512_maskz_loadu_pd((__mmask8)fast, x + i);
        __m512d b = _mm512_maskz_loadu_pd((__mmask8)(fast >> 8), x + i + 8);
        a = _mm512_add_pd(a, _mm512_setzero_pd()); /* no -0 */
        b = _mm512_add_pd(b, _mm512_setzero_pd());
        count_eight(&tile, i);
        count_eight(&tile, i + 8);
        add_words(cells->registers, fast, join(half_words(a), half_words(b)));
    }
    finish(&tile, bins, (n + N - 1) / N * N, cells);
}

/* ---- rows to columns ------------------------------------------------------------- */

/* 16 rows of 16 floats to 16 columns of 16. */
static inline void transpose_block(const char *src, int64_t stride, __mmask16 in,
                                   int64_t n_columns, float *dst)
{
    __m512 a[N], b[N];
    for (int r = 0; r < N; ++r)
        a[r] = _mm512_maskz_loadu_ps(in, src + r * stride);
    for (int r = 0; r < N; r += 2) {
        b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < N; r += 4)
        for (int k = 0; k < 2; ++k) {
            __m512d low = _mm512_castps_pd(b[r + k]);
            __m512d high = _mm512_castps_pd(b[r + k + 2]);
            a[r + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            a[r + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    for (int k = 0; k < 4; ++k) { /* now a[4 q + k]: rows 4 q.., columns k, k + 4, .. */
        __m512 low0 = _mm512_shuffle_f32x4(a[k], a[k + 4], 0x88);
        __m512 high0 = _mm512_shuffle_f32x4(a[k], a[k + 4], 0xdd);
        __m512 low1 = _mm512_shuffle_f32x4(a[k + 8], a[k + 12], 0x88);
        __m512 high1 = _mm512_shuffle_f32x4(a[k + 8], a[k + 12], 0xdd);
        b[k] = _mm512_shuffle_f32x4(low0, low1, 0x88);
        b[k + 8] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
        b[k + 4] = _mm512_shuffle_f32x4(high0, high1, 0x88);
        b[k + 12] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
    }
    if (n_columns == N)
        for (int c = 0; c < N; ++c)
            _mm512_storeu_ps(dst + c * TT_TILE_STRIDE, b[c]);
    else
        for (int c = 0; c < N && c < n_columns; ++c)
            _mm512_storeu_ps(dst + c * TT_TILE_STRIDE, b[c]);
}

static void columns_of_rows(const char *src, int64_t stride, int64_t n_rows,
                            int64_t n_columns, float *dst)
{
    int64_t r = 0;
    for (; r + N <= n_rows; r += N)
        transpose_block(src + r * stride, stride, lanes(n_columns), n_columns, dst + r);
    tt_table_kernels_ref.columns_f32(src + r * stride, stride, n_rows - r, n_columns,
                                     dst + r);
}

const tt_table_kernels tt_table_kernels_avx512 = {"avx512", add_f32, add_f64,
                                                  columns_of_rows};

#else
typedef int tt_table_kernels_avx512_is_for_x86;
#endif
