/* The loops over columns with AVX2: see table_kernels.h.  8 values at a time; what is
 * not fast (NaN, infinite, far away), and what is left after the last whole vector, goes
 * through the plain form. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#include <immintrin.h>

#include "watch/table_places.inc.h"

enum { N = 8 };

/* Sums of quanta and of their squares; those of even and odd lanes, 64 bits each. */
typedef struct {
    __m256i sum_even, sum_odd, squares_even, squares_odd;
} sums256;

static inline void add_quanta(sums256 *sums, __m256i quanta)
{
    const __m256i one = _mm256_set1_epi32(1);
    __m256i odd = _mm256_srli_epi64(quanta, 32); /* only its lower halves are read */
    sums->sum_even = _mm256_add_epi64(sums->sum_even, _mm256_mul_epi32(quanta, one));
    sums->sum_odd = _mm256_add_epi64(sums->sum_odd, _mm256_mul_epi32(odd, one));
    sums->squares_even =
        _mm256_add_epi64(sums->squares_even, _mm256_mul_epi32(quanta, quanta));
    sums->squares_odd = _mm256_add_epi64(sums->squares_odd, _mm256_mul_epi32(odd, odd));
}

static inline int64_t total(__m256i v)
{
    int64_t items[4];
    _mm256_storeu_si256((__m256i *)items, v);
    return (int64_t)((uint64_t)items[0] + (uint64_t)items[1] + (uint64_t)items[2] +
                     (uint64_t)items[3]);
}

static inline void store_sums(const sums256 *sums, tt_tile *tile)
{
    tile->sum = total(sums->sum_even) + total(sums->sum_odd);
    tile->squares_even = (uint64_t)total(sums->squares_even);
    tile->squares_odd = (uint64_t)total(sums->squares_odd);
}

/* All bits of the lanes. */
static inline __m256i are_fast(__m256i quanta)
{
    __m256i shifted = _mm256_add_epi32(quanta, _mm256_set1_epi32(TT_QUANTA_FAST));
    __m256i most = _mm256_set1_epi32(2 * TT_QUANTA_FAST);
    return _mm256_cmpeq_epi32(_mm256_min_epu32(shifted, most), shifted);
}

static inline unsigned bits_of(__m256i mask)
{
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(mask));
}

/* The bytes at `from` + each index. */
static inline __m256i gather_bytes(const uint8_t *from, __m256i at)
{
    return _mm256_and_si256(
        _mm256_i32gather_epi32((const int *)(const void *)from, at, 1),
        _mm256_set1_epi32(0xff));
}

/* Edges before the cells of the quanta. */
static inline __m256i find_cells(const tt_table_bins *bins, __m256i quanta)
{
    __m256i cell = _mm256_sub_epi32(quanta, _mm256_set1_epi32(bins->first));
    cell = _mm256_sra_epi32(cell, _mm_cvtsi32_si128(bins->shift));
    cell = _mm256_max_epi32(cell, _mm256_setzero_si256());
    cell = _mm256_min_epi32(cell, _mm256_set1_epi32(bins->last_cell));
    return gather_bytes(bins->cells, cell);
}

static inline void store_places(uint8_t *to, __m256i places)
{
    __m256i pairs = _mm256_packus_epi32(places, places);
    __m128i low, high;
    pairs = _mm256_packus_epi16(pairs, pairs);
    low = _mm256_castsi256_si128(pairs);
    high = _mm256_extracti128_si256(pairs, 1);
    _mm_storel_epi64((__m128i *)to, _mm_unpacklo_epi32(low, high));
}

static inline __m256i mix(__m256i x)
{
    x = _mm256_add_epi32(x, _mm256_set1_epi32((int)TT_MIX_SEED));
    x = _mm256_xor_si256(x, _mm256_srli_epi32(x, 16));
    x = _mm256_mullo_epi32(x, _mm256_set1_epi32((int)TT_MIX_FACTOR_1));
    x = _mm256_xor_si256(x, _mm256_srli_epi32(x, 13));
    x = _mm256_mullo_epi32(x, _mm256_set1_epi32((int)TT_MIX_FACTOR_2));
    return _mm256_xor_si256(x, _mm256_srli_epi32(x, 16));
}

