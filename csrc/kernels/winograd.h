/* Winograd's minimal filtering F(4x4, 3x3) of float: a 3x3 convolution of stride 1 with
 * a quarter of the multiplications.
 *
 * A tile of 4x4 outputs needs 6x6 inputs.  With d the inputs of a channel and g its
 * filter the outputs are A^T [sum over channels of (G g G^T) * (B^T d B)] A, where * is
 * element by element: 36 independent matrix products of [tiles, channels] by [channels,
 * dst channels].  G g G^T is computed once, when packing.
 *
 * Which points the polynomials are evaluated at decides the rounding error.  With the
 * textbook's 0, +-1, +-2 it is 3e-6 to 7e-6 of the output's range for 64 to 256
 * channels of normal noise; with 0, +-sqrt(1/2), +-sqrt(2), used here, 0.7e-6 to
 * 1.1e-6.  F(2x2, 3x3) has 0.2e-6 to 0.3e-6 but saves 2.25 times at best instead of 4;
 * F(6x6, 3x3) was not considered, as its error is an order larger.  An infinity or a
 * NaN in the input spreads over its tiles instead of its 3x3 neighbours. */
#ifndef TT_KERNELS_WINOGRAD_H
#define TT_KERNELS_WINOGRAD_H

#include "kernels/conv_own.h"

/* Tiles of 4x4 outputs. */
int64_t tt_winograd_tiles(const tt_conv_own *kernel);

/* Packed weights of these numbers of channels. */
size_t tt_winograd_packed_bytes(int64_t src_channels, int64_t dst_channels);
/* strides: of dst channels, src channels, rows, columns. */
void tt_winograd_pack(const float *weights, int64_t src_channels, int64_t dst_channels,
                      const int64_t strides[4], float *packed);

size_t tt_winograd_scratch_bytes(const tt_conv_own *kernel);
/* Channels of src touch too.  A tt_kernel of plan/lower.h. */
tt_status tt_winograd_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_winograd_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* A group of tiles on its way through one thread. */
typedef struct {
    const tt_conv_own *kernel;
    tt_channel_cut cut;
    const float *src, *weights, *bias;
    const float *operands[TT_POST_OPS_MAX];
    float *dst;
    int64_t first, n; /* tiles */
    int64_t padded_n; /* up to whole blocks of rows of the products */
    /* scratch: zeros instead of pixels outside, inputs and products of a group, and
     * how far apart the 36 planes of both are */
    float *zeros, *inputs, *products;
    int64_t input_plane, product_plane;
} tt_winograd_group;

typedef struct {
    const char *name;
    int lanes, max_vectors;
    int rows[4]; /* that the products take at once, with 1.. vectors */
    void (*run)(const tt_winograd_group *group);
} tt_winograd_table;

extern const tt_winograd_table tt_winograd_scalar, tt_winograd_avx2, tt_winograd_avx512;

#endif
