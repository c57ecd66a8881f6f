/* trimtab._core.Binding: a call with fixed addresses, for loops where the time of a
 * call counts.  run() allocates nothing and touches no array object. */
#include "bind/array.h"
#include "bind/program.h"

typedef struct {
    PyObject ob_base;
    tt_state *state;
    tt_program_object *program; /* owned reference */
    tt_binding *binding;
    PyObject *inputs, *outputs; /* tuples of the arrays whose memory is used */
    PyObject *result;           /* outputs, or the only one; owned */
    bool keeps_gil, is_running;
} tt_binding_object;

/* ---- making -------------------------------------------------------------- */

/* The arrays behind the addresses: what was made of the argument, or itself. */
static PyObject *input_arrays(tt_request *request, PyObject *const *args)
{
    int n = request->program->model->n_inputs;
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; tuple != NULL && i < n; ++i) {
        PyObject *array = request->kept[i] != NULL ? request->kept[i] : args[i];
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(array));
    }
    return tuple;
}

static int fill(tt_binding_object *self, tt_request *request, PyObject *const *inputs,
                Py_ssize_t n_inputs, PyObject *const *outs)
{
    tt_error err = {0};
    tt_status status;
    if (tt_request_read(request, inputs, n_inputs, /*may_copy=*/false) < 0) return -1;
    if (tt_request_plan(request) < 0) return -1;
    if (!request->is_static) {
        tt_raise_format(self->state, TT_BAD_INPUT,
                        "the shapes of this model's outputs depend on the data: it "
                        "cannot be bound, call it instead");
        return -1;
    }
    if (tt_request_outputs(request, outs, /*may_copy=*/false) < 0) return -1;
    self->inputs = input_arrays(request, inputs);
    self->outputs = tt_request_tuple(request);
    if (self->inputs == NULL || self->outputs == NULL) return -1;
    self->result = PyTuple_GET_SIZE(self->outputs) == 1
                       ? Py_NewRef(PyTuple_GET_ITEM(self->outputs, 0))
                       : Py_NewRef(self->outputs);
    self->keeps_gil = request->keeps_gil;
    status = tt_binding_new(request->plan, request->inputs, request->outputs,
                            &self->binding, &err);
    if (status == TT_OK) return 0;
    tt_raise(self->state, status, &err);
    return -1;
}

PyObject *tt_program_bind(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    tt_program_object *program = (tt_program_object *)object;
    PyTypeObject *type = program->state->binding_type;
    tt_binding_object *self;
    PyObject *inputs, *outs = NULL;
    tt_request request;
    int status = -1;
    if (n_args < 1 || n_args > 2)
        return PyErr_Format(PyExc_TypeError, "bind() takes inputs and outputs");
    inputs = PySequence_Fast(args[0], "inputs must be a sequence of arrays");
    if (inputs == NULL) return NULL;
    self = (tt_binding_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = program->state;
        self->program = (tt_program_object *)Py_NewRef(object);
        if (tt_request_out_list(program, n_args == 2 ? args[1] : NULL, &outs) == 0 &&
            tt_request_begin(&request, program) == 0) {
            status = fill(self, &request, PySequence_Fast_ITEMS(inputs),
                          PySequence_Fast_GET_SIZE(inputs),
                          outs == NULL ? NULL : PySequence_Fast_ITEMS(outs));
            tt_request_end(&request);
        }
        if (status < 0) Py_CLEAR(self);
    }
    Py_DECREF(inputs);
    Py_XDECREF(outs);
    return (PyObject *)self;
}

static int binding_traverse(PyObject *object, visitproc visit, void *arg)
{
    tt_binding_object *self = (tt_binding_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->program);
    Py_VISIT(self->inputs);
    Py_VISIT(self->outputs);
    Py_VISIT(self->result);
    return 0;
}

/* The addresses are in use as long as the object lives. */
static int binding_clear(PyObject *object)
{
    (void)object;
    return 0;
}

