/* Sums of four products of bytes, exact on every instruction set; compiled per
 * instruction set (see simd.h).
 *
 * acc[i] += sum over j < 4 of a[4 i + j] * b[4 i + j] with a of uint8 and b of int8.
 * Without VNNI the products are taken as pairs of 16 bits: vpmaddubsw would saturate. */
#include "kernels/simd.h"

#if defined(__AVX512VNNI__)

static inline vi vi_dot4(vi acc, vi a, vi b)
{
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)a, (__m512i)b);
}

#elif defined(__AVX512F__)

static inline vi vi_dot4(vi acc, vi a, vi b)
{
    __m512i a_even = _mm512_and_si512((__m512i)a, _mm512_set1_epi16(0xff));
    __m512i a_odd = _mm512_srli_epi16((__m512i)a, 8);
    __m512i b_even = _mm512_srai_epi16(_mm512_slli_epi16((__m512i)b, 8), 8);
    __m512i b_odd = _mm512_srai_epi16((__m512i)b, 8);
    return acc + (vi)_mm512_add_epi32(_mm512_madd_epi16(a_even, b_even),
                                      _mm512_madd_epi16(a_odd, b_odd));
}

#elif defined(__AVX2__)

static inline vi vi_dot4(vi acc, vi a, vi b)
{
    __m256i a_even = _mm256_and_si256((__m256i)a, _mm256_set1_epi16(0xff));
    __m256i a_odd = _mm256_srli_epi16((__m256i)a, 8);
    __m256i b_even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)b, 8), 8);
    __m256i b_odd = _mm256_srai_epi16((__m256i)b, 8);
    return acc + (vi)_mm256_add_epi32(_mm256_madd_epi16(a_even, b_even),
                                      _mm256_madd_epi16(a_odd, b_odd));
}

#else

static inline vi vi_dot4(vi acc, vi a, vi b)
{
    for (int i = 0; i < VF_N; ++i) {
        uint32_t x = (uint32_t)a[i], y = (uint32_t)b[i];
        for (int j = 0; j < 32; j += 8)
            acc[i] += (int32_t)(x >> j & 0xffu) * (int8_t)(y >> j & 0xffu);
    }
    return acc;
}

#endif

static inline vi vi_load(const void *p)
{
    vi x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Four bytes at p in every lane. */
static inline vi vi_bytes4(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return (vi){0} + x;
}

static inline vi vi_load_n(const int32_t *p, int64_t n)
{
    return (vi)vf_load_n((const float *)p, n);
}

static inline vf vi_to_float(vi x)
{
    return __builtin_convertvector(x, vf);
}

/* The lanes, all in [0, 255] or all in [-128, 127], as bytes. */
static inline void vi_store_bytes(void *dst, vi x)
{
#if defined(__AVX512F__)
    _mm_storeu_si128((__m128i *)dst, _mm512_cvtepi32_epi8((__m512i)x));
#elif defined(__AVX2__)
    __m256i low = _mm256_and_si256((__m256i)x, _mm256_set1_epi32(0xff));
    __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64((__m128i *)dst, _mm_packus_epi16(words, words));
#else
    int8_t bytes[VF_N];
    for (int i = 0; i < VF_N; ++i)
        bytes[i] = (int8_t)x[i];
    memcpy(dst, bytes, sizeof bytes);
#endif
}

static inline int32_t vi_sum(vi x)
{
    int32_t sum = 0;
    for (int i = 0; i < VF_N; ++i)
        sum += x[i];
    return sum;
}
