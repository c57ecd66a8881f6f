/* Times of nodes: a dict that grows by the nodes of the plans that ran. */
#include "bind/node_times.h"

enum { MOST_NODES = 4096 }; /* told apart; all others count as one without a name */

/* (n, ns) of a node, plus one time; a new reference, or NULL with an exception. */
static PyObject *plus(PyObject *known, int64_t ns)
{
    unsigned long long n = 0, sum = 0;
    if (known != NULL && !PyArg_ParseTuple(known, "KK", &n, &sum)) return NULL;
    return Py_BuildValue("(KK)", n + 1, sum + (unsigned long long)ns);
}

static int add_one(PyObject *by_node, const tt_step_info *info, int64_t ns)
{
    PyObject *known, *value, *key = Py_BuildValue("(zz)", info->node, info->op_type);
    int status = -1;
    if (key == NULL) return -1;
    known = PyDict_GetItemWithError(by_node, key); /* borrowed */
    if (known == NULL && !PyErr_Occurred() && PyDict_GET_SIZE(by_node) >= MOST_NODES) {
        Py_SETREF(key, Py_BuildValue("(ss)", "", "others"));
        known = key == NULL ? NULL : PyDict_GetItemWithError(by_node, key);
    }
    value = key == NULL || PyErr_Occurred() ? NULL : plus(known, ns);
    if (value != NULL) status = PyDict_SetItem(by_node, key, value);
    Py_XDECREF(value);
    Py_XDECREF(key);
    return status;
}

void tt_node_times_add(tt_node_times *times, const tt_plan *plan,
                       const int64_t *step_ns)
{
    int status = 0, n_steps = tt_plan_n_steps(plan);
    if (times->by_node == NULL) times->by_node = PyDict_New();
    if (times->by_node == NULL) status = -1;
    for (int i = 0; i < n_steps && status == 0; ++i) {
        tt_step_info info;
        tt_plan_step(plan, i, &info);
        status = add_one(times->by_node, &info, step_ns[i]);
    }
    if (status < 0) PyErr_Clear();
}

PyObject *tt_node_times_list(const tt_node_times *times)
{
    PyObject *key, *value, *list = PyList_New(0);
    Py_ssize_t at = 0;
    while (list != NULL && times->by_node != NULL &&
           PyDict_Next(times->by_node, &at, &key, &value)) {
        unsigned long long n, ns;
        PyObject *one = NULL;
        if (PyArg_ParseTuple(value, "KK", &n, &ns))
            one = Py_BuildValue("{s:O,s:O,s:K,s:d}", "node", PyTuple_GET_ITEM(key, 0),
                                "op_type", PyTuple_GET_ITEM(key, 1), "n", n, "sum_s",
                                (double)ns * 1e-9);
        if (one == NULL || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

void tt_node_times_clear(tt_node_times *times)
{
    Py_CLEAR(times->by_node);
}
