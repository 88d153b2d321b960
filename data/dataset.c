/* SPDX-License-Identifier: Apache-2.0 */
#include "transpike/data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zlib.h>

#include "core/fail.h"
#include "core/rng.h"
#include "core/sha256.h"
#include "data/file_bytes.h"
#include "data/source.h"

struct tspk_dataset {
    tspk_source *source;
    size_t *order; /* [source->n] */
    char *path;
    tspk_preprocess_settings preprocess;
};

void tspk_dataset_default_settings(tspk_dataset_settings *settings)
{
    *settings = (tspk_dataset_settings){.is_shuffled = true};
    tspk_preprocess_default_settings(&settings->preprocess);
}

/* The first bytes of a file, unpacked when it is gzip. */
static tspk_status read_start(const char *path, uint8_t *bytes, size_t size, size_t *n_out,
                              tspk_error *err)
{
    gzFile file = gzopen(path, "rb");
    int n;

    if (!file)
        return TSPK_FAIL(err, TSPK_IO, "cannot be opened: %s",
                         errno ? strerror(errno) : "no memory");
    n = gzread(file, bytes, (unsigned)size);
    if (n < 0) {
        int code;
        const char *text = gzerror(file, &code);
        const tspk_status status =
            code == Z_ERRNO ? TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno))
                            : TSPK_FAIL(err, TSPK_FORMAT, "broken gzip: %s", text);

        gzclose(file);
        return status;
    }
    gzclose(file);
    *n_out = (size_t)n;
    return TSPK_OK;
}

