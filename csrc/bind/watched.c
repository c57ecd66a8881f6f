/* The call of a program that has a watcher: timed, counted, and now and then looked at.
 *
 * Counting is a handful of atomic additions.  Looking reads the inputs and outputs once
 * more and is sampled (watch/budget.h); large tensors are read without the GIL. */
#include <errno.h>
#include <math.h>
#include <time.h>

#include "base/cpu.h"
#include "bind/array.h"
#include "bind/watcher.h"
#include "watch/look.h"

enum {
    MAX_LOOK_BYTES = 1 << 20, /* of one tensor, where cost decides */
    FEW_BYTES = 1 << 14       /* up to here the GIL is kept */
};

uint64_t tt_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- attaching --------------------------------------------------------------------- */

static void attach(tt_program_object *program, PyObject *watcher, bool counts_requests)
{
    PyObject *old = program->watcher;
    program->watcher = watcher == NULL ? NULL : Py_NewRef(watcher);
    program->counts_requests = counts_requests;
    Py_XDECREF(old);
}

PyObject *tt_program_watch(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"",       "inputs",   "outputs", "limits", "every",
                            "budget", "requests", "keep",    NULL};
    tt_program_object *program = (tt_program_object *)object;
    PyObject *given, *inputs = NULL, *outputs = NULL, *limits = NULL;
    tt_watcher_object *watcher;
    tt_watch_list list, old;
    Py_ssize_t every = 0;
    double budget = 0.005;
    int requests = false, keep = false;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$OOOndpp:watch", names, &given,
                                     &inputs, &outputs, &limits, &every, &budget,
                                     &requests, &keep))
        return NULL;
    if (given == Py_None) {
        attach(program, NULL, false);
        Py_RETURN_NONE;
    }
    if (!Py_IS_TYPE(given, program->state->watcher_type))
        return tt_raise_format(program->state, TT_BAD_INPUT_TYPE,
                               "expected a Watcher, got %R", Py_TYPE(given));
    if (keep) {
        if (inputs != NULL || outputs != NULL || limits != NULL)
            return tt_raise_format(program->state, TT_BAD_INPUT,
                                   "keep: what is looked at stays, expected no inputs, "
                                   "outputs or limits");
        attach(program, given, requests != 0);
        Py_RETURN_NONE;
    }
    if (every < 0)
        return tt_raise_format(program->state, TT_BAD_INPUT,
                               "every: expected one call in so many, or 0 to decide by "
                               "cost, got %zd",
                               every);
    if (!(budget >= 0.0 && budget <= 1.0))
        return tt_raise_format(program->state, TT_BAD_INPUT,
                               "budget: expected a share of the time, from 0 to 1, got "
                               "%d %%",
                               budget < 1e6 && budget > -1e6 ? (int)(budget * 100.0)
                                                             : -1);
    watcher = (tt_watcher_object *)given;
    if (tt_watch_list_read(program, inputs, outputs, limits, &list) < 0) return NULL;
    tt_watcher_lock(watcher);
    old = watcher->list;
    watcher->list = list;
    watcher->lock->is_known = true;
    tt_watcher_unlock(watcher);
    watcher->budget = tt_budget_new((uint64_t)every, budget);
    tt_watch_list_clear(&old);
    attach(program, given, requests != 0);
    Py_RETURN_NONE;
}

/* ---- looking ------------------------------------------------------------------------ */

enum { INLINE_VIEWS = 8 };

typedef struct {
    int n_inputs, n_outputs;
    tt_view *views;    /* of inputs, then outputs; without data: cannot be looked at */
    int64_t max_bytes; /* of each; 0: all of it */
    uint64_t random;
    tt_view inline_views[INLINE_VIEWS];
} look;

static tt_view view_of(const tt_shape *shape, const int64_t *strides, const void *data)
{
    int64_t item_bytes = (int64_t)tt_dtype_bytes(shape->dtype), dense = item_bytes;
    tt_view view = {.dtype = shape->dtype, .rank = shape->rank, .data = data};
    for (int i = shape->rank - 1; i >= 0; --i) {
        view.dims[i] = shape->dims[i];
        view.strides[i] = strides == NULL ? dense : strides[i] * item_bytes;
        dense *= shape->dims[i] > 0 ? shape->dims[i] : 1;
    }
    if (tt_dtype_is_object(shape->dtype)) view.data = NULL;
    return view;
}

/* Output i.  Only of new arrays of a static plan is the address still what it was. */
static tt_view output_view(const tt_request *request, int i)
{
    tt_view view = {0};
    PyObject *kept;
    if (request->is_static && request->targets[i] == NULL)
        return view_of(tt_plan_output(request->plan, i), NULL, request->outputs[i]);
    if (!request->is_static && tt_dtype_is_object(request->results[i].shape.dtype))
        return view;
    if (tt_array_view(request->program->state, request->arrays[i], &view, &kept) < 0) {
        PyErr_Clear();
        return (tt_view){0};
    }
    Py_DECREF(kept); /* the request has it */
    return view;
}

