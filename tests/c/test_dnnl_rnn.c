/* dnnl/: LSTM with peepholes, GRU in both forms, both directions, against the
 * recurrences written out. */
#include <math.h>
#include <string.h>

#include "help_dnnl.h"

CREATOR(new_rnn, tt_rnn_new, tt_rnn_params)

enum { T = 4, N = 2, IC = 3, C = 4, MAX_D = 2 };
static double layer_out[T * N * MAX_D * C], h_out[MAX_D * N * C], c_out[MAX_D * N * C];

typedef struct {
    tensor x, h, c, wl, wi, peephole, bias, y, hn, cn;
} rnn_tensors;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* W x + R h + b for gate g and channel k; `r` of the R h part alone. */
static double gate(const rnn_tensors *t, int d, int step, int n, int g, int k,
                   const double *h, double *r)
{
    double sum = at(&t->bias, 0, d, g, k, 0);
    *r = 0;
    for (int i = 0; i < IC; ++i)
        sum += at(&t->wl, 0, d, i, g, k) * at(&t->x, step, n, i, 0, 0);
    for (int i = 0; i < C; ++i)
        *r += at(&t->wi, 0, d, i, g, k) * h[i];
    return sum + *r;
}

static void lstm_step(const rnn_tensors *t, int d, int step, int n, double *h,
                      double *c)
{
    double next[C], unused;
    for (int k = 0; k < C; ++k) {
        double i = gate(t, d, step, n, 0, k, h, &unused);
        double f = gate(t, d, step, n, 1, k, h, &unused);
        double g = tanh(gate(t, d, step, n, 2, k, h, &unused));
        double o = gate(t, d, step, n, 3, k, h, &unused);
        i = sigmoid(i + at(&t->peephole, 0, d, 0, k, 0) * c[k]);
        f = sigmoid(f + at(&t->peephole, 0, d, 1, k, 0) * c[k]);
        c[k] = f * c[k] + i * g;
        next[k] = sigmoid(o + at(&t->peephole, 0, d, 2, k, 0) * c[k]) * tanh(c[k]);
    }
    memcpy(h, next, sizeof next);
}

static void gru_step(const rnn_tensors *t, int d, int step, int n, double *h,
                     bool linear_before_reset)
{
    double next[C], u[C], reset[C], scaled[C], r;
    for (int k = 0; k < C; ++k) {
        u[k] = sigmoid(gate(t, d, step, n, 0, k, h, &r));
        reset[k] = sigmoid(gate(t, d, step, n, 1, k, h, &r));
    }
    for (int k = 0; k < C; ++k)
        scaled[k] = reset[k] * h[k];
    for (int k = 0; k < C; ++k) {
        double o;
        if (linear_before_reset) {
            o = gate(t, d, step, n, 2, k, h, &r);
            o = o - r + reset[k] * (r + at(&t->bias, 0, d, 3, k, 0));
        } else {
            o = gate(t, d, step, n, 2, k, scaled, &r);
        }
        next[k] = u[k] * h[k] + (1 - u[k]) * tanh(o);
    }
    memcpy(h, next, sizeof next);
}

static void rnn_loop(const rnn_tensors *t, tt_rnn_kind kind, int n_dirs, bool reversed)
{
    for (int d = 0; d < n_dirs; ++d)
        for (int n = 0; n < N; ++n) {
            double h[C], c[C] = {0};
            bool backwards = reversed || d == 1;
            for (int k = 0; k < C; ++k) {
                h[k] = at(&t->h, 0, d, n, k, 0);
                if (kind == TT_RNN_LSTM) c[k] = at(&t->c, 0, d, n, k, 0);
            }
            for (int s = 0; s < T; ++s) {
                int step = backwards ? T - 1 - s : s;
                if (kind == TT_RNN_LSTM)
                    lstm_step(t, d, step, n, h, c);
                else
                    gru_step(t, d, step, n, h, kind == TT_RNN_LBR_GRU);
                for (int k = 0; k < C; ++k)
                    layer_out[((step * N + n) * n_dirs + d) * C + k] = h[k];
            }
            memcpy(&h_out[(d * N + n) * C], h, sizeof h);
            memcpy(&c_out[(d * N + n) * C], c, sizeof c);
        }
}

