/* Looking at images and sound: every instruction set and layout gives the same bits, and
 * reads no byte beyond the array (under AddressSanitizer: the arrays are blocks of their
 * own).  What the numbers mean is tested from Python, against NumPy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "harness.h"
#include "watch/audio_look.h"
#include "watch/image_look.h"

static const int64_t SIZES[][3] = {
    {3, 1,  1   },
    {1, 2,  3   },
    {3, 16, 16  },
    {2, 5,  17  },
    {3, 33, 31  },
    {4, 7,  50  },
    {3, 2,  1024},
    {3, 3,  1025},
    {1, 40, 2500},
};

enum { N_SIZES = sizeof SIZES / sizeof SIZES[0], N_CLIPS = 2 };

/* Two images of that size in a block of their own; channels last or first. */
static tt_images images_new(const int64_t *size, tt_dtype dtype, bool is_last)
{
    const int64_t n = 2 * size[0] * size[1] * size[2];
    const int64_t item = (int64_t)tt_dtype_bytes(dtype);
    tt_images images = {
        .dtype = dtype, .dims = {2, size[0], size[1], size[2]}
    };
    unsigned char *data = malloc((size_t)(n * item));
    CHECK(data != NULL);
    for (int64_t i = 0; i < n; ++i) {
        float value = (float)tt_random_between(-3.0, 9.0);
        if (dtype == TT_F32)
            memcpy(data + i * item, &value, sizeof value);
        else
            data[i] = (unsigned char)(tt_random() & 255);
    }
    images.data = (const char *)data;
    images.strides[0] = item * size[0] * size[1] * size[2];
    images.strides[1] = is_last ? item : item * size[1] * size[2];
    images.strides[2] = is_last ? item * size[0] * size[2] : item * size[2];
    images.strides[3] = is_last ? item * size[0] : item;
    return images;
}

