/* What images look like: see image_look.h.  Rows are read as floats, mixed to gray with
 * their neighbours, and added up by the kernels. */
#include "watch/image_look.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "watch/look_kernels.h"

enum {
    MAX_ROWS = 16,
    MAX_GROUPS = TT_RUN_PIXELS / TT_LANES,
    /* What vectors may read or write beyond the pixels of a run, with the two
     * neighbours at its ends. */
    MARGIN = 2 + TT_LANES,
};

typedef enum {
    READ_IN_PLACE,   /* aligned floats, columns side by side */
    READ_SPLIT_F32,  /* aligned floats, three channels side by side */
    READ_SPLIT_U8,   /* the same of bytes */
    READ_ONE_BY_ONE, /* any strides */
} read_way;

/* One image, and how it is read. */
typedef struct {
    const tt_images *images;
    const tt_look_kernels *kernels;
    const char *data;
    float *planes[3][3];    /* row, channel: pixels that had to be converted */
    float *rows[3];         /* gray: above, at, below */
    float *gray, *gradient; /* of all pixels that are looked at */
    int n_channels;         /* 1 to 3 */
    read_way way;
    int64_t n_pixels;
    tt_pixel_sums sums;
} look_state;

/* n pixels of one channel as floats, into `memory`. */
static void read_pixels(const tt_images *images, const char *data, int64_t n,
                        float *memory)
{
    const int64_t stride = images->strides[3];
    if (images->dtype == TT_F32)
        for (int64_t i = 0; i < n; ++i)
            memcpy(&memory[i], data + i * stride, sizeof *memory);
    else if (stride == 1) /* a loop of its own, for the compiler */
        for (int64_t i = 0; i < n; ++i)
            memory[i] = (float)(unsigned char)data[i];
    else
        for (int64_t i = 0; i < n; ++i)
            memory[i] = (float)(unsigned char)data[i * stride];
}

/* n pixels from `data` on: their channels as floats, in place or in planes[r]. */
static void read_channels(look_state *s, int r, const char *data, int64_t n,
                          const float **channels)
{
    const int64_t stride = s->images->strides[1];
    for (int c = 0; c < s->n_channels; ++c)
        channels[c] = s->way == READ_IN_PLACE
                          ? (const float *)(const void *)(data + c * stride)
                          : s->planes[r][c];
    if (s->way == READ_SPLIT_U8)
        s->kernels->split_u8(data, n, s->planes[r]);
    else if (s->way == READ_SPLIT_F32)
        s->kernels->split_f32(data, n, s->planes[r]);
    else if (s->way == READ_ONE_BY_ONE)
        for (int c = 0; c < s->n_channels; ++c)
            read_pixels(s->images, data + c * stride, n, s->planes[r][c]);
}

