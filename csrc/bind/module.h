/* What the files of this folder share: module state and the object types.
 *
 * The binding is thin.  A wrapper reads everything it needs from Python objects,
 * releases the GIL, calls the C API of tt.h and turns the result into objects.
 * There is no mutable global: state lives in the module, types are immutable heap
 * types.  Unless a comment says otherwise a function needs the GIL, returns a new
 * reference, and reports failure by NULL or -1 with a Python exception set. */
#ifndef TT_BIND_MODULE_H
#define TT_BIND_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stdint.h>

#include "tt.h"

/* Keywords of our own methods, interned once; compared by pointer first. */
#define TT_KEYWORD_LIST(X) X(out) X(copy) X(repeat) X(column)

typedef struct {
    PyTypeObject *model_type, *program_type, *binding_type;
    PyTypeObject *histogram_type, *channel_statistics_type, *table_sketch_type;
    PyTypeObject *watcher_type;
    PyObject *errors[TT_STATUS_COUNT]; /* the exception class of each status */
    PyObject *dtypes[TT_DTYPE_COUNT];  /* NumPy dtype of each tt_dtype, or NULL */
    PyObject *from_dlpack;             /* numpy.from_dlpack */
    PyObject *dlpack_name;             /* "__dlpack__" */
#define TT_KEYWORD_FIELD(name) PyObject *name##_keyword;
    TT_KEYWORD_LIST(TT_KEYWORD_FIELD)
#undef TT_KEYWORD_FIELD
    unsigned long main_thread; /* the only one that handles signals */
    long main_pid;             /* process that main_thread belongs to */
} tt_state;

tt_state *tt_state_of(PyObject *module); /* cannot fail */

/* A slot that holds a function: ISO C has no such conversion, POSIX does. */
#define TT_SLOT(id, function) {id, __extension__(void *)(function)}
/* A method that takes more than (self, arg). */
#define TT_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Keywords are interned nearly always, so the pointer tells. */
static inline bool tt_keyword_is(PyObject *keyword, PyObject *name)
{
    return keyword == name || PyUnicode_Compare(keyword, name) == 0;
}

/* ---- model.c ------------------------------------------------------------- */

/* One input of a model, as the binding needs it. */
typedef struct {
    PyObject *key;        /* interned name */
    const char *name;     /* owned by the model */
    tt_dtype dtype;       /* TT_DTYPE_NONE: anything */
    bool is_optional;     /* may be None */
    const tt_shape *item; /* of a sequence: as its arrays are declared, or NULL */
} tt_input;

typedef struct {
    PyObject ob_base;
    tt_state *state; /* lives as long as the type, so as the object */
    tt_model *model;
    int n_inputs;
    tt_input *inputs;
    PyObject *fallback;             /* callable or NULL */
    bool may_copy;                  /* default of run(copy=) */
    bool has_open_dims;             /* some input may have several shapes */
    int64_t n_copies, bytes_copied; /* what could not be read or written in place */
    int64_t n_fallbacks;            /* nodes that the callable has run */
} tt_model_object;

extern PyType_Spec tt_model_spec;

/* NULL or None: the defaults; else an object with an attribute for each field. */
int tt_limits_read(PyObject *object, tt_limits *limits);

/* ---- program.c, binding.c ------------------------------------------------- */

/* A plan with what a call asks of it, so that nothing is asked twice. */
typedef struct {
    tt_plan *plan; /* owned reference, or NULL: free entry */
    bool is_static;
    bool keeps_gil; /* so short that releasing the GIL would cost more */
} tt_known_plan;

enum { TT_KNOWN_PLANS = 4 };

typedef struct {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    tt_state *state;
    tt_model_object *model; /* owned reference */
    tt_program *program;    /* owned by the model */
    int n_outputs;
    PyObject *output_names;              /* tuple of str */
    PyObject *watcher;                   /* a Watcher that counts calls, or NULL */
    bool counts_requests;                /* a call is a request too */
    tt_known_plan known[TT_KNOWN_PLANS]; /* the most recently used first */
} tt_program_object;

extern PyType_Spec tt_program_spec;
extern PyType_Spec tt_binding_spec;

PyObject *tt_program_object_new(tt_model_object *model, PyObject *names);

/* ---- error.c -------------------------------------------------------------- */

int tt_errors_import(tt_state *state);
/* Raises the class of `status`; a pending exception (a signal handler's, a
 * callback's) wins.  Always returns NULL. */
PyObject *tt_raise(tt_state *state, tt_status status, const tt_error *err);
/* The same with a text in PyUnicode_FromFormat's form; a pending exception becomes
 * the cause.  Always returns NULL. */
PyObject *tt_raise_format(tt_state *state, tt_status status, const char *format, ...);

/* ---- gil.c ---------------------------------------------------------------- */

/* A stretch of work without the GIL that Ctrl-C can end. */
typedef struct {
    tt_state *state;
    PyThreadState *saved;
    unsigned long thread;
} tt_unlocked;

void tt_unlock(tt_unlocked *unlocked, tt_state *state); /* releases the GIL */
void tt_relock(tt_unlocked *unlocked);                  /* takes it again */
/* A tt_poll; arg is the tt_unlocked of the call.  Runs the handlers of pending
 * signals if the calling thread is the one that may. */
tt_status tt_unlocked_poll(void *arg);
int tt_main_thread_find(tt_state *state);

/* ---- fallback.c ----------------------------------------------------------- */

/* A tt_fallback; arg is the tt_model_object.  Takes the GIL. */
tt_status tt_fallback_call(void *arg, int graph, int node,
                           const tt_tensor *const *inputs, int n_inputs, tt_tensor *out,
                           int n_outputs, tt_error *err);

/* ---- buffer.c ------------------------------------------------------------- */

/* Views of objects with the buffer protocol as tt_buffers, each released through
 * its own release function, which may run without the GIL.  The list is freed with
 * PyMem_Free. */
int tt_buffers_from_sequence(PyObject *sequence, tt_buffer **out, int *n);

/* keep_descriptor(descriptor): an object that closes it in the end. */
PyObject *tt_descriptor_keeper(PyObject *module, PyObject *argument);

/* ---- module.c ------------------------------------------------------------- */

typedef struct {
    const char *name;
    int64_t value;
} tt_named_int;

/* {name: value}; the list ends with a name of NULL. */
PyObject *tt_dict_of_ints(const tt_named_int *items);

/* ---- info.c ------------------------------------------------------------------ */

extern PyMethodDef tt_module_functions[];

/* ---- watch.c ----------------------------------------------------------------- */

extern PyType_Spec tt_histogram_spec;
extern PyType_Spec tt_channel_statistics_spec;

/* ---- watcher.c --------------------------------------------------------------- */

extern PyType_Spec tt_watcher_spec;

/* ---- look.c ------------------------------------------------------------------ */

extern PyMethodDef tt_look_functions[];

/* ---- optimizer.c --------------------------------------------------------- */

extern PyMethodDef tt_optimizer_functions[];

/* ---- image.c ----------------------------------------------------------------- */

extern PyMethodDef tt_image_functions[];

#endif
