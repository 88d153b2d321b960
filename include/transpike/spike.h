/* SPDX-License-Identifier: Apache-2.0 */
/* Spike graphs: convert, store, execute, compare with the source network. */
#ifndef TRANSPIKE_SPIKE_H
#define TRANSPIKE_SPIKE_H

#include "transpike/data.h"
#include "transpike/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A calibrated spiking network. Immutable; may be shared by sessions in several threads. */
typedef struct tspk_spike tspk_spike;

/** What a caller says of the preprocessing; the rest is guessed. */
typedef struct tspk_preprocess_guess {
    bool is_size_given;          /**< resize and crop stay as they are set */
    bool is_normalisation_given; /**< mean and std do */
    tspk_preprocess_settings preprocess; /**< in: what is given; out: what the set has now */
    bool are_pixels;      /**< out: false when the samples are used as they are */
    size_t images;        /**< out: samples on which mean and std were tried; 0: given */
    double entropy[3];    /**< out: of the answers, mean [nats], for each that was tried, in the
                               order 0.5 and 0.5, 0 and 1, and those of ImageNet (3 channels) or of
                               the samples themselves; negative: not tried */
} tspk_preprocess_guess;

/**
 * Guesses how samples of pixels become the network's input, and makes the set do so. Size: samples
 * of the input's size stay as they are, else the centre of the input's side is cut out of the
 * sample, resized to 256/224 of it. Mean and standard deviation: those of the usual ones with which
 * the network is surest of its answers, by the mean entropy over the first 16 samples.
 * @param data in/out; samples that cannot be decoded are passed over
 * @errors those of the first sample when none can be decoded; NOMEM, SHAPE (an input that is no
 * image [N, 1 or 3, H, W])
 */
TSPK_API tspk_status tspk_dataset_guess_preprocess(tspk_dataset *data, const tspk_model *model,
                                                   int threads, tspk_preprocess_guess *guess,
                                                   tspk_error *err);

/** Called now and then during long work, by the thread that started it; a non-zero answer asks to
 * stop (TSPK_INTERRUPTED). */
typedef int (*tspk_progress_fn)(void *context, const char *phase, size_t done, size_t total);

typedef struct tspk_convert_settings {
    size_t calibration_images; /**< first so many samples of the set; default 128 */
    uint32_t steps;            /**< T, 1 … 16; default 4 */
    uint32_t levels;           /**< n of 2n thresholds, 1 … 64; default 8 */
    bool are_levels_pinned;    /**< tspk_convert_tuned() leaves them alone */
    bool is_rate;              /**< ECMT's rate coding instead of differential coding */
    bool is_ecmt;              /**< ECMT's published rule throughout (implies rate coding) */
    bool is_mirrored;          /**< fit on the samples' mirror images too; default true; never
                                    with is_ecmt */
    size_t cache_bytes;        /**< of images under way in calibration: mirror images, then samples,
                                    are left out where they do not fit; default 2 GiB, 0: any */
    uint64_t seed;             /**< kept in the file: validate shuffles alike; default 0 */
    const char *const
        *keep_analog;     /**< names of sites, or of layers: the sites under them; borrowed */
    size_t n_keep_analog; /**< default 0 */
    uint32_t merged_pairs[2]; /**< pairs of tokens that merge a layer, in the mean, in the modes
                                   balanced and fast, which tspk_convert() adds; 0: no such mode */
    double refine_share[2]; /**< of the patches that these modes compute from step 2 on, below 1;
                                 0: all. A mode without merged pairs is added for it too */
    int threads;          /**< 0: all cores */
    tspk_preprocess_settings preprocess; /**< kept in the file */
    tspk_progress_fn progress;           /**< or NULL */
    void *progress_context;
    bool is_strict;        /**< a broken sample is an error; else (default) it is left out and the
                                next ones take its place */
    tspk_broken_fn broken; /**< told of each; or NULL */
    void *broken_context;
} tspk_convert_settings;

/** What a tuned conversion may cost and lose. Set by tspk_budget_default(), then changed. */
typedef struct tspk_budget {
    double max_loss;      /**< points of top-1; negative: any */
    double min_agreement; /**< share of images with the source network's answer; default 0.94 */
    double max_energy;    /**< synaptic energy, ratio to the source network's; 0: any */
    double seconds;       /**< of the search; default 600 */
} tspk_budget;
TSPK_API void tspk_budget_default(tspk_budget *budget);

TSPK_API void tspk_convert_default_settings(tspk_convert_settings *settings);

/**
 * Calibrates `model` on the first samples of `data` and makes the spike graph. No training.
 * @param spike_out owned by the caller, untouched on failure
 * @errors UNSUPPORTED (tspk_model_check_convertible; tokens that cannot merge), RANGE (settings; a name in keep_analog that
 * is no site's, with the nearest ones; fewer samples than asked for is not an error as long as
 * there is one), SHAPE (samples), NOMEM, INTERRUPTED
 * @source ECMT (arXiv 2502.21193), differential coding (arXiv 2503.00301); docs/calibration.md
 */
