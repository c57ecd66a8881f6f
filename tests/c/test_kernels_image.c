/* Pictures and boxes: every instruction set against plain loops, tables that lie, memory
 * that is not there. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "harness.h"
#include "kernels/boxes.h"
#include "kernels/image_lut.h"
#include "kernels/image_resize.h"

enum { MAX_SIDE = 48, MAX_CHANNELS = 4, MAX_TAPS = 7 };
enum { MAX_ITEMS = MAX_SIDE * MAX_SIDE * MAX_CHANNELS };

/* A picture, two tables, and room for results. */
typedef struct {
    tt_image_resize resize;
    int32_t x_first[MAX_SIDE], y_first[MAX_SIDE];
    union {
        int32_t whole[MAX_SIDE * MAX_TAPS];
        float real[MAX_SIDE * MAX_TAPS];
    } x_weights, y_weights;
    uint8_t bytes[MAX_ITEMS], dst_bytes[MAX_ITEMS];
    float floats[MAX_ITEMS], dst_floats[MAX_ITEMS];
} resizing;

static int random_to(int low, int high)
{
    return low + (int)(tt_random() % (uint32_t)(high - low + 1));
}

static void make_axis(tt_image_axis *axis, int32_t *first, int32_t *whole, float *real,
                      int bits)
{
    axis->n_src = random_to(1, MAX_SIDE);
    axis->n_dst = random_to(1, MAX_SIDE);
    axis->n_taps = random_to(1, axis->n_src < MAX_TAPS ? (int)axis->n_src : MAX_TAPS);
    axis->first = first;
    axis->weights = bits > 0 ? (const void *)whole : (const void *)real;
    for (int64_t j = 0; j < axis->n_dst; ++j) {
        first[j] = random_to(0, (int)axis->n_src - axis->n_taps);
        for (int t = 0; t < axis->n_taps; ++t) {
            double weight = tt_random_between(-0.2, 1.0);
            if (bits > 0)
                whole[j * axis->n_taps + t] =
                    (int32_t)(weight * (1 << bits) / axis->n_taps);
            else
                real[j * axis->n_taps + t] = (float)weight;
        }
    }
}

static void make(resizing *r, tt_image_math math, bool is_float)
{
    static const int bits[] = {22, 11, 0, 0, 1};
    memset(r, 0, sizeof *r);
    r->resize.math = math;
    r->resize.is_float = is_float;
    r->resize.n_channels = random_to(1, MAX_CHANNELS);
    make_axis(&r->resize.x, r->x_first, r->x_weights.whole, r->x_weights.real,
              bits[math]);
    make_axis(&r->resize.y, r->y_first, r->y_weights.whole, r->y_weights.real,
              bits[math]);
    for (int i = 0; i < MAX_ITEMS; ++i) {
        r->bytes[i] = (uint8_t)tt_random();
        r->floats[i] = (float)tt_random_between(-1.0, 1.0);
    }
}

static int64_t clip_byte(int64_t x)
{
    return x < 0 ? 0 : x > 255 ? 255 : x;
}

static double source(const resizing *r, int64_t y, int64_t x, int64_t c)
{
    int64_t at = (y * r->resize.x.n_src + x) * r->resize.n_channels + c;
    return r->resize.is_float ? (double)r->floats[at] : (double)r->bytes[at];
}

static bool is_float_math(const resizing *r)
{
    return r->resize.math == TT_IMAGE_FLOAT || r->resize.math == TT_IMAGE_ROUNDED;
}

/* One sample after going across. */
static double across(const resizing *r, int64_t y, int64_t j, int64_t c)
{
    const tt_image_axis *x = &r->resize.x;
    double sum = 0.0;
    for (int t = 0; t < x->n_taps; ++t) {
        int64_t i = j * x->n_taps + t;
        double weight = is_float_math(r) ? (double)r->x_weights.real[i]
                                         : (double)r->x_weights.whole[i];
        sum += weight * source(r, y, x->first[j] + t, c);
    }
    if (r->resize.math != TT_IMAGE_FIXED22) return sum;
    return (double)clip_byte((int64_t)floor((sum + (1 << 21)) / (1 << 22)));
}