/* The smallest register: ranks up to it change nothing. */
static int smallest_register(const tt_table_cells *cells)
{
    uint8_t smallest = TT_DISTINCT_MAX_RANK;
    for (int i = 0; i < TT_DISTINCT_REGISTERS; ++i)
        smallest = cells->registers[i] < smallest ? cells->registers[i] : smallest;
    return smallest;
}

/* tt_distinct_add of the lanes; `smallest` is 2^(smallest register) - 1. */
static inline void add_words(uint8_t *registers, __m256i in, __m256i words,
                             __m256i smallest)
{
    __m256i hash = mix(words), at, rest, rank;
    rest = _mm256_or_si256(_mm256_srli_epi32(hash, TT_DISTINCT_INDEX_BITS),
                           _mm256_set1_epi32(1 << (TT_DISTINCT_MAX_RANK - 1)));
    in = _mm256_and_si256(in, _mm256_cmpeq_epi32(_mm256_and_si256(rest, smallest),
                                                 _mm256_setzero_si256()));
    if (_mm256_testz_si256(in, in)) return;
    at = _mm256_and_si256(hash, _mm256_set1_epi32(TT_DISTINCT_REGISTERS - 1));
    rest = _mm256_and_si256(rest, _mm256_sub_epi32(_mm256_setzero_si256(), rest));
    /* a power of two as a float: its exponent is where the bit is */
    rank = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(rest)), 23);
    rank = _mm256_sub_epi32(rank, _mm256_set1_epi32(126));
    in = _mm256_and_si256(in, _mm256_cmpgt_epi32(rank, gather_bytes(registers, at)));
    if (__builtin_expect(_mm256_testz_si256(in, in), 1)) return;
    {
        int32_t ats[N], ranks[N];
        _mm256_storeu_si256((__m256i *)ats, at);
        _mm256_storeu_si256((__m256i *)ranks, rank);
        for (unsigned left = bits_of(in); left != 0; left &= left - 1) {
            int lane = __builtin_ctz(left);
            if (ranks[lane] > registers[ats[lane]])
                registers[ats[lane]] = (uint8_t)ranks[lane];
        }
    }
}

static void add_f32(const tt_table_bins *bins, const float *x, int64_t n,
                    const tt_table_cells *cells)
{
    const __m256 origin = _mm256_set1_ps((float)bins->origin);
    const __m256 inverse = _mm256_set1_ps((float)bins->inverse);
    const __m256i offset = _mm256_set1_epi32(bins->offset);
    const __m256i smallest = _mm256_set1_epi32((1 << smallest_register(cells)) - 1);
    __m256 low = _mm256_set1_ps(HUGE_VALF), high = _mm256_set1_ps(-HUGE_VALF);
    float lows[N], highs[N];
    sums256 sums = {0};
    tt_tile tile;
    int64_t i = 0;
    begin(&tile);
    for (; i + N <= n; i += N) {
        __m256 v = _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_setzero_ps()), fast_ps;
        __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(v, origin), inverse);
        __m256i quanta = _mm256_sub_epi32(_mm256_cvtps_epi32(scaled), offset), place;
        __m256i fast = are_fast(quanta);
        unsigned bits = bits_of(fast), missing;
        missing = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        tile.n_missing += __builtin_popcount(missing);
        if (__builtin_expect((bits | missing) != 0xff, 0))
            add_others(bins, ~(bits | missing) & 0xff, x + i, NULL, cells);
        tile.n += __builtin_popcount(bits);
        fast_ps = _mm256_castsi256_ps(fast);
        low = _mm256_min_ps(low, _mm256_blendv_ps(low, v, fast_ps));
        high = _mm256_max_ps(high, _mm256_blendv_ps(high, v, fast_ps));
        add_quanta(&sums, _mm256_and_si256(quanta, fast));
        place = find_cells(bins, quanta);
        for (int step = bins->step; step > 0; step >>= 1) {
            __m256 edge = _mm256_i32gather_ps(bins->edges_f32 + step - 1, place, 4);
            __m256 is_behind = _mm256_cmp_ps(v, edge, _CMP_GE_OQ);
            place =
                _mm256_add_epi32(place, _mm256_and_si256(_mm256_castps_si256(is_behind),
                                                         _mm256_set1_epi32(step)));
        }
        store_places(tile.places + i, _mm256_and_si256(place, fast));
        count_eight(&tile, i);
        add_words(cells->registers, fast, _mm256_castps_si256(v), smallest);
    }
    store_sums(&sums, &tile);
    _mm256_storeu_ps(lows, low);
    _mm256_storeu_ps(highs, high);
    tile.minimum = HUGE_VAL;
    tile.maximum = -HUGE_VAL;
    for (int k = 0; k < N; ++k) {
        if ((double)lows[k] < tile.minimum) tile.minimum = (double)lows[k];
        if ((double)highs[k] > tile.maximum) tile.maximum = (double)highs[k];
    }
    if (i > 0) finish(&tile, bins, i, cells);
    for (; i < n; ++i)
        tt_table_add_number(bins, (double)x[i], cells);
}

