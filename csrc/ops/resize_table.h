/* Where the items of a resized dim come from: positions and weights for one dim, as
 * ONNX's Resize defines them and onnxruntime computes them (in float). */
#ifndef TT_OPS_RESIZE_TABLE_H
#define TT_OPS_RESIZE_TABLE_H

#include "ops/op.h"

typedef enum { TT_RESIZE_NEAREST, TT_RESIZE_LINEAR, TT_RESIZE_CUBIC } tt_resize_mode;

/* X(code, ONNX name) */
#define TT_RESIZE_COORDINATE_LIST(X)                          \
    X(TT_RESIZE_HALF_PIXEL, "half_pixel")                     \
    X(TT_RESIZE_HALF_PIXEL_SYMMETRIC, "half_pixel_symmetric") \
    X(TT_RESIZE_PYTORCH_HALF_PIXEL, "pytorch_half_pixel")     \
    X(TT_RESIZE_ALIGN_CORNERS, "align_corners")               \
    X(TT_RESIZE_ASYMMETRIC, "asymmetric")                     \
    X(TT_RESIZE_TF_HALF_PIXEL, "tf_half_pixel_for_nn")        \
    X(TT_RESIZE_TF_CROP, "tf_crop_and_resize")

/* X(code, ONNX name) */
#define TT_RESIZE_NEAREST_LIST(X)                         \
    X(TT_RESIZE_ROUND_PREFER_FLOOR, "round_prefer_floor") \
    X(TT_RESIZE_ROUND_PREFER_CEIL, "round_prefer_ceil")   \
    X(TT_RESIZE_FLOOR, "floor")                           \
    X(TT_RESIZE_CEIL, "ceil")                             \
    X(TT_RESIZE_SIMPLE, "") /* opsets before 11 */

#define TT_RESIZE_ENUM(code, name) code,
typedef enum { TT_RESIZE_COORDINATE_LIST(TT_RESIZE_ENUM) } tt_resize_coordinate;
typedef enum { TT_RESIZE_NEAREST_LIST(TT_RESIZE_ENUM) } tt_resize_nearest;
#undef TT_RESIZE_ENUM

typedef struct {
    tt_resize_mode mode;
    tt_resize_coordinate coordinate;
    tt_resize_nearest nearest;
    bool antialias, exclude_outside;
    float cubic_a, fill;
} tt_resize_options;

typedef struct {
    int64_t n_src, n_dst;
    float scale;
    float roi_begin, roi_end; /* tf_crop_and_resize */
} tt_resize_dim;

/* Taps per item: 1, 2, 4, or more with antialiasing. */
int tt_resize_taps(const tt_resize_options *options, const tt_resize_dim *dim);

/* Fills index and weights, n_dst x taps items each; index[j, 0] = -1 where the
 * extrapolation value goes.  Positions are in range. */
void tt_resize_fill(const tt_resize_options *options, const tt_resize_dim *dim,
                    int n_taps, int32_t *index, float *weights);

#endif
