/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions. A session takes one thread at a time: the Python side holds a lock. */
#include "native.h"

#include <stddef.h>

/* Images between two looks at signals, for each image side by side. */
#define IMAGES_PER_SLOT 4

static PyObject *session_open(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_spike *spike;
    tspk_session_settings s;
    tspk_session *session = NULL;
    int isa, policy, merging_off, refining_off;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_session_default_settings(&s);
    if (!PyArg_ParseTuple(args, "OzIiIiidpp", &capsule, &s.mode, &s.steps, &s.threads, &s.batch,
                          &isa, &policy, &s.exit, &merging_off, &refining_off))
        return NULL;
    spike = PyCapsule_GetPointer(capsule, TSPK_PY_SPIKE);
    if (!spike)
        return NULL;
    s.isa = (tspk_isa)isa;
    s.policy = (tspk_policy)policy;
    s.is_merging_off = merging_off;
    s.is_refining_off = refining_off;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_session_open(spike, &s, &session, &err);
    Py_END_ALLOW_THREADS
    return status == TSPK_OK ? tspk_py_wrap(session, TSPK_PY_SESSION, capsule)
                             : tspk_py_raise(&err);
}

static tspk_session *take_session(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, TSPK_PY_SESSION);
}

/* Arrays of one run: elements of an image, steps and classes are the caller's word, the sizes of the
 * buffers are compared with the network's. */
typedef struct run {
    tspk_session *session;
    Py_buffer images, logits, work;
    size_t n, image_elems, steps, classes;
} run;

static int take_run(PyObject *capsule, unsigned steps, run *r)
{
    PyObject *const spike_capsule = PyCapsule_GetContext(capsule);
    tspk_spike_info info;
    const tspk_spike *spike;

    r->session = take_session(capsule);
    spike = r->session ? PyCapsule_GetPointer(spike_capsule, TSPK_PY_SPIKE) : NULL;
    if (!spike)
        return -1;
    tspk_spike_info_get(spike, &info);
    r->image_elems = (size_t)info.image_dim[0] * info.image_dim[1] * info.image_dim[2];
    r->steps = steps;
    r->classes = info.classes;
    r->n = (size_t)r->images.len / (r->image_elems * sizeof(float));
    if (r->n * r->image_elems * sizeof(float) != (size_t)r->images.len ||
        (size_t)r->logits.len != r->n * steps * r->classes * sizeof(float) ||
        (size_t)r->work.len != r->n * steps * sizeof(tspk_step_work)) {
        PyErr_SetString(PyExc_ValueError, "the buffers do not fit the network");
        return -1;
    }
    return 0;
}

static void release(run *r)
{
    PyBuffer_Release(&r->images);
    PyBuffer_Release(&r->logits);
    PyBuffer_Release(&r->work);
}

static PyObject *session_run(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    run r = {0};
    unsigned steps, slots;
    tspk_error err;
    tspk_status status = TSPK_OK;
    int is_taken;

    (void)module;
    if (!PyArg_ParseTuple(args, "OIIy*w*w*", &capsule, &steps, &slots, &r.images, &r.logits,
                          &r.work))
        return NULL;
    is_taken = take_run(capsule, steps, &r) == 0;
    tspk_error_init(&err);
    for (size_t at = 0, n; is_taken && at < r.n && status == TSPK_OK; at += n) {
        n = r.n - at < (size_t)slots * IMAGES_PER_SLOT ? r.n - at : (size_t)slots * IMAGES_PER_SLOT;
        Py_BEGIN_ALLOW_THREADS
        status = tspk_session_run(
            r.session, n, (const float *)r.images.buf + at * r.image_elems,
            (float *)r.logits.buf + at * r.steps * r.classes,
            (tspk_step_work *)r.work.buf + at * r.steps, &err);
        Py_END_ALLOW_THREADS
        if (status == TSPK_OK && PyErr_CheckSignals() != 0)
            is_taken = 0;
    }
    release(&r);
    if (!is_taken)
        return NULL;
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *session_dump(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    run r = {0};
    unsigned steps;
    const char *path;
    int with_products;
    tspk_error err;
    tspk_status status = TSPK_OK;
    int is_taken;

    (void)module;
    if (!PyArg_ParseTuple(args, "OIy*w*w*ps", &capsule, &steps, &r.images, &r.logits, &r.work,
                          &with_products, &path))
        return NULL;
    is_taken = take_run(capsule, steps, &r) == 0;
    tspk_error_init(&err);
    if (is_taken) {
        Py_BEGIN_ALLOW_THREADS
        status = tspk_session_dump(r.session, r.n, r.images.buf, r.logits.buf, r.work.buf,
                                   with_products, path, &err);
        Py_END_ALLOW_THREADS
    }
    release(&r);
    if (!is_taken)
        return NULL;
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *session_memory(PyObject *module, PyObject *capsule)
{
    const tspk_session *const session = take_session(capsule);
    tspk_session_memory memory;

    (void)module;
    if (!session)
        return NULL;
    tspk_session_memory_get(session, &memory);
    return Py_BuildValue("{snsnsn}", "weights", (Py_ssize_t)memory.weights, "state",
                         (Py_ssize_t)memory.state, "arena", (Py_ssize_t)memory.arena);
}

static PyObject *mode_steps(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_spike *spike;
    const char *mode;
    uint32_t steps;
    tspk_error err;

    (void)module;
    if (!PyArg_ParseTuple(args, "Os", &capsule, &mode))
        return NULL;
    spike = PyCapsule_GetPointer(capsule, TSPK_PY_SPIKE);
    if (!spike)
        return NULL;
    tspk_error_init(&err);
    if (tspk_spike_mode_steps(spike, mode, &steps, &err) != TSPK_OK)
        return tspk_py_raise(&err);
    return PyLong_FromUnsignedLong(steps);
}

/* numpy's description of tspk_step_work. */
static PyObject *step_work_dtype(PyObject *module, PyObject *args)
{
#define AT(field) (Py_ssize_t)offsetof(tspk_step_work, field)
    (void)module, (void)args;
    return Py_BuildValue(
        "{s[sssssss]s[sssssss]s[nnnnnnn]sn}", "names", "steps", "spikes", "neurons",
        "energy_synaptic", "energy_full", "tokens", "energy_quantised_ann", "formats", "u4", "u8",
        "u8", "f8", "f8", "f8", "f8", "offsets", AT(steps), AT(spikes), AT(neurons),
        AT(energy_synaptic), AT(energy_full), AT(tokens), AT(energy_quantised_ann), "itemsize",
        (Py_ssize_t)sizeof(tspk_step_work));
#undef AT
}

PyMethodDef tspk_py_session_methods[] = {
    {"session_open", session_open, METH_VARARGS,
     "(spike, mode, steps, threads, batch, isa, policy, exit, is_merging_off, is_refining_off) -> "
     "session"},
    {"session_run", session_run, METH_VARARGS,
     "(session, steps, slots, images, logits out, work out)"},
    {"session_dump", session_dump, METH_VARARGS,
     "(session, steps, images, logits out, work out, with_products, path)"},
    {"session_memory", session_memory, METH_O, "(session) -> dict of bytes"},
    {"mode_steps", mode_steps, METH_VARARGS, "(spike, mode) -> steps"},
    {"step_work_dtype", step_work_dtype, METH_NOARGS, "-> dict for numpy.dtype"},
    {NULL, NULL, 0, NULL},
};
