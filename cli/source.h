/* SPDX-License-Identifier: Apache-2.0 */
/* What `run` is given: image files and folders, or one .npy batch, as preprocessed tensors. */
#ifndef TSPK_CLI_SOURCE_H
#define TSPK_CLI_SOURCE_H

#include "cli/args.h"
#include "cli/broken.h"
#include "transpike/transpike.h"

/** Overwrites those fields of `settings` that the command line names. @errors USAGE */
tspk_status tspk_cli_take_preprocess(const tspk_cli_args *args, tspk_preprocess_settings *settings,
                                     tspk_error *err);

enum { TSPK_CLI_NOTE_BYTES = 512 };

/**
 * The preprocessing for the samples of `data`, which are opened with what the flags say, and a
 * network whose file says nothing about it: tspk_dataset_guess_preprocess(). Flags win.
 * @param settings what the flags say; in/out
 * @param note_out [TSPK_CLI_NOTE_BYTES] what was guessed, to be said before the work; "" when
 * nothing was
 */
tspk_status tspk_cli_guess_preprocess(const tspk_cli_args *args, const tspk_model *model,
                                      tspk_dataset *data, tspk_preprocess_settings *settings,
                                      char *note_out, tspk_error *err);

typedef struct tspk_cli_source {
    size_t n_images;
    int64_t dim[3];   /* channels, height, width */
    tspk_array array; /* of a .npy batch; data NULL when images are files */
    size_t n_sets;
    tspk_dataset **set;         /* [n_sets], one an operand */
    const char *const *operand; /* [n_sets] borrowed */
    const char *array_path;
    char note[TSPK_CLI_NOTE_BYTES]; /* what was guessed of the preprocessing, or "" */
    bool is_strict;
    int threads;
    tspk_cli_broken *broken; /* told of samples that are left out; borrowed */
    tspk_reader *reader;     /* of set `at_set`; NULL between sets */
    size_t at_set, base;     /* base: images in the sets before it */
    size_t n_delivered;
    tspk_error first_broken;
} tspk_cli_source;

/**
 * Opens the operands: one .npy batch, or any number of images and folders.
 * @param stored  preprocessing that the network's file names; NULL: it is guessed for `model`
 */
tspk_status tspk_cli_source_open(const tspk_cli_args *args, char *const *operands, int n_operands,
                                 const int64_t dim[3], const tspk_preprocess_settings *stored,
                                 const tspk_model *model, tspk_cli_source *source_out,
                                 tspk_error *err);
void tspk_cli_source_done(tspk_cli_source *source);

/**
 * Tensors of the next images, in order, decoded ahead; broken ones are left out.
 * @param index  [most] numbers of the images; out
 * @param n_out  0 at the end
 * @errors those of tspk_reader_next(); the first broken one's when none could be read
 */
tspk_status tspk_cli_source_next(tspk_cli_source *source, size_t most, float *out, size_t *index,
                                 size_t *n_out, tspk_error *err);

/** Tensors of images [first, first + n) into out [n, channels, height, width]. */
tspk_status tspk_cli_source_read(const tspk_cli_source *source, size_t first, size_t n, float *out,
                                 tspk_error *err);

/** Name of image i into buf: a file as it was given; an image in a folder by its path in it, behind
 * the folder's when there are several operands; an image of a batch by file and index. */
char *tspk_cli_source_name(const tspk_cli_source *source, size_t i, char *buf, size_t size);

/** A .npy batch is preprocessed already: flags of the preprocessing are refused. @errors USAGE */
tspk_status tspk_cli_refuse_preprocess(const tspk_cli_args *args, const char *operand,
                                       tspk_error *err);

/** True when the operand's name ends in ".npy". */
bool tspk_cli_is_npy(const char *operand);

#endif