/* About how many bytes will be read; 0: nothing can be. */
static int64_t look_begin(look *l, const tt_request *request, bool is_sampled)
{
    int64_t n_bytes = 0, n_items;
    int n;
    l->n_inputs = request->program->model->n_inputs;
    l->n_outputs = request->program->n_outputs;
    l->max_bytes = is_sampled ? MAX_LOOK_BYTES : 0;
    n = l->n_inputs + l->n_outputs;
    l->views =
        n <= INLINE_VIEWS ? l->inline_views : PyMem_Calloc((size_t)n, sizeof *l->views);
    if (l->views == NULL) return 0;
    for (int i = 0; i < n; ++i) {
        tt_view *view = &l->views[i];
        if (i < l->n_inputs)
            *view = view_of(&request->tensors[i].shape, request->tensors[i].strides,
                            request->tensors[i].data);
        else
            *view = output_view(request, i - l->n_inputs);
        if (view->data == NULL || tt_view_check(view, &n_items, NULL) != TT_OK) {
            view->data = NULL;
            continue;
        }
        n_items *= (int64_t)tt_dtype_bytes(view->dtype);
        n_bytes += l->max_bytes > 0 && n_items > l->max_bytes ? l->max_bytes : n_items;
    }
    return n_bytes;
}

static void look_at(const look *l, const tt_view *view, tt_watched *watched,
                    tt_oddity *oddity)
{
    bool has_rows = view->rank > 0;
    tt_view part = *view;
    if (view->data == NULL) return;
    if (l->max_bytes > 0) part = tt_look_part(view, l->max_bytes, l->random, &has_rows);
    tt_look_at(&part, has_rows, watched->low, watched->high, tt_cpu_get()->isa, oddity);
    if (watched->table != NULL && !(has_rows && tt_watched_update(watched, &part)))
        tt_count(&oddity->n_unsketched, part.rank > 0 ? (uint64_t)part.dims[0] : 1);
}

static int at_most(int i, int n)
{
    return i < n ? i : n - 1;
}

/* Needs the lock, not the GIL. */
static void look_at_all(const look *l, tt_watcher_object *watcher)
{
    tt_watch_list *list = &watcher->list;
    tt_counts *counts = tt_counters_mine(watcher->counters);
    if (!watcher->lock->is_known) tt_watch_list_forget(list);
    watcher->lock->is_known = true;
    for (int i = 0; i < l->n_inputs && i < list->n_inputs; ++i)
        look_at(l, &l->views[i], &list->watched[i],
                &counts->inputs[at_most(i, TT_ODDITIES)]);
    for (int i = 0; i < l->n_outputs && i < list->n_outputs; ++i)
        look_at(l, &l->views[l->n_inputs + i], &list->watched[list->n_inputs + i],
                &counts->outputs[at_most(i, TT_ODDITIES)]);
}

/* Does the lock come without waiting?  Small tensors are then read with the GIL. */
static void look_locked(const look *l, tt_watcher_object *watcher, int64_t n_bytes)
{
    PyThreadState *saved;
    if (n_bytes <= FEW_BYTES && pthread_mutex_trylock(&watcher->lock->mutex) == 0) {
        look_at_all(l, watcher);
        (void)pthread_mutex_unlock(&watcher->lock->mutex);
        return;
    }
    saved = PyEval_SaveThread();
    (void)pthread_mutex_lock(&watcher->lock->mutex);
    look_at_all(l, watcher);
    (void)pthread_mutex_unlock(&watcher->lock->mutex);
    PyEval_RestoreThread(saved);
}

static void look_at_request(const tt_request *request, tt_watcher_object *watcher,
                            uint64_t n_rows)
{
    tt_counts *counts = tt_counters_mine(watcher->counters);
    uint64_t begun = tt_now_ns(), spent;
    int64_t n_bytes;
    look l;
    l.random = tt_budget_random(&watcher->budget);
    n_bytes = look_begin(&l, request, watcher->budget.every == 0);
    if (n_bytes > 0) look_locked(&l, watcher, n_bytes);
    if (l.views != l.inline_views) PyMem_Free(l.views);
    spent = tt_now_ns() - begun;
    tt_budget_spent(&watcher->budget, (double)spent);
    tt_count(&counts->n_calls_looked, 1);
    tt_count(&counts->n_rows_looked, n_rows);
    tt_count(&counts->look_ns, spent);
}

/* ---- calling ------------------------------------------------------------------------ */

static uint64_t rows_of(const tt_request *request)
{
    const tt_shape *shape = &request->tensors[0].shape;
    if (request->program->model->n_inputs == 0 || shape->rank == 0) return 1;
    return (uint64_t)shape->dims[0];
}

int tt_request_watched(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                       PyObject *const *outs, bool may_copy)
{
    PyObject *object = Py_NewRef(request->program->watcher); /* may be taken off */
    tt_watcher_object *watcher = (tt_watcher_object *)object;
    bool is_request = request->program->counts_requests;
    uint64_t begun = tt_now_ns(), spent, n_rows;
    int status = tt_request_read(request, args, n_args, may_copy);
    tt_counts *counts;
    request->is_timed = tt_node_times_want(&watcher->nodes);
    if (status == 0) status = tt_request_run(request, outs, may_copy);
    spent = tt_now_ns() - begun;
    counts = tt_counters_mine(watcher->counters);
    tt_count(&counts->n_calls, 1);
    if (is_request) tt_count(&counts->n_requests, 1);
    if (status < 0) {
        tt_watcher_count_pending(counts->call_errors, 1);
        if (is_request) tt_watcher_count_pending(counts->request_errors, 1);
    } else {
        n_rows = rows_of(request);
        tt_count(&counts->n_rows, n_rows);
        tt_counts_time(counts, TT_STAGE_COMPUTE, spent, 1);
        if (is_request) tt_counts_time(counts, TT_STAGE_REQUEST, spent, 1);
        if (request->step_ns != NULL)
            tt_node_times_add(&watcher->nodes, request->plan, request->step_ns);
        if (tt_budget_wants(&watcher->budget, (double)spent))
            look_at_request(request, watcher, n_rows);
    }
    Py_DECREF(object);
    return status;
}
