/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, and what this build and machine are. */
#include "native.h"

static PyObject *report_write(PyObject *module, PyObject *args)
{
    const char *path, *json, *command;
    PyObject *spike_capsule, *data_capsule;
    const tspk_spike *spike;
    const tspk_dataset *data;
    tspk_report_settings settings;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_report_default_settings(&settings);
    if (!PyArg_ParseTuple(args, "sOOszzzsi", &path, &spike_capsule, &data_capsule, &json,
                          &settings.title, &settings.spike_path, &settings.source_path, &command,
                          &settings.threads))
        return NULL;
    spike = PyCapsule_GetPointer(spike_capsule, TSPK_PY_SPIKE);
    data = spike ? PyCapsule_GetPointer(data_capsule, TSPK_PY_DATASET) : NULL;
    if (!data)
        return NULL;
    settings.commands = &command;
    settings.n_commands = 1;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_report_write(path, spike, data, json, &settings, &err);
    Py_END_ALLOW_THREADS
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *system_describe(PyObject *module, PyObject *args)
{
    char *json = NULL;
    tspk_error err;

    (void)module, (void)args;
    tspk_error_init(&err);
    if (tspk_system_describe(&json, &err) != TSPK_OK)
        return tspk_py_raise(&err);
    return tspk_py_text(json);
}

PyMethodDef tspk_py_report_methods[] = {
    {"report_write", report_write, METH_VARARGS,
     "(path, spike, dataset, JSON, title, spike path, source path, command, threads)"},
    {"system_describe", system_describe, METH_NOARGS, "-> JSON text"},
    {NULL, NULL, 0, NULL},
};
