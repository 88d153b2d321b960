/* SPDX-License-Identifier: Apache-2.0 */
#include "transpike/transpike.h"

const char *tspk_version(void)
{
    return TSPK_VERSION;
}
