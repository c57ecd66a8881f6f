/* trimtab._core.Program: the call itself.
 *
 * A call reads its arguments into tensors, finds the plan (the last few are kept
 * with the program, so a shape seen before costs a comparison), makes the outputs,
 * releases the GIL and runs.  Nothing is allocated on the way but the outputs. */
#include "bind/program.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "bind/array.h"
#include "bind/watcher.h"

/* ---- one call ------------------------------------------------------------ */

int tt_request_begin(tt_request *request, tt_program_object *program)
{
    int n_inputs = program->model->n_inputs, n_outputs = program->n_outputs;
    request->program = program;
    request->n_read = request->n_made = 0;
    request->block = NULL;
    request->plan = NULL;
    request->step_ns = NULL;
    request->is_timed = false;
    if (n_inputs <= TT_INLINE_ARRAYS && n_outputs <= TT_INLINE_ARRAYS) {
        request->tensors = request->inline_tensors;
        request->results = request->inline_results;
        request->inputs = request->inline_inputs;
        request->outputs = request->inline_outputs;
        request->kept = request->inline_kept;
        request->arrays = request->inline_arrays;
        request->targets = request->inline_targets;
        return 0;
    }
    size_t ins = (size_t)n_inputs, outs = (size_t)n_outputs;
    char *block = PyMem_Malloc((ins + outs) * sizeof(tt_tensor) +
                               (2 * ins + 3 * outs) * sizeof(void *));
    if (block == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    request->block = block;
    request->tensors = (tt_tensor *)(void *)block;
    request->results = request->tensors + ins;
    request->inputs = (void **)(void *)(request->results + outs);
    request->outputs = request->inputs + ins;
    request->kept = (PyObject **)(void *)(request->outputs + outs);
    request->arrays = request->kept + ins;
    request->targets = request->arrays + outs;
    return 0;
}

void tt_request_end(tt_request *request)
{
    for (int i = 0; i < request->n_read; ++i)
        Py_XDECREF(request->kept[i]);
    for (int i = 0; i < request->n_made; ++i)
        Py_XDECREF(request->arrays[i]);
    tt_plan_unref(request->plan);
    if (request->step_ns != NULL) PyMem_Free(request->step_ns);
    if (request->block != NULL) PyMem_Free(request->block);
}

static int wrong_count(tt_program_object *program, Py_ssize_t n)
{
    tt_model_object *model = program->model;
    PyObject *names = PyList_New(model->n_inputs);
    for (int i = 0; names != NULL && i < model->n_inputs; ++i) {
        Py_INCREF(model->inputs[i].key);
        PyList_SET_ITEM(names, i, model->inputs[i].key);
    }
    if (names == NULL) return -1;
    tt_raise_format(program->state, TT_BAD_INPUT, "the model has %d inputs %R, got %zd",
                    model->n_inputs, names, n);
    Py_DECREF(names);
    return -1;
}

int tt_request_read(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                    bool may_copy)
{
    tt_model_object *model = request->program->model;
    if (n_args != model->n_inputs) return wrong_count(request->program, n_args);
    for (int i = 0; i < model->n_inputs; ++i) {
        if (tt_array_read(model, &model->inputs[i], args[i], may_copy,
                          &request->tensors[i], &request->kept[i]) < 0)
            return -1;
        request->inputs[i] = request->tensors[i].data;
        request->n_read = i + 1;
    }
    return 0;
}

/* ---- plans --------------------------------------------------------------- */

/* Plans that cost less than this on one thread run with the GIL held: giving it away
 * and taking it again costs 40 ns [measured], and up to a switch interval (5 ms) when
 * another thread wants it.  Only static plans of serial steps, which meet neither a
 * callback nor another thread's work. */
static const double keep_gil_ns = 2000.0;
static const double flops_per_ns = 20.0, bytes_per_ns = 10.0, step_ns = 150.0;

static bool is_short(tt_plan *plan)
{
    int n_steps = tt_plan_n_steps(plan);
    double total_ns = step_ns * n_steps;
    for (int i = 0; i < n_steps && total_ns <= keep_gil_ns; ++i) {
        tt_step_info info;
        double by_flops, by_bytes;
        tt_plan_step(plan, i, &info);
        if (info.n_threads > 1) return false;
        by_flops = info.flops / flops_per_ns;
        by_bytes = info.bytes / bytes_per_ns;
        total_ns += by_flops > by_bytes ? by_flops : by_bytes;
    }
    return total_ns <= keep_gil_ns;
}

static void remember(tt_program_object *program, tt_plan *plan)
{
    tt_known_plan last = program->known[TT_KNOWN_PLANS - 1];
    memmove(&program->known[1], &program->known[0],
            (TT_KNOWN_PLANS - 1) * sizeof program->known[0]);
    program->known[0].plan = tt_plan_ref(plan);
    program->known[0].is_static = tt_plan_is_static(plan);
    program->known[0].keeps_gil = program->known[0].is_static &&
                                  program->model->fallback == NULL && is_short(plan);
    tt_plan_unref(last.plan);
}

static bool recall(tt_request *request)
{
    tt_known_plan *known = request->program->known;
    for (int i = 0; i < TT_KNOWN_PLANS && known[i].plan != NULL; ++i) {
        tt_known_plan found = known[i];
        if (!tt_plan_accepts(found.plan, request->tensors)) continue;
        if (i > 0) {
            memmove(&known[1], &known[0], (size_t)i * sizeof known[0]);
            known[0] = found;
        }
        request->plan = tt_plan_ref(found.plan);
        request->is_static = found.is_static;
        request->keeps_gil = found.keeps_gil;
        return true;
    }
    return false;
}

/* "a [3,4], b [2,4]" */
static void list_shapes(const tt_request *request, char *text, size_t n_bytes)
{
    const tt_model_object *model = request->program->model;
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < model->n_inputs && used + 1 < n_bytes; ++i) {
        char shape[128];
        int wrote =
            snprintf(text + used, n_bytes - used, "%s%s %s", i == 0 ? "" : ", ",
                     model->inputs[i].name,
                     tt_shape_text(&request->tensors[i].shape, shape, sizeof shape));
        if (wrote > 0) used += (size_t)wrote;
    }
}

