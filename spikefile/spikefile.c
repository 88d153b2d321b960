/* SPDX-License-Identifier: Apache-2.0 */
#include "spikefile/spikefile.h"

#include <stdlib.h>

#include "core/fail.h"
#include "spikefile/container.h"
#include "spikefile/sections.h"

#define VERSION_MAJOR 1
#define VERSION_MINOR 0

/* --- writing --- */

static tspk_status write_sections(const tspk_spikegraph *spikes, tspk_members *members,
                                  Spike__File *file, tspk_error *err)
{
    spike__file__init(file);
    file->version_major = VERSION_MAJOR;
    file->version_minor = VERSION_MINOR;
    TSPK_TRY(tspk_section_graph_write(spikes->graph, members, file, err));
    TSPK_TRY(tspk_section_sites_write(spikes, members, file, err));
    TSPK_TRY(tspk_section_points_write(spikes, members, file, err));
    return tspk_section_meta_write(spikes, members, file, err);
}

static tspk_status write_file(const tspk_spikegraph *spikes, tspk_members *members,
                              const char *path, tspk_error *err)
{
    Spike__File file;
    uint8_t *bytes;
    size_t n_bytes;

    TSPK_TRY(tspk_graph_verify(spikes->graph, err));
    TSPK_TRY(tspk_spikegraph_verify(spikes, err));
    TSPK_TRY(write_sections(spikes, members, &file, err));
    n_bytes = spike__file__get_packed_size(&file);
    if (n_bytes > TSPK_MAX_DESCRIPTION_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "a description of %zu bytes, at most %zu", n_bytes,
                         TSPK_MAX_DESCRIPTION_BYTES);
    bytes = tspk_arena_alloc(members->arena, n_bytes);
    if (!bytes)
        return TSPK_NO_SECTION_MEMORY(err);
    spike__file__pack(&file, bytes);
    return tspk_container_write(path, bytes, n_bytes, members, err);
}

tspk_status tspk_spikefile_write(const tspk_spikegraph *spikes, const char *path, tspk_error *err)
{
    tspk_members members = {.arena = tspk_arena_new(0)};
    tspk_status status;

    if (members.arena)
        status = write_file(spikes, &members, path, err);
    else
        status = TSPK_NO_SECTION_MEMORY(err);
    tspk_arena_free(members.arena);
    return tspk_in_stage(err, tspk_in_file(err, status, path), "spikefile_write");
}

/* --- reading --- */

/* Memory of the parsed description. */
typedef struct memory {
    tspk_arena *arena;
    bool is_short; /* the cap was reached */
} memory;

static void *take_memory(void *context, size_t size)
{
    memory *const from = context;
    void *const p = tspk_arena_alloc(from->arena, size);

    from->is_short |= !p;
    return p;
}

static void leave_memory(void *context, void *p)
{
    (void)context;
    (void)p;
}

static tspk_status check_version(const Spike__File *file, tspk_error *err)
{
    if (!file->version_major)
        return TSPK_FAIL(err, TSPK_FORMAT, "the description has no format version");
    if (file->version_major > VERSION_MAJOR)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "format version %u.%u, this program reads up to %d: use a newer transpike",
                         file->version_major, file->version_minor, VERSION_MAJOR);
    return TSPK_OK;
}

static tspk_status read_parts(const Spike__File *file, tspk_container *container,
                              tspk_spikegraph *spikes, tspk_error *err)
{
    TSPK_TRY(tspk_section_sites_read(file, container, spikes, err));
    TSPK_TRY(tspk_section_points_read(file, container, spikes, err));
    TSPK_TRY(tspk_section_meta_read(file, container, spikes, err));
    TSPK_TRY(tspk_container_finish(container, file->version_minor > VERSION_MINOR, err));
    TSPK_TRY(tspk_graph_verify(spikes->graph, err));
    return tspk_spikegraph_verify(spikes, err);
}

static tspk_status read_sections(const Spike__File *file, tspk_container *container,
                                 tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_graph *graph = NULL;
    tspk_spikegraph *spikes = NULL;
    tspk_status status;

    TSPK_TRY(tspk_section_graph_read(file, container, &graph, err));
    status = tspk_spikegraph_new(graph, &spikes, err);
    if (status != TSPK_OK) {
        tspk_graph_free(graph);
        return status;
    }
    status = tspk_container_blame(container, read_parts(file, container, spikes, err), err);
    if (status != TSPK_OK) {
        tspk_spikegraph_free(spikes);
        return status;
    }
    *spikes_out = spikes;
    return TSPK_OK;
}

static tspk_status fail_unpack(const memory *from, size_t n_bytes, size_t cap, tspk_error *err)
{
    if (from->is_short)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu bytes that unfold to more than %zu", n_bytes, cap);
    return TSPK_FAIL(err, TSPK_FORMAT, "%zu bytes that are not a description", n_bytes);
}

/* The parsed description takes a multiple of its bytes, which the arena's cap bounds; protobuf-c
 * refuses groups, so the depth is the schema's. */
static tspk_status read_description(tspk_container *container, const uint8_t *bytes, size_t n_bytes,
                                    tspk_spikegraph **spikes_out, tspk_error *err)
{
    const size_t cap = ((size_t)1 << 20) + 64 * n_bytes;
    memory from = {tspk_arena_new(cap), false};
    ProtobufCAllocator allocator = {take_memory, leave_memory, &from};
    const Spike__File *file;
    tspk_status status;

    if (!from.arena)
        return TSPK_NO_SECTION_MEMORY(err);
    file = spike__file__unpack(&allocator, n_bytes, bytes);
    status = file ? check_version(file, err) : fail_unpack(&from, n_bytes, cap, err);
    status = tspk_at_tensor(err, status, TSPK_DESCRIPTION_MEMBER);
    if (status == TSPK_OK)
        status = read_sections(file, container, spikes_out, err);
    tspk_arena_free(from.arena);
    return status;
}

tspk_status tspk_spikefile_read(const char *path, tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_container *container;
    const uint8_t *bytes;
    size_t n_bytes;
    tspk_status status = tspk_container_open(path, &container, &bytes, &n_bytes, err);

    if (status == TSPK_OK) {
        status = read_description(container, bytes, n_bytes, spikes_out, err);
        tspk_container_close(container);
    }
    return tspk_in_stage(err, tspk_in_file(err, status, path), "spikefile_read");
}
