/* tt_error -> the exception classes of trimtab.errors. */
#include <stdarg.h>
#include <string.h>

#include "bind/module.h"

static const struct {
    const char *code, *class_name;
} error_classes[TT_STATUS_COUNT] = {
    [TT_OK] = {"OK",             "InternalError"     },
    [TT_BAD_MODEL] = {"BAD_MODEL",      "ModelFormatError"  },
    [TT_FILE_CHANGED] = {"FILE_CHANGED",   "ModelFormatError"  },
    [TT_LIMIT] = {"LIMIT",          "ModelLimitError"   },
    [TT_UNSUPPORTED] = {"UNSUPPORTED",    "UnsupportedOpError"},
    [TT_BAD_INPUT] = {"BAD_INPUT",      "InputError"        },
    [TT_BAD_INPUT_TYPE] = {"BAD_INPUT_TYPE", "InputTypeError"    },
    [TT_NO_MEMORY] = {"NO_MEMORY",      "OutOfMemoryError"  },
    [TT_NEEDS_VALUE] = {"NEEDS_VALUE",    "InternalError"     },
    [TT_NEEDS_RUN] = {"NEEDS_RUN",      "InternalError"     },
    [TT_NO_DEVICE] = {"NO_DEVICE",      "DeviceError"       },
    [TT_INTERRUPTED] = {"INTERRUPTED",    "InternalError"     },
    [TT_CALLBACK] = {"CALLBACK",       "UnsupportedOpError"},
    [TT_INTERNAL] = {"INTERNAL",       "InternalError"     },
};

int tt_errors_import(tt_state *state)
{
    PyObject *module = PyImport_ImportModule("trimtab.errors");
    if (module == NULL) return -1;
    for (int i = 0; i < TT_STATUS_COUNT; ++i) {
        state->errors[i] = PyObject_GetAttrString(module, error_classes[i].class_name);
        if (state->errors[i] == NULL) break;
    }
    Py_DECREF(module);
    return PyErr_Occurred() == NULL ? 0 : -1;
}

/* Sets class(text) with .code and .where; `text` is stolen and may be NULL. */
static void set_error(tt_state *state, tt_status status, PyObject *text,
                      const char *where)
{
    PyObject *error = NULL, *code = NULL, *name = NULL;
    if ((unsigned)status >= TT_STATUS_COUNT) status = TT_INTERNAL;
    if (text == NULL) return;
    error = PyObject_CallOneArg(state->errors[status], text);
    if (error == NULL) goto done;
    code = PyUnicode_FromString(error_classes[status].code);
    name = PyUnicode_DecodeUTF8(where, (Py_ssize_t)strlen(where), "replace");
    if (code == NULL || name == NULL) goto done;
    if (PyObject_SetAttrString(error, "code", code) < 0) goto done;
    if (PyObject_SetAttrString(error, "where", name) < 0) goto done;
    PyErr_SetObject(state->errors[status], error);
done:
    Py_DECREF(text);
    Py_XDECREF(error);
    Py_XDECREF(code);
    Py_XDECREF(name);
}

PyObject *tt_raise(tt_state *state, tt_status status, const tt_error *err)
{
    const char *where = err->where, *text = err->text;
    PyObject *message;
    if (PyErr_Occurred()) return NULL;
    if (text[0] == '\0') text = tt_status_text(status);
    if (where[0] == '\0' || strstr(text, where) != NULL)
        message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    else
        message = PyUnicode_FromFormat("%s (at '%s')", text, where);
    set_error(state, status, message, where);
    return NULL;
}

PyObject *tt_raise_format(tt_state *state, tt_status status, const char *format, ...)
{
    PyObject *type, *cause, *traceback, *text, *error;
    va_list args;
    PyErr_Fetch(&type, &cause, &traceback);
    PyErr_NormalizeException(&type, &cause, &traceback);
    va_start(args, format);
    text = PyUnicode_FromFormatV(format, args);
    va_end(args);
    set_error(state, status, text, "");
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    if (cause == NULL) return NULL;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (error != NULL)
        PyException_SetCause(error, cause);
    else
        Py_DECREF(cause);
    PyErr_Restore(type, error, traceback);
    return NULL;
}
