/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of what became of an image's tokens: the image in grey and, over it, patches that went
 * into another one in the colour of the layer where they did; lines part patches that do not stand
 * for one token in the end; a bar below has the colours of the layers, from first to last. Red
 * squares in the middle of patches that are computed from step 2 on.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "data/image.h"
#include "runtime/spike/spike_explain.h"
#include "runtime/spike/token_places.h"

/* A picture has about so many pixels a side, at least. */
#define PICTURE_SIDE 448u
#define BAR_PIXELS   16u

typedef struct picture {
    const tspk_session *session;
    const tspk_token_places *places;
    const float *image; /* [channels, height, width] as the network sees it */
    uint32_t channels, height, width;
    uint32_t rows, columns; /* of patches */
    uint32_t special;       /* tokens before them */
    uint32_t zoom;          /* pixels of the picture a pixel of the image */
    const int32_t *refined; /* [tokens] by token_places.h */
    tspk_image out;
} picture;

/* Patches lie in a grid as wide, for its height, as the image. */
static tspk_status find_grid(picture *p, tspk_error *err)
{
    const tspk_spikegraph *const spikes = p->session->plan.spikes;
    const tspk_graph *const graph = spikes->graph;
    const tspk_shape *const shape = &graph->value[graph->input[0]].shape;
    uint32_t patches;

    if (shape->rank < 3)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "the input has %d axes: it is no image",
                         shape->rank);
    p->special = p->places->n_merges ? (uint32_t)graph->node[p->places->node[0]].attr.starts[0]
                                     : p->session->plan.tokens.n_special;
    patches = p->places->n_tokens - p->special;
    p->channels = (uint32_t)shape->dim[shape->rank - 3];
    p->height = (uint32_t)shape->dim[shape->rank - 2];
    p->width = (uint32_t)shape->dim[shape->rank - 1];
    p->rows = (uint32_t)lround(sqrt((double)patches * p->height / p->width));
    p->columns = p->rows ? patches / p->rows : 0;
    if (!p->rows || p->rows * p->columns != patches || p->rows > p->height || p->columns > p->width)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "%u patches are no grid over an image of %u x %u pixels", patches,
                         p->width, p->height);
    p->zoom = (PICTURE_SIDE + p->width - 1) / p->width;
    return tspk_image_init(&p->out, (uint64_t)p->width * p->zoom,
                           (uint64_t)p->height * p->zoom + BAR_PIXELS, 3, err);
}

/* Blue to yellow by way of green, lighter all the way. */
static void layer_colour(uint32_t layer, uint32_t n_layers, float colour[3])
{
    static const float stop[4][3] = {{68, 1, 84}, {49, 104, 142}, {53, 183, 121}, {253, 231, 37}};
    const float at = n_layers > 1 ? 3.0f * (float)layer / (float)(n_layers - 1) : 0.0f;
    const uint32_t below = at < 2.0f ? (uint32_t)at : 2;

    for (int c = 0; c < 3; c++)
        colour[c] = stop[below][c] + (at - (float)below) * (stop[below + 1][c] - stop[below][c]);
}

/* Grey level of a pixel of the image, 0 to 255. */
static float grey_of(const picture *p, uint32_t y, uint32_t x)
{
    const tspk_preprocess *const preprocess = &p->session->plan.spikes->preprocess;
    static const float weight[3] = {0.299f, 0.587f, 0.114f};
    float level[4] = {0}, grey;

    for (uint32_t c = 0; c < p->channels && c < 4; c++)
        level[c] = p->image[((size_t)c * p->height + y) * p->width + x] * preprocess->std[c] +
                   preprocess->mean[c];
    grey = p->channels < 3 ? level[0]
                           : weight[0] * level[0] + weight[1] * level[1] + weight[2] * level[2];
    grey = grey * 255.0f + 0.5f;
    return grey > 255.0f ? 255.0f : grey > 0.0f ? grey : 0.0f;
}

/* Token in whose place a patch stands after merge m. */
static uint32_t place_of(const picture *p, uint32_t m, uint32_t row, uint32_t column)
{
    const uint32_t token = p->special + row * p->columns + column;

    return (uint32_t)p->places->stands_at[(size_t)m * p->places->n_tokens + token];
}

/* The merge in which a patch left its place; n_merges: it never did. */
static uint32_t left_in(const picture *p, uint32_t row, uint32_t column)
{
    const uint32_t own = p->special + row * p->columns + column;
    uint32_t m = 0;

    while (m < p->places->n_merges && place_of(p, m, row, column) == own)
        m++;
    return m;
}

