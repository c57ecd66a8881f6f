/* Pictures to another size with AVX2 and FMA: see image_resize.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#define IMAGE_TABLE tt_image_resize_avx2
#define IMAGE_NAME "image_resize:avx2"
#include "kernels/image_resize.inc.h"

#else
typedef int tt_image_resize_avx2_is_for_x86;
#endif