/* ---- doubles: two halves of 4 --------------------------------------------------- */

static inline __m256i join(__m128i low, __m128i high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static inline __m128i half_quanta(__m256d v, __m256d origin, __m256d inverse)
{
    return _mm256_cvtpd_epi32(_mm256_mul_pd(_mm256_sub_pd(v, origin), inverse));
}

/* The lower or upper 32 bits of each 64. */
static inline __m128i narrow(__m256i v)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(v, even));
}

/* tt_word_of. */
static inline __m128i half_words(__m256d v)
{
    __m128 single = _mm256_cvtpd_ps(v);
    __m256d is_single = _mm256_cmp_pd(_mm256_cvtps_pd(single), v, _CMP_EQ_OQ);
    __m128i words = _mm_castps_si128(single), low, high;
    if (_mm256_movemask_pd(is_single) == 0xf) return words;
    low = narrow(_mm256_castpd_si256(v));
    high = narrow(_mm256_srli_epi64(_mm256_castpd_si256(v), 32));
    low = _mm256_castsi256_si128(mix(_mm256_castsi128_si256(low)));
    return _mm_blendv_epi8(_mm_xor_si128(low, high), words,
                           narrow(_mm256_castpd_si256(is_single)));
}

static inline __m128i half_places(const tt_table_bins *bins, __m256d v, __m128i place)
{
    for (int step = bins->step; step > 0; step >>= 1) {
        __m256d edge = _mm256_i32gather_pd(bins->edges + step - 1, place, 8);
        __m256d is_behind = _mm256_cmp_pd(v, edge, _CMP_GE_OQ);
        place =
            _mm_add_epi32(place, _mm_and_si128(narrow(_mm256_castpd_si256(is_behind)),
                                               _mm_set1_epi32(step)));
    }
    return place;
}

static inline __m256d least(__m256d low, __m256d v, __m128i fast)
{
    __m256d mask = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(fast));
    return _mm256_min_pd(low, _mm256_blendv_pd(low, v, mask));
}

static inline __m256d greatest(__m256d high, __m256d v, __m128i fast)
{
    __m256d mask = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(fast));
    return _mm256_max_pd(high, _mm256_blendv_pd(high, v, mask));
}

