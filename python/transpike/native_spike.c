/* SPDX-License-Identifier: Apache-2.0 */
/* Spiking networks: convert, store, describe, validate. */
#include "native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tspk_spike *take_spike(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, TSPK_PY_SPIKE);
}

/* Borrowed UTF-8 texts of a list of str. @return malloc'd, NULL with an exception on failure */
static const char **take_texts(PyObject *list, size_t *n_out)
{
    const Py_ssize_t n = PyList_Size(list);
    const char **texts = n >= 0 ? calloc((size_t)n + 1, sizeof *texts) : NULL;

    if (n >= 0 && !texts)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; texts && i < n; i++) {
        texts[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(list, i), NULL);
        if (!texts[i]) {
            free(texts);
            return NULL;
        }
    }
    *n_out = (size_t)n;
    return texts;
}

/* The thread's exception, normalised, or None; there is none afterwards. */
static PyObject *take_exception(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return Py_NewRef(Py_None);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Samples that were left out. */
typedef struct left_out {
    size_t n;
    char first[1024]; /* why the first one was */
} left_out;

/* A tspk_broken_fn; runs without the GIL. */
static void count_broken(void *context, const char *reason)
{
    left_out *const samples = context;

    if (!samples->n++)
        snprintf(samples->first, sizeof samples->first, "%s", reason);
}

typedef struct conversion {
    const tspk_model *model;
    const tspk_dataset *data;
    tspk_convert_settings settings;
    tspk_budget budget;
    int is_tuned;
    left_out broken;
    tspk_spike *spike;
    char *json;
} conversion;

static tspk_status run_conversion(conversion *job, tspk_py_progress *progress, tspk_error *err)
{
    tspk_status status;

    tspk_error_init(err);
    job->settings.progress = tspk_py_progress_step;
    job->settings.progress_context = progress;
    job->settings.broken = count_broken;
    job->settings.broken_context = &job->broken;
    progress->thread = PyEval_SaveThread();
    status = job->is_tuned
                 ? tspk_convert_tuned(job->model, job->data, &job->settings, &job->budget,
                                      &job->spike, &job->json, err)
                 : tspk_convert(job->model, job->data, &job->settings, &job->spike, err);
    PyEval_RestoreThread(progress->thread);
    return status;
}

/* What there is: the network, the search's JSON or None, what stopped the search or None, and the
 * number of broken samples with the reason of the first. */
static PyObject *conversion_result(conversion *job)
{
    PyObject *const stopped = take_exception();
    PyObject *const spike = tspk_py_wrap(job->spike, TSPK_PY_SPIKE, NULL);
    PyObject *const json = job->json ? tspk_py_text(job->json) : Py_NewRef(Py_None);
    PyObject *const first =
        PyUnicode_DecodeUTF8(job->broken.first, (Py_ssize_t)strlen(job->broken.first), "replace");

    if (spike && json && first)
        return Py_BuildValue("NNNnN", spike, json, stopped, (Py_ssize_t)job->broken.n, first);
    Py_XDECREF(first);
    Py_XDECREF(spike);
    Py_XDECREF(json);
    Py_DECREF(stopped);
    return NULL;
}

static PyObject *convert(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"model", "data", "preprocess", "calibration_images", "steps", "levels",
                            "are_levels_pinned", "is_rate", "is_ecmt", "is_mirrored", "cache_bytes",
                            "seed", "keep_analog", "merged_pairs", "refine_share", "threads",
                            "is_strict", "budget", "progress", NULL};
    PyObject *model, *data, *keep_analog, *budget;
    conversion job = {0};
    tspk_convert_settings *const s = &job.settings;
    tspk_py_progress progress = {0};
    int interpolation, pinned, rate, ecmt, mirrored, strict;
    Py_ssize_t images, cache;
    unsigned long long seed;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_convert_default_settings(s);
    tspk_budget_default(&job.budget);
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OO" TSPK_PY_PREPROCESS "nIIppppnKO!(II)(dd)ipOO", names, &model, &data,
            TSPK_PY_PREPROCESS_ARGS(s->preprocess, interpolation), &images, &s->steps, &s->levels,
            &pinned, &rate, &ecmt, &mirrored, &cache, &seed, &PyList_Type, &keep_analog,
            &s->merged_pairs[0], &s->merged_pairs[1], &s->refine_share[0], &s->refine_share[1],
            &s->threads, &strict, &budget, &progress.callable))
        return NULL;
    if (!Py_IsNone(budget) &&
        !PyArg_ParseTuple(budget, "dddd", &job.budget.max_loss, &job.budget.min_agreement,
                          &job.budget.max_energy, &job.budget.seconds))
        return NULL;
    job.is_tuned = !Py_IsNone(budget);
    job.model = PyCapsule_GetPointer(model, TSPK_PY_MODEL);
    job.data = job.model ? PyCapsule_GetPointer(data, TSPK_PY_DATASET) : NULL;
    s->keep_analog = job.data ? take_texts(keep_analog, &s->n_keep_analog) : NULL;
    if (!s->keep_analog)
        return NULL;
    s->preprocess.interpolation = (tspk_interpolation)interpolation;
    s->calibration_images = (size_t)images;
    s->are_levels_pinned = pinned;
    s->is_rate = rate;
    s->is_ecmt = ecmt;
    s->is_mirrored = mirrored;
    s->is_strict = strict;
    s->cache_bytes = (size_t)cache;
    s->seed = seed;
    status = run_conversion(&job, &progress, &err);
    free((void *)(uintptr_t)s->keep_analog);
    if (status == TSPK_OK)
        return conversion_result(&job);
    return progress.has_raised ? NULL : tspk_py_raise(&err);
}

