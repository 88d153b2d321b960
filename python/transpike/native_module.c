/* SPDX-License-Identifier: Apache-2.0 */
/* The module `transpike._native`: what its parts share. */
#include "native.h"

#include <string.h>

PyObject *tspk_py_raise(const tspk_error *err)
{
    PyObject *module, *type, *instance;
    char line[1024];

    if (err->status == TSPK_NOMEM && !err->message[0])
        return PyErr_NoMemory();
    tspk_error_format(err, line, sizeof line);
    module = PyImport_ImportModule("transpike._error");
    type = module ? PyObject_GetAttrString(module, "Error") : NULL;
    instance = type ? PyObject_CallFunction(type, "ssisssss", line, tspk_status_name(err->status),
                                            (int)err->status, err->message, err->stage, err->node,
                                            err->op, err->tensor)
                    : NULL;
    if (instance)
        PyErr_SetObject(type, instance);
    Py_XDECREF(instance);
    Py_XDECREF(type);
    Py_XDECREF(module);
    return NULL;
}

static void close_object(void *object, const char *name)
{
    if (strcmp(name, TSPK_PY_MODEL) == 0)
        tspk_model_close(object);
    else if (strcmp(name, TSPK_PY_ANN) == 0)
        tspk_ann_close(object);
    else if (strcmp(name, TSPK_PY_DATASET) == 0)
        tspk_dataset_close(object);
    else if (strcmp(name, TSPK_PY_SPIKE) == 0)
        tspk_spike_close(object);
    else if (strcmp(name, TSPK_PY_SESSION) == 0)
        tspk_session_close(object);
}

static void close_capsule(PyObject *capsule)
{
    const char *const name = PyCapsule_GetName(capsule);
    PyObject *const kept = PyCapsule_GetContext(capsule);

    close_object(PyCapsule_GetPointer(capsule, name), name);
    Py_XDECREF(kept);
}

PyObject *tspk_py_wrap(void *object, const char *name, PyObject *kept)
{
    PyObject *const capsule = PyCapsule_New(object, name, close_capsule);

    if (!capsule) {
        close_object(object, name);
        return NULL;
    }
    Py_XINCREF(kept);
    PyCapsule_SetContext(capsule, kept);
    return capsule;
}

PyObject *tspk_py_text(char *text)
{
    PyObject *const str = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");

    tspk_text_free(text);
    return str;
}

static int ask(const tspk_py_progress *progress, const char *phase, size_t done, size_t total)
{
    PyObject *answer;
    int stops;

    if (PyErr_CheckSignals() != 0)
        return -1;
    if (!progress->callable || Py_IsNone(progress->callable))
        return 0;
    answer = PyObject_CallFunction(progress->callable, "snn", phase, (Py_ssize_t)done,
                                   (Py_ssize_t)total);
    if (!answer)
        return -1;
    stops = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return stops;
}

int tspk_py_progress_step(void *context, const char *phase, size_t done, size_t total)
{
    tspk_py_progress *const progress = context;
    int stops;

    if (progress->has_raised)
        return 1;
    PyEval_RestoreThread(progress->thread);
    stops = ask(progress, phase, done, total);
    progress->has_raised = stops < 0;
    progress->thread = PyEval_SaveThread();
    return stops != 0;
}

static PyObject *version(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    return PyUnicode_FromString(tspk_version());
}

static PyMethodDef module_methods[] = {
    {"version", version, METH_NOARGS, "Version of the library."},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    if (PyModule_AddFunctions(module, module_methods) < 0 ||
        PyModule_AddFunctions(module, tspk_py_model_methods) < 0 ||
        PyModule_AddFunctions(module, tspk_py_data_methods) < 0 ||
        PyModule_AddFunctions(module, tspk_py_spike_methods) < 0 ||
        PyModule_AddFunctions(module, tspk_py_session_methods) < 0 ||
        PyModule_AddFunctions(module, tspk_py_report_methods) < 0)
        return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "transpike._native",
    .m_doc = "The C interface of Transpike.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
