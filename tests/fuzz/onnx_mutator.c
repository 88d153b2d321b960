/* SPDX-License-Identifier: Apache-2.0 */
/* Changes fields of a model, one to three at once; one change in eight is of the raw bytes. */
#include "tests/fuzz/protobuf_mutator.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (seed % 8 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (unsigned i = 0; i <= seed / 8 % 3; i++)
        size = fuzz_mutate_protobuf(data, size, max_size, seed + i);
    return size;
}
