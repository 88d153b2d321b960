/* SPDX-License-Identifier: Apache-2.0 */
#include "transpike/array.h"

#include <stdlib.h>
#include <string.h>

#include "core/atomic_file.h"
#include "core/checked.h"
#include "core/fail.h"
#include "data/npy.h"

/* The .npy type of a public element type; false when there is none. */
static bool type_of(int dtype, tspk_npy_type *type_out)
{
    switch (dtype) {
    case TSPK_DTYPE_F32:
        *type_out = TSPK_NPY_F4;
        return true;
    case TSPK_DTYPE_I64:
        *type_out = TSPK_NPY_I8;
        return true;
    case TSPK_DTYPE_BOOL:
        *type_out = TSPK_NPY_B1;
        return true;
    default:
        return false;
    }
}

tspk_status tspk_array_read(const char *path, int dtype, tspk_array *array_out, tspk_error *err)
{
    tspk_array array = {.dtype = dtype};
    tspk_npy_type want, stored = TSPK_NPY_F4;
    tspk_shape shape;

    if (!type_of(dtype, &want))
        return TSPK_FAIL(err, TSPK_USAGE, "%s: element type %d is not 1, 2 or 3", path, dtype);
    TSPK_TRY(tspk_in_stage(err, tspk_npy_read_file(path, want, &shape, &array.data, &stored, err),
                           "data"));
    array.rank = shape.rank;
    memcpy(array.dim, shape.dim, shape.rank * sizeof array.dim[0]);
    array.is_from_floats = stored == TSPK_NPY_F4 || stored == TSPK_NPY_F8 || stored == TSPK_NPY_F2;
    *array_out = array;
    return TSPK_OK;
}

void tspk_array_done(tspk_array *array)
{
    if (!array)
        return;
    free(array->data);
    array->data = NULL;
}

tspk_status tspk_array_write(const char *path, const tspk_array *array, tspk_error *err)
{
    tspk_shape shape = {.rank = array->rank};
    tspk_npy_type type;
    size_t elems;

    if (!type_of(array->dtype, &type) || array->rank > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_USAGE, "%s: element type %d, rank %d", path, array->dtype,
                         array->rank);
    memcpy(shape.dim, array->dim, array->rank * sizeof shape.dim[0]);
    if (!tspk_checked_elems(shape.dim, shape.rank, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "%s: more than %zu elements", path,
                         TSPK_MAX_TENSOR_ELEMS);
    return tspk_npy_write_file(path, type, &shape, array->data, err);
}

tspk_status tspk_text_write(const char *path, const char *text, tspk_error *err)
{
    tspk_atomic_file *file;
    tspk_status status;

    TSPK_TRY(tspk_atomic_file_open(path, &file, err));
    status = tspk_atomic_file_write(file, text, strlen(text), err);
    if (status == TSPK_OK)
        return tspk_atomic_file_close(file, true, err);
    tspk_atomic_file_close(file, false, NULL);
    return status;
}
