/* trimtab._core.Watcher as a Python type. */
#include "bind/watcher.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "bind/array.h"
#include "watch/process.h"

static const char *const stage_names[TT_STAGE_COUNT] = {
#define STAGE_NAME(code, name) [code] = name,
    TT_STAGE_LIST(STAGE_NAME)
#undef STAGE_NAME
};

static const char *const error_names[TT_WATCH_ERROR_COUNT] = {
#define ERROR_NAME(name) #name,
    TT_WATCH_ERROR_LIST(ERROR_NAME)
#undef ERROR_NAME
};

static tt_watcher_object *watcher_of(PyObject *object)
{
    return (tt_watcher_object *)object;
}

void tt_watcher_lock(tt_watcher_object *watcher)
{
    PyThreadState *saved = PyEval_SaveThread();
    (void)pthread_mutex_lock(&watcher->lock->mutex);
    PyEval_RestoreThread(saved);
}

void tt_watcher_unlock(tt_watcher_object *watcher)
{
    (void)pthread_mutex_unlock(&watcher->lock->mutex);
}

/* ---- errors -------------------------------------------------------------------------- */

/* The place of the nearest base class that has one. */
static tt_watch_error error_index(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        const char *dot = strrchr(type->tp_name, '.');
        const char *name = dot == NULL ? type->tp_name : dot + 1;
        for (int i = 0; i < TT_WATCH_ERROR_COUNT; ++i)
            if (strcmp(name, error_names[i]) == 0) return (tt_watch_error)i;
    }
    return TT_WATCH_BaseException;
}

void tt_watcher_count_error(atomic_ullong *errors, PyTypeObject *type, uint64_t n)
{
    tt_count(&errors[error_index(type)], n);
}

void tt_watcher_count_pending(atomic_ullong *errors, uint64_t n)
{
    PyObject *type = PyErr_Occurred();
    if (type != NULL && PyType_Check(type))
        tt_watcher_count_error(errors, (PyTypeObject *)type, n);
}

/* ---- life ---------------------------------------------------------------------------- */

static int open_counters(tt_watcher_object *self, const char *path, const char *name)
{
    PyThreadState *saved = PyEval_SaveThread();
    tt_error err = {0};
    bool wipes;
    tt_status status = tt_counters_open(path, name, &self->counters, &err);
    if (status == TT_OK) {
        self->lock = tt_wiped_alloc(sizeof *self->lock, &wipes);
        if (self->lock == NULL)
            status = tt_fail(&err, TT_NO_MEMORY, "a page for a lock");
        else
            self->lock->is_known = true;
    }
    PyEval_RestoreThread(saved);
    if (status == TT_OK) return 0;
    tt_raise(self->state, status, &err);
    return -1;
}

/* Watcher(path=None, *, name="") */
static PyObject *watcher_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"path", "name", NULL};
    tt_watcher_object *self;
    PyObject *path = Py_None, *bytes = NULL;
    const char *name = "";
    int status = -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O$s:Watcher", names, &path,
                                     &name))
        return NULL;
    if (path != Py_None && !PyUnicode_FSConverter(path, &bytes)) return NULL;
    self = (tt_watcher_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = PyType_GetModuleState(type);
        self->path = bytes == NULL
                         ? Py_NewRef(Py_None)
                         : PyUnicode_DecodeFSDefault(PyBytes_AS_STRING(bytes));
        self->budget = tt_budget_new(0, 0.0);
        if (self->path != NULL)
            status = open_counters(
                self, bytes == NULL ? NULL : PyBytes_AS_STRING(bytes), name);
        if (status < 0) Py_CLEAR(self);
    }
    Py_XDECREF(bytes);
    return (PyObject *)self;
}