/* Loading has checked the model as far as that goes without shapes: what is wrong
 * now are the shapes, unless the model allows no others. */
static void raise_plan_error(const tt_request *request, tt_status status,
                             const tt_error *err)
{
    tt_program_object *program = request->program;
    char shapes[512];
    if (status != TT_BAD_MODEL || !program->model->has_open_dims) {
        tt_raise(program->state, status, err);
        return;
    }
    list_shapes(request, shapes, sizeof shapes);
    tt_raise_format(program->state, TT_BAD_INPUT,
                    "the model does not take inputs of these shapes (%s): %s at '%s'",
                    shapes, err->text, err->where);
}

int tt_request_plan(tt_request *request)
{
    tt_program_object *program = request->program;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    if (recall(request)) return 0;
    tt_unlock(&unlocked, program->state);
    status = tt_program_plan(program->program, request->tensors, &request->plan, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) {
        request->plan = NULL;
        raise_plan_error(request, status, &err);
        return -1;
    }
    remember(program, request->plan);
    request->is_static = program->known[0].is_static;
    request->keeps_gil = program->known[0].keeps_gil;
    return 0;
}

/* ---- outputs and running -------------------------------------------------- */

static int check_disjoint(tt_request *request, int i)
{
    for (int k = 0; k < i; ++k)
        if (request->targets[i] != NULL && request->targets[k] != NULL &&
            tt_array_overlap(request->targets[i], request->targets[k])) {
            tt_raise_format(request->program->state, TT_BAD_INPUT,
                            "out '%U' shares memory with out '%U'",
                            PyTuple_GET_ITEM(request->program->output_names, i),
                            PyTuple_GET_ITEM(request->program->output_names, k));
            return -1;
        }
    return 0;
}

/* arrays[i] becomes what the plan writes: out[i] itself when it can be written in
 * place, else a new array (then targets[i] gets a copy after the run). */
