/* Winograd's minimal filtering F(2x2, 3x3) of u8 by s8: a 3x3 convolution of stride 1 with
 * four ninths of the products.  See Lavin, Gray: Fast Algorithms for Convolutional Neural
 * Networks, 2015.
 *
 * A tile of 2x2 outputs needs 4x4 inputs.  With d the inputs of a channel and g its
 * filter the outputs are A^T [sum over channels of (G g G^T) * (B^T d B)] A, where * is
 * element by element: 16 products of matrices of bytes.
 *
 *   B^T d B   sums of four bytes: a quarter of them, rounded, is a byte again.  Halves are
 *             rounded up in even channels and down in odd ones, so that they do not add up.
 *   G g G^T   rounded to s8 once, when packing, with a step of its own for each dst channel
 *             of each of the 16 planes.
 *
 * That rounding is the price: about 7 dB of the signal-to-noise ratio of a layer
 * (DECISIONS.md), so it is only done where a node asks for it. */
#ifndef TT_KERNELS_WINOGRAD_U8S8_H
#define TT_KERNELS_WINOGRAD_U8S8_H

#include "kernels/conv_u8s8.h"

/* Is there a fast version for this processor? */
bool tt_winograd_u8s8_is_fast(void);
/* Can it do this one at all? */
bool tt_winograd_u8s8_can(const tt_conv_u8s8 *kernel);

/* As those of conv_u8s8.h, which says what params and ptrs are. */
bool tt_winograd_u8s8_packed_bytes(const int64_t dims[4], size_t *out);
void tt_winograd_u8s8_pack(const int8_t *weights, const int64_t dims[4],
                           const int64_t strides[4], void *packed);
size_t tt_winograd_u8s8_scratch_bytes(const tt_conv_u8s8 *kernel);
tt_status tt_winograd_u8s8_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_winograd_u8s8_name(void);

/* ---- per instruction set ------------------------------------------------------- */

enum {
    TT_WINOGRAD_PLANES = 16,
    TT_WINOGRAD_TILES = 6, /* that products take at once */
    TT_WINOGRAD_SUMS = 5,  /* the plane of sums, which are not negative .. */
    TT_WINOGRAD_ZERO = 128 /* .. and the zero point of all others */
};

/* A group of tiles on its way through one thread. */
typedef struct {
    const tt_conv_u8s8 *kernel;
    const uint8_t *src;
    int64_t first, n; /* tiles */
    /* scratch: zero points instead of pixels outside; inputs and products of a group, and
     * how far apart the planes of both are */
    uint8_t *outside, *inputs;
    float *products;
    int64_t row; /* bytes of a tile's inputs in a plane */
    int64_t input_plane, product_plane;
} tt_winograd_u8s8_group;

/* 64 dst channels of it. */
typedef struct {
    const tt_winograd_u8s8_group *group;
    const int8_t *weights; /* packed, of the panel */
    const int8_t *next;    /* what is wanted after it */
    const float *multiplier, *offset;
    const uint8_t *sum; /* at the panel's first channel, like dst */
    uint8_t *dst;
    int n_channels;
} tt_winograd_u8s8_panel;

typedef struct {
    const char *name;
    void (*inputs)(const tt_winograd_u8s8_group *group);
    void (*products)(const tt_winograd_u8s8_panel *panel);
    void (*outputs)(const tt_winograd_u8s8_panel *panel);
} tt_winograd_u8s8_table;

/* Where a tile's 16 inputs are. */
void tt_winograd_u8s8_locate(const tt_winograd_u8s8_group *group, int64_t tile,
                             const uint8_t *from[TT_WINOGRAD_PLANES]);

/* The 2x2 outputs of a tile: channels from dst to the first one, and how many there are. */
typedef struct {
    int64_t at, down, across; /* in channels: to the next row, to the next pixel */
    int rows, columns;
} tt_winograd_u8s8_place;

tt_winograd_u8s8_place tt_winograd_u8s8_place_of(const tt_conv_u8s8 *kernel,
                                                 int64_t tile);

/* Bytes of a plane of a panel: groups of four taps, then totals and steps of its
 * columns. */
static inline int64_t tt_winograd_u8s8_plane_bytes(int64_t src_channels)
{
    return ((src_channels + 3) / 4 * 4 + 8) * TT_CONV_U8S8_WIDE;
}

/* What the inputs of a plane count from. */
static inline int32_t tt_winograd_u8s8_zero(const tt_conv_u8s8 *kernel, int plane)
{
    return plane == TT_WINOGRAD_SUMS ? kernel->src_zero_point : TT_WINOGRAD_ZERO;
}

extern const tt_winograd_u8s8_table tt_winograd_u8s8_scalar, tt_winograd_u8s8_vnni;

#endif
