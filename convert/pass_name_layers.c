/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives Linear, Conv and Attention nodes the path of the layer that they are.
 *
 *   Linear "/blocks/blocks.0/attn/qkv/MatMul"      →      Linear "blocks.0.attn.qkv"
 *
 * The path comes from the name of the weight or bias, else from the node's name in the file, else
 * from the place in the network (blocks.I.attn.qkv, .attn.proj, .mlp.fc1, .mlp.fc2, head). An
 * Attention has the common parent of its three Linears. Names differ, but for the parts of one
 * layer that was split. Changes no number.
 */
#include <stdio.h>
#include <string.h>

#include "convert/flow.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

#define NAME_BYTES       112
#define MAX_SOURCE_STEPS 64
#define NO_BLOCK         UINT32_MAX

enum { ROLE_QUERY = 0, ROLE_KEY = 1, ROLE_VALUE = 2 };

/* What the place of a node in the network says. */
typedef struct place {
    uint32_t block;          /* attention that it feeds, or that it follows; NO_BLOCK: before all */
    uint32_t n_after;        /* Linears between that attention and it; 0 while it feeds one */
    int role;                /* ROLE_…, -1 when it feeds no attention directly */
    bool shares_input;       /* query, key and value Linear read the same value */
    tspk_node_id sibling[3]; /* the Linears of that attention, TSPK_ID_NONE where there is none */
} place;

typedef struct names {
    tspk_graph *graph;
    tspk_flow flow;
    place *place;             /* [n_nodes] */
    char (*text)[NAME_BYTES]; /* [n_nodes] "" while there is none */
} names;

static bool is_named(tspk_op op)
{
    return op == TSPK_OP_LINEAR || op == TSPK_OP_CONV || op == TSPK_OP_ATTENTION;
}

/* Copies letters, digits and "._-"; others become '_'. False when nothing fits. */
static bool copy_clean(char out[NAME_BYTES], const char *from, size_t length)
{
    if (length == 0 || length >= NAME_BYTES - 8)
        return false;
    for (size_t i = 0; i < length; i++) {
        const char c = from[i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';

        out[i] = is_plain ? c : '_';
    }
    out[length] = '\0';
    return out[0] != '.';
}

/* "blocks.0.attn.qkv" of "blocks.0.attn.qkv.weight". */
static bool from_parameter(const tspk_graph *graph, const tspk_node *node, uint32_t i,
                           const char *suffix, const char *suffix_mha, char out[NAME_BYTES])
{
    if (i >= node->n_in || node->in[i] == TSPK_ID_NONE)
        return false;
    const char *name = graph->value[node->in[i]].name;
    const size_t length = strlen(name), n = strlen(suffix), n_mha = strlen(suffix_mha);

    if (length > n && !strcmp(name + length - n, suffix))
        return copy_clean(out, name, length - n);
    if (length > n_mha && !strcmp(name + length - n_mha, suffix_mha))
        return copy_clean(out, name, length - strlen("_weight") + (suffix[1] == 'b' ? 2 : 0));
    return false;
}

/* "blocks.0.attn.qkv" of "/blocks/blocks.0/attn/qkv/MatMul". */
static bool from_path(const char *path, char out[NAME_BYTES])
{
    char text[NAME_BYTES] = "";
    size_t used = 0, last = 0, last_length = 0;

    if (path[0] != '/')
        return false;
    for (const char *part = path + 1;;) {
        const char *end = strchr(part, '/');

        if (!end)
            break;
        const size_t length = (size_t)(end - part);

        /* "blocks/blocks.0": the list and its element */
        if (last_length && length > last_length && part[last_length] == '.' &&
            !strncmp(text + last, part, last_length))
            used = last;
        else if (used)
            text[used++] = '.';
        if (length == 0 || used + length + 2 >= sizeof text)
            return false;
        last = used;
        last_length = length;
        memcpy(text + used, part, length);
        used += length;
        text[used] = '\0';
        part = end + 1;
    }
    return used && copy_clean(out, text, used);
}

/* The Linear that an operand comes from, along first inputs that are no constants. */
static tspk_node_id source_linear(const tspk_graph *graph, tspk_value_id id)
{
    for (int i = 0; i < MAX_SOURCE_STEPS; i++) {
        const tspk_node *node = tspk_producer(graph, id);

        if (!node || node->op == TSPK_OP_ATTENTION || node->op == TSPK_OP_CONV)
            return TSPK_ID_NONE;
        if (node->op == TSPK_OP_LINEAR)
            return graph->value[id].producer;
        id = node->in[0];
        for (uint32_t k = 1; k < node->n_in && graph->value[id].data; k++)
            if (node->in[k] != TSPK_ID_NONE)
                id = node->in[k];
    }
    return TSPK_ID_NONE;
}

/* What a Linear reads, looking through a selection of tokens. */
static tspk_value_id layer_input(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_node *gather = tspk_producer_is(graph, node->in[0], TSPK_OP_GATHER);

    return gather ? gather->in[0] : node->in[0];
}

static void find_places(names *s)
{
    const tspk_graph *graph = s->graph;
    uint32_t n_attentions = 0, n_after = 0;

    for (uint32_t n = 0; n < graph->n_nodes; n++)
        s->place[n] = (place){.block = NO_BLOCK, .role = -1};
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];
        tspk_node_id source[3];

        if (node->is_dead || node->op != TSPK_OP_ATTENTION)
            continue;
        for (int i = 0; i < 3; i++)
            source[i] = source_linear(graph, node->in[i]);
        for (int i = 0; i < 3; i++) {
            if (source[i] == TSPK_ID_NONE || s->place[source[i]].role >= 0)
                continue;
            s->place[source[i]].block = n_attentions;
            s->place[source[i]].role = i;
            s->place[source[i]].shares_input = true;
            memcpy(s->place[source[i]].sibling, source, sizeof source);
            for (int k = 0; k < 3; k++)
                if (source[k] == TSPK_ID_NONE || layer_input(graph, &graph->node[source[k]]) !=
                                                     layer_input(graph, &graph->node[source[i]]))
                    s->place[source[i]].shares_input = false;
        }
        s->place[n].block = n_attentions++;
    }
    n_attentions = 0;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        place *const p = &s->place[n];

        if (graph->node[n].is_dead)
            continue;
        if (graph->node[n].op == TSPK_OP_ATTENTION) {
            n_attentions++;
            n_after = 0;
        } else if (graph->node[n].op == TSPK_OP_LINEAR && p->role < 0 && !s->flow.is_stem[n]) {
            p->block = n_attentions ? n_attentions - 1 : NO_BLOCK;
            p->n_after = n_after++;
        }
    }
}