static bool is_named_like_archive(const char *path)
{
    static const char *const ends[] = {".tar", ".tar.gz",  ".tgz",     ".tar.xz",
                                       ".txz", ".tar.bz2", ".tar.zst", ".zip"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (tspk_path_ends_with(path, ends[i]))
            return true;
    return false;
}

/* What a file is, is decided by its content, and by its name where that says nothing. */
static tspk_status open_file(const char *path, tspk_source **source_out, tspk_error *err)
{
    uint8_t start[512];
    size_t n = 0;

    TSPK_TRY(read_start(path, start, sizeof start, &n, err));
    if (n >= 6 && memcmp(start, "\x93NUMPY", 6) == 0)
        return tspk_source_open_npy(path, source_out, err);
    if (tspk_path_ends_with(path, ".npy"))
        return TSPK_FAIL(err, TSPK_FORMAT, "not an .npy: wrong magic");
    if (tspk_path_ends_with(path, ".npz"))
        return tspk_source_open_npz(path, source_out, err);
    if (tspk_image_has_magic(start, n) || tspk_image_has_extension(path))
        return tspk_source_open_image(path, source_out, err);
    if (n >= 4 && start[0] == 0 && start[1] == 0 && start[2] >= 8 && start[2] <= 14 && start[3])
        return tspk_source_open_idx(path, source_out, err);
    if (is_named_like_archive(path) || (n >= 262 && memcmp(start + 257, "ustar", 5) == 0))
        return tspk_source_open_archive(path, source_out, err);
    if (tspk_path_ends_with(path, ".bin"))
        return tspk_source_open_cifar(path, source_out, err);
    return TSPK_FAIL(err, TSPK_FORMAT,
                     "no kind of samples that is known: a folder or .tar of images, .npz, .npy, "
                     "IDX, CIFAR .bin, JPEG or PNG");
}

static tspk_status open_source(const char *path, tspk_source **source_out, tspk_error *err)
{
    struct stat found;

    if (stat(path, &found) != 0)
        return TSPK_FAIL(err, TSPK_IO, "cannot be opened: %s", strerror(errno));
    if (S_ISDIR(found.st_mode))
        return tspk_source_open_folder(path, source_out, err);
    if (!S_ISREG(found.st_mode))
        return TSPK_FAIL(err, TSPK_IO, "neither a file nor a folder");
    return open_file(path, source_out, err);
}

/* What both kinds of opening share: settings, name, order. */
static tspk_status arrange(tspk_dataset *dataset, const tspk_dataset_settings *settings,
                           tspk_error *err)
{
    const size_t n = dataset->source->n;

    if (!n)
        return TSPK_FAIL(err, TSPK_FORMAT, "%s: holds no samples", dataset->path);
    dataset->order = malloc(n * sizeof *dataset->order);
    if (!dataset->order)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for %zu samples", dataset->path, n);
    if (settings->is_shuffled)
        tspk_rng_shuffle(settings->seed, dataset->order, n);
    else
        for (size_t i = 0; i < n; i++)
            dataset->order[i] = i;
    return TSPK_OK;
}

/* The source that is named `path`, from a file or from memory. */
static tspk_status open_dataset(const char *path, const tspk_sample_arrays *arrays,
                                const tspk_dataset_settings *settings, tspk_dataset *dataset,
                                tspk_error *err)
{
    tspk_status status;

    TSPK_TRY(tspk_preprocess_check(&settings->preprocess, err));
    dataset->preprocess = settings->preprocess;
    dataset->path = strdup(path);
    if (!dataset->path)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    status = arrays ? tspk_source_open_memory(arrays, &dataset->source, err)
                    : open_source(path, &dataset->source, err);
    TSPK_TRY(tspk_in_file(err, status, path));
    return arrange(dataset, settings, err);
}

static tspk_status new_dataset(const char *path, const tspk_sample_arrays *arrays,
                               const tspk_dataset_settings *settings, tspk_dataset **dataset_out,
                               tspk_error *err)
{
    tspk_dataset_settings defaults;
    tspk_dataset *dataset = calloc(1, sizeof *dataset);
    tspk_status status;

    if (!dataset)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for a data set", path);
    tspk_dataset_default_settings(&defaults);
    status = open_dataset(path, arrays, settings ? settings : &defaults, dataset, err);
    if (status != TSPK_OK) {
        tspk_dataset_close(dataset);
        return tspk_in_stage(err, status, "data");
    }
    *dataset_out = dataset;
    return TSPK_OK;
}

tspk_status tspk_dataset_open(const char *path, const tspk_dataset_settings *settings,
                              tspk_dataset **dataset_out, tspk_error *err)
{
    return new_dataset(path, NULL, settings, dataset_out, err);
}

tspk_status tspk_dataset_from_arrays(const tspk_sample_arrays *arrays,
                                     const tspk_dataset_settings *settings,
                                     tspk_dataset **dataset_out, tspk_error *err)
{
    return new_dataset("samples in memory", arrays, settings, dataset_out, err);
}

void tspk_dataset_close(tspk_dataset *dataset)
{
    if (!dataset)
        return;
    tspk_source_free(dataset->source);
    free(dataset->order);
    free(dataset->path);
    free(dataset);
}

const char *tspk_dataset_path(const tspk_dataset *dataset)
{
    return dataset->path;
}

size_t tspk_dataset_count(const tspk_dataset *dataset)
{
    return dataset->source->n;
}

static const tspk_source_item *item_at(const tspk_dataset *dataset, size_t i)
{
    return i < dataset->source->n ? &dataset->source->items[dataset->order[i]] : NULL;
}

int64_t tspk_dataset_label(const tspk_dataset *dataset, size_t i)
{
    const tspk_source_item *item = item_at(dataset, i);

    return item ? item->label : -1;
}

const char *tspk_dataset_name(const tspk_dataset *dataset, size_t i)
{
    const tspk_source_item *item = item_at(dataset, i);

    return item ? item->name : "";
}

const char *tspk_dataset_class_name(const tspk_dataset *dataset, int64_t label)
{
    if (label < 0 || (uint64_t)label >= dataset->source->n_classes)
        return NULL;
    return dataset->source->class_names[label];
}

/* Kind of element (1: uint8, 4: float32), the three dimensions as stored (little-endian, 64 bits
 * each), the elements. */
static void hash_content(const tspk_content *content, uint8_t hash_out[32])
{
    const int64_t pixel_dim[3] = {content->image.height, content->image.width,
                                  content->image.channels};
    const int64_t *dim = content->is_float ? content->dim : pixel_dim;
    const size_t elems = (size_t)(dim[0] * dim[1] * dim[2]);
    uint8_t head[25] = {content->is_float ? 4 : 1};
    tspk_sha256 sha;

    for (int i = 0; i < 3; i++)
        for (int byte = 0; byte < 8; byte++)
            head[1 + i * 8 + byte] = (uint8_t)((uint64_t)dim[i] >> (8 * byte));
    tspk_sha256_begin(&sha);
    tspk_sha256_add(&sha, head, sizeof head);
    if (content->is_float)
        tspk_sha256_add(&sha, content->values, elems * sizeof(float));
    else
        tspk_sha256_add(&sha, content->image.pixels, elems);
    tspk_sha256_end(&sha, hash_out);
}

static tspk_status deliver(const tspk_dataset *dataset, tspk_content *content, const int64_t dim[3],
                           float *out, tspk_error *err)
{
    if (!content->is_float)
        return tspk_preprocess_image(&content->image, &dataset->preprocess, dim, out, err);
    if (memcmp(content->dim, dim, sizeof content->dim) != 0)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "sample is [%" PRId64 ", %" PRId64 ", %" PRId64 "], the network expects "
                         "[%" PRId64 ", %" PRId64 ", %" PRId64 "] (channels, height, width)",
                         content->dim[0], content->dim[1], content->dim[2], dim[0], dim[1], dim[2]);
    memcpy(out, content->values, (size_t)(dim[0] * dim[1] * dim[2]) * sizeof *out);
    return TSPK_OK;
}