static void binding_dealloc(PyObject *object)
{
    tt_binding_object *self = (tt_binding_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    tt_binding_free(self->binding);
    Py_XDECREF(self->inputs);
    Py_XDECREF(self->outputs);
    Py_XDECREF(self->result);
    Py_XDECREF(self->program);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- running -------------------------------------------------------------- */

static tt_status run_unlocked(tt_binding_object *self, tt_error *err)
{
    tt_unlocked unlocked;
    tt_status status;
    tt_unlock(&unlocked, self->state);
    status = tt_binding_run(self->binding, tt_unlocked_poll, &unlocked, err);
    tt_relock(&unlocked);
    return status;
}

static PyObject *binding_run(PyObject *object, PyObject *ignored)
{
    tt_binding_object *self = (tt_binding_object *)object;
    tt_error err;
    tt_status status;
    (void)ignored;
    if (self->is_running)
        return tt_raise_format(self->state, TT_BAD_INPUT,
                               "this binding is running on another thread: make one "
                               "for each thread");
    err.text[0] = err.where[0] = '\0';
    self->is_running = true;
    status = self->keeps_gil ? tt_binding_run(self->binding, NULL, NULL, &err)
                             : run_unlocked(self, &err);
    self->is_running = false;
    if (status != TT_OK) return tt_raise(self->state, status, &err);
    return Py_NewRef(self->result);
}

static PyObject *binding_inputs(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(((tt_binding_object *)self)->inputs);
}

static PyObject *binding_outputs(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(((tt_binding_object *)self)->outputs);
}

/* "(2, 3), (3,)": the shapes of the arrays, or what they are. */
static PyObject *shapes_text(PyObject *arrays)
{
    PyObject *list = PyList_New(0), *comma = PyUnicode_FromString(", "), *text = NULL;
    for (Py_ssize_t i = 0; list != NULL && i < PyTuple_GET_SIZE(arrays); ++i) {
        PyObject *array = PyTuple_GET_ITEM(arrays, i);
        PyObject *shape = PyObject_GetAttrString(array, "shape"), *item;
        if (shape == NULL) PyErr_Clear();
        item = PyObject_Str(shape != NULL ? shape : (PyObject *)Py_TYPE(array));
        Py_XDECREF(shape);
        if (item == NULL || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    if (list != NULL && comma != NULL) text = PyUnicode_Join(comma, list);
    Py_XDECREF(list);
    Py_XDECREF(comma);
    return text;
}

static PyObject *binding_repr(PyObject *object)
{
    tt_binding_object *self = (tt_binding_object *)object;
    PyObject *inputs, *outputs = NULL, *text = NULL;
    if (self->inputs == NULL || self->outputs == NULL)
        return PyUnicode_FromString("Binding()"); /* cleared by the collector */
    inputs = shapes_text(self->inputs);
    if (inputs != NULL) outputs = shapes_text(self->outputs);
    if (outputs != NULL)
        text = PyUnicode_FromFormat("Binding(%U -> %U)", inputs, outputs);
    Py_XDECREF(inputs);
    Py_XDECREF(outputs);
    return text;
}

static PyMethodDef methods[] = {
    {"run", binding_run, METH_NOARGS,
     "run()\n\nReads the inputs, writes and returns the outputs."},
    {NULL,  NULL,        0,           NULL                       },
};

static PyGetSetDef getters[] = {
    {"inputs",  binding_inputs,  NULL, "arrays that run() reads",  NULL},
    {"outputs", binding_outputs, NULL, "arrays that run() writes", NULL},
    {NULL,      NULL,            NULL, NULL,                       NULL},
};

static PyType_Slot slots[] = {
    TT_SLOT(Py_tp_dealloc, binding_dealloc),
    TT_SLOT(Py_tp_traverse, binding_traverse),
    TT_SLOT(Py_tp_clear, binding_clear),
    TT_SLOT(Py_tp_repr, binding_repr),
    {Py_tp_methods, methods                                        },
    {Py_tp_getset,  getters                                        },
    {Py_tp_doc,     "A program with fixed input and output arrays."},
    {0,             NULL                                           },
};

PyType_Spec tt_binding_spec = {
    .name = "trimtab._core.Binding",
    .basicsize = sizeof(tt_binding_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
