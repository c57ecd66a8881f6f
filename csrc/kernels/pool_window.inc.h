/* One window of a max pool's gradient over channels; compiled per instruction set (see
 * simd.h). */
#include "kernels/simd.h"

/* VF_N channels at most: which item is the largest, then its gradient to where it is. */
static inline void window_lanes(const tt_pool_window *w, int64_t c, int64_t lanes)
{
    vf best = vf_load_n(w->x + w->offsets[0] + c, lanes), g;
    vi chosen = {0};
    for (int32_t i = 1; i < w->n_items; ++i) {
        vf x = vf_load_n(w->x + w->offsets[i] + c, lanes);
        vi better = (vi)(x > best) | (vi)(x != x);
        best = vf_select(better, x, best);
        chosen = (better & i) | (~better & chosen);
    }
    g = vf_load_n(w->g + c, lanes);
    for (int32_t i = 0; i < w->n_items; ++i) {
        float *to = w->out + w->offsets[i] + c;
        vf part = vf_select((vi)(chosen == i), g, vf_zero());
        vf_store_n(to, vf_load_n(to, lanes) + part, lanes);
    }
}

static void window_max(const tt_pool_window *w, int64_t n_channels)
{
    int64_t c = 0;
    for (; c + VF_N <= n_channels; c += VF_N)
        window_lanes(w, c, VF_N);
    if (c < n_channels) window_lanes(w, c, n_channels - c);
}

const tt_pool_window_fn TABLE = window_max;
