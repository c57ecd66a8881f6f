/* Bins of a table from Python objects: see table_layout.h. */
#include "bind/table_layout.h"

#include "base/alloc.h"
#include "bind/array.h"

/* Floats as doubles into a block that the column points to. */
static int read_edges(tt_state *state, const tt_view *view, tt_table_column *column)
{
    bool is_f64 = tt_view_is_f64(view->dtype);
    double *edges = tt_calloc((size_t)column->n + 1, sizeof *edges);
    column->edges = edges;
    if (edges == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    (void)state;
    for (int64_t i = 0; i < column->n; ++i) {
        const char *src = view->data + i * view->strides[0];
        float single;
        tt_view_gather(view->dtype, src, 0, 1, is_f64 ? (void *)&edges[i] : &single);
        if (!is_f64) edges[i] = (double)single;
    }
    return 0;
}

static int read_codes(tt_state *state, const tt_view *view, tt_table_column *column)
{
    int64_t *codes = tt_calloc((size_t)column->n + 1, sizeof *codes);
    column->codes = codes;
    column->is_categorical = true;
    if (codes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    (void)state;
    for (int64_t i = 0; i < column->n; ++i)
        memcpy(&codes[i], view->data + i * view->strides[0], sizeof *codes);
    return 0;
}

static int read_bins(tt_state *state, Py_ssize_t at, PyObject *object,
                     tt_table_column *column)
{
    tt_view view;
    PyObject *kept;
    int failed = -1;
    if (object == Py_None) return 0; /* no edges: one bin */
    if (tt_array_view(state, object, &view, &kept) < 0) return -1;
    if (view.rank != 1 || view.dims[0] > TT_TABLE_MAX_CATEGORIES)
        tt_raise_format(state, TT_BAD_INPUT,
                        "column %zd: expected one dim of edges or at most %d codes, "
                        "got %R",
                        at, TT_TABLE_MAX_CATEGORIES, kept);
    else if (!tt_dtype_is_float(view.dtype) && view.dtype != TT_S64)
        tt_raise_format(state, TT_BAD_INPUT_TYPE,
                        "column %zd: expected edges of floats or int64 codes of "
                        "categories, got %s",
                        at, tt_dtype_name(view.dtype));
    else {
        column->n = view.dims[0];
        failed = view.dtype == TT_S64 ? read_codes(state, &view, column)
                                      : read_edges(state, &view, column);
    }
    Py_DECREF(kept);
    return failed;
}

static int read_scale(tt_state *state, Py_ssize_t at, PyObject *object,
                      tt_table_column *column)
{
    if (object == Py_None) return 0;
    column->scale = PyFloat_AsDouble(object);
    if (column->scale == -1.0 && PyErr_Occurred()) return -1;
    if (column->scale > 0.0) return 0;
    tt_raise_format(state, TT_BAD_INPUT,
                    "column %zd: expected a positive scale or None, got %R", at,
                    object);
    return -1;
}

static int read_columns(tt_state *state, PyObject *edges, PyObject *scales,
                        tt_table_column *columns)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(edges); ++i) {
        if (read_bins(state, i, PyTuple_GET_ITEM(edges, i), &columns[i]) < 0) return -1;
        if (scales != NULL &&
            read_scale(state, i, PyTuple_GET_ITEM(scales, i), &columns[i]) < 0)
            return -1;
    }
    return 0;
}

static tt_table_layout *layout_of(tt_state *state, PyObject *edges, PyObject *scales)
{
    Py_ssize_t n = PyTuple_GET_SIZE(edges);
    tt_table_layout *layout = NULL;
    tt_table_column *columns;
    tt_error err = {0};
    tt_status status;
    if (scales != NULL && PyTuple_GET_SIZE(scales) != n) {
        tt_raise_format(state, TT_BAD_INPUT,
                        "expected %zd scales, one a column, got %zd", n,
                        PyTuple_GET_SIZE(scales));
        return NULL;
    }
    columns = tt_calloc((size_t)n + 1, sizeof *columns);
    if (columns == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (read_columns(state, edges, scales, columns) == 0) {
        status = tt_table_layout_new(columns, n, &layout, &err);
        if (status != TT_OK) tt_raise(state, status, &err);
    }
    for (Py_ssize_t i = 0; i < n; ++i) {
        tt_free((void *)(uintptr_t)columns[i].edges);
        tt_free((void *)(uintptr_t)columns[i].codes);
    }
    tt_free(columns);
    return layout;
}

/* Tuples, so that nobody changes them while they are read. */
tt_table_layout *tt_table_layout_from(tt_state *state, PyObject *edges,
                                      PyObject *scales)
{
    PyObject *bins = PySequence_Tuple(edges);
    PyObject *numbers = scales == Py_None ? NULL : PySequence_Tuple(scales);
    tt_table_layout *layout = NULL;
    if (bins != NULL && (scales == Py_None || numbers != NULL))
        layout = layout_of(state, bins, numbers);
    Py_XDECREF(bins);
    Py_XDECREF(numbers);
    return layout;
}