static void from_place(const names *s, tspk_node_id id, char out[NAME_BYTES])
{
    static const char *const roles[] = {"q", "k", "v"};
    const place *p = &s->place[id];

    if (s->graph->node[id].op == TSPK_OP_ATTENTION)
        snprintf(out, NAME_BYTES, "blocks.%u.attn", p->block);
    else if (s->flow.is_stem[id])
        snprintf(out, NAME_BYTES, "patch_embed.proj");
    else if (s->flow.is_head[id])
        snprintf(out, NAME_BYTES, "head");
    else if (p->role >= 0)
        snprintf(out, NAME_BYTES, "blocks.%u.attn.%s", p->block,
                 p->shares_input ? "qkv" : roles[p->role]);
    else if (p->block == NO_BLOCK)
        snprintf(out, NAME_BYTES, "linear.%u", p->n_after);
    else if (p->n_after == 0)
        snprintf(out, NAME_BYTES, "blocks.%u.attn.proj", p->block);
    else
        snprintf(out, NAME_BYTES, "blocks.%u.mlp.fc%u", p->block, p->n_after);
}

/* A path that this pass gave before: with dots and without slashes. */
static bool from_earlier_run(const char *name, char out[NAME_BYTES])
{
    return strchr(name, '.') && !strchr(name, '/') && copy_clean(out, name, strlen(name));
}

static bool from_file(const tspk_graph *graph, const tspk_node *node, char out[NAME_BYTES])
{
    return from_parameter(graph, node, 1, ".weight", ".in_proj_weight", out) ||
           from_parameter(graph, node, 2, ".bias", ".in_proj_bias", out) ||
           from_path(node->name, out) || from_earlier_run(node->name, out);
}

/* "blocks.0.attn.k_proj" beside "blocks.0.attn.q_proj", for a key that has no bias to tell. */
static bool from_sibling(const names *s, tspk_node_id id, char out[NAME_BYTES])
{
    static const char letters[] = "qkv";
    const place *p = &s->place[id];

    for (int i = 0; p->role >= 0 && i < 3; i++) {
        const tspk_node_id sibling = p->sibling[i];
        char *last;

        if (i == p->role || sibling == TSPK_ID_NONE ||
            !from_file(s->graph, &s->graph->node[sibling], out))
            continue;
        last = strrchr(out, '.');
        last = last ? last + 1 : out;
        if (!strncmp(last, "qkv", 3))
            return true;
        if (last[0] == letters[i]) {
            last[0] = letters[p->role];
            return true;
        }
    }
    return false;
}

