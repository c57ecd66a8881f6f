/* NumPy arrays <-> tensors.  The only header of this folder that knows how arrays
 * are read, made and checked; NumPy's own headers are in array.c alone. */
#ifndef TT_BIND_ARRAY_H
#define TT_BIND_ARRAY_H

#include "bind/module.h"
#include "watch/view.h"

int tt_array_import(tt_state *state);

/* Describes `arg` as a tensor.  Read in place: arrays, buffers and DLPack tensors
 * of the input's dtype with non-negative strides.  Otherwise, when may_copy, a
 * converted row-major copy is made and counted in model->n_copies; else this fails
 * and says why.  *made gets what must live until the call is over (or NULL when
 * that is `arg` itself). */
int tt_array_read(tt_model_object *model, const tt_input *input, PyObject *arg,
                  bool may_copy, tt_tensor *tensor, PyObject **made);

/* Describes any array, buffer, DLPack tensor, number or list of numbers as a view; any
 * strides are read in place.  *kept gets what must live as long as the view. */
int tt_array_view(tt_state *state, PyObject *object, tt_view *view, PyObject **kept);

/* An uninitialised row-major array; *data is its memory. */
PyObject *tt_array_new(tt_state *state, const tt_shape *shape, void **data);

/* An array over a block of tt_alloc, which it frees in the end.  Takes the block in
 * any case. */
PyObject *tt_array_adopt(tt_state *state, const tt_shape *shape, void *block);

/* A row-major copy of a row-major tensor. */
PyObject *tt_array_copy_of(tt_state *state, const tt_tensor *tensor);

/* The other direction: a tensor with a block of tt_alloc of its own.  Fails with
 * TT_CALLBACK in *err (and no Python exception) when the object is no numeric
 * array. */
tt_status tt_array_to_tensor(tt_state *state, PyObject *object, tt_tensor *out,
                             tt_error *err);

/* ---- array_objects.c: what is no array of numbers ------------------------------- */

/* As tt_array_read, of an input whose dtype is string or sequence; always a copy. */
int tt_object_read(tt_model_object *model, const tt_input *input, PyObject *arg,
                   bool may_copy, tt_tensor *tensor, PyObject **made);
/* Array, array of str, list of arrays, or None. */
PyObject *tt_object_copy_of(tt_state *state, const tt_tensor *tensor);
/* The same of a tensor that owns its block, which this takes in any case. */
PyObject *tt_object_adopt(tt_state *state, tt_tensor *tensor);
/* As tt_array_to_tensor, of any of those. */
tt_status tt_object_to_tensor(tt_state *state, PyObject *object,
                              const tt_limits *limits, tt_tensor *out, tt_error *err);

/* How an `out` array can take an output. */
typedef enum { TT_OUT_ERROR = -1, TT_OUT_DIRECT, TT_OUT_BY_COPY } tt_out;

/* Checks `out`: an array, writable, of this dtype and shape, sharing no memory with
 * the inputs (unless it is written by a copy afterwards, or is input `shared`).  TT_OUT_BY_COPY when it
 * is not row-major or not aligned. */
tt_out tt_array_check_out(tt_state *state, PyObject *out, PyObject *name,
                          const tt_shape *shape, const tt_input *inputs,
                          const tt_tensor *tensors, int n_inputs, int shared,
                          void **data);
/* dst[...] = src. */
int tt_array_assign(PyObject *dst, PyObject *src);
size_t tt_array_bytes(PyObject *array);
/* Do the first bytes of two arrays of tt_array_check_out overlap? */
bool tt_array_overlap(PyObject *a, PyObject *b);

/* An int64 array of shape (n_rows, n_columns) and its data. */
PyObject *tt_array_int64(Py_ssize_t n_rows, Py_ssize_t n_columns, int64_t **data);

/* Arrays of one dim, and their data. */
PyObject *tt_array_f64(int64_t n, double **data);
PyObject *tt_array_i64(int64_t n, int64_t **data);

/* The NumPy dtype for values of `dtype` (borrowed): ml_dtypes' where NumPy has
 * none, an unsigned integer of the same width where ml_dtypes is missing. */
PyObject *tt_array_dtype(tt_state *state, tt_dtype dtype);
/* What to write in x.astype() for it: "'int8'", "ml_dtypes.int4"; in text[0..n). */
const char *tt_array_dtype_text(tt_dtype dtype, char *text, size_t n);

#endif
