/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/trust/held.h"

#include <fcntl.h>
#include <malloc.h>

size_t held_heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

int held_descriptors(void)
{
    int n = 0;

    for (int i = 0; i < 1024; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}
