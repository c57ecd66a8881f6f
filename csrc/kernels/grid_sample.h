/* GridSample: a tensor read at points of a grid, by 1 to 3 spatial dims. */
#ifndef TT_KERNELS_GRID_SAMPLE_H
#define TT_KERNELS_GRID_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { TT_SAMPLE_LINEAR, TT_SAMPLE_NEAREST, TT_SAMPLE_CUBIC } tt_sample_mode;
typedef enum { TT_PADDING_ZEROS, TT_PADDING_BORDER, TT_PADDING_REFLECTION } tt_padding;

/* src [n_batches, n_channels, dims..], grid [n_batches, n_points, rank] with the last
 * dim's coordinate first, dst [n_batches, n_channels, n_points]; row-major f32. */
typedef struct {
    tt_sample_mode mode;
    tt_padding padding;
    bool align_corners;
    int rank; /* 1 to 3 */
    int64_t n_batches, n_channels, n_points;
    int64_t dims[3]; /* none is 0 */
} tt_grid_sample;

void tt_grid_sample_run(const tt_grid_sample *sample, const float *src,
                        const float *grid, float *dst);

#endif
