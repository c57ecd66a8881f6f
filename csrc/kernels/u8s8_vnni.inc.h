/* What convolutions of u8 by s8 have in common on AVX-512 with VNNI: products of bytes, and
 * four vectors of sums by place (conv_u8s8.h) to and from 64 channels.  Sets the target, so
 * it is the first thing to include behind the kernel's own header. */
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LOOP static __attribute__((noinline))

enum { VECTOR_BYTES = 64, LANES = 16, VECTORS = 4 };

/* Adds sum_scale times bytes. */
INLINE void add_bytes(__m512 sum_scale, __m512i bytes, __m512 *x)
{
    const __m512i next = _mm512_set1_epi32(4);
    __m512i pick = _mm512_set4_epi32((int)0x80808003, (int)0x80808002, (int)0x80808001,
                                     (int)0x80808000);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
        __m512 item = _mm512_cvtepi32_ps(_mm512_shuffle_epi8(bytes, pick));
        x[v] = _mm512_fmadd_ps(item, sum_scale, x[v]);
        pick = _mm512_add_epi32(pick, next);
    }
}

INLINE __m512i to_bytes(const __m512 *x)
{
    __m512i low =
        _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    __m512i high =
        _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    return _mm512_packus_epi16(low, high);
}

/* 64 floats of one pixel, or those of the mask, in the order of channels. */
INLINE void store_channels(float *to, const __m512 *x, __mmask64 mask)
{
    __m512 a = _mm512_shuffle_f32x4(x[0], x[1], 0x44);
    __m512 b = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
    __m512 d = _mm512_shuffle_f32x4(x[2], x[3], 0x44);
    __m512 e = _mm512_shuffle_f32x4(x[2], x[3], 0xee);
    _mm512_mask_storeu_ps(to, (__mmask16)mask, _mm512_shuffle_f32x4(a, d, 0x88));
    _mm512_mask_storeu_ps(to + 16, (__mmask16)(mask >> 16),
                          _mm512_shuffle_f32x4(a, d, 0xdd));
    _mm512_mask_storeu_ps(to + 32, (__mmask16)(mask >> 32),
                          _mm512_shuffle_f32x4(b, e, 0x88));
    _mm512_mask_storeu_ps(to + 48, (__mmask16)(mask >> 48),
                          _mm512_shuffle_f32x4(b, e, 0xdd));
}

/* The intrinsic copies the sums when registers are short, which takes as long again. */
INLINE __m512i dot(__m512i sums, __m512i src, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(src), "v"(weights));
    return sums;
}

INLINE __m512i four_bytes(const uint8_t *from)
{
    int32_t item;
    memcpy(&item, from, sizeof item);
    return _mm512_set1_epi32(item);
}
