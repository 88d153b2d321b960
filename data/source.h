/* SPDX-License-Identifier: Apache-2.0 */
/* One kind of sample storage behind one face: what dataset.c reads from. One kind a file. */
#ifndef TSPK_DATA_SOURCE_H
#define TSPK_DATA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "data/image.h"
#include "data/npy.h"
#include "transpike/data.h"
#include "transpike/error.h"

#define TSPK_MAX_SAMPLES        ((size_t)1 << 24)
#define TSPK_MAX_LABEL          1000000000
#define TSPK_MAX_LABELS_BYTES   ((size_t)1 << 28)  /* [bytes] of labels.csv or classes.txt */
#define TSPK_MAX_ARCHIVE_BYTES  ((size_t)1 << 33)  /* [bytes] kept of one archive or array */
#define TSPK_MAX_ARCHIVE_STREAM ((int64_t)1 << 38) /* [bytes] that one archive unpacks to */
#define TSPK_MAX_FOLDER_DEPTH   32

/** Decoded content of a sample, before preprocessing. */
typedef struct tspk_content {
    bool is_float;    /* values, used as they are; else pixels, to be preprocessed */
    tspk_image image; /* owned, when !is_float */
    float *values;    /* [dim[0], dim[1], dim[2]] channels, height, width; owned, when is_float */
    int64_t dim[3];
} tspk_content;

void tspk_content_done(tspk_content *content);

typedef struct tspk_source_item {
    const char *name; /* in the source's arena */
    int64_t label;    /* -1: none */
    size_t payload;   /* for the kind's own use */
} tspk_source_item;

typedef struct tspk_source tspk_source;

typedef struct tspk_source_ops {
    /* Loads item i. Safe from several threads. Messages need not name the item. */
    tspk_status (*load)(const tspk_source *source, size_t i, tspk_content *content_out,
                        tspk_error *err);
    /* Frees what the kind added, and not the base. */
    void (*done)(tspk_source *source);
} tspk_source_ops;

/** The base: first member of every kind's struct, whose memory starts with it and is malloc'd. */
struct tspk_source {
    const tspk_source_ops *ops;
    tspk_arena *arena;
    tspk_source_item *items; /* in the order before shuffling */
    size_t n, room;
    const char **class_names;
    size_t n_classes;
};

/** A zeroed struct of `bytes` with its base filled in. @errors NOMEM */
tspk_status tspk_source_new(size_t bytes, const tspk_source_ops *ops, tspk_source **source_out,
                            tspk_error *err);
void tspk_source_free(tspk_source *source);

/** Appends an unlabelled item; the name is copied. @errors LIMIT, NOMEM */
tspk_status tspk_source_add(tspk_source *source, const char *name, size_t payload, tspk_error *err);

/** Orders by name, bytewise. @errors FORMAT (a name occurs twice) */
tspk_status tspk_source_sort(tspk_source *source, tspk_error *err);

/** The item of that name in a sorted source, NULL when there is none. */
tspk_source_item *tspk_source_find(const tspk_source *source, const char *name);

/** Appends n items named by their index, labelled from `labels` (NULL: unlabelled).
 * @errors LIMIT, RANGE (label negative or too large, named), NOMEM */
tspk_status tspk_source_add_indices(tspk_source *source, size_t n, const int64_t *labels,
                                    tspk_error *err);

/* Labels of a sorted source of images. */

/** From text `file,label`; a first row with just these words is skipped.
 * @param name  of the text; its files are relative to its folder
 * @errors FORMAT (row, unknown file, file twice, image without a row), RANGE (label) */
tspk_status tspk_source_label_by_csv(tspk_source *source, const uint8_t *text, size_t n,
                                     const char *name, tspk_error *err);

/** From the folders that names start with, classes in bytewise order; nothing to do when no image
 * lies in a folder. @param skipped  leading folders that all names share and that are no class
 * @errors FORMAT (an image beside the class folders) */
tspk_status tspk_source_label_by_folder(tspk_source *source, size_t skipped, tspk_error *err);

/** Reads a label: digits, a sign, blanks around. @errors FORMAT, RANGE (negative, too large) */
tspk_status tspk_label_parse(const char *text, size_t n, int64_t *label_out, tspk_error *err);

/** Class names from text, one a line. @errors NOMEM */
tspk_status tspk_source_name_classes(tspk_source *source, const uint8_t *text, size_t n,
                                     tspk_error *err);

/* The kinds. @param path  as the user gave it; messages of these need not name it */
tspk_status tspk_source_open_folder(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_image(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_npy(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_npz(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_idx(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_cifar(const char *path, tspk_source **source_out, tspk_error *err);
tspk_status tspk_source_open_archive(const char *path, tspk_source **source_out, tspk_error *err);

/** A member of an archive, whole. */
typedef struct tspk_text_member {
    char *name; /* malloc'd */
    uint8_t *bytes;
    size_t n; /* [bytes] */
} tspk_text_member;

/** Can a file of that many bytes be CIFAR records? */
bool tspk_cifar_has_size(size_t n_bytes);

/** The records of several files, one after the other. @param files  of fitting sizes; borrowed */
tspk_status tspk_source_open_cifar_files(const tspk_text_member *files, size_t n_files,
                                         tspk_source **source_out, tspk_error *err);

/** Elements of an array as samples: data in memory, or at an offset of a file. */
typedef struct tspk_array_layout {
    tspk_npy_type type; /* U1: [N, H, W, C] or [N, H, W] pixels; F4, F8, F2: [N, C, H, W] values */
    tspk_shape shape;
    uint8_t *memory; /* malloc'd unless it is borrowed, or NULL */
    bool is_borrowed;
    int descriptor;  /* when memory is NULL */
    size_t offset;   /* [bytes] of the first element in the file */
    int64_t *labels; /* [N] malloc'd, or NULL */
} tspk_array_layout;

/** Takes over memory, descriptor and labels, also on failure.
 * @errors SHAPE, UNSUPPORTED (element type), LIMIT, RANGE, NOMEM */
tspk_status tspk_source_open_array(tspk_array_layout *layout, tspk_source **source_out,
                                   tspk_error *err);

/** Samples in memory, whose images are borrowed.
 * @errors as tspk_source_open_array() */
tspk_status tspk_source_open_memory(const tspk_sample_arrays *arrays, tspk_source **source_out,
                                    tspk_error *err);

/** Checks labels read from an array of any shape that holds N elements. @errors SHAPE */
tspk_status tspk_labels_check(const tspk_shape *shape, size_t n, const char *name, tspk_error *err);

#endif