/* `set: sample: ` in front of a message, unless it names a file below the set already. */
static void name_sample(const tspk_dataset *dataset, const tspk_source_item *item,
                        tspk_status status, tspk_error *err)
{
    tspk_error probe;

    if (!err)
        return;
    probe = *err;
    tspk_in_file(&probe, status, dataset->path);
    if (strcmp(probe.message, err->message) == 0)
        return;
    tspk_in_file(err, status, item->name);
    tspk_in_file(err, status, dataset->path);
}

tspk_status tspk_dataset_set_preprocess(tspk_dataset *dataset,
                                        const tspk_preprocess_settings *settings, tspk_error *err)
{
    TSPK_TRY(tspk_preprocess_check(settings, err));
    dataset->preprocess = *settings;
    return TSPK_OK;
}

tspk_status tspk_dataset_shape(const tspk_dataset *dataset, size_t i, bool *are_pixels_out,
                               int64_t dim_out[3], tspk_error *err)
{
    const tspk_source_item *item = item_at(dataset, i);
    tspk_content content = {0};
    tspk_status status;

    if (!item)
        return TSPK_FAIL(err, TSPK_USAGE, "sample %zu of %zu", i, dataset->source->n);
    status = dataset->source->ops->load(dataset->source, dataset->order[i], &content, err);
    if (status == TSPK_OK) {
        const int64_t pixels[3] = {content.image.channels, content.image.height,
                                   content.image.width};

        memcpy(dim_out, content.is_float ? content.dim : pixels, 3 * sizeof dim_out[0]);
        *are_pixels_out = !content.is_float;
    }
    tspk_content_done(&content);
    if (status != TSPK_OK) {
        name_sample(dataset, item, status, err);
        return tspk_in_stage(err, status, "data");
    }
    return TSPK_OK;
}

tspk_status tspk_dataset_read(const tspk_dataset *dataset, size_t i, const int64_t dim[3],
                              float *out, uint8_t hash_out[32], tspk_error *err)
{
    const tspk_source_item *item = item_at(dataset, i);
    tspk_content content = {0};
    uint8_t hash[32];
    tspk_status status;

    if (!item)
        return TSPK_FAIL(err, TSPK_USAGE, "sample %zu of %zu", i, dataset->source->n);
    status = dataset->source->ops->load(dataset->source, dataset->order[i], &content, err);
    if (status == TSPK_OK) {
        if (hash_out)
            hash_content(&content, hash);
        status = deliver(dataset, &content, dim, out, err);
    }
    tspk_content_done(&content);
    if (status != TSPK_OK) {
        name_sample(dataset, item, status, err);
        return tspk_in_stage(err, status, "data");
    }
    if (hash_out)
        memcpy(hash_out, hash, sizeof hash);
    return TSPK_OK;
}
