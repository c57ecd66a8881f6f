/* trimtab._core.Model: flat bytes and buffers -> a tt_model. */
#include "bind/array.h"

#include <string.h>

/* ---- making -------------------------------------------------------------- */

int tt_limits_read(PyObject *object, tt_limits *limits)
{
    *limits = tt_limits_default();
    if (object == NULL || object == Py_None) return 0;
#define READ_FIELD(field, value, text)                                                \
    do {                                                                              \
        PyObject *number = PyObject_GetAttrString(object, #field);                    \
        if (number == NULL) return -1;                                                \
        limits->field = PyLong_AsLongLong(number);                                    \
        Py_DECREF(number);                                                            \
        if (limits->field == -1 && PyErr_Occurred()) return -1;                       \
        if (limits->field < 0) {                                                      \
            PyErr_Format(PyExc_ValueError, "limits." #field " must not be negative"); \
            return -1;                                                                \
        }                                                                             \
    } while (0);
    TT_LIMITS_LIST(READ_FIELD)
#undef READ_FIELD
    return 0;
}

static int read_device(tt_state *state, const char *name, tt_device *device)
{
    if (strcmp(name, "cpu") == 0)
        *device = TT_DEVICE_CPU;
    else if (strcmp(name, "gpu") == 0)
        *device = TT_DEVICE_GPU;
    else {
        tt_raise_format(state, TT_BAD_INPUT, "device must be 'cpu' or 'gpu', got '%s'",
                        name);
        return -1;
    }
    return 0;
}

static int read_options(tt_state *state, PyObject *args, PyObject *kwargs,
                        Py_buffer *bytes, PyObject **buffers, tt_model_object *self,
                        tt_options *options)
{
    static char *keywords[] = {"data",   "buffers", "threads",  "device", "staging",
                               "passes", "limits",  "fallback", "copy",   NULL};
    PyObject *limits = NULL, *fallback = Py_None;
    const char *device = "cpu";
    int n_threads = 0, staging = 0, may_copy = 1;
    long passes = TT_PASS_ALL;
    *options = tt_options_default();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*O|$isplOOp:Model", keywords,
                                     bytes, buffers, &n_threads, &device, &staging,
                                     &passes, &limits, &fallback, &may_copy))
        return -1;
    if (read_device(state, device, &options->device) < 0) return -1;
    if (tt_limits_read(limits, &options->limits) < 0) return -1;
    if (n_threads < 0) {
        tt_raise_format(state, TT_BAD_INPUT, "threads must be at least 1, got %d",
                        n_threads);
        return -1;
    }
    if (n_threads > 0) options->n_threads = n_threads;
    options->staging = staging != 0;
    options->passes = (unsigned)passes & (unsigned)TT_PASS_ALL;
    self->may_copy = may_copy != 0;
    if (fallback != Py_None) {
        Py_INCREF(fallback);
        self->fallback = fallback;
        options->fallback = tt_fallback_call;
        options->fallback_arg = self;
    }
    return 0;
}

