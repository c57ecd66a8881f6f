/* What a watcher looks at, read from Python's dicts and given back as such. */
#include <math.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "bind/table.h"
#include "bind/watcher.h"

void tt_watch_list_clear(tt_watch_list *list)
{
    int n = list->watched == NULL ? 0 : list->n_inputs + list->n_outputs;
    for (int i = 0; i < n; ++i)
        tt_table_free(list->watched[i].table);
    tt_free(list->watched);
    *list = (tt_watch_list){0};
}

static int begin(tt_watch_list *list, int n_inputs, int n_outputs)
{
    int n = n_inputs + n_outputs;
    *list = (tt_watch_list){.n_inputs = n_inputs, .n_outputs = n_outputs};
    list->watched = tt_calloc((size_t)n + 1, sizeof *list->watched);
    if (list->watched == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < n; ++i) {
        list->watched[i].low = -HUGE_VAL;
        list->watched[i].high = HUGE_VAL;
    }
    return 0;
}

static int new_table(tt_state *state, tt_table *like, tt_table **out)
{
    tt_error err = {0};
    tt_status status = tt_table_new(tt_table_layout_of(like), out, &err);
    if (status == TT_OK) return 0;
    *out = NULL;
    tt_raise(state, status, &err);
    return -1;
}

/* ---- reading ---------------------------------------------------------------------- */

/* 0 <= index < n, or -1 with an exception. */
static int read_index(tt_state *state, PyObject *key, int n, const char *what)
{
    long index = PyLong_Check(key) ? PyLong_AsLong(key) : -1;
    if (index == -1 && PyErr_Occurred()) PyErr_Clear();
    if (index >= 0 && index < n) return (int)index;
    tt_raise_format(state, TT_BAD_INPUT, "%s: expected keys from 0 to %d, got %R", what,
                    n - 1, key);
    return -1;
}

/* NULL if the argument is None; else it is a dict. */
static int check_dict(tt_state *state, PyObject **argument, const char *what)
{
    if (*argument == NULL || *argument == Py_None) {
        *argument = NULL;
        return 0;
    }
    if (PyDict_Check(*argument)) return 0;
    tt_raise_format(state, TT_BAD_INPUT_TYPE, "%s: expected a dict by index, got %R",
                    what, Py_TYPE(*argument));
    return -1;
}

static int read_tables(tt_state *state, PyObject *dict, int n, const char *what,
                       tt_watched *watched)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (check_dict(state, &dict, what) < 0) return -1;
    while (dict != NULL && PyDict_Next(dict, &at, &key, &value)) {
        int index = read_index(state, key, n, what);
        tt_table *like = index < 0 ? NULL : tt_table_of_object(state, value);
        if (like == NULL || new_table(state, like, &watched[index].table) < 0)
            return -1;
    }
    return 0;
}

static int read_limits(tt_state *state, PyObject *dict, int n, tt_watched *watched)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (check_dict(state, &dict, "limits") < 0) return -1;
    while (dict != NULL && PyDict_Next(dict, &at, &key, &value)) {
        int index = read_index(state, key, n, "limits");
        double low, high;
        if (index < 0) return -1;
        if (!PyTuple_Check(value) || !PyArg_ParseTuple(value, "dd", &low, &high) ||
            !(low <= high)) {
            tt_raise_format(state, TT_BAD_INPUT,
                            "limits of input %d: expected (low, high), got %R", index,
                            value);
            return -1;
        }
        watched[index].low = low;
        watched[index].high = high;
    }
    return 0;
}

int tt_watch_list_read(tt_program_object *program, PyObject *inputs, PyObject *outputs,
                       PyObject *limits, tt_watch_list *list)
{
    tt_state *state = program->state;
    int n = program->model->n_inputs;
    if (begin(list, n, program->n_outputs) < 0) return -1;
    if (read_tables(state, inputs, n, "inputs", list->watched) == 0 &&
        read_tables(state, outputs, program->n_outputs, "outputs", list->watched + n) ==
            0 &&
        read_limits(state, limits, n, list->watched) == 0)
        return 0;
    tt_watch_list_clear(list);
    return -1;
}

int tt_watch_list_fresh(tt_state *state, const tt_watch_list *list, tt_watch_list *out)
{
    if (begin(out, list->n_inputs, list->n_outputs) < 0) return -1;
    for (int i = 0; i < list->n_inputs + list->n_outputs; ++i) {
        tt_table *table = list->watched[i].table;
        out->watched[i] =
            (tt_watched){list->watched[i].low, list->watched[i].high, NULL};
        if (table != NULL && new_table(state, table, &out->watched[i].table) < 0) {
            tt_watch_list_clear(out);
            return -1;
        }
    }
    return 0;
}

void tt_watch_list_forget(tt_watch_list *list)
{
    for (int i = 0; i < list->n_inputs + list->n_outputs; ++i) {
        tt_table *table = list->watched[i].table;
        if (table == NULL || tt_table_new(tt_table_layout_of(table),
                                          &list->watched[i].table, NULL) == TT_OK)
            continue;
        list->watched[i].table = NULL;
    }
}

/* ---- giving back --------------------------------------------------------------------- */

static PyObject *take_tables(tt_state *state, tt_watched *watched, int n)
{
    PyObject *dict = PyDict_New();
    for (int i = 0; dict != NULL && i < n; ++i) {
        PyObject *key, *sketch;
        if (watched[i].table == NULL) continue;
        key = PyLong_FromLong(i);
        sketch = tt_table_object_new(state, watched[i].table);
        watched[i].table = NULL;
        if (key == NULL || sketch == NULL || PyDict_SetItem(dict, key, sketch) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(sketch);
    }
    return dict;
}

PyObject *tt_watch_list_tables(tt_state *state, tt_watch_list *list)
{
    PyObject *inputs = take_tables(state, list->watched, list->n_inputs), *outputs;
    if (inputs == NULL) return NULL;
    outputs = take_tables(state, list->watched + list->n_inputs, list->n_outputs);
    if (outputs == NULL) {
        Py_DECREF(inputs);
        return NULL;
    }
    return Py_BuildValue("{sNsN}", "inputs", inputs, "outputs", outputs);
}

bool tt_watched_update(tt_watched *watched, const tt_view *view)
{
    return tt_table_update(watched->table, view, tt_cpu_get()->isa, NULL) == TT_OK;
}
