/* What sound is like: see audio_look.h.  Frames are read as floats and added up by the
 * kernels; the spectrum of a few is computed here. */
#include "watch/audio_look.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "watch/look_kernels.h"

enum {
    FRAME = TT_FRAME_SAMPLES,
    MAX_FRAMES = 256,
    N_SPECTRA = 4, /* even: two frames are transformed at once */
    N_BINS = FRAME / 2 + 1,
};

static const double FLOOR = 1e-10; /* of mean squares: -100 dB */
static const double SILENT = 1e-6; /* -60 dB */
static const float CLIPPED = 0.999f;

/* cos and sin of 2 pi k / FRAME, by turning 1 step by step in doubles. */
typedef struct {
    double cosines[FRAME], sines[FRAME];
} turn_table;

typedef struct {
    const tt_clips *clips;
    const tt_look_kernels *kernels;
    const char *data;
    const turn_table *turns;
    int64_t n_frames, frame_samples; /* looked at */
    double squares[MAX_FRAMES];      /* mean square of each frame, full scale is 1 */
    float peak;
    int64_t n_clipped, n_crossings;
} clip_state;

static void fill_turns(turn_table *t)
{
    const double c = 0.99969881869620420, s = 0.02454122852291229; /* 2 pi / 256 */
    t->cosines[0] = 1.0;
    t->sines[0] = 0.0;
    for (int k = 1; k < FRAME; ++k) {
        t->cosines[k] = t->cosines[k - 1] * c - t->sines[k - 1] * s;
        t->sines[k] = t->cosines[k - 1] * s + t->sines[k - 1] * c;
    }
}

/* n samples as floats, full scale is 1. */
static void read_samples(const tt_clips *clips, const char *data, int64_t n,
                         float *samples)
{
    const float gain = (float)(1.0 / clips->full_scale);
    const int64_t stride = clips->strides[1];
    if (clips->dtype == TT_F32 && stride == (int64_t)sizeof(float)) {
        memcpy(samples, data, (size_t)n * sizeof *samples);
        for (int64_t i = 0; i < n; ++i)
            samples[i] *= gain;
    } else if (clips->dtype == TT_F32)
        for (int64_t i = 0; i < n; ++i) {
            float value;
            memcpy(&value, data + i * stride, sizeof value);
            samples[i] = value * gain;
        }
    else
        for (int64_t i = 0; i < n; ++i) {
            int16_t value;
            memcpy(&value, data + i * stride, sizeof value);
            samples[i] = (float)value * gain;
        }
}

/* Frame k of the n_chosen that are looked at, out of n_frames. */
static int64_t chosen(int64_t k, int64_t n_chosen, int64_t n_frames)
{
    return n_frames / n_chosen * k + n_frames / n_chosen / 2 +
           n_frames % n_chosen * k / n_chosen;
}

static void look_at_frames(clip_state *s)
{
    const int64_t n = s->clips->dims[1], n_whole = n < FRAME ? 1 : n / FRAME;
    float samples[FRAME];
    s->frame_samples = n < FRAME ? n : FRAME;
    s->n_frames = n_whole < MAX_FRAMES ? n_whole : MAX_FRAMES;
    s->peak = 0.0f;
    s->n_clipped = s->n_crossings = 0;
    for (int64_t k = 0; k < s->n_frames; ++k) {
        const int64_t at = chosen(k, s->n_frames, n_whole) * FRAME;
        tt_frame frame;
        read_samples(s->clips, s->data + at * s->clips->strides[1], s->frame_samples,
                     samples);
        s->kernels->frame(samples, s->frame_samples, CLIPPED, &frame);
        s->squares[k] = frame.square_sum / (double)s->frame_samples;
        if (frame.peak > s->peak) s->peak = frame.peak;
        s->n_clipped += frame.n_clipped;
        s->n_crossings += frame.n_zero_crossings;
    }
}

/* ---- the spectrum ------------------------------------------------------------------ */

/* The discrete Fourier transform of FRAME complex numbers in bit-reversed order, in
 * place (radix 2, decimation in time). */
static void transform(const turn_table *t, double *re, double *im)
{
    for (int half = 1; half < FRAME; half *= 2) {
        const int step = FRAME / (2 * half);
        for (int begin = 0; begin < FRAME; begin += 2 * half)
            for (int k = 0; k < half; ++k) {
                const double c = t->cosines[k * step], s = -t->sines[k * step];
                const int a = begin + k, b = a + half;
                const double x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
                re[b] = re[a] - x;
                im[b] = im[a] - y;
                re[a] += x;
                im[a] += y;
            }
    }
}

static unsigned reversed(unsigned i)
{
    unsigned r = 0;
    for (unsigned bit = 1; bit < FRAME; bit *= 2)
        r = r << 1 | ((i & bit) != 0);
    return r;
}