static PyObject *spike_open(PyObject *module, PyObject *args)
{
    const char *path;
    tspk_spike *spike = NULL;
    tspk_error err;
    tspk_status status;

    (void)module;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_spike_open(path, &spike, &err);
    Py_END_ALLOW_THREADS
    return status == TSPK_OK ? tspk_py_wrap(spike, TSPK_PY_SPIKE, NULL) : tspk_py_raise(&err);
}

static PyObject *spike_save(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const char *path;
    const tspk_spike *spike;
    tspk_error err;
    tspk_status status;

    (void)module;
    if (!PyArg_ParseTuple(args, "Os", &capsule, &path))
        return NULL;
    spike = take_spike(capsule);
    if (!spike)
        return NULL;
    tspk_error_init(&err);
    Py_BEGIN_ALLOW_THREADS
    status = tspk_spike_save(spike, path, &err);
    Py_END_ALLOW_THREADS
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *spike_describe(PyObject *module, PyObject *capsule)
{
    const tspk_spike *const spike = take_spike(capsule);
    tspk_error err;
    char *json = NULL;

    (void)module;
    if (!spike)
        return NULL;
    tspk_error_init(&err);
    if (tspk_spike_describe(spike, &json, &err) != TSPK_OK)
        return tspk_py_raise(&err);
    return tspk_py_text(json);
}

static PyObject *spike_info(PyObject *module, PyObject *capsule)
{
    const tspk_spike *const spike = take_spike(capsule);
    tspk_spike_info info;
    const tspk_preprocess_settings *const p = &info.preprocess;

    (void)module;
    if (!spike)
        return NULL;
    tspk_spike_info_get(spike, &info);
    return Py_BuildValue(
        "{sIsIsIs(III)sKsssns" TSPK_PY_PREPROCESS "}", "steps", info.steps, "levels", info.levels,
        "classes", info.classes, "image_shape", info.image_dim[0], info.image_dim[1],
        info.image_dim[2], "seed", (unsigned long long)info.seed, "source_sha256",
        info.source_sha256, "calibration_images", (Py_ssize_t)info.calibration_images,
        "preprocess", p->resize, p->crop, (int)p->interpolation, p->channels, (double)p->mean[0],
        (double)p->mean[1], (double)p->mean[2], (double)p->mean[3], (double)p->std[0],
        (double)p->std[1], (double)p->std[2], (double)p->std[3]);
}

static PyObject *spike_class_name(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const tspk_spike *spike;
    const char *name;
    unsigned index;

    (void)module;
    if (!PyArg_ParseTuple(args, "OI", &capsule, &index))
        return NULL;
    spike = take_spike(capsule);
    if (!spike)
        return NULL;
    name = tspk_spike_class_name(spike, index);
    if (!name)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
}

static PyObject *spike_set_class_names(PyObject *module, PyObject *args)
{
    PyObject *capsule, *list;
    tspk_spike *spike;
    const char **names;
    size_t n;
    tspk_error err;
    tspk_status status;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO!", &capsule, &PyList_Type, &list))
        return NULL;
    spike = take_spike(capsule);
    names = spike ? take_texts(list, &n) : NULL;
    if (!names)
        return NULL;
    tspk_error_init(&err);
    status = tspk_spike_set_class_names(spike, names, (uint32_t)n, &err);
    free(names);
    if (status != TSPK_OK)
        return tspk_py_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *validate(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"spike", "model", "data", "skip", "limit", "steps", "mode", "batch",
                            "threads", "isa", "policy", "exit", "has_ablation", "is_merging_off",
                            "is_refining_off", "is_forced", "is_untimed", "has_layers",
                            "has_site_rates", "is_strict", "progress", NULL};
    PyObject *spike_capsule, *model_capsule, *data_capsule;
    const tspk_spike *spike;
    const tspk_model *model;
    const tspk_dataset *data;
    tspk_validate_settings s;
    tspk_py_progress progress = {0};
    int isa, policy, ablation, merging_off, refining_off, forced, untimed, layers, rates, strict;
    Py_ssize_t skip, limit;
    char *json = NULL;
    tspk_error err;
    tspk_status status;

    (void)module;
    tspk_validate_default_settings(&s);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOnnIzIiiidppppppppO", names, &spike_capsule,
                                     &model_capsule, &data_capsule, &skip, &limit, &s.steps,
                                     &s.mode, &s.batch, &s.threads, &isa, &policy, &s.exit,
                                     &ablation, &merging_off, &refining_off, &forced, &untimed, &layers,
                                     &rates, &strict, &progress.callable))
        return NULL;
    spike = take_spike(spike_capsule);
    model = spike ? PyCapsule_GetPointer(model_capsule, TSPK_PY_MODEL) : NULL;
    data = model ? PyCapsule_GetPointer(data_capsule, TSPK_PY_DATASET) : NULL;
    if (!data)
        return NULL;
    s.skip = (size_t)skip;
    s.limit = (size_t)limit;
    s.isa = (tspk_isa)isa;
    s.policy = (tspk_policy)policy;
    s.has_ablation = ablation;
    s.is_merging_off = merging_off;
    s.is_refining_off = refining_off;
    s.is_forced = forced;
    s.is_untimed = untimed;
    s.has_layers = layers;
    s.has_site_rates = rates;
    s.is_strict = strict;
    s.progress = tspk_py_progress_step;
    s.progress_context = &progress;
    tspk_error_init(&err);
    progress.thread = PyEval_SaveThread();
    status = tspk_validate(spike, model, data, &s, &json, &err);
    PyEval_RestoreThread(progress.thread);
    if (progress.has_raised) {
        tspk_text_free(json);
        return NULL;
    }
    return status == TSPK_OK ? tspk_py_text(json) : tspk_py_raise(&err);
}

#define KEYWORD_METHOD(f) (PyCFunction)(void (*)(void))(f), METH_VARARGS | METH_KEYWORDS

PyMethodDef tspk_py_spike_methods[] = {
    {"convert", KEYWORD_METHOD(convert),
     "(model, data, ...) -> (spike, JSON of the search or None, what stopped the search or None, "
     "number of broken samples, reason of the first)"},
    {"validate", KEYWORD_METHOD(validate), "(spike, model, data, ...) -> JSON text"},
    {"spike_open", spike_open, METH_VARARGS, "(path) -> spike"},
    {"spike_save", spike_save, METH_VARARGS, "(spike, path)"},
    {"spike_describe", spike_describe, METH_O, "(spike) -> JSON text"},
    {"spike_info", spike_info, METH_O, "(spike) -> dict"},
    {"spike_class_name", spike_class_name, METH_VARARGS, "(spike, class) -> str or None"},
    {"spike_set_class_names", spike_set_class_names, METH_VARARGS, "(spike, [str])"},
    {NULL, NULL, 0, NULL},
};
