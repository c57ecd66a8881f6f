/* Pictures to another size, for any processor: see image_resize.inc.h. */
#define IMAGE_TABLE tt_image_resize_scalar
#define IMAGE_NAME "image_resize:scalar"
#include "kernels/image_resize.inc.h"
