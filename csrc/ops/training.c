/* Steps of optimizers as nodes (ai.onnx.preview.training): Adagrad, Adam, Momentum.
 *
 * Inputs are the rate R, the count T of updates, then for n tensors the n weights X, the
 * n gradients G and what the optimizer remembers of each, in the same order; outputs are
 * the new weights and memories. */
#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef enum { ADAGRAD, ADAM, MOMENTUM } kind;

enum { FIRST = 2 /* R and T stand before */, MAX_MEMORIES = 2 };

static kind kind_of(const tt_node *node)
{
    if (strcmp(node->op->name, "Adam") == 0) return ADAM;
    return strcmp(node->op->name, "Adagrad") == 0 ? ADAGRAD : MOMENTUM;
}

static int n_memories(const tt_node *node)
{
    return kind_of(node) == ADAM ? 2 : 1;
}

/* Tensors that a node updates. */
static int n_tensors(const tt_node *node)
{
    return (node->n_inputs - FIRST) / (2 + n_memories(node));
}

static tt_status read_mode(const tt_node *node, bool *is_nesterov, tt_error *err)
{
    const char *mode;
    TT_TRY(tt_attribute_string(node, "mode", "", &mode, err));
    *is_nesterov = strcmp(mode, "nesterov") == 0;
    if (*is_nesterov || strcmp(mode, "standard") == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "attribute 'mode' must be 'standard' or 'nesterov', not '%.40s'",
                      mode);
}

/* R is one float, T one int64. */
static tt_status check_scalars(const tt_site *site, tt_error *err)
{
    const tt_shape *rate = tt_input_shape(site, 0), *count = tt_input_shape(site, 1);
    if ((rate->dtype == TT_F32 || rate->dtype == TT_F64) && tt_shape_numel(rate) == 1 &&
        count->dtype == TT_S64 && tt_shape_numel(count) == 1)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "R and T must be one float32 or float64 and one int64, they are "
                      "%s and %s",
                      tt_dtype_name(rate->dtype), tt_dtype_name(count->dtype));
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int n_roles = 2 + n_memories(node), n = n_tensors(node);
    bool is_nesterov;
    TT_TRY(tt_need_inputs(site, FIRST + n_roles, err));
    if (FIRST + n * n_roles != node->n_inputs || node->n_outputs > n * (n_roles - 1))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%d inputs and %d outputs: expected 2 and %d per tensor, and "
                          "%d per tensor",
                          node->n_inputs, node->n_outputs, n_roles, n_roles - 1);
    TT_TRY(tt_need_inputs(site, node->n_inputs, err));
    TT_TRY(check_scalars(site, err));
    if (kind_of(node) == MOMENTUM) TT_TRY(read_mode(node, &is_nesterov, err));
    for (int i = 0; i < node->n_inputs - FIRST; ++i) {
        const tt_shape *x = tt_input_shape(site, FIRST + i % n);
        const tt_shape *other = tt_input_shape(site, FIRST + i);
        if ((x->dtype != TT_F32 && x->dtype != TT_F64) || x->dtype != other->dtype ||
            !tt_shape_equal(x, other))
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "input %d and input %d: expected float32 or float64 of "
                              "one shape, they are %s and %s",
                              FIRST + i % n, FIRST + i, tt_dtype_name(x->dtype),
                              tt_dtype_name(other->dtype));
    }
    for (int i = 0; i < node->n_outputs; ++i)
        out[i] = *tt_input_shape(site, FIRST + i % n);
    return TT_OK;
}

typedef struct {
    kind kind;
    tt_dtype rate, dtype;
    bool is_nesterov;
    int64_t n;
    double alpha, beta, epsilon, decay, shrink, rate_decay;
} training_params;

/* What is the same for all items. */
typedef struct {
    const training_params *params;
    void *const *ptrs;
    double rate, beta;
} training_call;

enum { RATE, COUNT, X, G, MEMORY, N_SRC = MEMORY + MAX_MEMORIES };
enum { X_NEW = N_SRC, MEMORY_NEW, N_OPERANDS = MEMORY_NEW + MAX_MEMORIES };

