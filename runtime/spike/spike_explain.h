/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of an image's tokens that tspk_session_explain() writes, in memory. */
#ifndef TSPK_RUNTIME_SPIKE_EXPLAIN_H
#define TSPK_RUNTIME_SPIKE_EXPLAIN_H

#include "data/image.h"
#include "transpike/spike.h"

/** Parameters and errors as tspk_session_explain(), but for IO.
 * @param picture_out RGB, owned by the caller: tspk_image_done(); untouched on failure */
tspk_status tspk_session_draw_tokens(tspk_session *session, const float *image,
                                     tspk_image *picture_out, tspk_error *err);

#endif
