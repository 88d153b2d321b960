/* SPDX-License-Identifier: Apache-2.0 */
/* The only door to the BLAS. Every product runs on the calling thread: images are what is parallel,
 * and a product cut by threads would depend on their number. */
#ifndef TSPK_RUNTIME_ANN_BLAS_H
#define TSPK_RUNTIME_ANN_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Makes the BLAS of this process single-threaded. OpenBLAS knows one setting a process, so an
 * application that shares the library with Transpike is affected too. tspk_sgemm() sees to it by
 * itself; who is about to start threads calls this first.
 */
void tspk_blas_be_serial(void);

/** True when these sizes fit the BLAS' integers. */
bool tspk_sgemm_fits(size_t m, size_t n, size_t k);

/**
 * c[m, n] = alpha a[m, k] b + beta c, row-major, b [k, n] or, transposed, [n, k].
 * @param lda,ldb,ldc  elements from one row to the next
 */
void tspk_sgemm(bool is_b_transposed, size_t m, size_t n, size_t k, float alpha, const float *a,
                size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