/* X(name, type, square root) */
#define UPDATES(T, ROOT)                                                            \
    static void adagrad_##T(const training_call *call, int64_t begin, int64_t end)  \
    {                                                                               \
        const T *x = call->ptrs[X], *g = call->ptrs[G], *h = call->ptrs[MEMORY];    \
        T *to = call->ptrs[X_NEW], *h_to = call->ptrs[MEMORY_NEW];                  \
        const T decay = (T)call->params->decay, rate = (T)call->rate;               \
        const T epsilon = (T)call->params->epsilon;                                 \
        for (int64_t i = begin; i < end; ++i) {                                     \
            const T slope = decay * x[i] + g[i], sum = h[i] + slope * slope;        \
            h_to[i] = sum;                                                          \
            to[i] = x[i] - rate * slope / (ROOT(sum) + epsilon);                    \
        }                                                                           \
    }                                                                               \
    static void adam_##T(const training_call *call, int64_t begin, int64_t end)     \
    {                                                                               \
        const T *x = call->ptrs[X], *g = call->ptrs[G];                             \
        const T *v = call->ptrs[MEMORY], *h = call->ptrs[MEMORY + 1];               \
        T *to = call->ptrs[X_NEW];                                                  \
        T *v_to = call->ptrs[MEMORY_NEW], *h_to = call->ptrs[MEMORY_NEW + 1];       \
        const T decay = (T)call->params->decay, rate = (T)call->rate;               \
        const T alpha = (T)call->params->alpha, beta = (T)call->params->beta;       \
        const T epsilon = (T)call->params->epsilon;                                 \
        const T left = (T)(1.0 - call->params->shrink);                             \
        const T alpha_rest = (T)(1.0 - call->params->alpha);                        \
        const T beta_rest = (T)(1.0 - call->params->beta);                          \
        for (int64_t i = begin; i < end; ++i) {                                     \
            const T slope = decay * x[i] + g[i];                                    \
            const T first = alpha * v[i] + alpha_rest * slope;                      \
            const T second = beta * h[i] + beta_rest * slope * slope;               \
            v_to[i] = first;                                                        \
            h_to[i] = second;                                                       \
            to[i] = left * (x[i] - rate * first / (ROOT(second) + epsilon));        \
        }                                                                           \
    }                                                                               \
    static void momentum_##T(const training_call *call, int64_t begin, int64_t end) \
    {                                                                               \
        const T *x = call->ptrs[X], *g = call->ptrs[G], *v = call->ptrs[MEMORY];    \
        T *to = call->ptrs[X_NEW], *v_to = call->ptrs[MEMORY_NEW];                  \
        const T decay = (T)call->params->decay, rate = (T)call->rate;               \
        const T alpha = (T)call->params->alpha, beta = (T)call->beta;               \
        const T ahead = call->params->is_nesterov ? alpha : 1;                      \
        const T now = call->params->is_nesterov ? 1 : 0;                            \
        for (int64_t i = begin; i < end; ++i) {                                     \
            const T slope = decay * x[i] + g[i], sum = alpha * v[i] + beta * slope; \
            v_to[i] = sum;                                                          \
            to[i] = x[i] - rate * (now * slope + ahead * sum);                      \
        }                                                                           \
    }
UPDATES(float, sqrtf)
UPDATES(double, sqrt)

static void run_items(void *arg, int64_t begin, int64_t end)
{
    static void (*const updates[][2])(const training_call *, int64_t, int64_t) = {
        [ADAGRAD] = {adagrad_float,  adagrad_double },
        [ADAM] = {adam_float,     adam_double    },
        [MOMENTUM] = {momentum_float, momentum_double},
    };
    const training_call *call = arg;
    updates[call->params->kind][call->params->dtype == TT_F64](call, begin, end);
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const training_params *p = params;
    training_call call = {.params = p, .ptrs = ptrs, .beta = p->beta};
    double count = (double)tt_item_load_int(TT_S64, ptrs[COUNT], 0);
    (void)err;
    call.rate = tt_item_load(p->rate, ptrs[RATE], 0);
    if (p->kind == ADAGRAD) call.rate /= 1 + count * p->rate_decay;
    if (p->kind == ADAM && count > 0)
        call.rate *= sqrt(1 - pow(p->beta, count)) / (1 - pow(p->alpha, count));
    if (p->kind == MOMENTUM && count <= 0) call.beta = 1;
    tt_parallel_for(p->n, 1 << 14, run_items, &call);
    return TT_OK;
}

