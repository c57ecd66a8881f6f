/* The loops of look_kernels.h in GCC's portable vectors of VF_N floats.  Included after a
 * target pragma, with VF_N, LOOK_TABLE and LOOK_NAME.  Values are added in TT_LANES lanes
 * whatever VF_N is: a loop goes over the values once for each VF_N of them.  Nothing is
 * contracted to FMA (ISO C), so every instruction set rounds alike. */
#include <math.h>
#include <string.h>

#include "watch/look_kernels.h"

/* Vectors are not passed to functions: those of 64 bytes have no ABI on all processors. */
typedef float vf __attribute__((vector_size(4 * VF_N)));
typedef float vf_anywhere __attribute__((vector_size(4 * VF_N), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VF_N)));

static const int32_t LANES[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define LOAD(p) (*(const vf_anywhere *)(p))
#define STORE(p, v) (*(vf_anywhere *)(p) = (v))
#define LANE (*(const vi *)(const void *)LANES)
#define FIRST(n) (LANE < (int32_t)(n)) /* all ones in the first n lanes */
#define KEEP(pick, v) ((vf)((pick) & (vi)(v)))
#define EITHER(pick, a, b) ((vf)(((pick) & (vi)(a)) | (~(pick) & (vi)(b))))
#define SMALLER(a, b) EITHER((a) < (b), a, b) /* b where either is NaN */
#define LARGER(a, b) EITHER((a) > (b), a, b)
#define MAGNITUDE(a) ((vf)((vi)(a) & 0x7fffffff))

#define INLINE static inline __attribute__((always_inline))

/* The first n lanes, the others 0. */
INLINE void load_first(vf *v, const float *p, int64_t n)
{
    *v = (vf){0};
    memcpy(v, p, (size_t)n * sizeof *p);
}

INLINE void add_lanes(double *sums, const vf *v)
{
    for (int i = 0; i < VF_N; ++i)
        sums[i] += (double)(*v)[i];
}

/* How many of the VF_N items from i on there are. */
INLINE int64_t n_here(int64_t i, int64_t n)
{
    return n - i < VF_N ? n - i : VF_N;
}

INLINE double sum_of(const double *lanes)
{
    double sum = 0.0;
    for (int i = 0; i < TT_LANES; ++i)
        sum += lanes[i];
    return sum;
}

/* ---- pixels ------------------------------------------------------------------------ */

INLINE void mix_channels(const float *const *c, const int n_channels, int64_t n,
                         float *gray)
{
    const float share = 1.0f / (float)n_channels;
    for (int64_t i = 0; i < n; ++i) {
        float sum = c[0][i];
        for (int k = 1; k < n_channels; ++k)
            sum += c[k][i];
        gray[i] = sum * share;
    }
}

static void mix(const float *const *channels, int n_channels, int64_t n, float *gray)
{
    if (n_channels == 1)
        memcpy(gray, channels[0], (size_t)n * sizeof *gray);
    else if (n_channels == 2)
        mix_channels(channels, /*n_channels=*/2, n, gray);
    else
        mix_channels(channels, /*n_channels=*/3, n, gray);
}

/* Sums of one run, still in floats. */
typedef struct {
    vf sums[TT_N_SUMS], low, high;
} run_sums;

/* Up to VF_N pixels from pixel i on. */
INLINE void look_at(const tt_pixel_run *run, const int n_channels, int64_t i,
                    const int64_t n, run_sums *s, float *gray, float *gradient)
{
    const float *up = run->gray[0] + i, *at = run->gray[1] + i,
                *down = run->gray[2] + i;
    const vi pick = FIRST(n);
    vf g = LOAD(at + 1), above = LOAD(up + 1), below = LOAD(down + 1);
    vf left = LOAD(at), right = LOAD(at + 2);
    vf cross = above + below + left + right;
    vf laplacian = KEEP(pick, cross - 4.0f * g);
    vf corners = LOAD(up) + LOAD(up + 2) + LOAD(down) + LOAD(down + 2);
    vf noise = corners - 2.0f * cross + 4.0f * g;
    vf least = {0}, most = {0};
    for (int k = 0; k < n_channels; ++k) {
        vf c;
        if (n == VF_N)
            c = LOAD(run->channels[k] + i);
        else
            load_first(&c, run->channels[k] + i, n);
        least = k == 0 ? c : SMALLER(c, least);
        most = k == 0 ? c : LARGER(c, most);
        s->sums[TT_SUM_CHANNEL_0 + k] += c;
    }
    s->sums[TT_SUM_GRAY] += KEEP(pick, g);
    s->sums[TT_SUM_CHROMA] += most - least;
    s->sums[TT_SUM_LAPLACIAN] += laplacian;
    s->sums[TT_SUM_LAPLACIAN_SQUARE] += laplacian * laplacian;
    s->sums[TT_SUM_NOISE] += KEEP(pick, MAGNITUDE(noise));
    s->low = EITHER(pick & (g < s->low), g, s->low);
    s->high = EITHER(pick & (g > s->high), g, s->high);
    STORE(gray + i, g);
    STORE(gradient + i, MAGNITUDE(right - left) + MAGNITUDE(below - above));
}

/* The lanes from `lane` on. */
INLINE void lanes_of_run(const tt_pixel_run *run, const int n_channels, int lane,
                         tt_pixel_sums *out, float *gray, float *gradient)
{
    run_sums s = {.low = LOAD(out->low + lane), .high = LOAD(out->high + lane)};
    int64_t i = lane;
    for (; i + VF_N <= run->n; i += TT_LANES)
        look_at(run, n_channels, i, VF_N, &s, gray, gradient);
    if (i < run->n) look_at(run, n_channels, i, run->n - i, &s, gray, gradient);
    for (int k = 0; k < TT_N_SUMS; ++k)
        add_lanes(out->sums[k] + lane, &s.sums[k]);
    STORE(out->low + lane, s.low);
    STORE(out->high + lane, s.high);
}

INLINE void run_of(const tt_pixel_run *run, const int n_channels, tt_pixel_sums *out,
                   float *gray, float *gradient)
{
    for (int lane = 0; lane < TT_LANES; lane += VF_N)
        lanes_of_run(run, n_channels, lane, out, gray, gradient);
}

static void pixels(const tt_pixel_run *run, tt_pixel_sums *sums, float *gray,
                   float *gradient)
{
    if (run->n_channels == 1)
        run_of(run, /*n_channels=*/1, sums, gray, gradient);
    else if (run->n_channels == 2)
        run_of(run, /*n_channels=*/2, sums, gray, gradient);
    else
        run_of(run, /*n_channels=*/3, sums, gray, gradient);
}

/* The sum of (x - mean)^2 over a run, lane by lane. */
INLINE void spread_of_run(const float *x, int64_t n, float mean, double *sums)
{
    for (int lane = 0; lane < TT_LANES; lane += VF_N) {
        vf sum = {0};
        for (int64_t i = lane; i < n; i += TT_LANES) {
            const int64_t here = n_here(i, n);
            vf d;
            if (here == VF_N)
                d = LOAD(x + i) - mean;
            else {
                load_first(&d, x + i, here);
                d = KEEP(FIRST(here), d - mean);
            }
            sum += d * d;
        }
        add_lanes(sums + lane, &sum);
    }
}

static double spread(const float *x, int64_t n, float mean)
{
    double sums[TT_LANES] = {0};
    for (int64_t i = 0; i < n; i += TT_RUN_PIXELS)
        spread_of_run(x + i, n - i < TT_RUN_PIXELS ? n - i : TT_RUN_PIXELS, mean, sums);
    return sum_of(sums);
}

static int64_t above(const float *x, int64_t n, float level)
{
    int32_t count = 0; /* n is at most that of all rows of an image */
    for (int64_t i = 0; i < n; ++i)
        count += x[i] > level;
    return count;
}

/* Four tables, so that equal neighbours need not wait for one another. */
static void bins(const float *x, int64_t n, float low, float scale, int64_t *counts)
{
    int32_t tables[4][TT_GRAY_BINS] = {{0}};
    for (int64_t i = 0; i < n; i += VF_N) {
        const int64_t here = n_here(i, n);
        const vf none = {0}, last = none + (float)(TT_GRAY_BINS - 1);
        int32_t index[VF_N];
        vi whole;
        vf at;
        if (here == VF_N)
            at = LOAD(x + i);
        else
            load_first(&at, x + i, here);
        at = (at - low) * scale;
        at = LARGER(at, none);
        at = SMALLER(at, last);
        whole = __builtin_convertvector(at, vi);
        memcpy(index, &whole, sizeof index);
        for (int64_t k = 0; k < here; ++k)
            ++tables[k & 3][index[k]];
    }
    for (int k = 0; k < TT_GRAY_BINS; ++k)
        counts[k] += tables[0][k] + tables[1][k] + tables[2][k] + tables[3][k];
}

/* ---- samples ----------------------------------------------------------------------- */

INLINE void lanes_of_frame(const float *x, int64_t n, float clip_level, int lane,
                           double *sums, tt_frame *out)
{
    vf square = {0}, peak = {0};
    vi n_clipped = {0}, n_crossings = {0};
    for (int64_t i = lane; i < n; i += TT_LANES) {
        const int64_t here = n_here(i, n), next_here = n_here(i + 1, n);
        vf v, next, size;
        if (next_here == VF_N) {
            v = LOAD(x + i);
            next = LOAD(x + i + 1);
        } else {
            load_first(&v, x + i, here);
            load_first(&next, x + i + 1, next_here);
        }
        size = MAGNITUDE(v);
        square += v * v;
        peak = LARGER(size, peak);
        n_clipped -= (size >= clip_level) & FIRST(here);
        n_crossings -= ((v < 0.0f) ^ (next < 0.0f)) & FIRST(next_here);
    }
    add_lanes(sums + lane, &square);
    for (int k = 0; k < VF_N; ++k) {
        if (peak[k] > out->peak) out->peak = peak[k];
        out->n_clipped += n_clipped[k];
        out->n_zero_crossings += n_crossings[k];
    }
}

static void frame(const float *x, int64_t n, float clip_level, tt_frame *out)
{
    double sums[TT_LANES] = {0};
    *out = (tt_frame){0};
    for (int lane = 0; lane < TT_LANES; lane += VF_N)
        lanes_of_frame(x, n, clip_level, lane, sums, out);
    out->square_sum = sum_of(sums);
}

/* ---- reading ----------------------------------------------------------------------- */

#define DEFINE_SPLIT(name, type)                                                \
    static void name(const void *src, int64_t n, float *const *dst)             \
    {                                                                           \
        const type *x = src;                                                    \
        float *restrict a = dst[0], *restrict b = dst[1], *restrict c = dst[2]; \
        for (int64_t i = 0; i < n; ++i) {                                       \
            a[i] = (float)x[3 * i];                                             \
            b[i] = (float)x[3 * i + 1];                                         \
            c[i] = (float)x[3 * i + 2];                                         \
        }                                                                       \
    }

DEFINE_SPLIT(split_u8, uint8_t)
DEFINE_SPLIT(split_f32, float)

const tt_look_kernels LOOK_TABLE = {LOOK_NAME, mix,   pixels,   spread,   above,
                                    bins,      frame, split_u8, split_f32};