static void name_layer(names *s, tspk_node_id id)
{
    char *const out = s->text[id];

    if (!from_file(s->graph, &s->graph->node[id], out) && !from_sibling(s, id, out))
        from_place(s, id, out);
}

/* The components that all of the names begin with; of equal names, all but the last. */
static void name_attention(names *s, tspk_node_id id)
{
    const tspk_node *node = &s->graph->node[id];
    char common[NAME_BYTES] = "";
    size_t length = 0;
    int n = 0;

    for (int i = 0; i < 3; i++) {
        const tspk_node_id source = source_linear(s->graph, node->in[i]);

        if (source == TSPK_ID_NONE)
            continue;
        const char *name = s->text[source];
        const char *dot = strrchr(name, '.');
        const size_t parent = dot ? (size_t)(dot - name) : 0;

        if (n++ == 0) {
            memcpy(common, name, parent);
            length = parent;
        }
        while (length && (length > parent || strncmp(common, name, length) != 0 ||
                          (name[length] != '.' && name[length] != '\0'))) {
            length--;
            while (length && common[length] != '.')
                length--;
        }
    }
    common[length] = '\0';
    if (length)
        memcpy(s->text[id], common, length + 1);
    else if (!from_path(node->name, s->text[id]))
        from_place(s, id, s->text[id]);
}

/* Parts of one layer: the same name, constants of the same names, reading the same value. */
static bool is_same_layer(const tspk_graph *graph, const tspk_node *a, const tspk_node *b)
{
    return a->op == TSPK_OP_LINEAR && b->op == TSPK_OP_LINEAR &&
           layer_input(graph, a) == layer_input(graph, b);
}

/* A name that is taken: open addressing, TSPK_ID_NONE = free. */
typedef struct taken {
    tspk_node_id owner;
    uint32_t n_numbered; /* names that were made from it */
} taken;

/* The entry of this name, or the free one where it belongs (FNV-1a). */
static taken *find_taken(const names *s, taken *table, size_t mask, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    size_t at;

    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    for (at = (size_t)hash & mask; table[at].owner != TSPK_ID_NONE; at = (at + 1) & mask)
        if (!strcmp(s->text[table[at].owner], name))
            break;
    return &table[at];
}

/* Numbers names that several layers have. */
static tspk_status make_unique(names *s, tspk_arena *scratch, tspk_error *err)
{
    const tspk_graph *graph = s->graph;
    size_t size = 64;
    taken *table;

    while (size < 2 * (size_t)graph->n_nodes + 2)
        size *= 2;
    table = tspk_arena_array(scratch, size, sizeof *table);
    if (!table)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the names of %u nodes", graph->n_nodes);
    for (size_t i = 0; i < size; i++)
        table[i].owner = TSPK_ID_NONE;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        char base[NAME_BYTES];
        taken *first, *entry;

        if (graph->node[n].is_dead || !is_named(graph->node[n].op))
            continue;
        memcpy(base, s->text[n], sizeof base);
        first = entry = find_taken(s, table, size - 1, base);
        while (entry->owner != TSPK_ID_NONE &&
               !is_same_layer(graph, &graph->node[entry->owner], &graph->node[n])) {
            snprintf(s->text[n], NAME_BYTES, "%.100s_%u", base, ++first->n_numbered + 1);
            entry = find_taken(s, table, size - 1, s->text[n]);
        }
        if (entry->owner == TSPK_ID_NONE)
            entry->owner = n;
    }
    return TSPK_OK;
}

tspk_status tspk_pass_name_layers(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err)
{
    names s = {.graph = graph};

    s.place = tspk_arena_array(scratch, graph->n_nodes + 1, sizeof *s.place);
    s.text = tspk_arena_array(scratch, graph->n_nodes + 1, sizeof *s.text);
    if (!s.place || !s.text)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the names of %u nodes", graph->n_nodes);
    TSPK_TRY(tspk_find_flow(graph, scratch, &s.flow, err));
    find_places(&s);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead &&
            (graph->node[n].op == TSPK_OP_LINEAR || graph->node[n].op == TSPK_OP_CONV))
            name_layer(&s, n);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead && graph->node[n].op == TSPK_OP_ATTENTION)
            name_attention(&s, n);
    TSPK_TRY(make_unique(&s, scratch, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (graph->node[n].is_dead || !is_named(graph->node[n].op) ||
            !strcmp(graph->node[n].name, s.text[n]))
            continue;
        graph->node[n].name = tspk_arena_text(graph->arena, s.text[n]);
        if (!graph->node[n].name)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the names of %u nodes",
                             graph->n_nodes);
        (*changes)++;
    }
    return TSPK_OK;
}
