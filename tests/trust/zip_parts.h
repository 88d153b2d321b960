/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a zip of stored members, to damage them: where each lies, and a writer that puts any
 * list of members together, however wrong. Layout: PKWARE APPNOTE 4.3.
 */
#ifndef TSPK_TESTS_ZIP_PARTS_H
#define TSPK_TESTS_ZIP_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZIP_MAX_NAME = 127 };

typedef struct zip_member {
    char name[ZIP_MAX_NAME + 1];
    size_t head, data, n;      /* local header, contents and their length [bytes] */
    size_t behind;             /* what comes next in the file: behind a data descriptor [bytes] */
    size_t central, n_central; /* its entry in the central directory [bytes] */
} zip_member;

typedef struct zip_parts {
    zip_member *member; /* owned */
    size_t n_members;
    size_t directory, end; /* central directory, end record [bytes] */
} zip_parts;

/** Finds the parts. False when the bytes are no zip of stored members in the directory's order. */
bool zip_parts_init(zip_parts *parts, const uint8_t *bytes, size_t n);
void zip_parts_done(zip_parts *parts);

/** A member to be written. */
typedef struct zip_entry {
    const char *name;
    const uint8_t *data;
    size_t n; /* [bytes] */
    bool is_deflated;
    uint32_t mode;         /* file type and permissions of Unix; 0: a plain file, 0644 */
    uint32_t claimed_size; /* uncompressed size that the headers give; 0: the true one */
    uint32_t n_shared;     /* so many bytes behind it in the file are said to be its own too */
} zip_entry;

/** Puts a zip together; the caller frees *bytes_out. Exits the program when memory is short. */
void zip_write(const zip_entry *entry, size_t n, uint8_t **bytes_out, size_t *n_bytes_out);

#endif