static void add_f64(const tt_table_bins *bins, const double *x, int64_t n,
                    const tt_table_cells *cells)
{
    const __m256d origin = _mm256_set1_pd(bins->origin);
    const __m256d inverse = _mm256_set1_pd(bins->inverse);
    const __m256i offset = _mm256_set1_epi32(bins->offset);
    const __m256i smallest = _mm256_set1_epi32((1 << smallest_register(cells)) - 1);
    __m256d low = _mm256_set1_pd(HUGE_VAL), high = _mm256_set1_pd(-HUGE_VAL);
    double lows[4], highs[4];
    sums256 sums = {0};
    tt_tile tile;
    int64_t i = 0;
    begin(&tile);
    for (; i + N <= n; i += N) {
        __m256d a = _mm256_add_pd(_mm256_loadu_pd(x + i), _mm256_setzero_pd());
        __m256d b = _mm256_add_pd(_mm256_loadu_pd(x + i + 4), _mm256_setzero_pd());
        __m256i quanta =
            join(half_quanta(a, origin, inverse), half_quanta(b, origin, inverse));
        __m256i fast, place;
        __m128i fast0, fast1;
        unsigned bits, missing;
        quanta = _mm256_sub_epi32(quanta, offset);
        fast = are_fast(quanta);
        bits = bits_of(fast);
        missing = (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(a, a, _CMP_UNORD_Q));
        missing |= (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(b, b, _CMP_UNORD_Q)) << 4;
        tile.n_missing += __builtin_popcount(missing);
        if (__builtin_expect((bits | missing) != 0xff, 0))
            add_others(bins, ~(bits | missing) & 0xff, NULL, x + i, cells);
        tile.n += __builtin_popcount(bits);
        fast0 = _mm256_castsi256_si128(fast);
        fast1 = _mm256_extracti128_si256(fast, 1);
        low = least(least(low, a, fast0), b, fast1);
        high = greatest(greatest(high, a, fast0), b, fast1);
        add_quanta(&sums, _mm256_and_si256(quanta, fast));
        place = find_cells(bins, quanta);
        place = join(half_places(bins, a, _mm256_castsi256_si128(place)),
                     half_places(bins, b, _mm256_extracti128_si256(place, 1)));
        store_places(tile.places + i, _mm256_and_si256(place, fast));
        count_eight(&tile, i);
        add_words(cells->registers, fast, join(half_words(a), half_words(b)), smallest);
    }
    store_sums(&sums, &tile);
    _mm256_storeu_pd(lows, low);
    _mm256_storeu_pd(highs, high);
    tile.minimum = HUGE_VAL;
    tile.maximum = -HUGE_VAL;
    for (int k = 0; k < 4; ++k) {
        if (lows[k] < tile.minimum) tile.minimum = lows[k];
        if (highs[k] > tile.maximum) tile.maximum = highs[k];
    }
    if (i > 0) finish(&tile, bins, i, cells);
    for (; i < n; ++i)
        tt_table_add_number(bins, x[i], cells);
}

/* ---- rows to columns ------------------------------------------------------------- */

/* 8 rows of 8 floats to 8 columns of 8. */
static inline void transpose_block(const char *src, int64_t stride, float *dst)
{
    __m256 a[N], b[N];
    for (int r = 0; r < N; ++r)
        a[r] = _mm256_loadu_ps((const float *)(const void *)(src + r * stride));
    for (int r = 0; r < N; r += 2) {
        b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < N; r += 4)
        for (int k = 0; k < 2; ++k) {
            __m256d low = _mm256_castps_pd(b[r + k]);
            __m256d high = _mm256_castps_pd(b[r + k + 2]);
            a[r + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
            a[r + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
        }
    for (int k = 0; k < 4; ++k) {
        _mm256_storeu_ps(dst + k * TT_TILE_STRIDE,
                         _mm256_permute2f128_ps(a[k], a[k + 4], 0x20));
        _mm256_storeu_ps(dst + (k + 4) * TT_TILE_STRIDE,
                         _mm256_permute2f128_ps(a[k], a[k + 4], 0x31));
    }
}

static void columns_of_rows(const char *src, int64_t stride, int64_t n_rows,
                            int64_t n_columns, float *dst)
{
    int64_t c = 0;
    for (; c + N <= n_columns; c += N) {
        const char *from = src + c * (int64_t)sizeof *dst;
        float *to = dst + c * TT_TILE_STRIDE;
        int64_t r = 0;
        for (; r + N <= n_rows; r += N)
            transpose_block(from + r * stride, stride, to + r);
        tt_table_kernels_ref.columns_f32(from + r * stride, stride, n_rows - r, N,
                                         to + r);
    }
    tt_table_kernels_ref.columns_f32(src + c * (int64_t)sizeof *dst, stride, n_rows,
                                     n_columns - c, dst + c * TT_TILE_STRIDE);
}

const tt_table_kernels tt_table_kernels_avx2 = {"avx2", add_f32, add_f64,
                                                columns_of_rows};

#else
typedef int tt_table_kernels_avx2_is_for_x86;
#endif
