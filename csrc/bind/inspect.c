/* What the plan for some inputs does, how long its steps take and what it weighs. */
#include "base/alloc.h"
#include "bind/array.h"
#include "bind/program.h"

/* Reads the inputs and finds their plan; always _end the request when it is 0. */
static int begin(tt_request *request, PyObject *object, PyObject *const *args,
                 Py_ssize_t n_args)
{
    tt_program_object *self = (tt_program_object *)object;
    if (tt_request_begin(request, self) < 0) return -1;
    if (tt_request_read(request, args, n_args, self->model->may_copy) == 0 &&
        tt_request_plan(request) == 0)
        return 0;
    tt_request_end(request);
    return -1;
}

PyObject *tt_program_steps(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    tt_request request;
    PyObject *list;
    int n_steps;
    if (begin(&request, object, args, n_args) < 0) return NULL;
    n_steps = tt_plan_n_steps(request.plan);
    list = PyList_New(n_steps);
    for (int i = 0; list != NULL && i < n_steps; ++i) {
        tt_step_info info;
        PyObject *step;
        tt_plan_step(request.plan, i, &info);
        step = Py_BuildValue("(zzzzzddi)", info.node, info.op_type, info.fused,
                             info.implementation, info.dtype, info.flops, info.bytes,
                             info.n_threads);
        if (step == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, step);
    }
    tt_request_end(&request);
    return list;
}

/* Runs `repeat` times, one row of times each. */
static int time_rows(tt_request *request, Py_ssize_t repeat, Py_ssize_t n_steps,
                     int64_t *row)
{
    tt_state *state = request->program->state;
    for (Py_ssize_t i = 0; i < repeat; ++i, row += n_steps) {
        tt_unlocked unlocked;
        tt_error err = {0};
        tt_status status;
        tt_unlock(&unlocked, state);
        status = tt_plan_run(request->plan, request->inputs, request->outputs, NULL,
                             NULL, row, &err);
        tt_relock(&unlocked);
        if (status != TT_OK) {
            tt_raise(state, status, &err);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return -1;
    }
    return 0;
}

PyObject *tt_program_time_steps(PyObject *object, PyObject *const *args,
                                Py_ssize_t n_args, PyObject *kwnames)
{
    tt_state *state = ((tt_program_object *)object)->state;
    Py_ssize_t repeat = 10, n_steps;
    tt_request request;
    PyObject *times = NULL;
    int64_t *rows;
    for (Py_ssize_t k = 0; kwnames != NULL && k < PyTuple_GET_SIZE(kwnames); ++k) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, k);
        if (!tt_keyword_is(keyword, state->repeat_keyword))
            return PyErr_Format(PyExc_TypeError, "time_steps() has no keyword '%U'",
                                keyword);
        repeat = PyLong_AsSsize_t(args[n_args + k]);
        if (repeat == -1 && PyErr_Occurred()) return NULL;
    }
    if (repeat < 1)
        return tt_raise_format(state, TT_BAD_INPUT,
                               "repeat must be at least 1, got %zd", repeat);
    if (begin(&request, object, args, n_args) < 0) return NULL;
    n_steps = tt_plan_n_steps(request.plan);
    if (!request.is_static)
        tt_raise_format(state, TT_BAD_INPUT,
                        "the shapes of this model's outputs depend on the data: its "
                        "steps cannot be timed one by one");
    else if (tt_request_outputs(&request, NULL, /*may_copy=*/false) == 0)
        times = tt_array_int64(repeat, n_steps, &rows);
    if (times != NULL && time_rows(&request, repeat, n_steps, rows) < 0)
        Py_CLEAR(times);
    tt_request_end(&request);
    return times;
}

PyObject *tt_program_memory(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    tt_request request;
    tt_plan_memory memory;
    if (begin(&request, object, args, n_args) < 0) return NULL;
    tt_plan_memory_get(request.plan, &memory);
    tt_request_end(&request);
    const tt_named_int items[] = {
        {"arena_bytes",      memory.arena_bytes     },
        {"tensors_bytes",    memory.tensors_bytes   },
        {"scratchpad_bytes", memory.scratchpad_bytes},
        {"packed_bytes",     memory.packed_bytes    },
        {"plan_bytes",       memory.plan_bytes      },
        {NULL,               0                      },
    };
    return tt_dict_of_ints(items);
}

PyObject *tt_program_dump(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    tt_request request;
    tt_error err = {0};
    tt_status status;
    char *text = NULL;
    PyObject *result = NULL;
    if (begin(&request, object, args, n_args) < 0) return NULL;
    status = tt_plan_dump(request.plan, &text, &err);
    if (status == TT_OK)
        result = PyUnicode_FromString(text);
    else
        tt_raise(request.program->state, status, &err);
    tt_free(text);
    tt_request_end(&request);
    return result;
}
