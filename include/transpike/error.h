/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPIKE_ERROR_H
#define TRANSPIKE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the shared library exports; everything else is hidden. */
#if defined(_WIN32)
#define TSPK_API
#else
#define TSPK_API __attribute__((visibility("default")))
#endif

/** Result of every fallible call. Values are frozen from the first release on; each is also the
 * exit code of the `transpike` command for a refusal with that status. */
typedef enum tspk_status {
    TSPK_OK = 0,
    TSPK_NOMEM = 3,        /**< memory could not be had, or a cap on it was reached */
    TSPK_IO = 10,          /**< a file could not be opened, read or written */
    TSPK_FORMAT = 20,      /**< bytes are not what the format says */
    TSPK_UNSUPPORTED = 30, /**< well-formed, but not something that this version can do */
    TSPK_SHAPE = 40,       /**< ranks or dimensions do not fit together */
    TSPK_RANGE = 50,       /**< a value lies outside its domain */
    TSPK_LIMIT = 60,       /**< larger than a documented limit */
    TSPK_MISMATCH = 61,    /**< two inputs that belong together do not */
    TSPK_INTERRUPTED = 62, /**< stopped on request */
    TSPK_USAGE = 2         /**< wrong command line, or a call with impossible settings */
} tspk_status;

/**
 * What went wrong and where. Owned by the caller; all text is inline, so reporting never allocates.
 * The innermost call writes the message; outer calls only fill fields that are still empty.
 */
typedef struct tspk_error {
    tspk_status status; /**< same value as the call returned */
    char stage[24];     /**< "import", "pass_fuse_gelu", "spikefile_read" … */
    char node[128];     /**< ONNX node or network layer */
    char op[32];        /**< its operator */
    char tensor[128];   /**< tensor, archive member or site */
    char message[320];  /**< what was found, what was expected, with numbers */
} tspk_error;

/** The status as it stands in brackets at the end of a refusal: "FORMAT", "SHAPE" … Static text. */
TSPK_API const char *tspk_status_name(tspk_status status);

/** Sets every field to empty. */
TSPK_API void tspk_error_init(tspk_error *err);

/**
 * Writes the error as one line: `stage: node "n" (Op): tensor "t": message [STATUS]`; absent fields
 * are left out, control characters are replaced by '?'.
 * @param buf   [size] out, always terminated when size > 0
 * @return length that the whole line has, as snprintf() counts
 */
TSPK_API int tspk_error_format(const tspk_error *err, char *buf, unsigned long size);

#ifdef __cplusplus
}
#endif
#endif
