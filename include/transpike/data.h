/* SPDX-License-Identifier: Apache-2.0 */
/* Samples: images, arrays and archives, decoded and preprocessed. */
#ifndef TRANSPIKE_DATA_H
#define TRANSPIKE_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tspk_interpolation {
    TSPK_NEAREST = 0,
    TSPK_BILINEAR = 1,
    TSPK_BICUBIC = 2
} tspk_interpolation;

/** PyTorch's Resize(antialias=True) of the short side, CenterCrop, ToTensor, Normalize. */
typedef struct tspk_preprocess_settings {
    uint32_t resize;      /**< short side [pixels]; 0: no resize (default) */
    uint32_t crop;        /**< side of the centre crop [pixels]; 0: no crop (default) */
    tspk_interpolation interpolation; /**< default bilinear */
    uint32_t channels;    /**< 1 grey or 3 RGB; 0: as the network expects (default) */
    float mean[4];        /**< subtracted from pixels in [0, 1]; default 0 */
    float std[4];         /**< divides after it; default 1; > 0 */
} tspk_preprocess_settings;

TSPK_API void tspk_preprocess_default_settings(tspk_preprocess_settings *settings);

/** A set of samples in its final order. Reading samples is safe from several threads. */
typedef struct tspk_dataset tspk_dataset;

typedef struct tspk_dataset_settings {
    tspk_preprocess_settings preprocess;
    bool is_shuffled;  /**< default true */
    uint64_t seed;     /**< of the shuffle, default 0 */
} tspk_dataset_settings;

TSPK_API void tspk_dataset_default_settings(tspk_dataset_settings *settings);

/**
 * Opens DATA: a folder of images with labels.csv (file,label) or class subfolders or neither, an .npz
 * (images, labels), an .npy with labels beside it (X_labels.npy, labels.npy) or not, a .tar of images
 * (labels.csv, WebDataset naming or class folders; packed or not; .zip likewise), an IDX images file
 * (.gz too; its labels file is found beside it by name), a CIFAR binary file, or one image file.
 * Order: relative path bytewise, then the seeded shuffle (Fisher-Yates from the end, SplitMix64).
 * @errors IO (missing, unreadable), FORMAT (what is wrong and where), RANGE (labels negative), LIMIT
 */
TSPK_API tspk_status tspk_dataset_open(const char *path, const tspk_dataset_settings *settings,
                                       tspk_dataset **dataset_out, tspk_error *err);
TSPK_API void tspk_dataset_close(tspk_dataset *dataset);

/** Samples that lie in memory. */
typedef struct tspk_sample_arrays {
    bool are_floats;      /**< float32 [n, channels, height, width], used as they are; else uint8
                               [n, height, width, channels], preprocessed */
    size_t n;             /**< samples */
    int64_t dim[3];       /**< of one sample, in the order above */
    const void *images;   /**< dense, row-major; borrowed until the set is closed */
    const int64_t *labels; /**< [n], 0 to 10^9; copied. NULL: none */
} tspk_sample_arrays;

/**
 * A set of samples in memory, named by their index, in the order that the settings say.
 * @param settings  as for tspk_dataset_open(); NULL: defaults
 * @errors RANGE (a label), SHAPE, FORMAT (no samples), LIMIT, NOMEM
 */
TSPK_API tspk_status tspk_dataset_from_arrays(const tspk_sample_arrays *arrays,
                                              const tspk_dataset_settings *settings,
                                              tspk_dataset **dataset_out, tspk_error *err);

/** The path that it was opened with, or words for samples in memory; borrowed until the set is
 * closed. */
TSPK_API const char *tspk_dataset_path(const tspk_dataset *dataset);

TSPK_API size_t tspk_dataset_count(const tspk_dataset *dataset);

/** Label of sample i, −1 when the set has none. */
TSPK_API int64_t tspk_dataset_label(const tspk_dataset *dataset, size_t i);

/** Relative path or index text; borrowed until the set is closed. */
TSPK_API const char *tspk_dataset_name(const tspk_dataset *dataset, size_t i);