static int make_output(tt_request *request, int i, PyObject *out, bool may_copy)
{
    tt_program_object *program = request->program;
    const tt_shape *shape = tt_plan_output(request->plan, i);
    PyObject *name = PyTuple_GET_ITEM(program->output_names, i);
    tt_out how;
    request->targets[i] = NULL;
    if (out == NULL || out == Py_None) {
        request->arrays[i] = tt_array_new(program->state, shape, &request->outputs[i]);
        request->n_made = i + 1;
        return request->arrays[i] == NULL ? -1 : 0;
    }
    how = tt_array_check_out(program->state, out, name, shape, program->model->inputs,
                             request->tensors, program->model->n_inputs,
                             tt_plan_shared_input(request->plan, i),
                             &request->outputs[i]);
    if (how == TT_OUT_ERROR) return -1;
    request->targets[i] = out;
    if (how == TT_OUT_DIRECT) {
        Py_INCREF(out);
        request->arrays[i] = out;
    } else {
        if (!may_copy) {
            tt_raise_format(program->state, TT_BAD_INPUT,
                            "out '%U' is not row-major and a copy is not allowed here",
                            name);
            return -1;
        }
        request->arrays[i] = tt_array_new(program->state, shape, &request->outputs[i]);
    }
    request->n_made = i + 1;
    return request->arrays[i] == NULL ? -1 : check_disjoint(request, i);
}

int tt_request_outputs(tt_request *request, PyObject *const *outs, bool may_copy)
{
    for (int i = 0; i < request->program->n_outputs; ++i)
        if (make_output(request, i, outs == NULL ? NULL : outs[i], may_copy) < 0)
            return -1;
    return 0;
}

/* Times of steps are no reason to fail: without memory there are none. */
static void make_step_times(tt_request *request)
{
    size_t n = (size_t)tt_plan_n_steps(request->plan);
    request->step_ns = PyMem_Calloc(n > 0 ? n : 1, sizeof *request->step_ns);
}

static int run_static(tt_request *request)
{
    tt_state *state = request->program->state;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    if (request->is_timed) make_step_times(request);
    if (request->keeps_gil) {
        status = tt_plan_run(request->plan, request->inputs, request->outputs, NULL,
                             NULL, request->step_ns, &err);
    } else {
        tt_unlock(&unlocked, state);
        status = tt_plan_run(request->plan, request->inputs, request->outputs,
                             tt_unlocked_poll, &unlocked, request->step_ns, &err);
        tt_relock(&unlocked);
    }
    if (status == TT_OK) return 0;
    tt_raise(state, status, &err);
    return -1;
}

/* The blocks of the results become arrays; then they are copied to `outs`. */
static int adopt_results(tt_request *request, PyObject *const *outs)
{
    tt_program_object *program = request->program;
    bool failed = false;
    for (int i = 0; i < program->n_outputs; ++i) {
        request->arrays[i] = tt_object_adopt(program->state, &request->results[i]);
        request->targets[i] = NULL;
        failed = failed || request->arrays[i] == NULL;
    }
    request->n_made = program->n_outputs;
    for (int i = 0; !failed && outs != NULL && i < program->n_outputs; ++i) {
        void *data;
        if (outs[i] == Py_None) continue;
        if (tt_dtype_is_object(request->results[i].shape.dtype)) {
            tt_raise_format(program->state, TT_BAD_INPUT,
                            "out '%U' is a %s: it cannot be written into an array",
                            PyTuple_GET_ITEM(program->output_names, i),
                            tt_dtype_name(request->results[i].shape.dtype));
            return -1;
        }
        if (tt_array_check_out(
                program->state, outs[i], PyTuple_GET_ITEM(program->output_names, i),
                &request->results[i].shape, NULL, NULL, 0, -1, &data) < 0)
            return -1;
        request->targets[i] = outs[i];
    }
    return failed ? -1 : 0;
}

static int run_dynamic(tt_request *request, PyObject *const *outs)
{
    tt_program_object *program = request->program;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    tt_unlock(&unlocked, program->state);
    status = tt_program_run(program->program, request->tensors, request->results,
                            tt_unlocked_poll, &unlocked, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) {
        tt_raise(program->state, status, &err);
        return -1;
    }
    return adopt_results(request, outs);
}

/* Gives `out` arrays that could not be written in place their values. */
static int copy_to_targets(tt_request *request)
{
    tt_model_object *model = request->program->model;
    for (int i = 0; i < request->program->n_outputs; ++i) {
        PyObject *target = request->targets[i];
        if (target == NULL || target == request->arrays[i]) continue;
        if (tt_array_assign(target, request->arrays[i]) < 0) return -1;
        model->n_copies += 1;
        model->bytes_copied += (int64_t)tt_array_bytes(target);
        Py_INCREF(target);
        Py_SETREF(request->arrays[i], target);
    }
    return 0;
}

