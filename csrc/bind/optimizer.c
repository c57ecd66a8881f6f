/* trimtab._core.update_weights: csrc/kernels/optimizer.h over vectors of Python. */
#include "kernels/optimizer.h"

#include <string.h>

#include "base/cpu.h"
#include "bind/module.h"

enum { N_VECTORS = 4 }; /* weights, gradient, first, second */

static const struct {
    const char *name;
    tt_optimizer_kind kind;
    int n_state; /* how many vectors of state it may have, and must */
    bool needs_state;
} KINDS[] = {
    {"sgd",  TT_OPTIMIZER_SGD,  1, false},
    {"adam", TT_OPTIMIZER_ADAM, 2, true },
};

typedef struct {
    tt_optimizer_update update;
    Py_buffer views[N_VECTORS];
    int n_views;
} request;

static void release(request *r)
{
    while (r->n_views > 0)
        PyBuffer_Release(&r->views[--r->n_views]);
}

/* One more vector of f32; all are written but the gradient. */
static int add_vector(request *r, PyObject *object)
{
    int flags =
        PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (r->n_views == 1 ? 0 : PyBUF_WRITABLE);
    Py_buffer *view = &r->views[r->n_views];
    if (PyObject_GetBuffer(object, view, flags) < 0) return -1;
    r->n_views++;
    if (view->ndim == 1 && view->format != NULL && strcmp(view->format, "f") == 0 &&
        view->len == r->views[0].len)
        return 0;
    PyErr_SetString(PyExc_ValueError, "expected float32 vectors of one length");
    return -1;
}

static int read_vectors(request *r, PyObject *const *vectors, int kind)
{
    tt_optimizer_update *u = &r->update;
    for (int i = 0; i < N_VECTORS; ++i)
        if (vectors[i] != Py_None && add_vector(r, vectors[i]) < 0) return -1;
    int n_state = r->n_views - 2;
    if (n_state > KINDS[kind].n_state ||
        (KINDS[kind].needs_state && n_state < KINDS[kind].n_state)) {
        PyErr_SetString(PyExc_ValueError, "the state is not that of this optimizer");
        return -1;
    }
    u->n = r->views[0].len / (Py_ssize_t)sizeof(float);
    u->weights = r->views[0].buf;
    u->gradient = r->views[1].buf;
    u->first = n_state > 0 ? r->views[2].buf : NULL;
    u->second = n_state > 1 ? r->views[3].buf : NULL;
    return 0;
}

static tt_status run(void *arg)
{
    tt_optimizer_run(arg);
    return TT_OK;
}

static PyObject *update(tt_state *state, const request *r, int n_threads)
{
    tt_optimizer_update u = r->update;
    tt_arena *arena = NULL;
    tt_error err = {0};
    tt_unlocked unlocked;
    tt_status status;
    tt_unlock(&unlocked, state);
    status = tt_arena_new(n_threads, &arena, &err);
    if (status == TT_OK) status = tt_arena_run(arena, run, &u, &err);
    tt_arena_free(arena);
    tt_relock(&unlocked);
    return status == TT_OK ? Py_NewRef(Py_None) : tt_raise(state, status, &err);
}

static int find_kind(const char *name)
{
    for (int i = 0; i < (int)(sizeof KINDS / sizeof *KINDS); ++i)
        if (strcmp(KINDS[i].name, name) == 0) return i;
    PyErr_Format(PyExc_ValueError, "no optimizer %s", name);
    return -1;
}

static PyObject *update_weights(PyObject *module, PyObject *args)
{
    request r = {.n_views = 0};
    tt_optimizer_update *u = &r.update;
    PyObject *vectors[N_VECTORS], *result = NULL;
    const char *name;
    int n_threads, kind, nesterov;
    if (!PyArg_ParseTuple(args, "sOOOOfff(ff)(ff)ffpi:update_weights", &name,
                          &vectors[0], &vectors[1], &vectors[2], &vectors[3], &u->rate,
                          &u->decay, &u->shrink, &u->keep[0], &u->keep[1], &u->add[0],
                          &u->add[1], &u->root, &u->epsilon, &nesterov, &n_threads))
        return NULL;
    kind = find_kind(name);
    if (kind < 0) return NULL;
    if (n_threads < 0) {
        PyErr_Format(PyExc_ValueError, "no %d threads", n_threads);
        return NULL;
    }
    if (n_threads == 0) n_threads = tt_cpu_get()->n_threads;
    u->kind = KINDS[kind].kind;
    u->nesterov = nesterov != 0;
    if (vectors[0] == Py_None || vectors[1] == Py_None)
        PyErr_SetString(PyExc_ValueError, "expected weights and a gradient");
    else if (read_vectors(&r, vectors, kind) == 0)
        result = update(tt_state_of(module), &r, n_threads);
    release(&r);
    return result;
}

PyMethodDef tt_optimizer_functions[] = {
    {"update_weights", update_weights, METH_VARARGS,
     "update_weights(kind, weights, gradient, first, second, rate, decay, shrink, "
     "keep, "
     "add, root, epsilon, nesterov, n_threads, /)\n\n"
     "One update in place of float32 vectors; see csrc/kernels/optimizer.h."},
    {NULL,             NULL,           0,            NULL                   },
};