static double down(const resizing *r, int64_t j, int64_t x, int64_t c)
{
    const tt_image_axis *y = &r->resize.y;
    double sum = 0.0;
    int64_t parts = 0;
    for (int t = 0; t < y->n_taps; ++t) {
        int64_t i = j * y->n_taps + t;
        int64_t row = y->first[j] + t, last = y->n_src - 1;
        double value = across(r, row < 0 ? 0 : row > last ? last : row, x, c);
        if (is_float_math(r)) {
            sum += (double)r->y_weights.real[i] * value;
        } else {
            sum += (double)r->y_weights.whole[i] * value;
            parts += ((int64_t)floor(value / 16) * r->y_weights.whole[i]) >> 16;
        }
    }
    if (r->resize.math == TT_IMAGE_COPY)
        return source(r, y->first[j], r->x_first[x], c);
    if (is_float_math(r)) return sum;
    if (r->resize.math == TT_IMAGE_FIXED11 && y->n_taps == 2)
        return (double)clip_byte((parts + 2) >> 2);
    return (double)clip_byte((int64_t)floor((sum + (1 << 21)) / (1 << 22)));
}

static void check_against_loops(resizing *r)
{
    const tt_image_resize *resize = &r->resize;
    int64_t channels = resize->n_channels, at = 0;
    bool gives_float = resize->math == TT_IMAGE_FLOAT || resize->is_float;
    size_t item = resize->is_float ? sizeof(float) : 1;
    CHECK_OK(tt_image_resize_run(
        resize, resize->is_float ? (const void *)r->floats : (const void *)r->bytes,
        resize->x.n_src * channels * (int64_t)item,
        gives_float ? (void *)r->dst_floats : (void *)r->dst_bytes, ERR));
    for (int64_t j = 0; j < resize->y.n_dst; ++j)
        for (int64_t x = 0; x < resize->x.n_dst; ++x)
            for (int64_t c = 0; c < channels; ++c, ++at) {
                double expected = down(r, j, x, c);
                if (resize->math == TT_IMAGE_ROUNDED)
                    CHECK_NEAR((double)r->dst_bytes[at],
                               expected < 0     ? 0
                               : expected > 255 ? 255
                                                : expected,
                               0.501);
                else if (gives_float) /* up to 49 products of up to 255 */
                    CHECK_NEAR((double)r->dst_floats[at], expected, 2e-3);
                else
                    CHECK_INT(r->dst_bytes[at], expected);
            }
}

TT_TEST(pictures_are_resized_by_the_definition)
{
    static resizing r;
    for (int i = 0; i < 60; ++i) {
        make(&r, TT_IMAGE_FIXED22, false);
        check_against_loops(&r);
        make(&r, TT_IMAGE_FIXED11, false);
        check_against_loops(&r);
        make(&r, TT_IMAGE_FLOAT, i % 2 == 0);
        check_against_loops(&r);
        make(&r, TT_IMAGE_ROUNDED, false);
        check_against_loops(&r);
        make(&r, TT_IMAGE_COPY, i % 2 == 0);
        check_against_loops(&r);
    }
}

