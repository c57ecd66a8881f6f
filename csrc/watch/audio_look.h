/* What sound is like, in a few numbers for each clip.
 *
 * A clip is looked at in frames of 256 samples: all of them up to 256 frames (4 s at
 * 16 kHz), else 256 of them, evenly spaced.  A clip shorter than a frame is one; what
 * is left after the last whole frame is not looked at.  The spectrum is that of 4
 * frames.  Results do not depend on the instruction set. */
#ifndef TT_WATCH_AUDIO_LOOK_H
#define TT_WATCH_AUDIO_LOOK_H

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/status.h"

/* dB are relative to full scale, -100 at least. */
typedef enum {
    TT_LOOK_LEVEL_DB,           /* of the mean square */
    TT_LOOK_PEAK,               /* largest magnitude, 1 is full scale */
    TT_LOOK_CLIPPING_SHARE,     /* samples of at least 0.999 */
    TT_LOOK_SILENCE_SHARE,      /* frames below -60 dB */
    TT_LOOK_ZERO_CROSSING_RATE, /* share of neighbours of which one is negative */
    TT_LOOK_SPECTRAL_CENTROID,  /* mean frequency by magnitude, in cycles a sample;
                                 * NaN for silence and clips shorter than a frame */
    TT_LOOK_SNR_DB,             /* loud frames (95 %) against quiet ones (10 %) */
    TT_N_AUDIO_LOOKS,
} tt_audio_look;

/* Clips side by side; dims and strides (in bytes, of any sign) in the order clip,
 * sample. */
typedef struct {
    tt_dtype dtype; /* TT_S16 or TT_F32 */
    int64_t dims[2];
    int64_t strides[2];
    const char *data;  /* need not be aligned */
    double full_scale; /* > 0 */
} tt_clips;

/* out: TT_N_AUDIO_LOOKS floats for each clip, all of them NaN where a sample that was
 * looked at is not finite.  TT_BAD_INPUT_TYPE for another dtype, TT_BAD_INPUT where a
 * clip has no sample or full_scale is not above 0. */
tt_status tt_clips_look(const tt_clips *clips, tt_isa isa, float *out, tt_error *err);

#endif
