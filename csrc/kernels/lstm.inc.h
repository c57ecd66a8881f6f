/* One step of an LSTM; compiled per instruction set (see simd.h). */
#include "kernels/simd.h"

/* a[g] += sum over k of packed[k][g] * v[k] */
static inline void lstm_accumulate(vf a[4], const float *packed, const float *v,
                                   int64_t n)
{
    vf b0 = vf_zero(), b1 = vf_zero(), b2 = vf_zero(), b3 = vf_zero();
    vf a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    int64_t k = 0;
    for (; k + 2 <= n; k += 2) {
        vf x = vf_set1(v[k]), y = vf_set1(v[k + 1]);
        a0 = vf_fma(vf_load(packed), x, a0);
        a1 = vf_fma(vf_load(packed + VF_N), x, a1);
        a2 = vf_fma(vf_load(packed + 2 * VF_N), x, a2);
        a3 = vf_fma(vf_load(packed + 3 * VF_N), x, a3);
        b0 = vf_fma(vf_load(packed + 4 * VF_N), y, b0);
        b1 = vf_fma(vf_load(packed + 5 * VF_N), y, b1);
        b2 = vf_fma(vf_load(packed + 6 * VF_N), y, b2);
        b3 = vf_fma(vf_load(packed + 7 * VF_N), y, b3);
        packed += 8 * VF_N;
    }
    if (k < n) {
        vf x = vf_set1(v[k]);
        a0 = vf_fma(vf_load(packed), x, a0);
        a1 = vf_fma(vf_load(packed + VF_N), x, a1);
        a2 = vf_fma(vf_load(packed + 2 * VF_N), x, a2);
        a3 = vf_fma(vf_load(packed + 3 * VF_N), x, a3);
    }
    a[0] = a0 + b0;
    a[1] = a1 + b1;
    a[2] = a2 + b2;
    a[3] = a3 + b3;
}

static void lstm_step(const float *gates, const float *w, const float *x,
                      int64_t inputs, const float *r, const float *h, float *c,
                      float *next, int64_t hidden)
{
    for (int64_t at = 0; at < hidden; at += VF_N) {
        int64_t lanes = hidden - at < VF_N ? hidden - at : VF_N;
        vf a[4], cell;
        for (int g = 0; g < 4; ++g)
            a[g] =
                gates != NULL ? vf_load_n(gates + g * hidden + at, lanes) : vf_zero();
        if (w != NULL) lstm_accumulate(a, w + 4 * at * inputs, x, inputs);
        lstm_accumulate(a, r + 4 * at * hidden, h, hidden);
        cell = vf_sigmoid(a[2]) * vf_load_n(c + at, lanes) +
               vf_sigmoid(a[0]) * vf_tanh(a[3]);
        vf_store_n(c + at, cell, lanes);
        vf_store_n(next + at, vf_sigmoid(a[1]) * vf_tanh(cell), lanes);
    }
}

const tt_lstm_table TABLE = {TABLE_NAME, VF_N, lstm_step};
