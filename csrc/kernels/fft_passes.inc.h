/* The passes of a Stockham transform over items of type T; included by fft.inc.h with T
 * and NAME(x) defined.
 *
 * Before a pass of radix r the data is r * count blocks of `step` items (lanes times the
 * radices so far); output block r * p + k takes the blocks p, p + count, .. of the
 * input.  Everything is loops over `step` neighbouring items with one twiddle factor. */

typedef struct {
    const T *re, *im;
    T *to_re, *to_im;
    const T *cos, *sin;           /* exp(-2 pi j k / m) = cos[k] + j sin[k] */
    int64_t m, count, step, turn; /* turn: from one factor of the table to the next */
} NAME(pass);

#define MUL_RE(wr, wi, xr, xi) ((wr) * (xr) - (wi) * (xi))
#define MUL_IM(wr, wi, xr, xi) ((wr) * (xi) + (wi) * (xr))

static void NAME(radix2)(const NAME(pass) * s)
{
    for (int64_t p = 0; p < s->count; ++p) {
        const T wr = s->cos[p * s->turn], wi = s->sin[p * s->turn];
        const T *restrict ar = s->re + p * s->step, *restrict ai = s->im + p * s->step;
        const T *restrict br = ar + s->count * s->step;
        const T *restrict bi = ai + s->count * s->step;
        T *restrict y0r = s->to_re + 2 * p * s->step, *restrict y1r = y0r + s->step;
        T *restrict y0i = s->to_im + 2 * p * s->step, *restrict y1i = y0i + s->step;
        for (int64_t q = 0; q < s->step; ++q) {
            T dr = ar[q] - br[q], di = ai[q] - bi[q];
            y0r[q] = ar[q] + br[q];
            y0i[q] = ai[q] + bi[q];
            y1r[q] = MUL_RE(wr, wi, dr, di);
            y1i[q] = MUL_IM(wr, wi, dr, di);
        }
    }
}

static void NAME(radix3)(const NAME(pass) * s)
{
    const T half = (T)-0.5, h = (T)-0.86602540378443864676;
    int64_t apart = s->count * s->step;
    for (int64_t p = 0; p < s->count; ++p) {
        const T *c = s->cos + p * s->turn, *d = s->sin + p * s->turn;
        const T w1r = c[0], w1i = d[0], w2r = c[p * s->turn], w2i = d[p * s->turn];
        const T *restrict xr = s->re + p * s->step, *restrict xi = s->im + p * s->step;
        T *restrict yr = s->to_re + 3 * p * s->step;
        T *restrict yi = s->to_im + 3 * p * s->step;
        for (int64_t q = 0; q < s->step; ++q) {
            T sr = xr[q + apart] + xr[q + 2 * apart];
            T si = xi[q + apart] + xi[q + 2 * apart];
            T dr = h * (xr[q + apart] - xr[q + 2 * apart]);
            T di = h * (xi[q + apart] - xi[q + 2 * apart]);
            T mr = xr[q] + half * sr, mi = xi[q] + half * si;
            yr[q] = xr[q] + sr;
            yi[q] = xi[q] + si;
            yr[q + s->step] = MUL_RE(w1r, w1i, mr - di, mi + dr);
            yi[q + s->step] = MUL_IM(w1r, w1i, mr - di, mi + dr);
            yr[q + 2 * s->step] = MUL_RE(w2r, w2i, mr + di, mi - dr);
            yi[q + 2 * s->step] = MUL_IM(w2r, w2i, mr + di, mi - dr);
        }
    }
}

static void NAME(radix4)(const NAME(pass) * s)
{
    int64_t apart = s->count * s->step;
    for (int64_t p = 0; p < s->count; ++p) {
        int64_t at = p * s->turn;
        const T w1r = s->cos[at], w1i = s->sin[at];
        const T w2r = s->cos[2 * at], w2i = s->sin[2 * at];
        const T w3r = s->cos[3 * at], w3i = s->sin[3 * at];
        const T *restrict ar = s->re + p * s->step, *restrict ai = s->im + p * s->step;
        const T *restrict br = ar + apart, *restrict bi = ai + apart;
        const T *restrict cr = br + apart, *restrict ci = bi + apart;
        const T *restrict dr = cr + apart, *restrict di = ci + apart;
        T *restrict yr = s->to_re + 4 * p * s->step;
        T *restrict yi = s->to_im + 4 * p * s->step;
        for (int64_t q = 0; q < s->step; ++q) {
            T sr = ar[q] + cr[q], si = ai[q] + ci[q];
            T tr = ar[q] - cr[q], ti = ai[q] - ci[q];
            T ur = br[q] + dr[q], ui = bi[q] + di[q];
            T vr = br[q] - dr[q], vi = bi[q] - di[q];
            yr[q] = sr + ur;
            yi[q] = si + ui;
            yr[q + s->step] = MUL_RE(w1r, w1i, tr + vi, ti - vr);
            yi[q + s->step] = MUL_IM(w1r, w1i, tr + vi, ti - vr);
            yr[q + 2 * s->step] = MUL_RE(w2r, w2i, sr - ur, si - ui);
            yi[q + 2 * s->step] = MUL_IM(w2r, w2i, sr - ur, si - ui);
            yr[q + 3 * s->step] = MUL_RE(w3r, w3i, tr - vi, ti + vr);
            yi[q + 3 * s->step] = MUL_IM(w3r, w3i, tr - vi, ti + vr);
        }
    }
}

