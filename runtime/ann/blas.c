/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ann/blas.h"

#include <limits.h>
#include <string.h>

#include <cblas.h>

void tspk_blas_be_serial(void)
{
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
}

bool tspk_sgemm_fits(size_t m, size_t n, size_t k)
{
    return m <= INT_MAX && n <= INT_MAX && k <= INT_MAX;
}

static blasint stride(size_t elems)
{
    return elems ? (blasint)elems : 1;
}

void tspk_sgemm(bool is_b_transposed, size_t m, size_t n, size_t k, float alpha, const float *a,
                size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    if (!m || !n)
        return;
    if (beta == 0.0f && !k) {
        for (size_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, n * sizeof *c);
        return;
    }
    tspk_blas_be_serial();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, is_b_transposed ? CblasTrans : CblasNoTrans,
                (blasint)m, (blasint)n, (blasint)k, alpha, a, stride(lda), b, stride(ldb), beta, c,
                stride(ldc));
}
