/* trimtab._core.look_at_images and .look_at_audio: csrc/watch/image_look.h and
 * audio_look.h for arrays of any strides, of which nothing is copied. */
#include <string.h>

#include "base/cpu.h"
#include "bind/array.h"
#include "watch/audio_look.h"
#include "watch/image_look.h"

/* Up to so many images or clips are looked at with the GIL: it is a matter of
 * microseconds, and getting the GIL back may take longer. */
enum { FEW_ITEMS = 4 };

/* A float32 array (n_rows, n_columns). */
static PyObject *rows_new(tt_state *state, int64_t n_rows, int64_t n_columns,
                          void **data)
{
    tt_shape shape = {
        .dtype = TT_F32, .rank = 2, .dims = {n_rows, n_columns}
    };
    return tt_array_new(state, &shape, data);
}

/* A view of `rank` dims of an array; *kept is NULL on failure. */
static int view_of(tt_state *state, PyObject *object, int rank, tt_view *view,
                   PyObject **kept)
{
    if (tt_array_view(state, object, view, kept) < 0) return -1;
    if (view->rank == rank) return 0;
    tt_raise_format(state, TT_BAD_INPUT, "expected an array of %d dims, got %d", rank,
                    view->rank);
    Py_CLEAR(*kept);
    return -1;
}

static PyObject *look_at_images(PyObject *module, PyObject *args)
{
    tt_state *state = tt_state_of(module);
    tt_isa isa = tt_cpu_get()->isa;
    tt_error err = {0};
    tt_status status;
    tt_unlocked unlocked;
    tt_view view;
    PyObject *object, *kept, *result;
    void *out;
    int axis;
    if (!PyArg_ParseTuple(args, "Oi:look_at_images", &object, &axis)) return NULL;
    if (axis != 1 && axis != 3)
        return tt_raise_format(state, TT_BAD_INPUT,
                               "channel_axis: expected 1 or 3, got %d", axis);
    if (view_of(state, object, /*rank=*/4, &view, &kept) < 0) return NULL;
    {
        const int order[4] = {0, axis, axis == 1 ? 2 : 1, axis == 1 ? 3 : 2};
        tt_images images = {.dtype = view.dtype, .data = view.data};
        for (int i = 0; i < 4; ++i) {
            images.dims[i] = view.dims[order[i]];
            images.strides[i] = view.strides[order[i]];
        }
        result = rows_new(state, images.dims[0], TT_N_IMAGE_LOOKS, &out);
        if (result == NULL) {
            Py_DECREF(kept);
            return NULL;
        }
        if (images.dims[0] <= FEW_ITEMS) {
            status = tt_images_look(&images, isa, out, &err);
        } else {
            tt_unlock(&unlocked, state);
            status = tt_images_look(&images, isa, out, &err);
            tt_relock(&unlocked);
        }
    }
    Py_DECREF(kept);
    if (status == TT_OK) return result;
    Py_DECREF(result);
    return tt_raise(state, status, &err);
}

static PyObject *look_at_audio(PyObject *module, PyObject *args)
{
    tt_state *state = tt_state_of(module);
    tt_isa isa = tt_cpu_get()->isa;
    tt_error err = {0};
    tt_status status;
    tt_unlocked unlocked;
    tt_clips clips;
    tt_view view;
    PyObject *object, *kept, *result;
    void *out;
    double full_scale;
    if (!PyArg_ParseTuple(args, "Od:look_at_audio", &object, &full_scale)) return NULL;
    if (view_of(state, object, /*rank=*/2, &view, &kept) < 0) return NULL;
    clips = (tt_clips){
        .dtype = view.dtype,
        .dims = {view.dims[0],    view.dims[1]   },
        .strides = {view.strides[0], view.strides[1]},
        .data = view.data,
        .full_scale = full_scale,
    };
    result = rows_new(state, clips.dims[0], TT_N_AUDIO_LOOKS, &out);
    if (result == NULL) {
        Py_DECREF(kept);
        return NULL;
    }
    if (clips.dims[0] <= FEW_ITEMS) {
        status = tt_clips_look(&clips, isa, out, &err);
    } else {
        tt_unlock(&unlocked, state);
        status = tt_clips_look(&clips, isa, out, &err);
        tt_relock(&unlocked);
    }
    Py_DECREF(kept);
    if (status == TT_OK) return result;
    Py_DECREF(result);
    return tt_raise(state, status, &err);
}

PyMethodDef tt_look_functions[] = {
    {"look_at_images", look_at_images, METH_VARARGS,
     "look_at_images(images, channel_axis, /)\n\n"
     "float32 (n, 11) of uint8 or float32 images (n, ., ., .)."},
    {"look_at_audio",  look_at_audio,  METH_VARARGS,
     "look_at_audio(clips, full_scale, /)\n\n"
     "float32 (n, 7) of int16 or float32 clips (n, samples)."  },
    {NULL,             NULL,           0,            NULL      },
};
