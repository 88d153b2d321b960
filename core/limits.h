/* SPDX-License-Identifier: Apache-2.0 */
/* Every number that a file can carry is compared with one of these before anything is allocated. */
#ifndef TSPK_CORE_LIMITS_H
#define TSPK_CORE_LIMITS_H

#define TSPK_MAX_RANK 8
#define TSPK_MAX_NODES 200000u
#define TSPK_MAX_VALUES 1000000u
#define TSPK_MAX_NODE_INPUTS 256u
#define TSPK_MAX_NODE_OUTPUTS 256u
#define TSPK_MAX_NAME_BYTES 4096u
#define TSPK_MAX_TENSOR_ELEMS ((size_t)1 << 31)
#define TSPK_MAX_STEPS 16u
#define TSPK_MAX_LEVELS 64u        /* n of 2n thresholds */
#define TSPK_MAX_TOKEN_CLASSES 8u
#define TSPK_MAX_CODE 127          /* largest integer level */
#define TSPK_MAX_SHIFT 40          /* k of a product site's 2^-k */
#define TSPK_MAX_DEAD_ZONE 4.0f    /* of a first level, as a share of itself */
#define TSPK_MAX_SITES 65536u
#define TSPK_MAX_POINTS 64u        /* operating points */
#define TSPK_MAX_EXIT_INPUTS 1024u  /* of a policy net */
#define TSPK_MAX_EXIT_HIDDEN 1024u
#define TSPK_MAX_CLASS_NAMES 1000000u
#define TSPK_MAX_CALIBRATION_IMAGES 10000000u
#define TSPK_MAX_TEXT_BYTES ((size_t)1 << 20) /* settings */

#endif
