/* Releasing the GIL for work in C, and how Ctrl-C gets through.
 *
 * Python runs signal handlers only on its main thread and only when that thread
 * holds the GIL.  So during a long run the engine asks tt_unlocked_poll now and
 * then: on the main thread it takes the GIL for a moment, on others it is a
 * comparison. */
#include <unistd.h>

#include "bind/module.h"

int tt_main_thread_find(tt_state *state)
{
    PyObject *threading = PyImport_ImportModule("threading"), *thread, *ident;
    if (threading == NULL) return -1;
    thread = PyObject_CallMethod(threading, "main_thread", NULL);
    Py_DECREF(threading);
    if (thread == NULL) return -1;
    ident = PyObject_GetAttrString(thread, "ident");
    Py_DECREF(thread);
    if (ident == NULL) return -1;
    state->main_thread = PyLong_AsUnsignedLongMask(ident);
    Py_DECREF(ident);
    state->main_pid = (long)getpid();
    return PyErr_Occurred() == NULL ? 0 : -1;
}

void tt_unlock(tt_unlocked *unlocked, tt_state *state)
{
    unlocked->state = state;
    unlocked->thread = PyThread_get_thread_ident();
    unlocked->saved = PyEval_SaveThread();
}

void tt_relock(tt_unlocked *unlocked)
{
    PyEval_RestoreThread(unlocked->saved);
}

tt_status tt_unlocked_poll(void *arg)
{
    tt_unlocked *unlocked = arg;
    tt_state *state = unlocked->state;
    bool forked = (long)getpid() != state->main_pid;
    tt_status status = TT_OK;
    /* a worker may be the one that runs the steps: it has no thread state */
    if (unlocked->thread != PyThread_get_thread_ident()) return TT_OK;
    if (!forked && unlocked->thread != state->main_thread) return TT_OK;
    PyEval_RestoreThread(unlocked->saved);
    if (forked && tt_main_thread_find(state) < 0)
        status = TT_INTERRUPTED;
    else if (PyErr_CheckSignals() < 0)
        status = TT_INTERRUPTED;
    unlocked->saved = PyEval_SaveThread();
    return status;
}
