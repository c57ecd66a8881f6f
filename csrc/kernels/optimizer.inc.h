/* Updates of a range of weights; compiled per instruction set (see simd.h). */
#include "kernels/simd.h"

/* The gradient and the weights of `n` items at `i`, after both kinds of decay. */
static inline vf decayed(const tt_optimizer_update *u, int64_t i, int64_t n, vf *w)
{
    vf old = vf_load_n(u->weights + i, n), g = vf_load_n(u->gradient + i, n);
    *w = old - vf_set1(u->shrink) * old;
    return vf_fma(vf_set1(u->decay), old, g);
}

static inline void sgd_lanes(const tt_optimizer_update *u, int64_t i, int64_t n)
{
    vf w, g = decayed(u, i, n, &w);
    if (u->first != NULL) {
        vf keep = vf_set1(u->keep[0]), m = keep * vf_load_n(u->first + i, n);
        m = vf_fma(vf_set1(u->add[0]), g, m);
        vf_store_n(u->first + i, m, n);
        g = u->nesterov ? vf_fma(keep, m, g) : m;
    }
    vf_store_n(u->weights + i, w - vf_set1(u->rate) * g, n);
}

static inline void adam_lanes(const tt_optimizer_update *u, int64_t i, int64_t n)
{
    vf w, g = decayed(u, i, n, &w);
    vf m = vf_set1(u->keep[0]) * vf_load_n(u->first + i, n);
    vf v = vf_set1(u->keep[1]) * vf_load_n(u->second + i, n), spread;
    m = vf_fma(vf_set1(u->add[0]), g, m);
    v = vf_fma(vf_set1(u->add[1]) * g, g, v);
    vf_store_n(u->first + i, m, n);
    vf_store_n(u->second + i, v, n);
    spread = vf_fma(vf_sqrt(v), vf_set1(u->root), vf_set1(u->epsilon));
    vf_store_n(u->weights + i, w - vf_set1(u->rate) * (m / spread), n);
}

/* Whole vectors, then what is left. */
#define PART(name)                                                                    \
    static void name##_part(const tt_optimizer_update *u, int64_t begin, int64_t end) \
    {                                                                                 \
        int64_t i = begin;                                                            \
        for (; i + VF_N <= end; i += VF_N)                                            \
            name##_lanes(u, i, VF_N);                                                 \
        if (i < end) name##_lanes(u, i, end - i);                                     \
    }

PART(sgd)
PART(adam)

const tt_optimizer_part TABLE[2] = {
    [TT_OPTIMIZER_SGD] = sgd_part, [TT_OPTIMIZER_ADAM] = adam_part};
