/* SPDX-License-Identifier: Apache-2.0 */
/* The source network: an ONNX file imported, simplified and executed in float. */
#ifndef TRANSPIKE_MODEL_H
#define TRANSPIKE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An imported ONNX graph. Immutable after opening; may be shared by sessions in several threads. */
typedef struct tspk_model tspk_model;

typedef struct tspk_model_settings {
    size_t memory_cap_bytes; /**< most memory the import may take (0: eight times the file + 256 MiB) */
    bool is_raw;             /**< true: import only, no recognition passes (default false) */
} tspk_model_settings;

TSPK_API void tspk_model_default_settings(tspk_model_settings *settings);

/**
 * Reads an ONNX file (external data beside it), binds the batch, folds constants, recognises
 * LayerNorm, GELU and attention.
 * @param path      file; external data must lie in its folder
 * @param settings  copied; NULL: defaults
 * @param model_out owned by the caller, untouched on failure
 * @errors IO, FORMAT, UNSUPPORTED, SHAPE, RANGE, LIMIT, NOMEM; the node or tensor is named
 */
TSPK_API tspk_status tspk_model_open(const char *path, const tspk_model_settings *settings,
                                     tspk_model **model_out, tspk_error *err);
TSPK_API void tspk_model_close(tspk_model *model);

/** One input or output of a model. */
typedef struct tspk_port {
    const char *name; /**< borrowed until the model is closed */
    uint8_t rank;
    int64_t dim[8];   /**< with the batch bound */
    int dtype;        /**< 1 float32, 2 int64, 3 bool (wider or narrower file types are converted) */
} tspk_port;

TSPK_API size_t tspk_model_count_inputs(const tspk_model *model);
TSPK_API size_t tspk_model_count_outputs(const tspk_model *model);
TSPK_API tspk_status tspk_model_input(const tspk_model *model, size_t i, tspk_port *port_out);
TSPK_API tspk_status tspk_model_output(const tspk_model *model, size_t i, tspk_port *port_out);
TSPK_API int64_t tspk_model_batch(const tspk_model *model); /**< images a run */

/** Hex SHA-256 of the file and its external data, 64 characters; borrowed. */
TSPK_API const char *tspk_model_sha256(const tspk_model *model);

/**
 * Can it be converted to spikes? TSPK_OK, or the refusal that names the node in the way.
 * The one check of its kind; nothing else assumes what a network looks like.
 * @errors UNSUPPORTED, SHAPE, USAGE (a raw model), NOMEM
 */
TSPK_API tspk_status tspk_model_check_convertible(const tspk_model *model, tspk_error *err);

/**
 * The recognised structure as JSON text (schema "transpike.inspect/1"): ports, blocks, heads, widths,
 * tokens, sites, operators, what each pass rewrote.
 * @param json_out  owned by the caller, freed with tspk_text_free()
 * @errors NOMEM
 */
TSPK_API tspk_status tspk_model_describe(const tspk_model *model, char **json_out, tspk_error *err);

/** Frees text that a call returned. NULL is allowed. */
TSPK_API void tspk_text_free(char *text);

/** A float executor with memory of its own. One thread at a time may use it. */
typedef struct tspk_ann tspk_ann;

/**
 * Plans and allocates an executor.
 * @param model    borrowed until the executor is closed
 * @param threads  ≥ 1; 0: all cores. Runs of several batches go side by side.
 * @errors RANGE, LIMIT, NOMEM
 */
TSPK_API tspk_status tspk_ann_open(const tspk_model *model, int threads, tspk_ann **ann_out,
                                   tspk_error *err);
TSPK_API void tspk_ann_close(tspk_ann *ann);

/**
 * Runs `n_runs` independent passes of tspk_model_batch() images each.
 * @param inputs   one pointer an input: [n_runs, elements of the port], borrowed, of the port's dtype
 * @param outputs  one pointer an output, the same way; NULL entries are skipped
 * @errors UNSUPPORTED (an element type that an operator lacks), RANGE (integer division by 0, an index
 * out of range)
 * @note allocates nothing; the result of a run does not depend on threads or on its neighbours
 */
TSPK_API tspk_status tspk_ann_run(tspk_ann *ann, size_t n_runs, const void *const *inputs,
                                  void *const *outputs, tspk_error *err);

#ifdef __cplusplus
}
#endif
#endif