TSPK_API tspk_status tspk_convert(const tspk_model *model, const tspk_dataset *data,
                                  const tspk_convert_settings *settings, tspk_spike **spike_out,
                                  tspk_error *err);

/**
 * Searches levels, steps and prices for the least synaptic energy within the budget, judged by
 * cross-validation over the calibration samples, and calibrates what it found: the operating points
 * "exact" (settings->steps steps), "balanced" and "fast". Parameters and errors as tspk_convert().
 * When it is stopped (progress) after the first candidate it returns the best so far, fitted on
 * half of the samples.
 * @param json_out {"met", "partial", "chosen": {"balanced": id, "fast": id}, "pareto": [{"id",
 *        "levels", "steps", "loss", "agreement", "kl", "energy_synaptic", "settings"}]}; freed with
 *        tspk_text_free()
 * @errors also USAGE (rate coding), RANGE (fewer than 2 samples)
 */
TSPK_API tspk_status tspk_convert_tuned(const tspk_model *model, const tspk_dataset *data,
                                        const tspk_convert_settings *settings,
                                        const tspk_budget *budget, tspk_spike **spike_out,
                                        char **json_out, tspk_error *err);

/** Writes `path` atomically (temporary file beside it, renamed); the same graph gives the same
 * bytes. */
TSPK_API tspk_status tspk_spike_save(const tspk_spike *spike, const char *path, tspk_error *err);

/** Reads a .spike and verifies every checksum. */
TSPK_API tspk_status tspk_spike_open(const char *path, tspk_spike **spike_out, tspk_error *err);
TSPK_API void tspk_spike_close(tspk_spike *spike);

/** JSON text, schema "transpike.inspect/1"; freed with tspk_text_free(). */
TSPK_API tspk_status tspk_spike_describe(const tspk_spike *spike, char **json_out, tspk_error *err);

/** What a .spike remembers of its making. Texts are borrowed. */
typedef struct tspk_spike_info {
    uint32_t steps, levels, classes, image_dim[3];
    uint64_t seed;
    tspk_preprocess_settings preprocess;
    const char *source_sha256;
    size_t calibration_images;
} tspk_spike_info;
TSPK_API void tspk_spike_info_get(const tspk_spike *spike, tspk_spike_info *info_out);
TSPK_API const char *tspk_spike_class_name(const tspk_spike *spike, uint32_t i); /**< or NULL */
/** Copies n names; to be called before the graph is shared. @errors RANGE (not one a class), NOMEM
 */
TSPK_API tspk_status tspk_spike_set_class_names(tspk_spike *spike, const char *const *names,
                                                uint32_t n, tspk_error *err);
/** True when an image with this content hash was used for calibration. */
TSPK_API bool tspk_spike_has_calibrated_on(const tspk_spike *spike, const uint8_t hash[32]);

/** Steps of an operating point. @errors UNSUPPORTED (no such point; names those there are) */
TSPK_API tspk_status tspk_spike_mode_steps(const tspk_spike *spike, const char *mode,
                                           uint32_t *steps_out, tspk_error *err);

/** Does this operating point merge tokens? false where there is none of that name. */
TSPK_API bool tspk_spike_merges_tokens(const tspk_spike *spike, const char *mode);

/** Does this operating point compute some tokens alone from step 2 on? */
TSPK_API bool tspk_spike_refines_tokens(const tspk_spike *spike, const char *mode);

/** Instruction sets of the kernels. Every one gives the same bytes. */
typedef enum tspk_isa {
    TSPK_ISA_AUTO = 0,
    TSPK_ISA_SCALAR = 1,
    TSPK_ISA_AVX2 = 2,
    TSPK_ISA_AVX512VNNI = 3,
    TSPK_ISA_NEON = 4
} tspk_isa;

/** When an image stops before the session's last step. */
typedef enum tspk_policy {
    TSPK_POLICY_OF_MODE = 0,    /**< as the operating point says */
    TSPK_POLICY_NONE = 1,       /**< after the last step */
    TSPK_POLICY_CONFIDENCE = 2, /**< p of the most probable class reaches the threshold */
    TSPK_POLICY_ENTROPY = 3,    /**< 1 - entropy / log(classes) does */
    TSPK_POLICY_MARGIN = 4,     /**< p of the most probable class - p of the second does */
    TSPK_POLICY_NET = 5         /**< after step 1 a net picks the number of steps: the first whose
                                     cumulative probability reaches the threshold */
} tspk_policy;

typedef struct tspk_session_settings {
    int threads;      /**< 0: all cores */
    uint32_t batch;   /**< images side by side at most; default 16 */
    uint32_t steps;   /**< 0: all of the operating point */
    tspk_isa isa;     /**< UNSUPPORTED when this build or machine lacks it */
    const char *mode; /**< operating point; NULL: "exact" */
    uint32_t steps_per_pass; /**< steps that a layer executes before the next layer; 0: all. Fewer
                                  keep state between passes, with the same results */
    tspk_policy policy; /**< UNSUPPORTED when the operating point has no such net, or no thresholds
                             for it and `exit` gives none */
    double exit;        /**< threshold of every step, 0 … 1; negative: the operating point's own */
    bool is_merging_off; /**< run all tokens where the operating point merges some */
    bool is_refining_off; /**< compute all tokens at every step where the operating point computes
                               some alone from step 2 on */
} tspk_session_settings;
TSPK_API void tspk_session_default_settings(tspk_session_settings *settings);

