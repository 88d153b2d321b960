/* SPDX-License-Identifier: Apache-2.0 */
/* The extension module: the public C interface as functions on capsules and buffers. The Python
 * modules beside it make it pleasant. Built for the limited API of CPython 3.11. */
#ifndef TSPK_PYTHON_NATIVE_H
#define TSPK_PYTHON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "transpike/transpike.h"

#define TSPK_PY_MODEL   "transpike.model"
#define TSPK_PY_ANN     "transpike.ann"
#define TSPK_PY_DATASET "transpike.dataset"
#define TSPK_PY_SPIKE   "transpike.spike"
#define TSPK_PY_SESSION "transpike.session"

/** (resize, crop, interpolation, channels, (mean x 4), (std x 4)) */
#define TSPK_PY_PREPROCESS "(IIiI(ffff)(ffff))"
#define TSPK_PY_PREPROCESS_ARGS(p, interpolation)                                                  \
    &(p).resize, &(p).crop, &(interpolation), &(p).channels, &(p).mean[0], &(p).mean[1],           \
        &(p).mean[2], &(p).mean[3], &(p).std[0], &(p).std[1], &(p).std[2], &(p).std[3]

/** Raises transpike.Error with the fields of `err`. @return NULL */
PyObject *tspk_py_raise(const tspk_error *err);

/** A capsule that owns `object` and keeps `kept` (NULL: nothing) alive; closes on failure.
 * @param name  one of TSPK_PY_*, which tells how to close it */
PyObject *tspk_py_wrap(void *object, const char *name, PyObject *kept);

/** Text of a call as str, freed. */
PyObject *tspk_py_text(char *text);

/** What a progress function needs. Holds the thread's state while the GIL is released. */
typedef struct tspk_py_progress {
    PyObject *callable;    /* called with (phase, done, total); borrowed; NULL or None: nothing */
    PyThreadState *thread; /* while the GIL is released */
    int has_raised;        /* the exception is the thread's current one */
} tspk_py_progress;

/** A tspk_progress_fn: asks Python for signals, then the callable; a true answer stops. */
int tspk_py_progress_step(void *context, const char *phase, size_t done, size_t total);

extern PyMethodDef tspk_py_model_methods[], tspk_py_data_methods[], tspk_py_spike_methods[],
    tspk_py_session_methods[], tspk_py_report_methods[];

#endif
