/* Interpolation of 3 and 4 channels in OpenCV's arithmetic: a row goes across by itself, two
 * or four taps at a time.  Part of image_resize.inc.h. */

static inline void one_pair(const tt_image_pairs *p, const uint8_t *src, int64_t j,
                            int16_t *dst)
{
    const uint8_t *pixel = src + p->first[j] * p->n_channels;
    for (int64_t c = 0; c < p->n_channels; ++c) {
        int sum = pixel[c] * p->weights[2 * j] +
                  pixel[c + p->n_channels] * p->weights[2 * j + 1];
        dst[j * p->n_channels + c] = (int16_t)(sum >> 4);
    }
}

static inline void one_quad(const tt_image_pairs *p, const uint8_t *src, int64_t j,
                            int32_t *dst)
{
    const uint8_t *pixel = src + p->first[j] * p->n_channels;
    for (int64_t c = 0; c < p->n_channels; ++c) {
        int sum = 0;
        for (int t = 0; t < 4; ++t)
            sum += pixel[c + t * p->n_channels] * p->weights[4 * j + t];
        dst[j * p->n_channels + c] = sum;
    }
}

#if defined(__AVX2__)

/* Bytes of two pixels -> pairs of words, one pair for each channel. */
static inline __m256i order_of_pairs(int64_t channels)
{
    return _mm256_broadcastsi128_si256(
        channels == 3
            ? _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)
            : _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
}

/* Both pixels of a pair come in one load of 8 bytes, and one shuffle makes them pairs of
 * words.  Two at a time; where a load would leave the row, the plain way is taken. */
static inline void across_pairs_of(const tt_image_pairs *p, const uint8_t *src,
                                   int16_t *restrict dst, int64_t channels)
{
    const __m256i order = order_of_pairs(channels);
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const int32_t *first = p->first;
    const int16_t *weights = p->weights;
    int64_t n = p->n_dst, limit = (p->n_src * channels - 8) / channels, j = 0;
    if (p->n_src * channels < 8) limit = -1;
    for (; j + 2 <= n; j += 2) {
        __m256i pixels, sums;
        __m128i both;
        if (first[j] > limit || first[j + 1] > limit) {
            one_pair(p, src, j, dst);
            one_pair(p, src, j + 1, dst);
            continue;
        }
        pixels = _mm256_castsi128_si256(
            _mm_loadl_epi64((const void *)(src + first[j] * channels)));
        pixels = _mm256_inserti128_si256(
            pixels, _mm_loadl_epi64((const void *)(src + first[j + 1] * channels)), 1);
        both = _mm_loadl_epi64((const void *)(weights + 2 * j));
        sums = _mm256_madd_epi16(
            _mm256_shuffle_epi8(pixels, order),
            _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(both), spread));
        sums = _mm256_srli_epi32(sums, 4);
        sums = _mm256_packs_epi32(sums, sums);
        _mm_storel_epi64((void *)(dst + j * channels), _mm256_castsi256_si128(sums));
        _mm_storel_epi64((void *)(dst + (j + 1) * channels),
                         _mm256_extracti128_si256(sums, 1));
    }
    for (; j < n; ++j)
        one_pair(p, src, j, dst);
}

/* The first pair goes into the lower half, the second into the upper one. */
static inline void across_quads_of(const tt_image_pairs *p, const uint8_t *src,
                                   int32_t *restrict dst, int64_t channels)
{
    const __m256i order = order_of_pairs(channels);
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const int32_t *first = p->first;
    const int16_t *weights = p->weights;
    int64_t n = p->n_dst, need = 2 * channels + 8, n_bytes = p->n_src * channels;
    int64_t limit = n_bytes < need ? -1 : (n_bytes - need) / channels;
    for (int64_t j = 0; j < n; ++j) {
        const uint8_t *from = src + first[j] * channels;
        __m256i pixels, sums;
        __m128i both;
        if (first[j] > limit || j + 1 == n) { /* four words are stored */
            one_quad(p, src, j, dst);
            continue;
        }
        pixels = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadl_epi64((const void *)from)),
            _mm_loadl_epi64((const void *)(from + 2 * channels)), 1);
        both = _mm_loadl_epi64((const void *)(weights + 4 * j));
        sums = _mm256_madd_epi16(
            _mm256_shuffle_epi8(pixels, order),
            _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(both), spread));
        _mm_storeu_si128((void *)(dst + j * channels),
                         _mm_add_epi32(_mm256_castsi256_si128(sums),
                                       _mm256_extracti128_si256(sums, 1)));
    }
}

static void across_quads(const tt_image_pairs *p, const uint8_t *src, int32_t *dst)
{
    if (p->n_channels == 3)
        across_quads_of(p, src, dst, 3);
    else
        across_quads_of(p, src, dst, 4);
}

static void across_pairs(const tt_image_pairs *p, const uint8_t *src, int16_t *dst)
{
    if (p->n_channels == 3)
        across_pairs_of(p, src, dst, 3);
    else
        across_pairs_of(p, src, dst, 4);
}

static void down_pairs(const int16_t *one, const int16_t *two, const int32_t *weights,
                       int64_t n, uint8_t *dst)
{
    const __m256i a = _mm256_set1_epi16((int16_t)weights[0]);
    const __m256i b = _mm256_set1_epi16((int16_t)weights[1]);
    const __m256i half = _mm256_set1_epi16(2);
    for (int64_t i = 0; i < n; i += 16) {
        __m256i x = _mm256_mulhi_epi16(_mm256_loadu_si256((const void *)(one + i)), a);
        __m256i y = _mm256_mulhi_epi16(_mm256_loadu_si256((const void *)(two + i)), b);
        __m256i sum = _mm256_add_epi16(_mm256_add_epi16(x, y), half);
        __m128i bytes;
        sum = _mm256_srai_epi16(sum, 2);
        bytes = _mm_packus_epi16(_mm256_castsi256_si128(sum),
                                 _mm256_extracti128_si256(sum, 1));
        memcpy(dst + i, &bytes, (size_t)(n - i < 16 ? n - i : 16));
    }
}

#else

static void across_quads(const tt_image_pairs *p, const uint8_t *src, int32_t *dst)
{
    for (int64_t j = 0; j < p->n_dst; ++j)
        one_quad(p, src, j, dst);
}

static void across_pairs(const tt_image_pairs *p, const uint8_t *src, int16_t *dst)
{
    for (int64_t j = 0; j < p->n_dst; ++j)
        one_pair(p, src, j, dst);
}

static void down_pairs(const int16_t *one, const int16_t *two, const int32_t *weights,
                       int64_t n, uint8_t *dst)
{
    for (int64_t i = 0; i < n; ++i) {
        int sum = ((one[i] * weights[0]) >> 16) + ((two[i] * weights[1]) >> 16);
        sum = (sum + 2) >> 2;
        dst[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

#endif