static int list_inputs(tt_model_object *self)
{
    const tt_graph *graph = tt_model_graph(self->model);
    self->inputs = PyMem_Calloc((size_t)graph->n_inputs + 1, sizeof *self->inputs);
    if (self->inputs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->n_inputs = graph->n_inputs;
    for (int i = 0; i < graph->n_inputs; ++i) {
        const tt_value *value = &graph->values[graph->inputs[i]];
        self->inputs[i].name = value->name;
        self->inputs[i].dtype = value->shape.dtype;
        self->inputs[i].is_optional = value->is_optional;
        self->inputs[i].item = value->item;
        self->inputs[i].key = PyUnicode_InternFromString(value->name);
        if (self->inputs[i].key == NULL) return -1;
        self->has_open_dims = self->has_open_dims || value->shape.rank < 0;
        for (int d = 0; d < value->shape.rank; ++d)
            self->has_open_dims = self->has_open_dims || value->shape.dims[d] < 0;
    }
    return 0;
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    tt_state *state = PyType_GetModuleState(type);
    tt_model_object *self = (tt_model_object *)type->tp_alloc(type, 0);
    Py_buffer bytes = {0};
    PyObject *buffer_list;
    tt_buffer *buffers = NULL;
    tt_options options;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    int n_buffers;
    if (self == NULL) return NULL;
    self->state = state;
    if (read_options(state, args, kwargs, &bytes, &buffer_list, self, &options) < 0)
        goto failed;
    if (tt_buffers_from_sequence(buffer_list, &buffers, &n_buffers) < 0) goto failed;
    tt_unlock(&unlocked, state);
    status = tt_model_new(bytes.buf, (size_t)bytes.len, buffers, n_buffers, &options,
                          &self->model, &err);
    tt_relock(&unlocked);
    PyMem_Free(buffers);
    if (status != TT_OK) {
        self->model = NULL;
        tt_raise(state, status, &err);
        goto failed;
    }
    if (list_inputs(self) < 0) goto failed;
    PyBuffer_Release(&bytes);
    return (PyObject *)self;
failed:
    if (bytes.obj != NULL) PyBuffer_Release(&bytes);
    Py_DECREF(self);
    return NULL;
}

static int model_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((tt_model_object *)object)->fallback);
    return 0;
}

/* The engine calls `fallback` for as long as there is a model. */
static int model_clear(PyObject *object)
{
    (void)object;
    return 0;
}