/** Class name from the folder names, or from the lines of classes.txt beside labels.csv; NULL when there
 * are none. */
TSPK_API const char *tspk_dataset_class_name(const tspk_dataset *dataset, int64_t label);

/** Changes how the samples are preprocessed from now on; to be called before the set is shared.
 * @errors USAGE */
TSPK_API tspk_status tspk_dataset_set_preprocess(tspk_dataset *dataset,
                                                 const tspk_preprocess_settings *settings,
                                                 tspk_error *err);

/**
 * What sample i is before preprocessing.
 * @param are_pixels_out false: floats, which are used as they are
 * @param dim_out        channels, height, width
 * @errors as tspk_dataset_read()
 */
TSPK_API tspk_status tspk_dataset_shape(const tspk_dataset *dataset, size_t i,
                                        bool *are_pixels_out, int64_t dim_out[3],
                                        tspk_error *err);

/**
 * Decodes and preprocesses sample i.
 * @param dim     what the network expects: channels, height, width; a sample of another shape is
 *                refused with TSPK_SHAPE, numbers and name; one with an element that is not finite
 *                with TSPK_RANGE
 * @param out     [dim[0], dim[1], dim[2]] normalised float32; out
 * @param hash_out SHA-256 of the sample's content (decoded pixels or stored elements before
 *                preprocessing, and their shape), or NULL
 */
TSPK_API tspk_status tspk_dataset_read(const tspk_dataset *dataset, size_t i, const int64_t dim[3],
                                       float *out, uint8_t hash_out[32], tspk_error *err);

/** Told of a broken sample that is left out. @param reason one line that names it; borrowed during
 * the call */
typedef void (*tspk_broken_fn)(void *context, const char *reason);

/** Reads a set once, in its order, decoding ahead on threads of its own. One thread may use it. */
typedef struct tspk_reader tspk_reader;

typedef struct tspk_reader_settings {
    size_t skip;    /**< readable samples left out at the start; default 0 */
    size_t limit;   /**< then handed out at most; default 0: all */
    int threads;    /**< half of them, 8 at most, decode ahead, by 128 samples at most; 1: the
                         caller decodes; default 0: all cores */
    bool is_strict; /**< a broken sample is an error; else (default) it is noted and left out, as if
                         it were not there */
    tspk_broken_fn broken; /**< called by tspk_reader_next() for each; or NULL */
    void *broken_context;
} tspk_reader_settings;
TSPK_API void tspk_reader_default_settings(tspk_reader_settings *settings);

/**
 * @param data      borrowed until the reader is closed
 * @param dim       as in tspk_dataset_read()
 * @param settings  copied; NULL: defaults
 * @errors NOMEM
 */
TSPK_API tspk_status tspk_reader_open(const tspk_dataset *data, const int64_t dim[3],
                                      const tspk_reader_settings *settings,
                                      tspk_reader **reader_out, tspk_error *err);
TSPK_API void tspk_reader_close(tspk_reader *reader);

/**
 * The next samples. What comes does not depend on threads.
 * @param images   [most, dim[0], dim[1], dim[2]] out
 * @param hashes   [most][32] content hashes, out; or NULL
 * @param samples  [most] their indices in the set; out
 * @param n_out    fewer than `most` only at the end, where it is 0
 * @errors SHAPE, NOMEM; those of tspk_dataset_read() with is_strict; FORMAT (all are broken; says why
 *         the first is), RANGE (none is left behind `skip`)
 */
TSPK_API tspk_status tspk_reader_next(tspk_reader *reader, size_t most, float *images,
                                      uint8_t (*hashes)[32], size_t *samples, size_t *n_out,
                                      tspk_error *err);

/** Broken samples so far. */
TSPK_API size_t tspk_reader_count_broken(const tspk_reader *reader);

/** Index in the set of broken sample k. */
TSPK_API size_t tspk_reader_broken(const tspk_reader *reader, size_t k);

#ifdef __cplusplus
}
#endif
#endif