/* Interpolation of 3 and 4 channels has loops of its own. */
TT_TEST(two_taps_on_both_axes_are_summed_by_the_definition)
{
    static resizing r;
    int n_done = 0;
    while (n_done < 60) {
        make(&r, TT_IMAGE_FIXED11, false);
        if (r.resize.x.n_src < 2) continue;
        r.resize.x.n_taps = r.resize.y.n_taps = 2;
        r.resize.n_channels = 3 + n_done++ % 2;
        for (int64_t j = 0; j < r.resize.x.n_dst; ++j) {
            r.x_first[j] = random_to(0, (int)r.resize.x.n_src - 2);
            r.x_weights.whole[2 * j] = random_to(0, 2048);
            r.x_weights.whole[2 * j + 1] = 2048 - r.x_weights.whole[2 * j];
        }
        for (int64_t j = 0; j < r.resize.y.n_dst; ++j) {
            r.y_first[j] = random_to(-1, (int)r.resize.y.n_src - 1);
            r.y_weights.whole[2 * j] = random_to(0, 2048);
            r.y_weights.whole[2 * j + 1] = 2048 - r.y_weights.whole[2 * j];
        }
        check_against_loops(&r);
    }
}

/* Random tables of 4 taps for a picture that does not become wider. */
static void make_quads(resizing *r)
{
    do
        make(r, TT_IMAGE_FIXED11, false);
    while (r->resize.x.n_src < 4 || r->resize.y.n_src < 4);
    r->resize.x.n_taps = r->resize.y.n_taps = 4;
    r->resize.x.n_dst = random_to(1, (int)r->resize.x.n_src);
    r->resize.n_channels = random_to(3, 4);
    for (int64_t j = 0; j < r->resize.x.n_dst; ++j)
        r->x_first[j] = random_to(0, (int)r->resize.x.n_src - 4);
    for (int64_t j = 0; j < r->resize.y.n_dst; ++j)
        r->y_first[j] = random_to(0, (int)r->resize.y.n_src - 4);
    for (int i = 0; i < MAX_SIDE * 4; ++i) {
        r->x_weights.whole[i] = random_to(-300, 900);
        r->y_weights.whole[i] = random_to(-300, 900);
    }
}

TT_TEST(four_taps_on_both_axes_are_summed_by_the_definition)
{
    static resizing r;
    for (int i = 0; i < 60; ++i) {
        make_quads(&r);
        check_against_loops(&r);
    }
}

TT_TEST(rows_beyond_the_border_repeat_the_last_one)
{
    static resizing r;
    make(&r, TT_IMAGE_FIXED11, false);
    r.resize.x = (tt_image_axis){1, 1, 1, r.x_first, r.x_weights.whole};
    r.resize.y = (tt_image_axis){2, 2, 2, r.y_first, r.y_weights.whole};
    r.resize.n_channels = 1;
    r.x_first[0] = 0;
    r.x_weights.whole[0] = 2048;
    r.y_first[0] = -1;
    r.y_first[1] = 1;
    for (int i = 0; i < 4; ++i)
        r.y_weights.whole[i] = 1024;
    r.bytes[0] = 100;
    r.bytes[1] = 200;
    CHECK_OK(tt_image_resize_run(&r.resize, r.bytes, 1, r.dst_bytes, ERR));
    CHECK_INT(r.dst_bytes[0], 100);
    CHECK_INT(r.dst_bytes[1], 200);
    r.y_first[0] = -2;
    CHECK_STATUS(tt_image_resize_run(&r.resize, r.bytes, 1, r.dst_bytes, ERR),
                 TT_BAD_INPUT);
}

TT_TEST(a_table_that_leaves_the_picture_is_refused)
{
    static resizing r;
    make(&r, TT_IMAGE_FIXED22, false);
    r.x_first[0] = (int32_t)r.resize.x.n_src - r.resize.x.n_taps + 1;
    CHECK_STATUS(tt_image_resize_run(&r.resize, r.bytes, 0, r.dst_bytes, ERR),
                 TT_BAD_INPUT);
    r.x_first[0] = -1;
    CHECK_STATUS(tt_image_resize_run(&r.resize, r.bytes, 0, r.dst_bytes, ERR),
                 TT_BAD_INPUT);
    r.x_first[0] = 0;
    r.y_first[0] = INT32_MAX;
    CHECK_STATUS(tt_image_resize_run(&r.resize, r.bytes, 0, r.dst_bytes, ERR),
                 TT_BAD_INPUT);
}

