/* SPDX-License-Identifier: Apache-2.0 */
/* What a public tspk_model holds. */
#ifndef TSPK_CONVERT_MODEL_H
#define TSPK_CONVERT_MODEL_H

#include "convert/passes.h"
#include "core/graph.h"
#include "transpike/model.h"

struct tspk_model {
    tspk_graph *graph;       /* owned, verified */
    tspk_pass_report report; /* zeros when is_raw */
    bool is_raw;             /* no passes were run */
};

#endif
