/* SPDX-License-Identifier: Apache-2.0 */
#include "core/compiler.h"

#if TSPK_HAVE_X86
TSPK_TARGET_AVX512_BEGIN
#define TSPK_VECMATH_TABLE tspk_vecmath_avx512
#include "core/vecmath_body.h"
TSPK_TARGET_AVX512_END
#endif