static void watcher_dealloc(PyObject *object)
{
    tt_watcher_object *self = watcher_of(object);
    PyTypeObject *type = Py_TYPE(object);
    /* in a child the tables are its parent's, perhaps locked: let them go with it */
    if (self->lock != NULL && self->lock->is_known) tt_watch_list_clear(&self->list);
    tt_wiped_free(self->lock, sizeof *self->lock);
    tt_counters_close(self->counters);
    tt_node_times_clear(&self->nodes);
    Py_XDECREF(self->path);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- counting ------------------------------------------------------------------------- */

static int read_u64(PyObject *object, uint64_t *out)
{
    *out = PyLong_AsUnsignedLongLong(object);
    return *out == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}

static uint64_t since(uint64_t begun, uint64_t now)
{
    return now > begun ? now - begun : 0;
}

/* count_request(begun_ns, ready_ns=0, ran_ns=0, n=1) */
static PyObject *watcher_count_request(PyObject *object, PyObject *const *args,
                                       Py_ssize_t n_args)
{
    uint64_t now = tt_now_ns(), time[4] = {0, 0, 0, 1};
    tt_counts *counts = tt_counters_mine(watcher_of(object)->counters);
    if (n_args < 1 || n_args > 4)
        return PyErr_Format(PyExc_TypeError,
                            "count_request() takes 1 to 4 arguments, got %zd", n_args);
    for (Py_ssize_t i = 0; i < n_args; ++i)
        if (read_u64(args[i], &time[i]) < 0) return NULL;
    tt_count(&counts->n_requests, time[3]);
    tt_counts_time(counts, TT_STAGE_REQUEST, since(time[0], now), time[3]);
    if (time[1] != 0)
        tt_counts_time(counts, TT_STAGE_PREPROCESS, since(time[0], time[1]), 1);
    if (time[2] != 0)
        tt_counts_time(counts, TT_STAGE_POSTPROCESS, since(time[2], now), 1);
    Py_RETURN_NONE;
}

/* count_error(error, n=1): requests that ended with an exception */
static PyObject *watcher_count_error(PyObject *object, PyObject *const *args,
                                     Py_ssize_t n_args)
{
    tt_counts *counts = tt_counters_mine(watcher_of(object)->counters);
    uint64_t n = 1;
    if (n_args < 1 || n_args > 2 || !PyExceptionInstance_Check(args[0]))
        return PyErr_Format(PyExc_TypeError,
                            "count_error() takes an exception and a number");
    if (n_args == 2 && read_u64(args[1], &n) < 0) return NULL;
    tt_count(&counts->n_requests, n);
    tt_watcher_count_error(counts->request_errors, Py_TYPE(args[0]), n);
    Py_RETURN_NONE;
}

/* ---- reading -------------------------------------------------------------------------- */

/* The sums, freed with tt_free; NULL with an exception. */
static tt_counts *sum_of(PyObject *object, int *n_processes)
{
    tt_counts *sum = tt_calloc(1, sizeof *sum);
    if (sum == NULL)
        PyErr_NoMemory();
    else
        tt_counters_sum(watcher_of(object)->counters, sum, n_processes);
    return sum;
}

/* dict[name] = value, which is taken; 0, or -1 with an exception. */
static int put(PyObject *dict, const char *name, PyObject *value)
{
    int status = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);
    Py_XDECREF(value);
    return status;
}

static PyObject *number(const atomic_ullong *counter)
{
    return PyLong_FromUnsignedLongLong(tt_counted(counter));
}

static PyObject *errors_dict(const atomic_ullong *errors)
{
    PyObject *dict = PyDict_New();
    for (int i = 0; dict != NULL && i < TT_WATCH_ERROR_COUNT; ++i)
        if (tt_counted(&errors[i]) != 0 &&
            put(dict, error_names[i], number(&errors[i])) < 0)
            Py_CLEAR(dict);
    return dict;
}

static PyObject *oddity_dict(const tt_oddity *oddity)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
#define PUT(name) put(dict, #name, number(&oddity->name)) < 0 ||
    if (TT_ODDITY_LIST(PUT) false) Py_CLEAR(dict);
#undef PUT
    return dict;
}

/* As many as the program has, or as were looked at. */
static PyObject *oddity_list(const tt_oddity *oddities, int n)
{
    PyObject *list;
    for (int i = n; i < TT_ODDITIES; ++i)
        if (tt_counted(&oddities[i].n_rows) != 0) n = i + 1;
    if (n > TT_ODDITIES) n = TT_ODDITIES;
    list = PyList_New(n);
    for (int i = 0; list != NULL && i < n; ++i) {
        PyObject *dict = oddity_dict(&oddities[i]);
        if (dict == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, dict);
    }
    return list;
}

static double seconds(const atomic_ullong *time_ns)
{
    return (double)tt_counted(time_ns) * 1e-9;
}

