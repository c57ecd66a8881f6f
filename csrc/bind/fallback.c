/* Nodes that the engine has no operator for, run by a Python callable
 * (graph_index, node_index, [value or None, ...]) -> [value, ...]: arrays, arrays of str,
 * lists of arrays, None for nothing.
 *
 * The arrays are copies: the callable may keep them.  A node that needs this path
 * costs far more than that. */
#include "bind/array.h"

static PyObject *arguments(tt_model_object *model, const tt_tensor *const *inputs,
                           int n_inputs)
{
    PyObject *list = PyList_New(n_inputs);
    for (int i = 0; list != NULL && i < n_inputs; ++i) {
        PyObject *array;
        if (inputs[i] == NULL) {
            Py_INCREF(Py_None);
            array = Py_None;
        } else if ((array = tt_object_copy_of(model->state, inputs[i])) == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, i, array);
    }
    return list;
}

static tt_status results(tt_model_object *model, PyObject *returned, tt_tensor *out,
                         int n_outputs, tt_error *err)
{
    tt_status status = TT_OK;
    PyObject *list = PySequence_Fast(returned, "");
    int n_done = 0;
    if (list == NULL) {
        PyErr_Clear();
        return tt_fail(err, TT_CALLBACK, "a fallback returned a %s, expected a list",
                       Py_TYPE(returned)->tp_name);
    }
    if (PySequence_Fast_GET_SIZE(list) < n_outputs) {
        status =
            tt_fail(err, TT_CALLBACK, "a fallback returned %zd arrays, expected %d",
                    PySequence_Fast_GET_SIZE(list), n_outputs);
        goto done;
    }
    for (; n_done < n_outputs; ++n_done) {
        status = tt_object_to_tensor(
            model->state, PySequence_Fast_GET_ITEM(list, n_done),
            tt_model_graph(model->model)->limits, &out[n_done], err);
        if (status != TT_OK) break;
    }
    if (status != TT_OK)
        while (n_done-- > 0)
            tt_tensor_free(&out[n_done]);
done:
    Py_DECREF(list);
    return status;
}

/* The pending exception as text; it stays pending if this thread will see Python
 * again, and it is dropped if the thread state dies with this call. */
static tt_status failed(bool keeps_thread_state, tt_error *err)
{
    PyObject *type, *value, *traceback, *text;
    const char *utf8;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    text = value == NULL ? NULL : PyObject_Str(value);
    utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    if (utf8 == NULL) PyErr_Clear();
    (void)tt_fail(err, TT_CALLBACK, "a fallback failed: %s",
                  utf8 == NULL ? "unknown error" : utf8);
    Py_XDECREF(text);
    if (keeps_thread_state) {
        PyErr_Restore(type, value, traceback);
    } else {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    return TT_CALLBACK;
}

tt_status tt_fallback_call(void *arg, int graph, int node,
                           const tt_tensor *const *inputs, int n_inputs, tt_tensor *out,
                           int n_outputs, tt_error *err)
{
    tt_model_object *model = arg;
    bool is_known = PyGILState_GetThisThreadState() != NULL;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *list = arguments(model, inputs, n_inputs), *returned = NULL;
    tt_status status;
    model->n_fallbacks += 1;
    if (list != NULL)
        returned = PyObject_CallFunction(model->fallback, "iiO", graph, node, list);
    status = returned == NULL ? failed(is_known, err)
                              : results(model, returned, out, n_outputs, err);
    Py_XDECREF(list);
    Py_XDECREF(returned);
    PyGILState_Release(gil);
    return status;
}
