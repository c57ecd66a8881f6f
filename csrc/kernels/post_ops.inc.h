/* The end of own kernels, in registers; compiled per instruction set (simd.h).  NaN
 * passes through every step, as it does in the separate operators. */
#include "kernels/post_ops.h"
#include "kernels/simd.h"
#include "kernels/vector_math.h"

static inline vf posts_clamp(const tt_post_ops *posts, vf x)
{
    return vf_min(vf_set1(posts->high), vf_max(vf_set1(posts->low), x));
}

static inline vf posts_ramp(const tt_post_op *post, vf x)
{
    vf y = vf_fma(vf_set1(post->alpha), x, vf_set1(post->beta));
    return vf_min(vf_set1(1.0f), vf_max(vf_zero(), y));
}

/* Functions of float in all lanes: straight-line code, which becomes vectors. */
static inline vf posts_gelu_erf(vf x)
{
    float lanes[VF_N];
    vf_store(lanes, x);
    for (int i = 0; i < VF_N; ++i)
        lanes[i] = gelu_erf_f32(lanes[i]);
    return vf_load(lanes);
}

/* x (1 + tanh(c (x + 0.044715 x^3))) / 2 with c = sqrt(2 / pi), by the identity
 * (1 + tanh(y)) / 2 = 1 / (1 + e^-2y), which keeps the left tail. */
static inline vf posts_gelu_tanh(vf x)
{
    vf cubic = vf_fma(vf_set1(0.044715f) * x * x, x, x);
    return x * vf_sigmoid(vf_set1(1.59576912f) * cubic);
}

/* n lanes whose first is `at` elements into dst and belongs to `channel`. */
static vf posts_steps(const tt_post_ops *posts, const float *const *operands, vf x,
                      int64_t at, int64_t channel, int64_t n)
{
    for (int i = 0; i < posts->n; ++i) {
        const tt_post_op *post = &posts->items[i];
        vf alpha = vf_set1(post->alpha), y = vf_zero();
        if (post->kind >= TT_POST_OP_ADD)
            y = vf_load_n(operands[i] + (post->is_full ? at : channel), n);
        switch (post->kind) {
        case TT_POST_OP_RELU:
            x = vf_select((vi)(x < vf_zero()), alpha * x, x);
            break;
        case TT_POST_OP_CLIP:
            x = vf_min(vf_set1(post->beta), vf_max(alpha, x));
            break;
        case TT_POST_OP_LINEAR:
            x = vf_fma(alpha, x, vf_set1(post->beta));
            break;
        case TT_POST_OP_LOGISTIC:
            x = vf_sigmoid(x);
            break;
        case TT_POST_OP_SWISH:
            x = x * vf_sigmoid(alpha * x);
            break;
        case TT_POST_OP_HARDSIGMOID:
            x = posts_ramp(post, x);
            break;
        case TT_POST_OP_HARDSWISH:
            x = x * posts_ramp(post, x);
            break;
        case TT_POST_OP_TANH:
            x = vf_tanh(x);
            break;
        case TT_POST_OP_GELU_ERF:
            x = posts_gelu_erf(x);
            break;
        case TT_POST_OP_GELU_TANH:
            x = posts_gelu_tanh(x);
            break;
        case TT_POST_OP_ADD:
            x = x + y;
            break;
        case TT_POST_OP_MUL:
            x = x * y;
            break;
        }
    }
    return x;
}

/* Applies all of it and stores n lanes at dst + at. */
static inline void posts_store(const tt_post_ops *posts, const float *const *operands,
                               vf x, float *dst, int64_t at, int64_t channel, int64_t n)
{
    if (posts->has_clamp) x = posts_clamp(posts, x);
    if (posts->n > 0) x = posts_steps(posts, operands, x, at, channel, n);
    if (n == VF_N)
        vf_store(dst + at, x);
    else
        vf_store_n(dst + at, x, n);
}
