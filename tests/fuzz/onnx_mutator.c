/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a field of a model, now and then two: most changes make it one that is refused early. One
 * change in sixteen is of the raw bytes. */
#include "tests/fuzz/protobuf_mutator.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    size = fuzz_mutate_protobuf(data, size, max_size, seed);
    if (seed / 16 % 8 == 0)
        size = fuzz_mutate_protobuf(data, size, max_size, ~seed);
    return size;
}