/* to += w * from, or to = w * from. */
static void NAME(accumulate)(T wr, T wi, const T *restrict xr, const T *restrict xi,
                             T *restrict yr, T *restrict yi, int64_t n, bool is_first)
{
    if (is_first)
        for (int64_t q = 0; q < n; ++q) {
            yr[q] = MUL_RE(wr, wi, xr[q], xi[q]);
            yi[q] = MUL_IM(wr, wi, xr[q], xi[q]);
        }
    else
        for (int64_t q = 0; q < n; ++q) {
            yr[q] += MUL_RE(wr, wi, xr[q], xi[q]);
            yi[q] += MUL_IM(wr, wi, xr[q], xi[q]);
        }
}

/* Any radix, by the definition. */
static void NAME(radix_any)(const NAME(pass) * s, int64_t radix)
{
    int64_t apart = s->count * s->step, unit = s->m / radix;
    for (int64_t p = 0; p < s->count; ++p)
        for (int64_t k = 0; k < radix; ++k)
            for (int64_t j = 0; j < radix; ++j) {
                int64_t at = (j * k % radix * unit + p * k * s->turn) % s->m;
                NAME(accumulate)
                (s->cos[at], s->sin[at], s->re + p * s->step + j * apart,
                 s->im + p * s->step + j * apart, s->to_re + (radix * p + k) * s->step,
                 s->to_im + (radix * p + k) * s->step, s->step, j == 0);
            }
}

/* The product of the factors; the result is in re, im. */
static void NAME(factored)(const tt_fft *fft, const T *table, int64_t lanes, T *re,
                           T *im, T *scratch)
{
    T *others[2] = {scratch, scratch + tt_fft_array_items(fft, lanes)};
    T *mine[2] = {re, im};
    int64_t done = 1;
    for (int i = 0; i < fft->n_factors; ++i) {
        int radix = fft->factors[i];
        NAME(pass)
        s = {.re = mine[0],
             .im = mine[1],
             .to_re = others[0],
             .to_im = others[1],
             .cos = table,
             .sin = table + fft->m,
             .m = fft->m,
             .count = fft->m / done / radix,
             .step = done * lanes,
             .turn = done};
        if (radix == 4)
            NAME(radix4)(&s);
        else if (radix == 2)
            NAME(radix2)(&s);
        else if (radix == 3)
            NAME(radix3)(&s);
        else
            NAME(radix_any)(&s, radix);
        for (int k = 0; k < 2; ++k) {
            T *swapped = mine[k];
            mine[k] = others[k];
            others[k] = swapped;
        }
        done *= radix;
    }
    if (mine[0] == re) return;
    memcpy(re, mine[0], (size_t)(fft->m * lanes) * sizeof(T));
    memcpy(im, mine[1], (size_t)(fft->m * lanes) * sizeof(T));
}

/* Items times a factor of their own each; conjugated where that is asked for. */
static void NAME(scale)(const T *wr, const T *wi, int64_t n, int64_t lanes, T *re,
                        T *im)
{
    for (int64_t i = 0; i < n; ++i) {
        const T cr = wr[i], ci = wi[i];
        T *restrict xr = re + i * lanes, *restrict xi = im + i * lanes;
        for (int64_t l = 0; l < lanes; ++l) {
            T r = MUL_RE(cr, ci, xr[l], xi[l]);
            xi[l] = MUL_IM(cr, ci, xr[l], xi[l]);
            xr[l] = r;
        }
    }
}

static void NAME(run)(const tt_fft *fft, const T *table, int64_t lanes, T *re, T *im,
                      T *scratch)
{
    const T *chirp = table + 2 * fft->m, *spectrum = chirp + 2 * fft->n;
    size_t rest = (size_t)((fft->m - fft->n) * lanes) * sizeof(T);
    if (fft->m == fft->n) {
        NAME(factored)(fft, table, lanes, re, im, scratch);
        return;
    }
    NAME(scale)(chirp, chirp + fft->n, fft->n, lanes, re, im);
    memset(re + fft->n * lanes, 0, rest);
    memset(im + fft->n * lanes, 0, rest);
    NAME(factored)(fft, table, lanes, re, im, scratch);
    NAME(scale)(spectrum, spectrum + fft->m, fft->m, lanes, re, im);
    NAME(factored)(fft, table, lanes, im, re, scratch); /* back */
    NAME(scale)(chirp, chirp + fft->n, fft->n, lanes, re, im);
}

#undef MUL_RE
#undef MUL_IM
