/* The end of own convolutions, in registers; compiled per instruction set (simd.h).
 * NaN passes through every step, as it does in the separate operators. */
#include "kernels/conv_posts.h"
#include "kernels/simd.h"

static inline vf posts_clamp(const tt_conv_posts *posts, vf x)
{
    return vf_min(vf_set1(posts->high), vf_max(vf_set1(posts->low), x));
}

static inline vf posts_ramp(const tt_conv_post *post, vf x)
{
    vf y = vf_fma(vf_set1(post->alpha), x, vf_set1(post->beta));
    return vf_min(vf_set1(1.0f), vf_max(vf_zero(), y));
}

/* n lanes whose first is `at` elements into dst and belongs to `channel`. */
static vf posts_steps(const tt_conv_posts *posts, const float *const *operands, vf x,
                      int64_t at, int64_t channel, int64_t n)
{
    for (int i = 0; i < posts->n; ++i) {
        const tt_conv_post *post = &posts->items[i];
        vf alpha = vf_set1(post->alpha), y = vf_zero();
        if (post->kind >= TT_CONV_ADD)
            y = vf_load_n(operands[i] + (post->is_full ? at : channel), n);
        switch (post->kind) {
        case TT_CONV_RELU:
            x = vf_select((vi)(x < vf_zero()), alpha * x, x);
            break;
        case TT_CONV_CLIP:
            x = vf_min(vf_set1(post->beta), vf_max(alpha, x));
            break;
        case TT_CONV_LINEAR:
            x = vf_fma(alpha, x, vf_set1(post->beta));
            break;
        case TT_CONV_LOGISTIC:
            x = vf_sigmoid(x);
            break;
        case TT_CONV_SWISH:
            x = x * vf_sigmoid(alpha * x);
            break;
        case TT_CONV_HARDSIGMOID:
            x = posts_ramp(post, x);
            break;
        case TT_CONV_HARDSWISH:
            x = x * posts_ramp(post, x);
            break;
        case TT_CONV_TANH:
            x = vf_tanh(x);
            break;
        case TT_CONV_ADD:
            x = x + y;
            break;
        case TT_CONV_MUL:
            x = x * y;
            break;
        }
    }
    return x;
}

/* Applies all of it and stores n lanes at dst + at. */
static inline void posts_store(const tt_conv_posts *posts, const float *const *operands,
                               vf x, float *dst, int64_t at, int64_t channel, int64_t n)
{
    if (posts->has_clamp) x = posts_clamp(posts, x);
    if (posts->n > 0) x = posts_steps(posts, operands, x, at, channel, n);
    if (n == VF_N)
        vf_store(dst + at, x);
    else
        vf_store_n(dst + at, x, n);
}
