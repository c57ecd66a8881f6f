/* Recurrent layers by the definition (ONNX operators RNN, GRU, LSTM). */
#include "kernels/recurrent.h"

#include <math.h>
#include <string.h>

#include "kernels/item.h"

const char *tt_activation_name(int kind)
{
    static const char *const names[] = {
#define TT_ACTIVATION_NAME(code, name) name,
        TT_ACTIVATION_LIST(TT_ACTIVATION_NAME)
#undef TT_ACTIVATION_NAME
    };
    return kind >= 0 && kind < TT_ACTIVATION_COUNT ? names[kind] : NULL;
}

static double activate(const tt_activation *f, double x)
{
    double a = (double)f->alpha, b = (double)f->beta;
    switch (f->kind) {
    case TT_ACTIVATION_RELU:
        return x > 0.0 ? x : 0.0;
    case TT_ACTIVATION_TANH:
        return tanh(x);
    case TT_ACTIVATION_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case TT_ACTIVATION_AFFINE:
        return a * x + b;
    case TT_ACTIVATION_LEAKY_RELU:
        return x >= 0.0 ? x : a * x;
    case TT_ACTIVATION_THRESHOLDED_RELU:
        return x > a ? x : 0.0;
    case TT_ACTIVATION_SCALED_TANH:
        return a * tanh(b * x);
    case TT_ACTIVATION_HARD_SIGMOID:
        return fmin(fmax(a * x + b, 0.0), 1.0);
    case TT_ACTIVATION_ELU:
        return x >= 0.0 ? x : a * expm1(x);
    case TT_ACTIVATION_SOFTSIGN:
        return x / (1.0 + fabs(x));
    case TT_ACTIVATION_SOFTPLUS:
        return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case TT_ACTIVATION_COUNT:
        break;
    }
    return x;
}

static int n_gates(tt_cell cell)
{
    return cell == TT_CELL_LSTM ? 4 : cell == TT_CELL_GRU ? 3 : 1;
}

/* h, c, next h and two rows of gates of one sequence, in double. */
size_t tt_recurrent_scratch_bytes(const tt_recurrent_kernel *k)
{
    return (size_t)(3 + 2 * n_gates(k->cell)) * (size_t)k->hidden * sizeof(double);
}

typedef struct {
    const tt_recurrent_kernel *k;
    void *const *ptrs;
    const tt_activation *f;
    int direction, gates;
    int64_t sequence;
    double *h, *c, *next, *gx, *gh;
} cell_state;

static double item(const cell_state *s, int pointer, int64_t at)
{
    return tt_item_load(s->k->dtype, s->ptrs[pointer], at);
}

/* W x + Wb into gx, R h + Rb into gh. */
static void project(cell_state *s, int64_t step)
{
    const tt_recurrent_kernel *k = s->k;
    int64_t rows = s->gates * k->hidden, d = s->direction;
    int64_t x = k->batch_first ? (s->sequence * k->steps + step) * k->inputs
                               : (step * k->batch + s->sequence) * k->inputs;
    bool has_bias = s->ptrs[TT_RECURRENT_B] != NULL;
    for (int64_t row = 0; row < rows; ++row) {
        double a = has_bias ? item(s, TT_RECURRENT_B, d * 2 * rows + row) : 0.0;
        double b = has_bias ? item(s, TT_RECURRENT_B, d * 2 * rows + rows + row) : 0.0;
        for (int64_t i = 0; i < k->inputs; ++i)
            a += item(s, TT_RECURRENT_W, (d * rows + row) * k->inputs + i) *
                 item(s, TT_RECURRENT_X, x + i);
        for (int64_t i = 0; i < k->hidden; ++i)
            b += item(s, TT_RECURRENT_R, (d * rows + row) * k->hidden + i) * s->h[i];
        s->gx[row] = a;
        s->gh[row] = b;
    }
}

static double clipped(const cell_state *s, double x)
{
    double clip = (double)s->k->clip;
    if (clip <= 0.0) return x;
    return x > clip ? clip : x < -clip ? -clip : x;
}

static void step_rnn(cell_state *s)
{
    for (int64_t i = 0; i < s->k->hidden; ++i)
        s->next[i] = activate(&s->f[0], clipped(s, s->gx[i] + s->gh[i]));
}

/* Gates z, r, h. */
static void step_gru(cell_state *s, int64_t step)
{
    const tt_recurrent_kernel *k = s->k;
    int64_t n = k->hidden, d = s->direction;
    (void)step;
    for (int64_t i = 0; i < 2 * n; ++i)
        s->gx[i] = activate(&s->f[0], clipped(s, s->gx[i] + s->gh[i]));
    for (int64_t i = 0; i < n; ++i) {
        double r = s->gx[n + i], sum = 0.0;
        if (k->linear_before_reset) {
            sum = r * s->gh[2 * n + i];
        } else {
            for (int64_t j = 0; j < n; ++j)
                sum += item(s, TT_RECURRENT_R, (d * 3 * n + 2 * n + i) * n + j) *
                       s->gx[n + j] * s->h[j];
            if (s->ptrs[TT_RECURRENT_B] != NULL)
                sum += item(s, TT_RECURRENT_B, d * 6 * n + 5 * n + i);
        }
        double h = activate(&s->f[1], clipped(s, s->gx[2 * n + i] + sum));
        double z = s->gx[i];
        s->next[i] = (1.0 - z) * h + z * s->h[i];
    }
}

