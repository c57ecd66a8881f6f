/* How signals get into a Fourier transform and spectra out of it, for storage type S,
 * arithmetic type T, LOAD and STORE between them; NAME(x) names the functions.
 *
 * Lanes lie side by side: item i of lane l is re[i * lanes + l]. */

typedef struct {
    const tt_dft *dft;
    const T *half_re, *half_im; /* exp(-2 pi j k / n) for k <= n / 2 */
    const S *src, *window;
    S *dst;
    int64_t n_lanes; /* of this block, at most dft->lanes */
    int64_t from[TT_DFT_MAX_LANES], to[TT_DFT_MAX_LANES];
    T *re, *im;
} NAME(block);

/* Part 0 or 1 of sample i of all lanes, times the window; 0 past the signal. */
static inline void NAME(load_row)(const NAME(block) * b, int64_t i, int part, T *row)
{
    const tt_dft *p = b->dft;
    const S *from = b->src + i * p->src_step + part;
    int64_t n = i < p->n_src ? b->n_lanes : 0;
    if (b->window == NULL)
        for (int64_t l = 0; l < n; ++l)
            row[l] = LOAD(from[b->from[l]]);
    else
        for (int64_t l = 0; l < n; ++l)
            row[l] = LOAD(from[b->from[l]]) * LOAD(b->window[i]);
    for (int64_t l = n; l < p->lanes; ++l)
        row[l] = 0;
}

static inline void NAME(store_row)(const NAME(block) * b, int64_t i, const T *re,
                                   const T *im, T re_scale, T im_scale)
{
    S *to = b->dst + i * b->dft->dst_step;
    if (b->dft->dst_parts == 2)
        for (int64_t l = 0; l < b->n_lanes; ++l) {
            to[b->to[l]] = (S)STORE(re[l] * re_scale);
            to[b->to[l] + 1] = (S)STORE(im[l] * im_scale);
        }
    else
        for (int64_t l = 0; l < b->n_lanes; ++l)
            to[b->to[l]] = (S)STORE(re[l] * re_scale);
}

static void NAME(load_complex)(const NAME(block) * b)
{
    const tt_dft *p = b->dft;
    for (int64_t i = 0; i < p->n; ++i) {
        NAME(load_row)(b, i, 0, b->re + i * p->lanes);
        if (p->src_parts == 2)
            NAME(load_row)(b, i, 1, b->im + i * p->lanes);
        else
            memset(b->im + i * p->lanes, 0, (size_t)p->lanes * sizeof(T));
    }
}

/* Even samples as real parts, odd ones as imaginary parts. */
static void NAME(load_real)(const NAME(block) * b)
{
    for (int64_t i = 0; i < b->dft->n; ++i)
        NAME(load_row)(b, i, 0, (i % 2 == 0 ? b->re : b->im) + i / 2 * b->dft->lanes);
}

/* Bin k <= n / 2 of a one-sided spectrum; bins without a twin are real. */
static inline void NAME(load_bin)(const NAME(block) * b, int64_t k, T *re, T *im)
{
    NAME(load_row)(b, k, 0, re);
    if (k > 0 && 2 * k < b->dft->n)
        NAME(load_row)(b, k, 1, im);
    else
        memset(im, 0, (size_t)b->dft->lanes * sizeof(T));
}

/* The spectrum of the signal whose even and odd samples are real and imaginary parts. */
static void NAME(load_even_spectrum)(const NAME(block) * b)
{
    const tt_dft *p = b->dft;
    int64_t half = p->n / 2;
    for (int64_t k = 0; k < half; ++k) {
        T ar[TT_DFT_MAX_LANES], ai[TT_DFT_MAX_LANES];
        T cr[TT_DFT_MAX_LANES], ci[TT_DFT_MAX_LANES];
        const T wr = b->half_re[k], wi = b->half_im[k], h = (T)0.5;
        T *re = b->re + k * p->lanes, *im = b->im + k * p->lanes;
        NAME(load_bin)(b, k, ar, ai);
        NAME(load_bin)(b, half - k, cr, ci);
        for (int64_t l = 0; l < p->lanes; ++l) {
            T dr = (ar[l] - cr[l]) * wr + (ai[l] + ci[l]) * wi;
            T di = (ai[l] + ci[l]) * wr - (ar[l] - cr[l]) * wi;
            re[l] = h * (ar[l] + cr[l] - di);
            im[l] = h * (ai[l] - ci[l] + dr);
        }
    }
}