/** Executor with all of its memory. One thread at a time may use it. */
typedef struct tspk_session tspk_session;
TSPK_API tspk_status tspk_session_open(const tspk_spike *spike,
                                       const tspk_session_settings *settings,
                                       tspk_session **session_out, tspk_error *err);
TSPK_API void tspk_session_close(tspk_session *session);

/** Work of one image up to and including one step. */
typedef struct tspk_step_work {
    uint32_t steps;              /**< executed so far: less than this step's number once the image
                                      has stopped */
    uint64_t spikes;             /**< of this step alone */
    uint64_t neurons;            /**< neurons that were computed at this step */
    double energy_synaptic;      /**< cumulative, ratio to the source network: docs/energy.md */
    double energy_full;          /**< cumulative */
    double tokens;               /**< token rows computed in the blocks' linear layers, cumulative,
                                    ratio to one step of all tokens */
    double energy_quantised_ann; /**< the quantised network of the same information, once */
} tspk_step_work;

/**
 * Runs n images for the session's steps, or until its policy stops them: what stands behind the step
 * that an image stopped after is what it had then.
 * @param images  [n, channels, height, width] float32, preprocessed; borrowed
 * @param logits  [n, steps, classes] decoded logits after every step; out
 * @param work    [n, steps] or NULL; out
 * @note allocates nothing; an image's result depends on nothing but the image and the .spike
 */
TSPK_API tspk_status tspk_session_run(tspk_session *session, size_t n, const float *images,
                                      float *logits, tspk_step_work *work, tspk_error *err);

/**
 * Runs one image and draws what became of its tokens, as a PNG: the image in grey, patches that went
 * into another one in the colour of the layer where they did, lines between patches that do not
 * stand for one token in the end, and below a bar with the colours of the layers.
 * @param image [channels, height, width] float32, preprocessed; borrowed
 * @errors UNSUPPORTED (the operating point merges no tokens; patches that are no grid), IO, NOMEM
 */
TSPK_API tspk_status tspk_session_explain(tspk_session *session, const float *image,
                                          const char *path, tspk_error *err);

/** Bytes that a session holds: int and float weights, state carried over steps, arena. */
typedef struct tspk_session_memory {
    size_t weights, state, arena; /**< [bytes] */
} tspk_session_memory;
TSPK_API void tspk_session_memory_get(const tspk_session *session, tspk_session_memory *memory_out);

/**
 * Runs n images as tspk_session_run() does and writes every site's codes and fan-out (and, with
 * products, inputs, integer products and grids) to an .npz: docs/dump.md.
 * @errors RANGE (more than 64 images, 4 with products), IO
 */
TSPK_API tspk_status tspk_session_dump(tspk_session *session, size_t n, const float *images,
                                       float *logits, tspk_step_work *work, bool with_products,
                                       const char *path, tspk_error *err);

typedef struct tspk_validate_settings {
    size_t skip;    /**< samples left out at the start; default 0 */
    size_t limit;   /**< samples used at most; 0: all */
    uint32_t steps; /**< of exact; 0: all */
    const char
        *mode; /**< beside exact: one operating point; NULL or "all": every one; "exact": none */
    uint32_t batch; /**< default 16 */
    int threads;    /**< 0: all cores */
    tspk_isa isa;
    tspk_policy policy; /**< of every mode, and then of exact too; default TSPK_POLICY_OF_MODE */
    double exit;        /**< threshold of the policies; negative (default): those of the file */
    bool has_ablation;  /**< what "balanced" is with one of its means alone */
    bool is_merging_off; /**< as in tspk_session_settings */
    bool is_refining_off;
    bool is_forced;  /**< accept another source network than the .spike's */
    bool is_untimed; /**< no pass for ms_per_image */
    bool has_layers; /**< what each site does alone and with those before it; on `limit` images, or
                        16 */
    bool has_site_rates; /**< firing rate and SNR of each site, on 16 images; what has_layers says of
                              outputs left out, which takes most of its time */
    tspk_progress_fn progress;
    void *progress_context;
    bool is_strict;        /**< a broken sample is an error; else (default) it is left out, counted
                                and named in the JSON */
    tspk_broken_fn broken; /**< told of each; or NULL */
    void *broken_context;
} tspk_validate_settings;
TSPK_API void tspk_validate_default_settings(tspk_validate_settings *settings);

/**
 * Runs the spiking network beside its source network.
 * @param json_out schema "transpike.validate/1"; freed with tspk_text_free()
 * @errors MISMATCH (model is not the source), UNSUPPORTED (no such mode), RANGE (no samples left,
 * label out of range), SHAPE
 */
TSPK_API tspk_status tspk_validate(const tspk_spike *spike, const tspk_model *model,
                                   const tspk_dataset *data, const tspk_validate_settings *settings,
                                   char **json_out, tspk_error *err);

#ifdef __cplusplus
}
#endif
#endif
