/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive around a spike graph: a zip of stored members. First the description, then its
 * SHA-256 in sha256sum's form, then one .npy a tensor in the order in which the description names
 * them. Reader and writer walk the description in that same order, so a member that is missing,
 * doubled, added or out of place shows at once by its name.
 */
#ifndef TSPK_SPIKEFILE_CONTAINER_H
#define TSPK_SPIKEFILE_CONTAINER_H

#include "core/arena.h"
#include "data/npy.h"
#include "spikefile/spike.pb-c.h"

#define TSPK_DESCRIPTION_MEMBER    "transpike.pb"
#define TSPK_CHECKSUM_MEMBER       "transpike.pb.sha256"
#define TSPK_MAX_DESCRIPTION_BYTES ((size_t)64 << 20)
#define TSPK_MAX_MEMBER_NAME       96u

/* --- writing --- */

/** A member in the making. */
typedef struct tspk_member {
    struct tspk_member *next;
    const char *name;
    uint8_t header[TSPK_NPY_HEADER_MAX];
    size_t header_bytes;
    const void *data; /* borrowed until the container is written */
    size_t data_bytes;
} tspk_member;

/** Members in order. All messages and assembled arrays of a write come from `arena`. */
typedef struct tspk_members {
    tspk_arena *arena;
    tspk_member *first, *last;
} tspk_members;

/** Appends a member, `name` copied, and makes its description, checksum included. @errors NOMEM */
tspk_status tspk_members_add(tspk_members *members, const char *name, tspk_npy_type type,
                             const tspk_shape *shape, const void *data, Spike__Tensor **tensor_out,
                             tspk_error *err);

/** Writes description, checksum and members atomically. @errors IO, NOMEM */
tspk_status tspk_container_write(const char *path, const uint8_t *description, size_t n_bytes,
                                 const tspk_members *members, tspk_error *err);

/* --- reading --- */

typedef struct tspk_container tspk_container;

/** Opens the archive and reads the description, checked against its checksum.
 * @param bytes_out owned by the container
 * @errors IO, FORMAT, LIMIT (larger than TSPK_MAX_DESCRIPTION_BYTES), NOMEM */
tspk_status tspk_container_open(const char *path, tspk_container **container_out,
                                const uint8_t **bytes_out, size_t *n_bytes_out, tspk_error *err);
void tspk_container_close(tspk_container *container);

/**
 * Reads the next member, which must be the one that `tensor` names, of this type and shape in the
 * description, in its header and by its size. Its checksum is compared by the next _check().
 * @param tensor   borrowed until the next _check(); NULL: missing in the description, an error
 * @param what     names the tensor where `tensor` is missing
 * @param data_out from `arena`; must stay as it is until the next _check()
 * @errors FORMAT, SHAPE, LIMIT, IO, NOMEM, naming the member
 */
tspk_status tspk_container_take(tspk_container *container, const Spike__Tensor *tensor,
                                const char *what, tspk_npy_type type, const tspk_shape *shape,
                                tspk_arena *arena, void **data_out, tspk_error *err);

/** Compares the checksums of all members taken since the last check, on up to four cores.
 * @errors FORMAT, naming the first member that is damaged */
tspk_status tspk_container_check(tspk_container *container, tspk_error *err);

/** To be called before what was taken is freed: where `status` is a failure and a member taken is
 * damaged, the damage is the better reason and takes its place. Returns the status to go on with.
 */
tspk_status tspk_container_blame(tspk_container *container, tspk_status status, tspk_error *err);

/** Checks that nothing follows, then what was taken; `is_newer`: members of a later minor version
 * may follow. @errors FORMAT */
tspk_status tspk_container_finish(tspk_container *container, bool is_newer, tspk_error *err);

#endif
