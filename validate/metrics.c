/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/metrics.h"

void tspk_tally_label(tspk_tally *tally, const float *logits, size_t n, int64_t label)
{
    tally->images++;
    if (label < 0)
        return;
    tally->top1 += tspk_find_largest(logits, n) == (size_t)label;
    tally->top5 += tspk_is_among_top(logits, n, (size_t)label, 5);
}

void tspk_tally_compare(tspk_tally *tally, const float *source, const float *logits, size_t n)
{
    tally->agreed += tspk_find_largest(source, n) == tspk_find_largest(logits, n);
    tally->kl += tspk_kl_of_logits(source, logits, n);
}