static void NAME(load_odd_spectrum)(const NAME(block) * b)
{
    const tt_dft *p = b->dft;
    for (int64_t k = 0; 2 * k < p->n; ++k) {
        T *re = b->re + k * p->lanes, *im = b->im + k * p->lanes;
        int64_t twin = (p->n - k) * p->lanes;
        NAME(load_bin)(b, k, re, im);
        for (int64_t l = 0; l < p->lanes && k > 0; ++l) {
            b->re[twin + l] = re[l];
            b->im[twin + l] = -im[l];
        }
    }
}

static void NAME(store_complex)(const NAME(block) * b, T scale)
{
    int64_t lanes = b->dft->lanes;
    for (int64_t i = 0; i < b->dft->n_dst; ++i)
        NAME(store_row)(b, i, b->re + i * lanes, b->im + i * lanes, scale, scale);
}

/* A real signal from its even and odd samples. */
static void NAME(store_pairs)(const NAME(block) * b, T scale)
{
    int64_t lanes = b->dft->lanes;
    for (int64_t i = 0; i < b->dft->n_dst; ++i) {
        const T *row = (i % 2 == 0 ? b->re : b->im) + i / 2 * lanes;
        NAME(store_row)(b, i, row, row, scale, scale);
    }
}

/* The spectrum of a real signal: bins up to n / 2, the others are their twins. */
static void NAME(store_real)(const NAME(block) * b)
{
    const tt_dft *p = b->dft;
    int64_t half = p->n / 2, lanes = p->lanes;
    for (int64_t k = 0; k <= half && k < p->n_dst; ++k) {
        T re[TT_DFT_MAX_LANES], im[TT_DFT_MAX_LANES];
        int64_t at = k % half * lanes, twin = (half - k) % half * lanes;
        const T *zr = b->re + at, *zi = b->im + at;
        const T *cr = b->re + twin, *ci = b->im + twin;
        const T wr = b->half_re[k], wi = b->half_im[k], h = (T)0.5;
        for (int64_t l = 0; l < lanes; ++l) {
            T odd_re = zi[l] + ci[l], odd_im = cr[l] - zr[l];
            re[l] = zr[l] + cr[l] + wr * odd_re - wi * odd_im;
            im[l] = zi[l] - ci[l] + wr * odd_im + wi * odd_re;
        }
        NAME(store_row)(b, k, re, im, h, h);
        if (k > 0 && k < half && p->n - k < p->n_dst)
            NAME(store_row)(b, p->n - k, re, im, h, -h);
    }
}

static void NAME(run_block)(NAME(block) * b, const T *table, T *scratch)
{
    const tt_dft *p = b->dft;
    bool is_odd = p->fft.n == p->n;
    T scale = p->is_inverse ? (T)1 / (T)p->fft.n : (T)1;
    T *swapped = b->re;
    if (p->kind == TT_DFT_COMPLEX)
        NAME(load_complex)(b);
    else if (p->kind == TT_DFT_REAL)
        NAME(load_real)(b);
    else if (is_odd)
        NAME(load_odd_spectrum)(b);
    else
        NAME(load_even_spectrum)(b);
    if (p->is_inverse) {
        b->re = b->im;
        b->im = swapped;
    }
    FFT(&p->fft, table, p->lanes, b->re, b->im, scratch);
    if (p->is_inverse) {
        b->im = b->re;
        b->re = swapped;
    }
    if (p->kind == TT_DFT_REAL)
        NAME(store_real)(b);
    else if (p->kind == TT_DFT_HERMITIAN && !is_odd)
        NAME(store_pairs)(b, scale);
    else
        NAME(store_complex)(b, scale);
}

static void NAME(run_part)(const dft_call *call, int64_t part)
{
    const tt_dft *p = call->dft;
    int64_t n = p->n_outer * p->n_inner, items = tt_fft_array_items(&p->fft, p->lanes);
    const T *half = (const T *)call->table + tt_fft_table_items(&p->fft);
    T *scratch = (T *)call->scratch + part * 4 * items;
    for (int64_t t = part * p->lanes; t < n; t += p->n_parts * p->lanes) {
        NAME(block)
        b = {.dft = p,
             .half_re = half,
             .half_im = half + p->n / 2 + 1,
             .src = call->src,
             .window = call->window,
             .dst = call->dst,
             .n_lanes = n - t < p->lanes ? n - t : p->lanes,
             .re = scratch,
             .im = scratch + items};
        for (int64_t l = 0; l < b.n_lanes; ++l) {
            int64_t outer = (t + l) / p->n_inner, inner = (t + l) % p->n_inner;
            b.from[l] = outer * p->src_outer + inner * p->src_inner;
            b.to[l] = outer * p->dst_outer + inner * p->dst_inner;
        }
        NAME(run_block)(&b, call->table, scratch + 2 * items);
    }
}
