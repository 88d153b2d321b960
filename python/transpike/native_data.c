/* SPDX-License-Identifier: Apache-2.0 */
/* Samples. */
#include "native.h"

#include <string.h>

static PyObject *dataset_open(PyObject *module, PyObject *args)
{
    const char *path;
    int interpolation, is_shuffled;
    unsigned long long seed;
    tspk_dataset_settings settings;
    tspk_dataset *dataset = NULL;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_dataset_default_settings(&settings);
    if (!PyArg_ParseTuple(args, "s" TSPK_PY_PREPROCESS "pK", &path,
                          TSPK_PY_PREPROCESS_ARGS(settings.preprocess, interpolation), &is_shuffled,
                          &seed))
        return NULL;
    settings.preprocess.interpolation = (tspk_interpolation)interpolation;
    settings.is_shuffled = is_shuffled;
    settings.seed = seed;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_dataset_open(path, &settings, &dataset, &err);
    Py_END_ALLOW_THREADS
    return status == TSPK_OK ? tspk_py_wrap(dataset, TSPK_PY_DATASET, NULL) : tspk_py_raise(&err);
}

/* The arrays stay alive through the capsule's context; buffers of them stay where they are, since
 * the Python side hands over arrays of its own. */
static PyObject *dataset_from_arrays(PyObject *module, PyObject *args)
{
    PyObject *images, *labels, *kept, *capsule;
    Py_buffer image_view, label_view = {0};
    int interpolation, is_shuffled, are_floats;
    unsigned long long seed;
    long long dim[3];
    Py_ssize_t n;
    tspk_sample_arrays arrays = {0};
    tspk_dataset_settings settings;
    tspk_dataset *dataset = NULL;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_dataset_default_settings(&settings);
    if (!PyArg_ParseTuple(args, "OOpn(LLL)" TSPK_PY_PREPROCESS "pK", &images, &labels, &are_floats,
                          &n, &dim[0], &dim[1], &dim[2],
                          TSPK_PY_PREPROCESS_ARGS(settings.preprocess, interpolation), &is_shuffled,
                          &seed))
        return NULL;
    if (PyObject_GetBuffer(images, &image_view, PyBUF_C_CONTIGUOUS) != 0)
        return NULL;
    if (!Py_IsNone(labels) && PyObject_GetBuffer(labels, &label_view, PyBUF_C_CONTIGUOUS) != 0) {
        PyBuffer_Release(&image_view);
        return NULL;
    }
    settings.preprocess.interpolation = (tspk_interpolation)interpolation;
    settings.is_shuffled = is_shuffled;
    settings.seed = seed;
    arrays.are_floats = are_floats;
    arrays.n = (size_t)n;
    for (int i = 0; i < 3; i++)
        arrays.dim[i] = dim[i];
    arrays.images = image_view.buf;
    arrays.labels = label_view.buf;
    if ((double)image_view.len !=
            (double)n * (double)dim[0] * (double)dim[1] * (double)dim[2] * (are_floats ? 4 : 1) ||
        (label_view.buf && (size_t)label_view.len != (size_t)n * sizeof(int64_t))) {
        PyErr_SetString(PyExc_ValueError, "arrays are not of the size that was told");
        capsule = NULL;
    } else {
        tspk_error_init(&err);
        Py_BEGIN_ALLOW_THREADS
        status = tspk_dataset_from_arrays(&arrays, &settings, &dataset, &err);
        Py_END_ALLOW_THREADS
        kept = Py_NewRef(images);
        capsule = status == TSPK_OK ? tspk_py_wrap(dataset, TSPK_PY_DATASET, kept)
                                    : tspk_py_raise(&err);
        Py_DECREF(kept);
    }
    if (label_view.buf)
        PyBuffer_Release(&label_view);
    PyBuffer_Release(&image_view);
    return capsule;
}