TT_TEST(every_instruction_set_sees_the_same_in_images)
{
    for (int k = 0; k < 4 * N_SIZES; ++k) {
        tt_images images =
            images_new(SIZES[k / 4], k % 2 == 0 ? TT_F32 : TT_U8, /*is_last=*/k & 2);
        float want[2 * TT_N_IMAGE_LOOKS], got[2 * TT_N_IMAGE_LOOKS];
        CHECK_OK(tt_images_look(&images, TT_ISA_SCALAR, want, ERR));
        CHECK(isfinite(want[TT_LOOK_BRIGHTNESS]) && isfinite(want[TT_LOOK_NOISE]));
        for (int isa = TT_ISA_AVX2; isa <= (int)tt_cpu_get()->isa; ++isa) {
            CHECK_OK(tt_images_look(&images, (tt_isa)isa, got, ERR));
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
        free((void *)(uintptr_t)images.data);
    }
}

TT_TEST(images_may_lie_backwards_and_repeat)
{
    tt_images images = images_new(SIZES[4], TT_F32, /*is_last=*/false), turned;
    float want[2 * TT_N_IMAGE_LOOKS], got[2 * TT_N_IMAGE_LOOKS];
    const char *data = images.data;
    images.strides[0] = 0;
    CHECK_OK(tt_images_look(&images, tt_cpu_get()->isa, want, ERR));
    CHECK(memcmp(want, want + TT_N_IMAGE_LOOKS, sizeof want / 2) == 0);
    turned = images;
    turned.data += (turned.dims[1] - 1) * turned.strides[1];
    turned.strides[1] = -turned.strides[1];
    CHECK_OK(tt_images_look(&turned, tt_cpu_get()->isa, got, ERR));
    CHECK(got[TT_LOOK_SATURATION] == want[TT_LOOK_SATURATION]);
    CHECK(got[TT_LOOK_CHANNEL_0_MEAN] == want[TT_LOOK_CHANNEL_2_MEAN]);
    free((void *)(uintptr_t)data);
}

TT_TEST(images_that_are_none_are_refused)
{
    float out[TT_N_IMAGE_LOOKS];
    const float pixel = 1.0f;
    tt_images images = {
        .dtype = TT_F32, .dims = {1, 1, 1, 1},
             .data = (const char *)&pixel
    };
    CHECK_OK(tt_images_look(&images, TT_ISA_SCALAR, out, ERR));
    CHECK(out[TT_LOOK_BRIGHTNESS] == 1.0f && out[TT_LOOK_BLUR] == 0.0f);
    images.dtype = TT_F64;
    CHECK_STATUS(tt_images_look(&images, TT_ISA_SCALAR, out, ERR), TT_BAD_INPUT_TYPE);
    images.dtype = TT_F32;
    for (int i = 1; i < 4; ++i) {
        images.dims[i] = 0;
        CHECK_STATUS(tt_images_look(&images, TT_ISA_SCALAR, out, ERR), TT_BAD_INPUT);
        images.dims[i] = 1;
    }
    (void)tt_alloc_fail_at(1, false);
    CHECK_STATUS(tt_images_look(&images, TT_ISA_SCALAR, out, ERR), TT_NO_MEMORY);
    (void)tt_alloc_fail_at(0, false);
}

static tt_clips clips_new(int64_t n, tt_dtype dtype)
{
    const size_t item = tt_dtype_bytes(dtype), n_items = (size_t)(N_CLIPS * n);
    tt_clips clips = {
        .dtype = dtype,
        .dims = {N_CLIPS, n},
        .full_scale = dtype == TT_F32 ? 2.0 : 32768.0
    };
    unsigned char *data = malloc(n_items * item);
    CHECK(data != NULL);
    for (size_t i = 0; i < n_items; ++i) {
        float value = (float)tt_random_between(-2.0, 2.0);
        int16_t whole = (int16_t)(value * 16383.0f);
        if (dtype == TT_F32)
            memcpy(data + i * item, &value, item);
        else
            memcpy(data + i * item, &whole, item);
    }
    clips.data = (const char *)data;
    clips.strides[0] = n * (int64_t)item;
    clips.strides[1] = (int64_t)item;
    return clips;
}

TT_TEST(every_instruction_set_hears_the_same)
{
    static const int64_t sizes[] = {1, 2, 16, 17, 100, 255, 256, 257, 1000, 70000};
    for (int k = 0; k < 2 * (int)(sizeof sizes / sizeof sizes[0]); ++k) {
        tt_clips clips = clips_new(sizes[k / 2], k % 2 == 0 ? TT_F32 : TT_S16);
        float want[N_CLIPS * TT_N_AUDIO_LOOKS], got[N_CLIPS * TT_N_AUDIO_LOOKS];
        CHECK_OK(tt_clips_look(&clips, TT_ISA_SCALAR, want, ERR));
        CHECK(isfinite(want[TT_LOOK_LEVEL_DB]) && want[TT_LOOK_PEAK] <= 1.0f);
        CHECK(isnan(want[TT_LOOK_SPECTRAL_CENTROID]) == (sizes[k / 2] < 256));
        for (int isa = TT_ISA_AVX2; isa <= (int)tt_cpu_get()->isa; ++isa) {
            CHECK_OK(tt_clips_look(&clips, (tt_isa)isa, got, ERR));
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
        free((void *)(uintptr_t)clips.data);
    }
}

TT_TEST(clips_that_are_none_are_refused)
{
    float out[TT_N_AUDIO_LOOKS];
    const float sample = 0.5f;
    tt_clips clips = {
        .dtype = TT_F32,
        .dims = {1, 1},
        .data = (const char *)&sample,
        .full_scale = 1.0,
    };
    CHECK_OK(tt_clips_look(&clips, TT_ISA_SCALAR, out, ERR));
    CHECK(out[TT_LOOK_PEAK] == 0.5f && out[TT_LOOK_ZERO_CROSSING_RATE] == 0.0f);
    clips.full_scale = NAN;
    CHECK_STATUS(tt_clips_look(&clips, TT_ISA_SCALAR, out, ERR), TT_BAD_INPUT);
    clips.full_scale = 1.0;
    clips.dims[1] = 0;
    CHECK_STATUS(tt_clips_look(&clips, TT_ISA_SCALAR, out, ERR), TT_BAD_INPUT);
    clips.dims[1] = 1;
    clips.dtype = TT_U8;
    CHECK_STATUS(tt_clips_look(&clips, TT_ISA_SCALAR, out, ERR), TT_BAD_INPUT_TYPE);
}