int tt_request_run(tt_request *request, PyObject *const *outs, bool may_copy)
{
    if (tt_request_plan(request) < 0) return -1;
    if (!request->is_static) {
        if (run_dynamic(request, outs) < 0) return -1;
    } else if (tt_request_outputs(request, outs, may_copy) < 0 ||
               run_static(request) < 0) {
        return -1;
    }
    return outs == NULL ? 0 : copy_to_targets(request);
}

int tt_request_answer(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                      PyObject *const *outs, bool may_copy)
{
    if (request->program->watcher != NULL)
        return tt_request_watched(request, args, n_args, outs, may_copy);
    if (tt_request_read(request, args, n_args, may_copy) < 0) return -1;
    return tt_request_run(request, outs, may_copy);
}

PyObject *tt_request_tuple(tt_request *request)
{
    PyObject *tuple = PyTuple_New(request->program->n_outputs);
    for (int i = 0; tuple != NULL && i < request->program->n_outputs; ++i) {
        Py_INCREF(request->arrays[i]);
        PyTuple_SET_ITEM(tuple, i, request->arrays[i]);
    }
    return tuple;
}

/* ---- calling -------------------------------------------------------------- */

/* Puts keyword arguments into the places of their inputs. */
static int place_keywords(tt_program_object *self, PyObject *const *args,
                          Py_ssize_t n_args, PyObject *kwnames, PyObject **placed)
{
    tt_model_object *model = self->model;
    if (n_args > model->n_inputs) return wrong_count(self, n_args);
    for (int i = 0; i < model->n_inputs; ++i)
        placed[i] = i < n_args ? args[i] : NULL;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(kwnames); ++k) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, k);
        int i = 0;
        while (i < model->n_inputs && model->inputs[i].key != keyword)
            ++i;
        for (int j = 0; i == model->n_inputs && j < model->n_inputs; ++j)
            if (PyUnicode_Compare(model->inputs[j].key, keyword) == 0) i = j;
        if (i == model->n_inputs) {
            tt_raise_format(self->state, TT_BAD_INPUT, "the model has no input '%U'",
                            keyword);
            return -1;
        }
        if (placed[i] != NULL) {
            tt_raise_format(self->state, TT_BAD_INPUT, "input '%U' is given twice",
                            keyword);
            return -1;
        }
        placed[i] = args[n_args + k];
    }
    for (int i = 0; i < model->n_inputs; ++i)
        if (placed[i] == NULL) {
            tt_raise_format(self->state, TT_BAD_INPUT, "input '%s' is missing",
                            model->inputs[i].name);
            return -1;
        }
    return 0;
}

static PyObject *call_placed(tt_program_object *self, PyObject *const *args,
                             Py_ssize_t n_args)
{
    tt_request request;
    PyObject *result = NULL;
    if (tt_request_begin(&request, self) < 0) return NULL;
    if (tt_request_answer(&request, args, n_args, NULL, self->model->may_copy) == 0) {
        if (self->n_outputs == 1) {
            result = request.arrays[0];
            request.n_made = 0;
        } else {
            result = tt_request_tuple(&request);
        }
    }
    tt_request_end(&request);
    return result;
}

PyObject *tt_program_call(PyObject *object, PyObject *const *args, size_t nargsf,
                          PyObject *kwnames)
{
    tt_program_object *self = (tt_program_object *)object;
    Py_ssize_t n_args = PyVectorcall_NARGS(nargsf);
    PyObject **placed, *result = NULL;
    if (kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0)
        return call_placed(self, args, n_args);
    placed = PyMem_Malloc(((size_t)self->model->n_inputs + 1) * sizeof(PyObject *));
    if (placed == NULL) return PyErr_NoMemory();
    if (place_keywords(self, args, n_args, kwnames, placed) == 0)
        result = call_placed(self, placed, self->model->n_inputs);
    PyMem_Free(placed);
    return result;
}

int tt_request_out_list(tt_program_object *self, PyObject *out, PyObject **list)
{
    *list = NULL;
    if (out == NULL || out == Py_None) return 0;
    *list = PySequence_Fast(out, "out must be a sequence of arrays");
    if (*list == NULL) return -1;
    if (PySequence_Fast_GET_SIZE(*list) == self->n_outputs) return 0;
    tt_raise_format(self->state, TT_BAD_INPUT, "out: expected %d arrays, got %zd",
                    self->n_outputs, PySequence_Fast_GET_SIZE(*list));
    Py_CLEAR(*list);
    return -1;
}