/* Adds the magnitudes of the spectra of two frames (Hann window): one is the real
 * part, the other the imaginary part of what is transformed. */
static void add_spectra(const turn_table *t, const float *a, const float *b,
                        double *magnitudes)
{
    double re[FRAME], im[FRAME];
    for (unsigned i = 0; i < FRAME; ++i) {
        const unsigned r = reversed(i);
        const double window = 0.5 - 0.5 * t->cosines[i];
        re[r] = window * (double)a[i];
        im[r] = window * (double)b[i];
    }
    transform(t, re, im);
    for (int k = 0; k < N_BINS; ++k) {
        const int mirrored = (FRAME - k) % FRAME;
        const double ax = re[k] + re[mirrored], ay = im[k] - im[mirrored];
        const double bx = im[k] + im[mirrored], by = re[mirrored] - re[k];
        magnitudes[k] += 0.5 * (sqrt(ax * ax + ay * ay) + sqrt(bx * bx + by * by));
    }
}

/* In cycles a sample. */
static double centroid(const clip_state *s)
{
    const int64_t n_whole = s->clips->dims[1] / FRAME;
    const int64_t n_spectra = n_whole < N_SPECTRA ? n_whole : N_SPECTRA;
    float samples[N_SPECTRA][FRAME] = {{0}};
    double magnitudes[N_BINS] = {0}, sum = 0.0, moment = 0.0;
    for (int64_t k = 0; k < n_spectra; ++k)
        read_samples(s->clips,
                     s->data +
                         chosen(k, n_spectra, n_whole) * FRAME * s->clips->strides[1],
                     FRAME, samples[k]);
    for (int64_t k = 0; k < n_spectra; k += 2)
        add_spectra(s->turns, samples[k], samples[k + 1], magnitudes);
    for (int k = 0; k < N_BINS; ++k) {
        sum += magnitudes[k];
        moment += magnitudes[k] * (double)k / FRAME;
    }
    return sum > 0.0 ? moment / sum : NAN;
}

/* ---- the numbers ------------------------------------------------------------------- */

static double decibels(double square)
{
    return 10.0 * log10(square > FLOOR ? square : FLOOR);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void conclude(clip_state *s, float *out)
{
    const int64_t n = s->n_frames, n_samples = n * s->frame_samples;
    const int64_t n_pairs = n * (s->frame_samples - 1);
    double sum = 0.0;
    int64_t n_silent = 0;
    for (int64_t k = 0; k < n; ++k) {
        sum += s->squares[k];
        n_silent += s->squares[k] < SILENT;
    }
    for (int i = 0; i < TT_N_AUDIO_LOOKS; ++i)
        out[i] = NAN;
    if (!isfinite(sum)) return;
    out[TT_LOOK_LEVEL_DB] = (float)decibels(sum / (double)n);
    out[TT_LOOK_PEAK] = s->peak;
    out[TT_LOOK_CLIPPING_SHARE] = (float)((double)s->n_clipped / (double)n_samples);
    out[TT_LOOK_SILENCE_SHARE] = (float)((double)n_silent / (double)n);
    out[TT_LOOK_ZERO_CROSSING_RATE] =
        n_pairs == 0 ? 0.0f : (float)((double)s->n_crossings / (double)n_pairs);
    out[TT_LOOK_SPECTRAL_CENTROID] = (float)centroid(s);
    qsort(s->squares, (size_t)n, sizeof s->squares[0], compare);
    out[TT_LOOK_SNR_DB] = (float)(decibels(s->squares[(n - 1) * 95 / 100]) -
                                  decibels(s->squares[(n - 1) * 10 / 100]));
}

tt_status tt_clips_look(const tt_clips *clips, tt_isa isa, float *out, tt_error *err)
{
    turn_table turns;
    clip_state state = {
        .clips = clips,
        .kernels = tt_look_kernels_of(isa),
        .turns = &turns,
    };
    if (clips->dtype != TT_S16 && clips->dtype != TT_F32)
        return tt_fail(err, TT_BAD_INPUT_TYPE,
                       "samples: expected int16 or float32, got %s",
                       tt_dtype_name(clips->dtype));
    if (clips->dims[0] < 0 || clips->dims[1] < 1)
        return tt_fail(err, TT_BAD_INPUT,
                       "expected clips with samples, got %lld of %lld samples",
                       (long long)clips->dims[0], (long long)clips->dims[1]);
    if (!(clips->full_scale > 0.0) || !isfinite(clips->full_scale))
        return tt_fail(err, TT_BAD_INPUT,
                       "full_scale: expected a number above 0, got %g",
                       clips->full_scale);
    fill_turns(&turns);
    for (int64_t i = 0; i < clips->dims[0]; ++i) {
        state.data = clips->data + i * clips->strides[0];
        look_at_frames(&state);
        conclude(&state, out + i * TT_N_AUDIO_LOOKS);
    }
    return TT_OK;
}