/* float attributes: name, what it is when missing, where it goes. */
static tt_status read_attributes(const tt_node *node, training_params *p, tt_error *err)
{
    const bool has_default = p->kind != MOMENTUM;
    const struct {
        const char *name;
        float usual;
        double *to;
    } attributes[] = {
        {"alpha",                 0.9f,   &p->alpha     },
        {"beta",                  0.999f, &p->beta      },
        {"epsilon",               1e-6f,  &p->epsilon   },
        {"norm_coefficient",      0,      &p->decay     },
        {"norm_coefficient_post", 0,      &p->shrink    },
        {"decay_factor",          0,      &p->rate_decay},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; ++i) {
        float value;
        TT_TRY(tt_attribute_float(node, attributes[i].name, attributes[i].usual, &value,
                                  err));
        *attributes[i].to = (double)value;
    }
    for (size_t i = 0; i < 4 && !has_default; ++i)
        if (i != 2 && tt_attribute_find(node, attributes[i].name) == NULL)
            return tt_fail_at(node, err, TT_BAD_MODEL, "attribute '%s' is missing",
                              attributes[i].name);
    return TT_OK;
}

/* Tensor i of n: its inputs and its outputs. */
static tt_status find_operands(tt_lower *lower, const tt_node *node, int i, int n,
                               tt_operand *operands, tt_error *err)
{
    int n_roles = 2 + n_memories(node);
    for (int k = 0; k < N_OPERANDS; ++k)
        operands[k] = TT_NO_OPERAND;
    for (int k = 0; k < FIRST; ++k)
        TT_TRY(tt_lower_src(lower, node, k, TT_ORDER_ROW_MAJOR, &operands[k], err));
    for (int role = 0; role < n_roles; ++role)
        TT_TRY(tt_lower_src(lower, node, FIRST + role * n + i, TT_ORDER_ROW_MAJOR,
                            &operands[X + role], err));
    for (int role = 0; role < n_roles - 1; ++role) {
        int output = role * n + i;
        tt_operand *to = &operands[X_NEW + role];
        if (output < node->n_outputs && node->outputs[output] >= 0)
            TT_TRY(tt_lower_dst(lower, node, output, TT_ORDER_ROW_MAJOR, to, err));
        else /* nobody reads it, the kernel writes it */
            TT_TRY(tt_lower_temporary(
                lower, tt_shape_bytes(tt_operand_shape(lower, operands[X])), to, err));
    }
    return TT_OK;
}

static tt_status lower_training(tt_lower *lower, const tt_node *node, tt_error *err)
{
    training_params params = {.kind = kind_of(node)};
    int n = n_tensors(node);
    TT_TRY(read_attributes(node, &params, err));
    if (params.kind == MOMENTUM) TT_TRY(read_mode(node, &params.is_nesterov, err));
    for (int i = 0; i < n; ++i) {
        tt_operand operands[N_OPERANDS];
        tt_work work = {0};
        const tt_shape *x;
        TT_TRY(find_operands(lower, node, i, n, operands, err));
        params.rate = tt_operand_shape(lower, operands[RATE])->dtype;
        x = tt_operand_shape(lower, operands[X]);
        params.dtype = x->dtype;
        params.n = tt_shape_numel(x);
        work.bytes = 7.0 * (double)tt_shape_bytes(x);
        work.flops = 10.0 * (double)params.n;
        TT_TRY(tt_lower_kernel(lower, node, "optimizer", run, &params, sizeof params,
                               operands, N_SRC, N_OPERANDS - N_SRC, &work, err));
    }
    return TT_OK;
}

#define TRAINING(record_, name_, summary_)                               \
    const tt_op tt_op_##record_ = {.name = name_,                        \
                                   .domain = "ai.onnx.preview.training", \
                                   .since = 1,                           \
                                   .summary = summary_,                  \
                                   .infer = infer,                       \
                                   .lower = lower_training}

TRAINING(adagrad, "Adagrad", "one step of Adagrad");
TRAINING(adam, "Adam", "one step of Adam");
TRAINING(momentum, "Momentum", "one step of gradient descent with momentum");
