/* Tops of trees for AVX2. */
#include "kernels/forest.h"

#ifdef __x86_64__
#pragma GCC target("avx2")
#include <immintrin.h>

#define LANES 8
#define MASK __m256i
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define ABOVE(keys, threshold) _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(threshold))
#define SELECT(mask, a, b) _mm256_blendv_epi8(b, a, mask)
#define BIT(mask, bit) _mm256_and_si256(mask, _mm256_set1_epi32(bit))
#define STORE_EXIT(to, exits, way)                                             \
    do {                                                                       \
        __m256i low_ = _mm256_or_si256(                                        \
            _mm256_or_si256(BIT(way[1], 4), BIT(way[2], 2)), BIT(way[3], 1));  \
        __m256i left_ = _mm256_permutevar8x32_epi32(LOAD(exits), low_);        \
        __m256i right_ = _mm256_permutevar8x32_epi32(LOAD((exits) + 8), low_); \
        _mm256_storeu_si256((__m256i *)(to), SELECT(way[0], right_, left_));   \
    } while (0)

#include "kernels/forest.inc.h"

const tt_forest_isa tt_forest_avx2 = {top, "forest:avx2"};
#endif