static void model_dealloc(PyObject *object)
{
    tt_model_object *self = (tt_model_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    tt_model_free(self->model);
    for (int i = 0; i < self->n_inputs; ++i)
        Py_XDECREF(self->inputs[i].key);
    PyMem_Free(self->inputs);
    Py_XDECREF(self->fallback);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- looking ------------------------------------------------------------- */

/* A dim: int, symbol, or None. */
static PyObject *dim_object(const tt_value *value, const tt_shape *shape, int i)
{
    if (shape->dims[i] != TT_UNKNOWN_DIM) return PyLong_FromLongLong(shape->dims[i]);
    if (value->symbols[i] != NULL) return PyUnicode_FromString(value->symbols[i]);
    Py_RETURN_NONE;
}

/* (name, dtype name or None, tuple of dims or None, kind): of a sequence its tensors. */
static PyObject *value_object(const tt_value *value)
{
    static const char *const kinds[2][2] = {
        {"tensor",   "optional"         },
        {"sequence", "optional sequence"},
    };
    const tt_shape *shape = value->item != NULL ? value->item : &value->shape;
    const char *dtype =
        shape->dtype == TT_DTYPE_NONE ? NULL : tt_dtype_name(shape->dtype);
    PyObject *dims;
    if (shape->rank == TT_UNKNOWN_RANK) {
        Py_INCREF(Py_None);
        dims = Py_None;
    } else {
        dims = PyTuple_New(shape->rank);
        for (int i = 0; dims != NULL && i < shape->rank; ++i) {
            PyObject *dim = dim_object(value, shape, i);
            if (dim == NULL) {
                Py_CLEAR(dims);
                break;
            }
            PyTuple_SET_ITEM(dims, i, dim);
        }
    }
    if (dims == NULL) return NULL;
    return Py_BuildValue("szNs", value->name, dtype, dims,
                         kinds[value->item != NULL][value->is_optional]);
}

static PyObject *list_values(const tt_graph *graph, const int *indices, int n)
{
    PyObject *list = PyList_New(n);
    for (int i = 0; list != NULL && i < n; ++i) {
        PyObject *item = value_object(&graph->values[indices[i]]);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *model_inputs(PyObject *self, void *closure)
{
    const tt_graph *graph = tt_model_graph(((tt_model_object *)self)->model);
    (void)closure;
    return list_values(graph, graph->inputs, graph->n_inputs);
}

static PyObject *model_outputs(PyObject *self, void *closure)
{
    const tt_graph *graph = tt_model_graph(((tt_model_object *)self)->model);
    (void)closure;
    return list_values(graph, graph->outputs, graph->n_outputs);
}

/* Names of what nodes of the main graph compute, in order. */
static PyObject *model_values(PyObject *self, void *closure)
{
    const tt_graph *graph = tt_model_graph(((tt_model_object *)self)->model);
    PyObject *list = PyList_New(0);
    (void)closure;
    for (int i = 0; list != NULL && i < graph->n_nodes; ++i)
        for (int k = 0; k < graph->nodes[i].n_outputs; ++k) {
            int value = graph->nodes[i].outputs[k];
            PyObject *name;
            if (value < 0 || graph->values[value].name[0] == '\0') continue;
            name = PyUnicode_FromString(graph->values[value].name);
            if (name == NULL || PyList_Append(list, name) < 0) {
                Py_XDECREF(name);
                Py_DECREF(list);
                return NULL;
            }
            Py_DECREF(name);
        }
    return list;
}

static PyObject *model_stats(PyObject *object, PyObject *ignored)
{
    tt_model_object *self = (tt_model_object *)object;
    tt_model_stats stats;
    tt_unlocked unlocked;
    (void)ignored;
    tt_unlock(&unlocked, self->state);
    tt_model_stats_get(self->model, &stats);
    tt_relock(&unlocked);
    const tt_named_int items[] = {
        {"weights_bytes",  stats.weights_bytes },
        {"stored_bytes",   stats.stored_bytes  },
        {"packed_bytes",   stats.packed_bytes  },
        {"plans_bytes",    stats.plans_bytes   },
        {"contexts_bytes", stats.contexts_bytes},
        {"n_plans",        stats.n_plans       },
        {"n_contexts",     stats.n_contexts    },
        {"n_compiles",     stats.n_compiles    },
        {"n_runs",         stats.n_runs        },
        {"n_copies",       self->n_copies      },
        {"bytes_copied",   self->bytes_copied  },
        {"n_fallbacks",    self->n_fallbacks   },
        {NULL,             0                   },
    };
    return tt_dict_of_ints(items);
}

static PyObject *model_count_clipping(PyObject *object, PyObject *args)
{
    tt_model_object *self = (tt_model_object *)object;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    int on;
    if (!PyArg_ParseTuple(args, "p:count_clipping", &on)) return NULL;
    tt_unlock(&unlocked, self->state);
    status = tt_model_count_clipping(self->model, on != 0, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) return tt_raise(self->state, status, &err);
    Py_RETURN_NONE;
}

/* Adds (n_clipped, n_seen) to what the dict has under the name. */
static int add_clipped(PyObject *dict, const tt_clipped *clipped)
{
    PyObject *had = PyDict_GetItemString(dict, clipped->name), *pair;
    long long n_clipped = clipped->n_clipped, n_seen = clipped->n_seen;
    int status;
    if (had != NULL) {
        n_clipped += PyLong_AsLongLong(PyTuple_GET_ITEM(had, 0));
        n_seen += PyLong_AsLongLong(PyTuple_GET_ITEM(had, 1));
    }
    pair = Py_BuildValue("(LL)", n_clipped, n_seen);
    if (pair == NULL) return -1;
    status = PyDict_SetItemString(dict, clipped->name, pair);
    Py_DECREF(pair);
    return status;
}

static PyObject *model_clipping(PyObject *object, PyObject *ignored)
{
    tt_model_object *self = (tt_model_object *)object;
    PyObject *dict = PyDict_New();
    tt_clipped clipped;
    (void)ignored;
    for (int i = 0; dict != NULL && tt_model_clipping(self->model, i, &clipped); ++i)
        if (clipped.name != NULL && clipped.n_seen > 0 &&
            add_clipped(dict, &clipped) < 0)
            Py_CLEAR(dict);
    return dict;
}

static PyObject *model_trim(PyObject *object, PyObject *ignored)
{
    tt_model_object *self = (tt_model_object *)object;
    tt_unlocked unlocked;
    (void)ignored;
    tt_unlock(&unlocked, self->state);
    tt_model_trim(self->model);
    tt_relock(&unlocked);
    Py_RETURN_NONE;
}

static PyObject *model_program(PyObject *self, PyObject *args)
{
    PyObject *names = Py_None;
    if (!PyArg_ParseTuple(args, "|O:program", &names)) return NULL;
    return tt_program_object_new((tt_model_object *)self, names);
}

static PyObject *model_read_packed(PyObject *object, PyObject *args)
{
    tt_model_object *self = (tt_model_object *)object;
    tt_unlocked unlocked;
    long long offset;
    int descriptor;
    bool found;
    if (!PyArg_ParseTuple(args, "iL:read_packed", &descriptor, &offset)) return NULL;
    if (offset < 0) {
        PyErr_SetString(PyExc_ValueError, "the offset must not be negative");
        return NULL;
    }
    tt_unlock(&unlocked, self->state);
    found = tt_model_read_packed(self->model, descriptor, (uint64_t)offset);
    tt_relock(&unlocked);
    return PyBool_FromLong(found);
}

static PyObject *model_write_packed(PyObject *object, PyObject *args)
{
    tt_model_object *self = (tt_model_object *)object;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    int descriptor, n_written = 0;
    if (!PyArg_ParseTuple(args, "i:write_packed", &descriptor)) return NULL;
    tt_unlock(&unlocked, self->state);
    status = tt_model_write_packed(self->model, descriptor, &n_written, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) return tt_raise(self->state, status, &err);
    return PyLong_FromLong(n_written);
}

static PyMethodDef methods[] = {
    {"program",        model_program,        METH_VARARGS,
     "program(names=None)\n\nProgram that computes these values; None: the outputs."                       },
    {"stats",          model_stats,          METH_NOARGS,  "stats()\n\nCounters and sizes as a dict."      },
    {"count_clipping", model_count_clipping, METH_VARARGS,
     "count_clipping(on)\n\nCount elements at the ends of the quantised range?"                            },
    {"clipping",       model_clipping,       METH_NOARGS,
     "clipping()\n\n{tensor: (n_clipped, n_seen)} of what was counted."                                    },
    {"trim",           model_trim,           METH_NOARGS,  "trim()\n\nGive back working memory not in use."},
    {"read_packed",    model_read_packed,    METH_VARARGS,
     "read_packed(descriptor, offset)\n\nTake packed weights from a file where it has "
     "them."                                                                                               },
    {"write_packed",   model_write_packed,   METH_VARARGS,
     "write_packed(descriptor)\n\nWrite the packed weights; how many."                                     },
    {NULL,             NULL,                 0,            NULL                                            },
};

static PyObject *model_fallback(PyObject *self, void *closure)
{
    PyObject *fallback = ((tt_model_object *)self)->fallback;
    (void)closure;
    return Py_NewRef(fallback == NULL ? Py_None : fallback);
}

static PyGetSetDef getters[] = {
    {"fallback", model_fallback, NULL, "what runs the nodes that are missing, or None",
     NULL                                                                                   },
    {"inputs",   model_inputs,   NULL, "(name, dtype, dims, kind) of each input",       NULL},
    {"outputs",  model_outputs,  NULL, "(name, dtype, dims, kind) of each output",      NULL},
    {"values",   model_values,   NULL, "names of all values that nodes compute",        NULL},
    {NULL,       NULL,           NULL, NULL,                                            NULL},
};

static PyType_Slot slots[] = {
    TT_SLOT(Py_tp_new, model_new),
    TT_SLOT(Py_tp_dealloc, model_dealloc),
    TT_SLOT(Py_tp_traverse, model_traverse),
    TT_SLOT(Py_tp_clear, model_clear),
    {Py_tp_methods, methods                                                                  },
    {Py_tp_getset,  getters                                                                  },
    {Py_tp_doc,     "Model(data, buffers, *, threads=0, device='cpu', staging=False, "
                "passes=-1, limits=None, fallback=None, copy=True)\n\n"
                "A model read from wire bytes; 0 threads: as many as allowed."},
    {0,             NULL                                                                     },
};

PyType_Spec tt_model_spec = {
    .name = "trimtab._core.Model",
    .basicsize = sizeof(tt_model_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
