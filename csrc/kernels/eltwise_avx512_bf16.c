/* Rounding to bfloat16 by the processor's own instruction (AVX-512 BF16), which takes
 * subnormals for zeros: those are rounded as the other versions round. */
#include "kernels/eltwise_table.h"

#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#include <immintrin.h>

/* Upper halves of bits + 0x7fff + (the last bit that stays). */
static inline __m256i rounded(__m512i bits)
{
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i sum =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16));
}

static inline __m256i narrowed(__m512 x)
{
    enum { SUBNORMAL = 0x20 };
    __mmask16 tiny = _mm512_fpclass_ps_mask(x, SUBNORMAL);
    __m256i y = (__m256i)_mm512_cvtneps_pbh(x);
    if (__builtin_expect(tiny == 0, 1)) return y;
    return _mm256_mask_mov_epi16(y, tiny, rounded(_mm512_castps_si512(x)));
}

void tt_eltwise_store_bf16_avx512(int64_t n, void *dst_, const void *a_, const void *b,
                                  const void *c, const tt_eltwise_immediate *immediate)
{
    const float *a = a_;
    uint16_t *dst = dst_;
    int64_t i = 0;
    (void)b, (void)c, (void)immediate;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(dst + i), narrowed(_mm512_loadu_ps(a + i)));
    if (i < n) {
        __mmask16 some = (__mmask16)((1u << (n - i)) - 1);
        _mm256_mask_storeu_epi16(dst + i, some,
                                 narrowed(_mm512_maskz_loadu_ps(some, a + i)));
    }
}
#endif
