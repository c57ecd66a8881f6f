/* Tops of trees for AVX-512. */
#include "kernels/forest.h"

#ifdef __x86_64__
#pragma GCC target("avx512f,avx2")
#include <immintrin.h>

#define LANES 16
#define MASK uint32_t
#define LOAD(p) _mm512_loadu_si512(p)
#define ABOVE(keys, threshold) \
    (uint32_t) _mm512_cmpgt_epi32_mask(keys, _mm512_set1_epi32(threshold))
#define SELECT(mask, a, b) ((b) ^ (((a) ^ (b)) & (mask)))
#define STORE_EXIT(to, exits, way)                                                    \
    do {                                                                              \
        __m512i at_ = _mm512_maskz_set1_epi32((__mmask16)way[0], 8);                  \
        at_ =                                                                         \
            _mm512_mask_add_epi32(at_, (__mmask16)way[1], at_, _mm512_set1_epi32(4)); \
        at_ =                                                                         \
            _mm512_mask_add_epi32(at_, (__mmask16)way[2], at_, _mm512_set1_epi32(2)); \
        at_ =                                                                         \
            _mm512_mask_add_epi32(at_, (__mmask16)way[3], at_, _mm512_set1_epi32(1)); \
        _mm512_storeu_si512(to, _mm512_permutexvar_epi32(at_, LOAD(exits)));          \
    } while (0)

#include "kernels/forest.inc.h"

const tt_forest_isa tt_forest_avx512 = {top, "forest:avx512"};
#endif