static bool is_edge(const picture *p, uint32_t y, uint32_t x)
{
    const uint32_t height = p->height * p->zoom, width = p->width * p->zoom;
    const uint32_t last = p->places->n_merges - 1;
    const uint32_t row = y * p->rows / height, column = x * p->columns / width;
    const uint32_t above = y ? (y - 1) * p->rows / height : row;
    const uint32_t left = x ? (x - 1) * p->columns / width : column;
    const uint32_t here = place_of(p, last, row, column);

    return (above != row && place_of(p, last, above, column) != here) ||
           (left != column && place_of(p, last, row, left) != here);
}

/* In the middle of a patch that is refined. */
static bool is_mark(const picture *p, uint32_t y, uint32_t x)
{
    const uint32_t height = p->height * p->zoom, width = p->width * p->zoom;
    const uint32_t row = y * p->rows / height, column = x * p->columns / width;
    const uint32_t down = y * p->rows % height, right = x * p->columns % width;

    return p->refined[p->special + row * p->columns + column] && down > 2 * height / 5 &&
           down < 3 * height / 5 && right > 2 * width / 5 && right < 3 * width / 5;
}

static void draw(picture *p)
{
    const uint32_t height = p->height * p->zoom, width = p->width * p->zoom;
    const uint32_t n = p->places->n_merges;

    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            const uint32_t m = left_in(p, y * p->rows / height, x * p->columns / width);
            const float grey = grey_of(p, y / p->zoom, x / p->zoom);
            uint8_t *const pixel = p->out.pixels + ((size_t)y * width + x) * 3;
            float colour[3] = {grey, grey, grey};

            if (m < n)
                layer_colour(m, n, colour);
            for (int c = 0; c < 3; c++)
                pixel[c] = n && is_edge(p, y, x) ? 255 : (uint8_t)(0.5f * (colour[c] + grey));
            if (is_mark(p, y, x))
                memcpy(pixel, (const uint8_t[3]){230, 40, 40}, 3);
        }
    for (uint32_t y = height; n && y < p->out.height; y++)
        for (uint32_t x = 0; x < width; x++) {
            float colour[3];

            layer_colour((uint32_t)((uint64_t)x * n / width), n, colour);
            for (int c = 0; c < 3; c++)
                p->out.pixels[((size_t)y * width + x) * 3 + (size_t)c] = (uint8_t)colour[c];
        }
}

static tspk_status run_and_draw(picture *p, tspk_session *session, tspk_token_places *places,
                                float *logits, tspk_step_work *work, tspk_error *err)
{
    int32_t *refined;

    if (!places->n_tokens)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "operating point %s merges and refines no tokens: there is nothing to "
                         "draw",
                         session->plan.point->name);
    TSPK_TRY(find_grid(p, err));
    TSPK_TRY(
        tspk_session_run_image(session, 0, session->threads, p->image, logits, work, NULL, err));
    tspk_token_places_take(places, session, 0, 0, work[session->plan.steps - 1].steps);
    p->refined = refined = calloc(places->n_tokens, sizeof *refined);
    if (!refined)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the places of tokens");
    if (places->n_spaces)
        tspk_refined_tokens(places, 0, refined);
    draw(p);
    free(refined);
    return TSPK_OK;
}

tspk_status tspk_session_draw_tokens(tspk_session *session, const float *image,
                                     tspk_image *picture_out, tspk_error *err)
{
    tspk_token_places places;
    picture p = {.session = session, .places = &places, .image = image};
    float *const logits = malloc(session->plan.steps * session->logit_elems * sizeof *logits);
    tspk_step_work *const work = malloc(session->plan.steps * sizeof *work);
    tspk_status status = tspk_token_places_init(&places, session, 1, err);

    if (status == TSPK_OK && (!logits || !work))
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for logits");
    if (status == TSPK_OK)
        status = run_and_draw(&p, session, &places, logits, work, err);
    free(logits);
    free(work);
    tspk_token_places_done(&places);
    if (status == TSPK_OK)
        *picture_out = p.out;
    else
        tspk_image_done(&p.out);
    return tspk_in_stage(err, status, "explain");
}

tspk_status tspk_session_explain(tspk_session *session, const float *image, const char *path,
                                 tspk_error *err)
{
    tspk_image drawn = {0};
    tspk_status status;

    TSPK_TRY(tspk_session_draw_tokens(session, image, &drawn, err));
    status = tspk_in_stage(err, tspk_image_write_png(&drawn, path, err), "explain");
    tspk_image_done(&drawn);
    return status;
}