static int64_t within(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

/* Gray of row y from column x - 1 to x + n, both kept within the image, into
 * rows[r]; *channels gets the row's pixels from column x on. */
static void read_row(look_state *s, int r, int64_t y, int64_t x, int64_t n,
                     const float **channels)
{
    const tt_images *images = s->images;
    const int64_t begin = x > 0 ? x - 1 : 0;
    const int64_t end = x + n < images->dims[3] ? x + n + 1 : images->dims[3];
    const char *row = s->data + within(y, images->dims[2]) * images->strides[2] +
                      begin * images->strides[3];
    float *gray = s->rows[r];
    const float *pixels[3] = {NULL, NULL, NULL};
    read_channels(s, r, row, end - begin, pixels);
    for (int c = 0; c < s->n_channels; ++c)
        channels[c] = pixels[c] + (x - begin);
    s->kernels->mix(pixels, s->n_channels, end - begin, gray + (begin - (x - 1)));
    if (x == 0) gray[0] = gray[1];
    if (x + n == images->dims[3]) gray[n + 1] = gray[n];
}

static void look_at_run(look_state *s, int64_t y, int64_t x, int64_t n)
{
    tt_pixel_run run = {
        .n_channels = s->n_channels,
        .gray = {s->rows[0], s->rows[1], s->rows[2]},
        .n = n,
    };
    const float *ignored[3];
    read_row(s, /*r=*/0, y - 1, x, n, ignored);
    read_row(s, /*r=*/1, y, x, n, run.channels);
    read_row(s, /*r=*/2, y + 1, x, n, ignored);
    s->kernels->pixels(&run, &s->sums, s->gray + s->n_pixels,
                       s->gradient + s->n_pixels);
    s->n_pixels += n;
}

static void look_at_row(look_state *s, int64_t y)
{
    const int64_t width = s->images->dims[3];
    const int64_t n_groups = width / TT_LANES + (width % TT_LANES != 0);
    if (n_groups <= MAX_GROUPS) {
        look_at_run(s, y, /*x=*/0, width);
        return;
    }
    for (int64_t k = 0; k < MAX_GROUPS; ++k) {
        /* The middle of each of MAX_GROUPS equal parts; no product can overflow. */
        int64_t group = n_groups / MAX_GROUPS * k + n_groups / MAX_GROUPS / 2 +
                        n_groups % MAX_GROUPS * k / MAX_GROUPS;
        int64_t x = group * TT_LANES, left = width - x;
        look_at_run(s, y, x, left < TT_LANES ? left : TT_LANES);
    }
}

static double total(const look_state *s, tt_pixel_sum which)
{
    double sum = 0.0;
    for (int i = 0; i < TT_LANES; ++i)
        sum += s->sums.sums[which][i];
    return sum;
}

static double mean_of(const look_state *s, tt_pixel_sum which)
{
    return total(s, which) / (double)s->n_pixels;
}

static double entropy(const look_state *s)
{
    float low = s->sums.low[0], high = s->sums.high[0];
    int64_t counts[TT_GRAY_BINS] = {0};
    double bits = 0.0, width;
    for (int i = 1; i < TT_LANES; ++i) {
        low = s->sums.low[i] < low ? s->sums.low[i] : low;
        high = s->sums.high[i] > high ? s->sums.high[i] : high;
    }
    width = (double)high - (double)low;
    if (!(width > 0.0)) return 0.0;
    s->kernels->bins(s->gray, s->n_pixels, low, (float)(TT_GRAY_BINS / width), counts);
    for (int i = 0; i < TT_GRAY_BINS; ++i) {
        double share = (double)counts[i] / (double)s->n_pixels;
        if (share > 0.0) bits -= share * log2(share);
    }
    return bits;
}

/* From the sums to the numbers. */
static void conclude(const look_state *s, float *out)
{
    const tt_look_kernels *kernels = s->kernels;
    const double brightness = mean_of(s, TT_SUM_GRAY), n = (double)s->n_pixels;
    const double laplacian = mean_of(s, TT_SUM_LAPLACIAN);
    double contrast, blur;
    for (int i = 0; i < TT_N_IMAGE_LOOKS; ++i)
        out[i] = NAN;
    out[TT_LOOK_ASPECT] = (float)s->images->dims[3] / (float)s->images->dims[2];
    if (!isfinite(brightness)) return;
    contrast = sqrt(kernels->spread(s->gray, s->n_pixels, (float)brightness) / n);
    blur = mean_of(s, TT_SUM_LAPLACIAN_SQUARE) - laplacian * laplacian;
    out[TT_LOOK_BRIGHTNESS] = (float)brightness;
    out[TT_LOOK_CONTRAST] = (float)contrast;
    out[TT_LOOK_SATURATION] = (float)mean_of(s, TT_SUM_CHROMA);
    out[TT_LOOK_BLUR] = (float)(blur > 0.0 ? blur : 0.0);
    out[TT_LOOK_EDGE_DENSITY] =
        (float)((double)kernels->above(s->gradient, s->n_pixels, (float)contrast) / n);
    /* sqrt(pi / 2) / 6: the mask's weights squared add up to 36. */
    out[TT_LOOK_NOISE] = (float)(0.20888568955258338 * mean_of(s, TT_SUM_NOISE));
    out[TT_LOOK_ENTROPY] = (float)entropy(s);
    for (int c = 0; c < s->n_channels; ++c)
        out[TT_LOOK_CHANNEL_0_MEAN + c] =
            (float)mean_of(s, (tt_pixel_sum)(TT_SUM_CHANNEL_0 + c));
}

static void look_at_image(look_state *s, float *out)
{
    const int64_t height = s->images->dims[2];
    const int64_t n_rows = height < MAX_ROWS ? height : MAX_ROWS;
    memset(&s->sums, 0, sizeof s->sums);
    for (int i = 0; i < TT_LANES; ++i) {
        s->sums.low[i] = HUGE_VALF;
        s->sums.high[i] = -HUGE_VALF;
    }
    s->n_pixels = 0;
    for (int64_t k = 0; k < n_rows; ++k)
        look_at_row(s, height / n_rows * k + height / n_rows / 2 +
                           height % n_rows * k / n_rows);
    conclude(s, out);
}

static read_way way_of(const tt_images *images)
{
    const int64_t size = images->dtype == TT_F32 ? 4 : 1;
    uintptr_t bits = (uintptr_t)images->data;
    for (int i = 0; i < 4; ++i)
        bits |= (uintptr_t)images->strides[i];
    if (bits % (uintptr_t)size != 0) return READ_ONE_BY_ONE;
    if (images->dtype == TT_F32 && images->strides[3] == size) return READ_IN_PLACE;
    if (images->dims[1] != 3 || images->strides[1] != size ||
        images->strides[3] != 3 * size)
        return READ_ONE_BY_ONE;
    return images->dtype == TT_F32 ? READ_SPLIT_F32 : READ_SPLIT_U8;
}

static float *cut(float **rest, int64_t n)
{
    float *part = *rest;
    *rest += n;
    return part;
}

/* One block of 190 KB at most (40 KB for 224 x 224 floats), cut up. */
static float *take_memory(look_state *s)
{
    const int64_t *dims = s->images->dims;
    const int64_t run = dims[3] < TT_RUN_PIXELS ? dims[3] : TT_RUN_PIXELS;
    const int64_t row = run + MARGIN;
    const int64_t pixels = run * (dims[2] < MAX_ROWS ? dims[2] : MAX_ROWS) + TT_LANES;
    const int n_rows = s->way == READ_IN_PLACE ? 3 : 12;
    /* Zeroed: what lies beyond the pixels is read, though not used. */
    float *memory = tt_calloc((size_t)(n_rows * row + 2 * pixels), sizeof *memory);
    float *rest = memory;
    if (memory == NULL) return NULL;
    for (int r = 0; r < 3; ++r)
        s->rows[r] = cut(&rest, row);
    for (int r = 0; r < 3 && s->way != READ_IN_PLACE; ++r)
        for (int c = 0; c < 3; ++c)
            s->planes[r][c] = cut(&rest, row);
    s->gray = cut(&rest, pixels);
    s->gradient = cut(&rest, pixels);
    return memory;
}

tt_status tt_images_look(const tt_images *images, tt_isa isa, float *out, tt_error *err)
{
    const int64_t *dims = images->dims;
    look_state state = {
        .images = images,
        .kernels = tt_look_kernels_of(isa),
        .n_channels = dims[1] < 3 ? (int)dims[1] : 3,
        .way = way_of(images),
    };
    float *memory;
    if (images->dtype != TT_U8 && images->dtype != TT_F32)
        return tt_fail(err, TT_BAD_INPUT_TYPE,
                       "pixels: expected uint8 or float32, got %s",
                       tt_dtype_name(images->dtype));
    if (dims[0] < 0 || dims[1] < 1 || dims[2] < 1 || dims[3] < 1)
        return tt_fail(err, TT_BAD_INPUT,
                       "expected images with pixels, got %lld of %lld channels, %lld "
                       "rows, %lld columns",
                       (long long)dims[0], (long long)dims[1], (long long)dims[2],
                       (long long)dims[3]);
    memory = take_memory(&state);
    if (memory == NULL)
        return tt_fail(err, TT_NO_MEMORY, "no memory to look at images in");
    for (int64_t i = 0; i < dims[0]; ++i) {
        state.data = images->data + i * images->strides[0];
        look_at_image(&state, out + i * TT_N_IMAGE_LOOKS);
    }
    tt_free(memory);
    return TT_OK;
}