static void try_rnn(const way *w, tt_rnn_kind kind, tt_rnn_direction direction)
{
    bool is_lstm = kind == TT_RNN_LSTM, is_lbr = kind == TT_RNN_LBR_GRU;
    int n_dirs = direction == TT_RNN_BIDIRECTIONAL_CONCAT ? 2 : 1, g = is_lstm ? 4 : 3;
    rnn_tensors t = {
        .x = tensor_row_major(TT_F32, T, N, IC, DIMS_END),
        .h = tensor_row_major(TT_F32, 1, n_dirs, N, C, DIMS_END),
        .c = tensor_row_major(TT_F32, 1, n_dirs, N, C, DIMS_END),
        .wl = tensor_row_major(TT_F32, 1, n_dirs, IC, g, C, DIMS_END),
        .wi = tensor_row_major(TT_F32, 1, n_dirs, C, g, C, DIMS_END),
        .peephole = tensor_row_major(TT_F32, 1, n_dirs, 3, C, DIMS_END),
        .bias = tensor_row_major(TT_F32, 1, n_dirs, g + is_lbr, C, DIMS_END),
        .y = tensor_row_major(TT_F32, T, N, n_dirs * C, DIMS_END),
        .hn = tensor_row_major(TT_F32, 1, n_dirs, N, C, DIMS_END),
        .cn = tensor_row_major(TT_F32, 1, n_dirs, N, C, DIMS_END),
    };
    tt_rnn_params p = {.kind = kind,
                       .direction = direction,
                       .src_layer = t.x.md,
                       .src_iter = t.h.md,
                       .weights_layer = any_layout(&t.wl),
                       .weights_iter = any_layout(&t.wi),
                       .bias = t.bias.md,
                       .dst_layer = t.y.md,
                       .dst_iter = t.hn.md};
    operand operands[10] = {
        {TT_ARG_SRC,       &t.x       },
        {TT_ARG_SRC_1,     &t.h       },
        {TT_ARG_WEIGHTS,   &t.wl      },
        {TT_ARG_WEIGHTS_1, &t.wi      },
        {TT_ARG_BIAS,      &t.bias    },
        {TT_ARG_DST,       &t.y       },
        {TT_ARG_DST_1,     &t.hn      },
        {TT_ARG_SRC_2,     &t.c       },
        {TT_ARG_WEIGHTS_2, &t.peephole},
        {TT_ARG_DST_2,     &t.cn      }
    };
    if (is_lstm) {
        p.src_iter_c = t.c.md;
        p.weights_peephole = t.peephole.md;
        p.dst_iter_c = t.cn.md;
    }
    run_prim(w, new_rnn, &p, operands, is_lstm ? 10 : 7);
    rnn_loop(&t, kind, n_dirs, direction == TT_RNN_RIGHT2LEFT);
    check_close(&t.y, layer_out, 1e-5);
    check_close(&t.hn, h_out, 1e-5);
    if (is_lstm) check_close(&t.cn, c_out, 1e-5);
    tensor_free(&t.x);
    tensor_free(&t.h);
    tensor_free(&t.c);
    tensor_free(&t.wl);
    tensor_free(&t.wi);
    tensor_free(&t.peephole);
    tensor_free(&t.bias);
    tensor_free(&t.y);
    tensor_free(&t.hn);
    tensor_free(&t.cn);
}

static void rnn_in_way(const way *w)
{
    for (int kind = TT_RNN_LSTM; kind <= TT_RNN_LBR_GRU; ++kind)
        for (int d = TT_RNN_LEFT2RIGHT; d <= TT_RNN_BIDIRECTIONAL_CONCAT; ++d)
            try_rnn(w, (tt_rnn_kind)kind, (tt_rnn_direction)d);
}

TT_TEST(recurrent_layers_follow_their_recurrences)
{
    for_every_way(rnn_in_way);
}