static PyObject *stage_dict(const tt_counts *counts, int stage)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {
        {"p50_s",  0.5  },
        {"p90_s",  0.9  },
        {"p99_s",  0.99 },
        {"p999_s", 0.999}
    };
    const tt_latency *latency = &counts->stages[stage];
    uint64_t max_ns = tt_counted(&counts->max_ns[stage]);
    PyObject *dict = Py_BuildValue(
        "{sKsdsd}", "n", (unsigned long long)tt_latency_n(latency), "sum_s",
        seconds(&counts->sum_ns[stage]), "max_s", 1e-9 * (double)max_ns);
    for (size_t i = 0; dict != NULL && i < sizeof quantiles / sizeof quantiles[0];
         ++i) {
        double time_ns = tt_latency_quantile(latency, max_ns, quantiles[i].q);
        if (put(dict, quantiles[i].name, PyFloat_FromDouble(1e-9 * time_ns)) < 0)
            Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *stages_dict(const tt_counts *counts)
{
    PyObject *dict = PyDict_New();
    for (int i = 0; dict != NULL && i < TT_STAGE_COUNT; ++i)
        if (put(dict, stage_names[i], stage_dict(counts, i)) < 0) Py_CLEAR(dict);
    return dict;
}

static PyObject *snapshot_dict(const tt_watcher_object *self, const tt_counts *counts,
                               int n_processes)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    if (put(dict, "n_calls", number(&counts->n_calls)) < 0 ||
        put(dict, "n_rows", number(&counts->n_rows)) < 0 ||
        put(dict, "errors", errors_dict(counts->call_errors)) < 0 ||
        put(dict, "n_requests", number(&counts->n_requests)) < 0 ||
        put(dict, "request_errors", errors_dict(counts->request_errors)) < 0 ||
        put(dict, "stages", stages_dict(counts)) < 0 ||
        put(dict, "inputs", oddity_list(counts->inputs, self->list.n_inputs)) < 0 ||
        put(dict, "outputs", oddity_list(counts->outputs, self->list.n_outputs)) < 0 ||
        put(dict, "n_calls_looked", number(&counts->n_calls_looked)) < 0 ||
        put(dict, "n_rows_looked", number(&counts->n_rows_looked)) < 0 ||
        put(dict, "look_s", PyFloat_FromDouble(seconds(&counts->look_ns))) < 0 ||
        put(dict, "nodes", tt_node_times_list(&self->nodes)) < 0 ||
        put(dict, "n_processes", PyLong_FromLong(n_processes)) < 0)
        Py_CLEAR(dict);
    return dict;
}

static PyObject *watcher_snapshot(PyObject *self, PyObject *ignored)
{
    int n_processes;
    tt_counts *sum = sum_of(self, &n_processes);
    PyObject *dict =
        sum == NULL ? NULL : snapshot_dict(watcher_of(self), sum, n_processes);
    (void)ignored;
    tt_free(sum);
    return dict;
}

/* The stage of this name; of NULL that of requests, or of calls where there are none;
 * -1 with an exception. */
static int find_stage(PyObject *self, const tt_counts *counts, const char *name)
{
    if (name == NULL)
        return tt_counted(&counts->n_requests) > 0 ? TT_STAGE_REQUEST
                                                   : TT_STAGE_COMPUTE;
    for (int i = 0; i < TT_STAGE_COUNT; ++i)
        if (strcmp(name, stage_names[i]) == 0) return i;
    tt_raise_format(watcher_of(self)->state, TT_BAD_INPUT,
                    "there is no stage '%s': expected '%s', '%s', '%s' or '%s'", name,
                    stage_names[0], stage_names[1], stage_names[2], stage_names[3]);
    return -1;
}

/* latency(q, stage=None) -> float, s */
static PyObject *watcher_latency(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "stage", NULL};
    const char *stage = NULL;
    double q, time_ns = NAN;
    tt_counts *sum;
    int n_processes, at;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "d|z:latency", names, &q, &stage))
        return NULL;
    if (!(q >= 0.0 && q <= 1.0))
        return tt_raise_format(watcher_of(self)->state, TT_BAD_INPUT,
                               "expected a quantile from 0 to 1, got %S",
                               PyTuple_GET_ITEM(args, 0));
    sum = sum_of(self, &n_processes);
    if (sum == NULL) return NULL;
    at = find_stage(self, sum, stage);
    if (at >= 0)
        time_ns =
            tt_latency_quantile(&sum->stages[at], tt_counted(&sum->max_ns[at]), q);
    tt_free(sum);
    return at < 0 ? NULL : PyFloat_FromDouble(1e-9 * time_ns);
}

/* histogram(stage=None) -> (upper ends in s, counts) of the cells that hold something */
static PyObject *watcher_histogram(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"stage", NULL};
    PyObject *ends = NULL, *counts = NULL;
    const char *stage = NULL;
    const tt_latency *latency = NULL;
    double *end_s;
    int64_t *count, n = 0;
    tt_counts *sum;
    int n_processes, at;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|z:histogram", names, &stage))
        return NULL;
    sum = sum_of(self, &n_processes);
    at = sum == NULL ? -1 : find_stage(self, sum, stage);
    if (at >= 0) latency = &sum->stages[at];
    for (int i = 0; latency != NULL && i <= TT_LATENCY_CELLS; ++i)
        n += tt_counted(&latency->counts[i]) != 0;
    if (latency != NULL) {
        ends = tt_array_f64(n, &end_s);
        counts = tt_array_i64(n, &count);
    }
    for (int i = 0; ends != NULL && counts != NULL && i <= TT_LATENCY_CELLS; ++i) {
        uint64_t held = tt_counted(&latency->counts[i]);
        if (held == 0) continue;
        *end_s++ =
            i == TT_LATENCY_CELLS ? HUGE_VAL : 1e-9 * (double)tt_latency_low_ns(i + 1);
        *count++ = (int64_t)held;
    }
    tt_free(sum);
    if (ends != NULL && counts != NULL) return Py_BuildValue("NN", ends, counts);
    Py_XDECREF(ends);
    Py_XDECREF(counts);
    return NULL;
}

