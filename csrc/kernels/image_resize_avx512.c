/* Pictures to another size with AVX-512: see image_resize.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")

#define IMAGE_TABLE tt_image_resize_avx512
#define IMAGE_NAME "image_resize:avx512"
#include "kernels/image_resize.inc.h"

#else
typedef int tt_image_resize_avx512_is_for_x86;
#endif
