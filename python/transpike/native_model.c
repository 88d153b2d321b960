/* SPDX-License-Identifier: Apache-2.0 */
/* Source networks and their float executors. */
#include "native.h"

#include <stdlib.h>

#define MOST_PORTS 256

static PyObject *model_open(PyObject *module, PyObject *args)
{
    const char *path;
    tspk_model *model = NULL;
    tspk_error err;
    tspk_status status;

    (void)module;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_model_open(path, NULL, &model, &err);
    Py_END_ALLOW_THREADS
    return status == TSPK_OK ? tspk_py_wrap(model, TSPK_PY_MODEL, NULL) : tspk_py_raise(&err);
}

static tspk_model *take_model(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, TSPK_PY_MODEL);
}

static PyObject *model_check(PyObject *module, PyObject *capsule)
{
    const tspk_model *const model = take_model(capsule);
    tspk_error err;

    (void)module;
    if (!model)
        return NULL;
    tspk_error_init(&err);
    if (tspk_model_check_convertible(model, &err) != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *model_describe(PyObject *module, PyObject *capsule)
{
    const tspk_model *const model = take_model(capsule);
    tspk_error err;
    char *json = NULL;

    (void)module;
    if (!model)
        return NULL;
    tspk_error_init(&err);
    if (tspk_model_describe(model, &json, &err) != TSPK_OK)
        return tspk_py_raise(&err);
    return tspk_py_text(json);
}

/* (name, dtype, [dimensions]) */
static PyObject *port_tuple(const tspk_port *port)
{
    PyObject *const dims = PyList_New(port->rank);

    if (!dims)
        return NULL;
    for (int i = 0; i < port->rank; i++) {
        PyObject *const dim = PyLong_FromLongLong(port->dim[i]);

        if (!dim || PyList_SetItem(dims, i, dim) != 0) {
            Py_DECREF(dims);
            return NULL;
        }
    }
    return Py_BuildValue("siN", port->name, port->dtype, dims);
}

static PyObject *ports(const tspk_model *model, size_t n,
                       tspk_status (*get)(const tspk_model *, size_t, tspk_port *))
{
    PyObject *const list = PyList_New((Py_ssize_t)n);

    for (size_t i = 0; list && i < n; i++) {
        tspk_port port;
        PyObject *item = get(model, i, &port) == TSPK_OK ? port_tuple(&port) : NULL;

        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) != 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static PyObject *model_ports(PyObject *module, PyObject *capsule)
{
    const tspk_model *const model = take_model(capsule);
    PyObject *inputs, *outputs;

    (void)module;
    if (!model)
        return NULL;
    inputs = ports(model, tspk_model_count_inputs(model), tspk_model_input);
    outputs = inputs ? ports(model, tspk_model_count_outputs(model), tspk_model_output) : NULL;
    if (!outputs) {
        Py_XDECREF(inputs);
        return NULL;
    }
    return Py_BuildValue("NNn", inputs, outputs, (Py_ssize_t)tspk_model_batch(model));
}

static PyObject *model_sha256(PyObject *module, PyObject *capsule)
{
    const tspk_model *const model = take_model(capsule);

    (void)module;
    return model ? PyUnicode_FromString(tspk_model_sha256(model)) : NULL;
}

static PyObject *ann_open(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_model *model;
    tspk_ann *ann = NULL;
    tspk_error err;
    tspk_status status;
    int threads;

    (void)module;
    if (!PyArg_ParseTuple(args, "Oi", &capsule, &threads))
        return NULL;
    model = take_model(capsule);
    if (!model)
        return NULL;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_ann_open(model, threads, &ann, &err);
    Py_END_ALLOW_THREADS
    return status == TSPK_OK ? tspk_py_wrap(ann, TSPK_PY_ANN, capsule) : tspk_py_raise(&err);
}

static size_t port_bytes(const tspk_port *port)
{
    static const size_t element[] = {0, sizeof(float), sizeof(int64_t), 1};
    size_t bytes = element[port->dtype];

    for (int i = 0; i < port->rank; i++)
        bytes *= (size_t)port->dim[i];
    return bytes;
}

/* Views of the arrays of one side, each of n_runs times its port. */
typedef struct side {
    Py_buffer view[MOST_PORTS];
    void *data[MOST_PORTS];
    size_t n;
} side;

static void release(side *s)
{
    for (size_t i = 0; i < s->n; i++)
        PyBuffer_Release(&s->view[i]);
    s->n = 0;
}

static int take_side(PyObject *list, const tspk_model *model, size_t n_ports, size_t n_runs,
                     tspk_status (*get)(const tspk_model *, size_t, tspk_port *), int flags,
                     side *s)
{
    s->n = 0;
    if (n_ports > MOST_PORTS || (size_t)PyList_Size(list) != n_ports) {
        PyErr_Format(PyExc_ValueError, "%zd arrays, the network has %zu", PyList_Size(list),
                     n_ports);
        return -1;
    }
    for (size_t i = 0; i < n_ports; i++) {
        tspk_port port;

        if (PyObject_GetBuffer(PyList_GetItem(list, (Py_ssize_t)i), &s->view[i], flags) != 0)
            return -1;
        s->n++;
        s->data[i] = s->view[i].buf;
        if (get(model, i, &port) != TSPK_OK ||
            (size_t)s->view[i].len != n_runs * port_bytes(&port)) {
            PyErr_Format(PyExc_ValueError, "array %zu has %zd bytes, expected %zu", i,
                         s->view[i].len, n_runs * port_bytes(&port));
            return -1;
        }
    }
    return 0;
}

static PyObject *ann_run(PyObject *module, PyObject *args)
{
    PyObject *capsule, *input_list, *output_list;
    Py_ssize_t n_runs;
    tspk_ann *ann;
    tspk_error err;
    tspk_status status = TSPK_OK;
    side *sides;
    int are_taken;

    (void)module;
    if (!PyArg_ParseTuple(args, "OnOO", &capsule, &n_runs, &input_list, &output_list))
        return NULL;
    ann = PyCapsule_GetPointer(capsule, TSPK_PY_ANN);
    if (!ann)
        return NULL;
    sides = calloc(2, sizeof *sides);
    if (!sides)
        return PyErr_NoMemory();
    {
        const tspk_model *const model = take_model(PyCapsule_GetContext(capsule));

        are_taken = take_side(input_list, model, tspk_model_count_inputs(model), (size_t)n_runs,
                              tspk_model_input, PyBUF_C_CONTIGUOUS, &sides[0]) == 0 &&
                    take_side(output_list, model, tspk_model_count_outputs(model), (size_t)n_runs,
                              tspk_model_output, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE,
                              &sides[1]) == 0;
    }
    tspk_error_init(&err);
    if (are_taken) {
        Py_BEGIN_ALLOW_THREADS
        status = tspk_ann_run(ann, (size_t)n_runs, (const void *const *)sides[0].data,
                              sides[1].data, &err);
        Py_END_ALLOW_THREADS
    }
    release(&sides[0]);
    release(&sides[1]);
    free(sides);
    if (!are_taken)
        return NULL;
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

PyMethodDef tspk_py_model_methods[] = {
    {"model_open", model_open, METH_VARARGS, "(path) -> model"},
    {"model_check", model_check, METH_O, "(model): raises when it cannot be converted"},
    {"model_describe", model_describe, METH_O, "(model) -> JSON text"},
    {"model_ports", model_ports, METH_O,
     "(model) -> (inputs, outputs, batch); a port is (name, dtype, dimensions)"},
    {"model_sha256", model_sha256, METH_O, "(model) -> hex text"},
    {"ann_open", ann_open, METH_VARARGS, "(model, threads) -> ann"},
    {"ann_run", ann_run, METH_VARARGS, "(ann, runs, [input buffers], [output buffers])"},
    {NULL, NULL, 0, NULL},
};
