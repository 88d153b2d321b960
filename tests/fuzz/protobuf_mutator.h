/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_TESTS_FUZZ_PROTOBUF_MUTATOR_H
#define TSPK_TESTS_FUZZ_PROTOBUF_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/** The engine's own change of raw bytes. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/** The hook of a target that changes inputs itself. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/**
 * Changes one field somewhere in a protobuf message: erased, doubled, another number, or other
 * bytes; the lengths around it follow. Bytes that are no message are changed as they are.
 * @param data  [max_size] of which `size` are the message; in/out
 * @return new size; the message is unchanged when memory is short or the change does not fit
 */
size_t fuzz_mutate_protobuf(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