/* Exchanges the list for `fresh`; false: it is no longer the one that fresh was made
 * for. */
static bool exchange(tt_watcher_object *self, const tt_watched *made_for,
                     tt_watch_list *list)
{
    tt_watch_list fresh = *list;
    bool is_same;
    tt_watcher_lock(self);
    is_same = self->list.watched == made_for;
    if (is_same) {
        if (!self->lock->is_known) tt_watch_list_forget(&self->list);
        self->lock->is_known = true;
        *list = self->list;
        self->list = fresh;
    }
    tt_watcher_unlock(self);
    return is_same;
}

/* swap() -> {"inputs": {index: TableSketch}, "outputs": ...} */
static PyObject *watcher_swap(PyObject *object, PyObject *ignored)
{
    tt_watcher_object *self = watcher_of(object);
    PyObject *tables;
    (void)ignored;
    for (;;) {
        const tt_watched *made_for = self->list.watched;
        tt_watch_list list;
        if (tt_watch_list_fresh(self->state, &self->list, &list) < 0) return NULL;
        if (exchange(self, made_for, &list)) {
            tables = tt_watch_list_tables(self->state, &list);
            tt_watch_list_clear(&list);
            return tables;
        }
        tt_watch_list_clear(&list); /* another thread was quicker */
    }
}

/* ---- the type --------------------------------------------------------------------------- */

static PyObject *watcher_path(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(watcher_of(self)->path);
}

static PyObject *watcher_name(PyObject *self, void *closure)
{
    const char *name = tt_counters_name(watcher_of(self)->counters);
    (void)closure;
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
}

static PyObject *watcher_repr(PyObject *object)
{
    PyObject *name = watcher_name(object, NULL), *text;
    if (name == NULL) return NULL;
    text = PyUnicode_FromFormat("Watcher(%R, name=%R)", watcher_of(object)->path, name);
    Py_DECREF(name);
    return text;
}

static PyMethodDef methods[] = {
    {"snapshot",      watcher_snapshot,                 METH_NOARGS,
     "snapshot()\n\nAll counts so far, of all processes, as a dict."                      },
    {"latency",       TT_METHOD(watcher_latency),       METH_VARARGS | METH_KEYWORDS,
     "latency(q, /, stage=None)\n\nA quantile of the time that a stage takes, in s."      },
    {"histogram",     TT_METHOD(watcher_histogram),     METH_VARARGS | METH_KEYWORDS,
     "histogram(stage=None)\n\nUpper ends of cells, in s, and their counts."              },
    {"swap",          watcher_swap,                     METH_NOARGS,
     "swap()\n\nThe filled sketches; from now on empty ones are filled."                  },
    {"count_request", TT_METHOD(watcher_count_request), METH_FASTCALL,
     "count_request(begun_ns, ready_ns=0, ran_ns=0, n=1, /)\n\nRequests that end now."    },
    {"count_error",   TT_METHOD(watcher_count_error),   METH_FASTCALL,
     "count_error(error, n=1, /)\n\nRequests that ended with an exception."               },
    {NULL,            NULL,                             0,                            NULL},
};

static PyGetSetDef getters[] = {
    {"path", watcher_path, NULL, "file that processes share, or None", NULL},
    {"name", watcher_name, NULL, "what is counted",                    NULL},
    {NULL,   NULL,         NULL, NULL,                                 NULL},
};

static PyType_Slot slots[] = {
    TT_SLOT(Py_tp_new, watcher_new),
    TT_SLOT(Py_tp_dealloc, watcher_dealloc),
    TT_SLOT(Py_tp_repr, watcher_repr),
    {Py_tp_methods, methods                         },
    {Py_tp_getset,  getters                         },
    {Py_tp_doc,     "Counts what a deployment does."},
    {0,             NULL                            },
};

PyType_Spec tt_watcher_spec = {
    .name = "trimtab._core.Watcher",
    .basicsize = sizeof(tt_watcher_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