/* Gates i, o, f, c; peepholes i, o, f. */
static void step_lstm(cell_state *s)
{
    const tt_recurrent_kernel *k = s->k;
    int64_t n = k->hidden, p = s->direction * 3 * n;
    bool peeps = s->ptrs[TT_RECURRENT_P] != NULL;
    for (int64_t j = 0; j < n; ++j) {
        double pi = peeps ? item(s, TT_RECURRENT_P, p + j) : 0.0;
        double po = peeps ? item(s, TT_RECURRENT_P, p + n + j) : 0.0;
        double pf = peeps ? item(s, TT_RECURRENT_P, p + 2 * n + j) : 0.0;
        double i = s->gx[j] + s->gh[j] + pi * s->c[j];
        double f = s->gx[2 * n + j] + s->gh[2 * n + j] + pf * s->c[j];
        double g = s->gx[3 * n + j] + s->gh[3 * n + j], o, c;
        i = activate(&s->f[0], clipped(s, i));
        f = k->input_forget ? 1.0 - i : activate(&s->f[0], clipped(s, f));
        g = activate(&s->f[1], clipped(s, g));
        c = f * s->c[j] + i * g;
        o = s->gx[n + j] + s->gh[n + j] + po * c;
        o = activate(&s->f[0], clipped(s, o));
        s->c[j] = c;
        s->next[j] = o * activate(&s->f[2], c);
    }
}

static int64_t state_offset(const cell_state *s)
{
    const tt_recurrent_kernel *k = s->k;
    if (k->batch_first)
        return (s->sequence * k->n_directions + s->direction) * k->hidden;
    return (s->direction * k->batch + s->sequence) * k->hidden;
}

static void start(cell_state *s)
{
    int64_t at = state_offset(s);
    for (int64_t i = 0; i < s->k->hidden; ++i) {
        s->h[i] = s->ptrs[TT_RECURRENT_H0] ? item(s, TT_RECURRENT_H0, at + i) : 0.0;
        s->c[i] = s->ptrs[TT_RECURRENT_C0] ? item(s, TT_RECURRENT_C0, at + i) : 0.0;
    }
}

static void write_row(const cell_state *s, int pointer, int64_t at, const double *row)
{
    if (s->ptrs[pointer] == NULL) return;
    for (int64_t i = 0; i < s->k->hidden; ++i)
        tt_item_store(s->k->dtype, s->ptrs[pointer], at + i, row ? row[i] : 0.0);
}

static int64_t y_offset(const cell_state *s, int64_t step)
{
    const tt_recurrent_kernel *k = s->k;
    int64_t row =
        k->batch_first
            ? (s->sequence * k->steps + step) * k->n_directions + s->direction
            : (step * k->n_directions + s->direction) * k->batch + s->sequence;
    return row * k->hidden;
}

static void run_sequence(cell_state *s)
{
    const tt_recurrent_kernel *k = s->k;
    const int32_t *lengths = s->ptrs[TT_RECURRENT_LENGTHS];
    int64_t n = lengths != NULL ? lengths[s->sequence] : k->steps;
    bool reverse = s->direction == 1 || k->first_is_reverse;
    start(s);
    for (int64_t i = 0; i < n; ++i) {
        int64_t step = reverse ? n - 1 - i : i;
        project(s, step);
        if (k->cell == TT_CELL_LSTM)
            step_lstm(s);
        else if (k->cell == TT_CELL_GRU)
            step_gru(s, step);
        else
            step_rnn(s);
        memcpy(s->h, s->next, (size_t)k->hidden * sizeof *s->h);
        write_row(s, TT_RECURRENT_Y, y_offset(s, step), s->h);
    }
    for (int64_t step = n; step < k->steps; ++step)
        write_row(s, TT_RECURRENT_Y, y_offset(s, step), NULL);
    write_row(s, TT_RECURRENT_YH, state_offset(s), s->h);
    write_row(s, TT_RECURRENT_YC, state_offset(s), s->c);
}

tt_status tt_recurrent_run_ref(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_recurrent_kernel *k = params;
    const int32_t *lengths = ptrs[TT_RECURRENT_LENGTHS];
    double *scratch = ptrs[TT_RECURRENT_SCRATCH];
    cell_state s = {.k = k, .ptrs = ptrs, .gates = n_gates(k->cell)};
    for (int64_t i = 0; lengths != NULL && i < k->batch; ++i)
        if (lengths[i] < 0 || lengths[i] > k->steps)
            return tt_fail(err, TT_BAD_INPUT,
                           "sequence_lens[%lld] is %d, expected 0 to %lld",
                           (long long)i, lengths[i], (long long)k->steps);
    s.h = scratch;
    s.c = s.h + k->hidden;
    s.next = s.c + k->hidden;
    s.gx = s.next + k->hidden;
    s.gh = s.gx + s.gates * k->hidden;
    for (s.direction = 0; s.direction < k->n_directions; ++s.direction) {
        s.f = &k->activations[3 * s.direction];
        for (s.sequence = 0; s.sequence < k->batch; ++s.sequence)
            run_sequence(&s);
    }
    return TT_OK;
}
