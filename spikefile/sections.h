/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the description, each written and read in one file so that the two cannot drift
 * apart. Every _write appends its members in the order in which its _read takes them. The messages
 * that a _write makes borrow from the spike graph and from members->arena. A _read checks what it
 * needs to stay within bounds; the rest is left to tspk_graph_verify() and
 * tspk_spikegraph_verify().
 */
#ifndef TSPK_SPIKEFILE_SECTIONS_H
#define TSPK_SPIKEFILE_SECTIONS_H

#include "core/spikegraph.h"
#include "spikefile/container.h"

#define TSPK_NO_SECTION_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the description")

tspk_status tspk_section_graph_write(const tspk_graph *graph, tspk_members *members,
                                     Spike__File *file, tspk_error *err);
/** @param graph_out owned by the caller, untouched on failure */
tspk_status tspk_section_graph_read(const Spike__File *file, tspk_container *container,
                                    tspk_graph **graph_out, tspk_error *err);

/** Token classes, sites, linears, attentions. */
tspk_status tspk_section_sites_write(const tspk_spikegraph *spikes, tspk_members *members,
                                     Spike__File *file, tspk_error *err);
tspk_status tspk_section_sites_read(const Spike__File *file, tspk_container *container,
                                    tspk_spikegraph *spikes, tspk_error *err);

/** Operating points; sites and linears are read before. */
tspk_status tspk_section_points_write(const tspk_spikegraph *spikes, tspk_members *members,
                                      Spike__File *file, tspk_error *err);
tspk_status tspk_section_points_read(const Spike__File *file, tspk_container *container,
                                     tspk_spikegraph *spikes, tspk_error *err);

/** Exit policies of operating point `point`, whose steps are read before. */
tspk_status tspk_section_exits_write(const tspk_point *point, uint32_t index, tspk_members *members,
                                     Spike__Point *to, tspk_error *err);
tspk_status tspk_section_exits_read(const Spike__Point *from, uint32_t index,
                                    tspk_container *container, tspk_arena *arena,
                                    tspk_point *point, tspk_error *err);

/** Costs, preprocessing, class names, provenance. */
tspk_status tspk_section_meta_write(const tspk_spikegraph *spikes, tspk_members *members,
                                    Spike__File *file, tspk_error *err);
tspk_status tspk_section_meta_read(const Spike__File *file, tspk_container *container,
                                   tspk_spikegraph *spikes, tspk_error *err);

/** Copies text of at most `most` bytes. @errors LIMIT, NOMEM */
tspk_status tspk_section_text(tspk_arena *arena, const char *text, size_t most, const char *what,
                              const char **text_out, tspk_error *err);

/** protobuf-c wants pointers to what it only reads. */
static inline void *tspk_unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

#endif