/* Guesses what is not given, and makes the set preprocess so. */
static PyObject *dataset_guess(PyObject *module, PyObject *args)
{
    PyObject *capsule, *model_capsule;
    tspk_preprocess_guess guess = {0};
    tspk_preprocess_settings *const p = &guess.preprocess;
    int interpolation, is_size_given, is_normalisation_given, threads;
    tspk_dataset *dataset;
    const tspk_model *model;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_preprocess_default_settings(p);
    if (!PyArg_ParseTuple(args, "OO" TSPK_PY_PREPROCESS "ppi", &capsule, &model_capsule,
                          TSPK_PY_PREPROCESS_ARGS(*p, interpolation), &is_size_given,
                          &is_normalisation_given, &threads))
        return NULL;
    dataset = PyCapsule_GetPointer(capsule, TSPK_PY_DATASET);
    model = dataset ? PyCapsule_GetPointer(model_capsule, TSPK_PY_MODEL) : NULL;
    if (!model)
        return NULL;
    p->interpolation = (tspk_interpolation)interpolation;
    guess.is_size_given = is_size_given;
    guess.is_normalisation_given = is_normalisation_given;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_dataset_guess_preprocess(dataset, model, threads, &guess, &err);
    Py_END_ALLOW_THREADS
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    return Py_BuildValue(TSPK_PY_PREPROCESS "N", p->resize, p->crop, (int)p->interpolation,
                         p->channels, (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
                         (double)p->mean[3], (double)p->std[0], (double)p->std[1],
                         (double)p->std[2], (double)p->std[3],
                         PyBool_FromLong(guess.are_pixels));
}

static PyObject *dataset_count(PyObject *module, PyObject *capsule)
{
    const tspk_dataset *const dataset = PyCapsule_GetPointer(capsule, TSPK_PY_DATASET);

    (void)module;
    return dataset ? PyLong_FromSize_t(tspk_dataset_count(dataset)) : NULL;
}

static PyObject *dataset_class_name(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_dataset *dataset;
    const char *name;
    long long label;

    (void)module;
    if (!PyArg_ParseTuple(args, "OL", &capsule, &label))
        return NULL;
    dataset = PyCapsule_GetPointer(capsule, TSPK_PY_DATASET);
    if (!dataset)
        return NULL;
    name = tspk_dataset_class_name(dataset, label);
    if (!name)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
}

/* Decodes samples first ... first + n - 1 into a buffer [n, C, H, W]. */
static PyObject *dataset_read(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_dataset *dataset;
    Py_ssize_t first, n;
    long long dims[3];
    int64_t dim[3];
    size_t elems;
    Py_buffer out;
    tspk_error err;
    tspk_status status = TSPK_OK;

    (void)module;
    if (!PyArg_ParseTuple(args, "Onn(LLL)w*", &capsule, &first, &n, &dims[0], &dims[1], &dims[2],
                          &out))
        return NULL;
    for (int i = 0; i < 3; i++)
        dim[i] = dims[i];
    elems = (size_t)(dim[0] * dim[1] * dim[2]);
    dataset = PyCapsule_GetPointer(capsule, TSPK_PY_DATASET);
    if (dataset && (first < 0 || n < 0 || (size_t)out.len != (size_t)n * elems * sizeof(float))) {
        PyErr_SetString(PyExc_ValueError, "the buffer is not of the samples' size");
        dataset = NULL;
    }
    if (!dataset) {
        PyBuffer_Release(&out);
        return NULL;
    }
    tspk_error_init(&err);
    for (Py_ssize_t i = 0; i < n && status == TSPK_OK && PyErr_CheckSignals() == 0; i++) {
        Py_BEGIN_ALLOW_THREADS
        status = tspk_dataset_read(dataset, (size_t)(first + i), dim,
                                   (float *)out.buf + (size_t)i * elems, NULL, &err);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    if (PyErr_Occurred())
        return NULL;
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

PyMethodDef tspk_py_data_methods[] = {
    {"dataset_open", dataset_open, METH_VARARGS, "(path, preprocess, is_shuffled, seed) -> dataset"},
    {"dataset_from_arrays", dataset_from_arrays, METH_VARARGS,
     "(images, labels or None, are_floats, n, dimensions, preprocess, is_shuffled, seed) -> "
     "dataset"},
    {"dataset_guess", dataset_guess, METH_VARARGS,
     "(dataset, model, preprocess, is_size_given, is_normalisation_given, threads) -> "
     "(preprocess, are_pixels)"},
    {"dataset_count", dataset_count, METH_O, "(dataset) -> samples"},
    {"dataset_class_name", dataset_class_name, METH_VARARGS, "(dataset, label) -> str or None"},
    {"dataset_read", dataset_read, METH_VARARGS, "(dataset, first, n, dimensions, out)"},
    {NULL, NULL, 0, NULL},
};
