/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures as text for a document: data URIs of PNGs. */
#ifndef TSPK_REPORT_PICTURE_H
#define TSPK_REPORT_PICTURE_H

#include "data/image.h"
#include "transpike/spike.h"

/** @param uri_out "data:image/png;base64,…", malloc'd @errors IO, NOMEM */
tspk_status tspk_picture_uri(const tspk_image *image, char **uri_out, tspk_error *err);

/**
 * An image as the network sees it, its normalisation undone.
 * @param tensor [channels, height, width]; 1 channel is grey, 3 are RGB, of others the first is
 * shown
 * @errors as tspk_picture_uri(), LIMIT
 */
tspk_status tspk_picture_of_tensor(const float *tensor, const tspk_spike_info *info, char **uri_out,
                                   tspk_error *err);

#endif
