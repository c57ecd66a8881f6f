/* trimtab._core.Program as a Python type. */
#include <stddef.h>

#include "bind/array.h"
#include "bind/program.h"
#include "bind/watcher.h"

/* ---- making -------------------------------------------------------------- */

/* Names of the outputs: the ones asked for, or the model's. */
static PyObject *names_of(tt_model_object *model, PyObject *names)
{
    const tt_graph *graph = tt_model_graph(model->model);
    PyObject *tuple;
    if (names != Py_None) return PySequence_Tuple(names);
    tuple = PyTuple_New(graph->n_outputs);
    for (int i = 0; tuple != NULL && i < graph->n_outputs; ++i) {
        const char *text = graph->values[graph->outputs[i]].name;
        PyObject *name = PyUnicode_FromString(text);
        if (name == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, name);
    }
    return tuple;
}

/* Looks the program up (or makes it) in the engine. */
static int find_program(tt_program_object *self, bool is_default)
{
    Py_ssize_t n = is_default ? 0 : PyTuple_GET_SIZE(self->output_names);
    const char **texts;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    if (!is_default && n == 0) {
        tt_raise_format(self->state, TT_BAD_INPUT,
                        "outputs: at least one name, got none");
        return -1;
    }
    texts = PyMem_Calloc((size_t)n + 1, sizeof *texts);
    if (texts == NULL || n > INT32_MAX) {
        PyErr_NoMemory();
        PyMem_Free(texts);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; ++i) {
        texts[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(self->output_names, i));
        if (texts[i] == NULL) {
            PyMem_Free(texts);
            return -1;
        }
    }
    tt_unlock(&unlocked, self->state);
    status = tt_model_program(self->model->model, texts, (int)n, &self->program, &err);
    tt_relock(&unlocked);
    PyMem_Free(texts);
    if (status == TT_OK) return 0;
    tt_raise(self->state, status, &err);
    return -1;
}

PyObject *tt_program_object_new(tt_model_object *model, PyObject *names)
{
    PyTypeObject *type = model->state->program_type;
    tt_program_object *self = (tt_program_object *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->vectorcall = tt_program_call;
    self->state = model->state;
    Py_INCREF(model);
    self->model = model;
    self->output_names = names_of(model, names);
    if (self->output_names == NULL || find_program(self, names == Py_None) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->n_outputs = tt_program_n_outputs(self->program);
    return (PyObject *)self;
}

static void forget_plans(tt_program_object *self)
{
    for (int i = 0; i < TT_KNOWN_PLANS; ++i) {
        tt_plan *plan = self->known[i].plan;
        self->known[i].plan = NULL;
        tt_plan_unref(plan);
    }
}

static int program_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((tt_program_object *)object)->model);
    Py_VISIT(((tt_program_object *)object)->watcher);
    return 0;
}

/* A program without its model could not be called: Model breaks the cycles. */
static int program_clear(PyObject *object)
{
    (void)object;
    return 0;
}

static void program_dealloc(PyObject *object)
{
    tt_program_object *self = (tt_program_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    forget_plans(self);
    Py_XDECREF(self->output_names);
    Py_XDECREF(self->watcher);
    Py_XDECREF(self->model);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- methods -------------------------------------------------------------- */

/* run(*inputs, out=None, copy=None) -> tuple */
static PyObject *program_run(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *kwnames)
{
    tt_program_object *self = (tt_program_object *)object;
    PyObject *out = NULL, *list, *result = NULL;
    bool may_copy = self->model->may_copy;
    tt_request request;
    Py_ssize_t n_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < n_keywords; ++k) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, k), *value = args[n_args + k];
        if (tt_keyword_is(keyword, self->state->out_keyword)) {
            out = value;
        } else if (tt_keyword_is(keyword, self->state->copy_keyword)) {
            int truth = value == Py_None ? may_copy : PyObject_IsTrue(value);
            if (truth < 0) return NULL;
            may_copy = truth != 0;
        } else {
            return PyErr_Format(PyExc_TypeError, "run() has no keyword '%U'", keyword);
        }
    }
    if (tt_request_out_list(self, out, &list) < 0) return NULL;
    if (tt_request_begin(&request, self) == 0) {
        PyObject *const *outs = list == NULL ? NULL : PySequence_Fast_ITEMS(list);
        if (tt_request_answer(&request, args, n_args, outs, may_copy) == 0)
            result = tt_request_tuple(&request);
        tt_request_end(&request);
    }
    Py_XDECREF(list);
    return result;
}

static PyObject *program_trim(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    forget_plans((tt_program_object *)self);
    Py_RETURN_NONE;
}

static PyObject *program_output_names(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(((tt_program_object *)self)->output_names);
}

static PyMethodDef methods[] = {
    {"run",        TT_METHOD(program_run),           METH_FASTCALL | METH_KEYWORDS,
     "run(*inputs, out=None, copy=None)\n\nOutputs as a tuple, written to `out`."                                          },
    {"bind",       TT_METHOD(tt_program_bind),       METH_FASTCALL,
     "bind(inputs, outputs=None)\n\nBinding to the memory of these arrays."                                                },
    {"steps",      TT_METHOD(tt_program_steps),      METH_FASTCALL,
     "steps(*inputs)\n\nWhat the plan for these inputs does."                                                              },
    {"time_steps", TT_METHOD(tt_program_time_steps), METH_FASTCALL | METH_KEYWORDS,
     "time_steps(*inputs, repeat=10)\n\nTime of each step in each run, ns."                                                },
    {"memory",     TT_METHOD(tt_program_memory),     METH_FASTCALL,
     "memory(*inputs)\n\nBytes of the plan for these inputs, as a dict."                                                   },
    {"dump",       TT_METHOD(tt_program_dump),       METH_FASTCALL,
     "dump(*inputs)\n\nThe specialised graph as JSON."                                                                     },
    {"watch",      TT_METHOD(tt_program_watch),      METH_VARARGS | METH_KEYWORDS,
     "watch(watcher, /, *, inputs=None, outputs=None, limits=None, every=0, "
     "budget=0.005, requests=False, keep=False)\n\nCount calls; None: no more."                                            },
    {"trim",       program_trim,                     METH_NOARGS,                   "trim()\n\nForget the plans used last."},
    {NULL,         NULL,                             0,                             NULL                                   },
};

static PyGetSetDef getters[] = {
    {"output_names", program_output_names, NULL, "names of the outputs", NULL},
    {NULL,           NULL,                 NULL, NULL,                   NULL},
};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(tt_program_object, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    TT_SLOT(Py_tp_dealloc, program_dealloc),
    TT_SLOT(Py_tp_traverse, program_traverse),
    TT_SLOT(Py_tp_clear, program_clear),
    TT_SLOT(Py_tp_call, PyVectorcall_Call),
    {Py_tp_methods, methods                                                         },
    {Py_tp_getset,  getters                                                         },
    {Py_tp_members, members                                                         },
    {Py_tp_doc,     "A model with the outputs that are wanted; call it with arrays."},
    {0,             NULL                                                            },
};

PyType_Spec tt_program_spec = {
    .name = "trimtab._core.Program",
    .basicsize = sizeof(tt_program_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