TT_TEST(sizes_that_overflow_are_refused)
{
    static resizing r;
    make(&r, TT_IMAGE_FIXED22, false);
    r.resize.n_channels = INT64_MAX / 2;
    CHECK_STATUS(tt_image_resize_run(&r.resize, r.bytes, 0, r.dst_bytes, ERR),
                 TT_LIMIT);
}

/* As many allocations as given, each of which may fail. */
static void check_failing(resizing *r, int64_t n_expected)
{
    int64_t n;
    (void)tt_alloc_fail_at(0, false);
    CHECK_OK(tt_image_resize_run(&r->resize, r->bytes, 0, r->dst_bytes, ERR));
    n = tt_alloc_fail_at(0, false);
    CHECK_INT(n, n_expected);
    for (int64_t k = 1; k <= n; ++k) {
        (void)tt_alloc_fail_at(k, false);
        CHECK_STATUS(tt_image_resize_run(&r->resize, r->bytes, 0, r->dst_bytes, ERR),
                     TT_NO_MEMORY);
    }
    (void)tt_alloc_fail_at(0, false);
}

TT_TEST(resizing_without_memory_fails)
{
    static resizing r;
    make(&r, TT_IMAGE_FIXED22, false);
    check_failing(&r, 4);
    make_quads(&r);
    check_failing(&r, 2);
    r.resize.x.n_taps = r.resize.y.n_taps = 2;
    for (int i = 0; i < MAX_SIDE * 2; ++i)
        r.x_weights.whole[i] = r.y_weights.whole[i] = 1024;
    check_failing(&r, 2);
}

/* ---- bytes to floats ------------------------------------------------------------- */

TT_TEST(bytes_become_floats_in_either_layout)
{
    enum { PIXELS = 5000, CHANNELS = 3 };
    static uint8_t src[PIXELS * CHANNELS];
    static float table[CHANNELS * 256], dst[PIXELS * CHANNELS];
    static const int from[CHANNELS] = {2, 0, 1};
    tt_image_lut lut = {PIXELS, CHANNELS, false, from, table};
    for (int i = 0; i < PIXELS * CHANNELS; ++i)
        src[i] = (uint8_t)tt_random();
    for (int i = 0; i < CHANNELS * 256; ++i)
        table[i] = (float)i;
    for (int planar = 0; planar < 2; ++planar) {
        lut.is_planar = planar != 0;
        tt_image_lut_run(&lut, src, dst);
        for (int i = 0; i < PIXELS; ++i)
            for (int c = 0; c < CHANNELS; ++c)
                CHECK_INT(dst[planar ? c * PIXELS + i : i * CHANNELS + c],
                          c * 256 + src[i * CHANNELS + from[c]]);
    }
}

/* ---- boxes ------------------------------------------------------------------------- */

TT_TEST(worse_boxes_of_a_class_give_way)
{
    const float boxes[] = {0, 0, 10, 10, 0, 0, 10, 9, 0, 0, 10, 8, 20, 0, 30, 10};
    const int32_t classes[] = {0, 1, 0, 0};
    int32_t kept[4];
    CHECK_INT(tt_boxes_suppress(boxes, NULL, 4, 0.5, 4, kept), 2);
    CHECK_INT(kept[1], 3);
    CHECK_INT(tt_boxes_suppress(boxes, classes, 4, 0.5, 4, kept), 3);
    CHECK_INT(kept[1], 1);
    CHECK_INT(tt_boxes_suppress(boxes, NULL, 4, 0.95, 4, kept), 4);
    CHECK_INT(tt_boxes_suppress(boxes, NULL, 4, 0.5, 1, kept), 1);
    CHECK_INT(tt_boxes_suppress(boxes, NULL, 0, 0.5, 4, kept), 0);
}
