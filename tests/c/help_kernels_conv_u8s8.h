/* Tensors of a convolution of u8 by s8, in memory that ends where they end: for tests of
 * its kernels. */
#ifndef TT_TESTS_HELP_KERNELS_CONV_U8S8_H
#define TT_TESTS_HELP_KERNELS_CONV_U8S8_H

#include "harness.h"
#include "kernels/conv_u8s8.h"

enum { CONVOLUTION_WEIGHTS = 140 * 64 * 3 * 4 }; /* of the largest */

/* weights: [dst channels, src channels, kernel_h, kernel_w], not packed */
typedef struct {
    tt_conv_u8s8 kernel;
    int8_t weights[CONVOLUTION_WEIGHTS];
    void *ptrs[TT_CONV_U8S8_POINTERS];
} convolution;

/* One of low .. high. */
int random_to(int low, int high);
/* Sets dst_h and dst_w, and bounds of dst: all that it holds, or now and then less. */
void convolution_bound(tt_conv_u8s8 *k);
int64_t convolution_pixels(const tt_conv_u8s8 *k);
size_t convolution_dst_bytes(const tt_conv_u8s8 *k);
/* Random tensors, multipliers and offsets that are all the same; packs weights. */
typedef void (*convolution_pack)(const int8_t *weights, const int64_t dims[4],
                                 const int64_t strides[4], void *packed);
void convolution_fill(convolution *c, float multiplier, float offset,
                      bool (*packed_bytes)(const int64_t dims[4], size_t *out),
                      convolution_pack pack, size_t scratch_bytes);
void convolution_empty(convolution *c);

#endif
