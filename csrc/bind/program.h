/* One call of a program, shared by the ways of calling it. */
#ifndef TT_BIND_PROGRAM_H
#define TT_BIND_PROGRAM_H

#include "bind/module.h"

enum { TT_INLINE_ARRAYS = 8 };

/* Lives on the caller's stack; memory beyond it only for many inputs or outputs.
 * Between _begin and _end every function returns 0, or -1 with an exception. */
typedef struct {
    tt_program_object *program; /* borrowed */
    tt_plan *plan;              /* owned reference */
    bool is_static, keeps_gil;
    int n_read, n_made;       /* entries of kept, of arrays that are set */
    tt_tensor *tensors;       /* what the inputs are */
    tt_tensor *results;       /* outputs of a dynamic plan */
    void **inputs, **outputs; /* addresses */
    PyObject **kept;          /* arrays made for inputs, owned, or NULL */
    PyObject **arrays;        /* outputs, owned */
    PyObject **targets;       /* the caller's out arrays, borrowed, or NULL */
    int64_t *step_ns;         /* owned; NULL unless is_timed and the plan is static */
    bool is_timed;            /* are its steps to be timed? */
    void *block;
    tt_tensor inline_tensors[TT_INLINE_ARRAYS], inline_results[TT_INLINE_ARRAYS];
    void *inline_inputs[TT_INLINE_ARRAYS], *inline_outputs[TT_INLINE_ARRAYS];
    PyObject *inline_kept[TT_INLINE_ARRAYS], *inline_arrays[TT_INLINE_ARRAYS];
    PyObject *inline_targets[TT_INLINE_ARRAYS];
} tt_request;

int tt_request_begin(tt_request *request, tt_program_object *program);
void tt_request_end(tt_request *request);
/* args[i] is input i. */
int tt_request_read(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                    bool may_copy);
int tt_request_plan(tt_request *request);
/* Static plans only: arrays for the outputs, outs[i] or new ones. */
int tt_request_outputs(tt_request *request, PyObject *const *outs, bool may_copy);
/* _plan, _outputs, the run, and copies to outs that were not written in place. */
int tt_request_run(tt_request *request, PyObject *const *outs, bool may_copy);
/* _read and _run, counted by the program's watcher if it has one. */
int tt_request_answer(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                      PyObject *const *outs, bool may_copy);
PyObject *tt_request_tuple(tt_request *request);

/* out=: NULL or None -> *list NULL; else a list or tuple of n_outputs items. */
int tt_request_out_list(tt_program_object *program, PyObject *out, PyObject **list);

/* Fast calls with arguments by keyword; a vectorcallfunc. */
PyObject *tt_program_call(PyObject *program, PyObject *const *args, size_t nargsf,
                          PyObject *kwnames);

/* ---- binding.c, inspect.c -------------------------------------------------- */

/* bind(inputs, outputs=None) */
PyObject *tt_program_bind(PyObject *program, PyObject *const *args, Py_ssize_t n_args);
/* steps(*inputs), time_steps(*inputs, repeat=10), memory(*inputs), dump(*inputs) */
PyObject *tt_program_steps(PyObject *program, PyObject *const *args, Py_ssize_t n_args);
PyObject *tt_program_time_steps(PyObject *program, PyObject *const *args,
                                Py_ssize_t n_args, PyObject *kwnames);
PyObject *tt_program_memory(PyObject *program, PyObject *const *args,
                            Py_ssize_t n_args);
PyObject *tt_program_dump(PyObject *program, PyObject *const *args, Py_ssize_t n_args);

#endif
