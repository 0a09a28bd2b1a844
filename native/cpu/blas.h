// BLAS and LAPACK as the CPU backend uses them: the only place that knows their symbols. OpenBLAS from the system has the plain names; the
// one from PyPI puts T2_BLAS_PREFIX before each (CMake sets it). Any thread may call; calls from several threads at once are safe.
#pragma once

#include <cstddef>
#include <string>

#ifdef T2_BLAS_PREFIX
#define T2_BLAS_JOIN_(prefix, name) prefix##name
#define T2_BLAS_JOIN(prefix, name) T2_BLAS_JOIN_(prefix, name)
#define T2_BLAS_NAME(name) T2_BLAS_JOIN(T2_BLAS_PREFIX, name)
#define cblas_sgemm T2_BLAS_NAME(cblas_sgemm)
#define cblas_dgemm T2_BLAS_NAME(cblas_dgemm)
#define cblas_dsyrk T2_BLAS_NAME(cblas_dsyrk)
#define cblas_ssyrk T2_BLAS_NAME(cblas_ssyrk)
#define dlatrd_ T2_BLAS_NAME(dlatrd_)
#define dsyr2k_ T2_BLAS_NAME(dsyr2k_)
#define dsytd2_ T2_BLAS_NAME(dsytd2_)
#define dstedc_ T2_BLAS_NAME(dstedc_)
#define dlarft_ T2_BLAS_NAME(dlarft_)
#define dlarfb_ T2_BLAS_NAME(dlarfb_)
#define sgesdd_ T2_BLAS_NAME(sgesdd_)
#define dgesdd_ T2_BLAS_NAME(dgesdd_)
#define dgesvd_ T2_BLAS_NAME(dgesvd_)
#define openblas_set_num_threads T2_BLAS_NAME(openblas_set_num_threads)
#define openblas_get_config T2_BLAS_NAME(openblas_get_config)
#define openblas_get_corename T2_BLAS_NAME(openblas_get_corename)
#endif

namespace t2::blas {

enum CBLAS_ORDER : int { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE : int { CblasNoTrans = 111, CblasTrans = 112 };
enum CBLAS_UPLO : int { CblasUpper = 121, CblasLower = 122 };

// LAPACK is Fortran: everything by pointer, column-major, and after the last argument the length of every character argument.
extern "C" {
void cblas_sgemm(CBLAS_ORDER, CBLAS_TRANSPOSE a_trans, CBLAS_TRANSPOSE b_trans, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
void cblas_dgemm(CBLAS_ORDER, CBLAS_TRANSPOSE a_trans, CBLAS_TRANSPOSE b_trans, int m, int n, int k, double alpha, const double* a, int lda,
                 const double* b, int ldb, double beta, double* c, int ldc);
void cblas_dsyrk(CBLAS_ORDER, CBLAS_UPLO, CBLAS_TRANSPOSE, int n, int k, double alpha, const double* a, int lda, double beta, double* c,
                 int ldc);
void cblas_ssyrk(CBLAS_ORDER, CBLAS_UPLO, CBLAS_TRANSPOSE, int n, int k, float alpha, const float* a, int lda, float beta, float* c,
                 int ldc);
// The stages of dsyevd: svd_eigen.cpp and svd_tridiagonal.cpp call them one by one.
void dlatrd_(const char* uplo, const int* n, const int* nb, double* a, const int* lda, double* e, double* tau, double* w, const int* ldw,
             size_t uplo_length = 1);
void dsyr2k_(const char* uplo, const char* trans, const int* n, const int* k, const double* alpha, const double* a, const int* lda,
             const double* b, const int* ldb, const double* beta, double* c, const int* ldc, size_t uplo_length = 1,
             size_t trans_length = 1);
void dsytd2_(const char* uplo, const int* n, double* a, const int* lda, double* d, double* e, double* tau, int* info,
             size_t uplo_length = 1);
void dstedc_(const char* compz, const int* n, double* d, double* e, double* z, const int* ldz, double* work, const int* lwork, int* iwork,
             const int* liwork, int* info, size_t compz_length = 1);
void dlarft_(const char* direct, const char* storev, const int* n, const int* k, const double* v, const int* ldv, const double* tau,
             double* t, const int* ldt, size_t direct_length = 1, size_t storev_length = 1);
void dlarfb_(const char* side, const char* trans, const char* direct, const char* storev, const int* m, const int* n, const int* k,
             const double* v, const int* ldv, const double* t, const int* ldt, double* c, const int* ldc, double* work, const int* ldwork,
             size_t side_length = 1, size_t trans_length = 1, size_t direct_length = 1, size_t storev_length = 1);
void sgesdd_(const char* jobz, const int* m, const int* n, float* a, const int* lda, float* s, float* u, const int* ldu, float* vt,
             const int* ldvt, float* work, const int* lwork, int* iwork, int* info, size_t jobz_length = 1);
void dgesdd_(const char* jobz, const int* m, const int* n, double* a, const int* lda, double* s, double* u, const int* ldu, double* vt,
             const int* ldvt, double* work, const int* lwork, int* iwork, int* info, size_t jobz_length = 1);
void dgesvd_(const char* jobu, const char* jobvt, const int* m, const int* n, double* a, const int* lda, double* s, double* u,
             const int* ldu, double* vt, const int* ldvt, double* work, const int* lwork, int* info, size_t jobu_length = 1,
             size_t jobvt_length = 1);
void openblas_set_num_threads(int threads);
char* openblas_get_config();
char* openblas_get_corename();
}

/// c[m, n] = alpha · op(a)[m, k] · op(b)[k, n] + beta · c, row-major; ld* are the row lengths of the arrays as they lie in memory.
inline void sgemm(bool a_trans, bool b_trans, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                  float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, a_trans ? CblasTrans : CblasNoTrans, b_trans ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta,
              c, ldc);
}

inline void dgemm(bool a_trans, bool b_trans, int m, int n, int k, double alpha, const double* a, int lda, const double* b, int ldb,
                  double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, a_trans ? CblasTrans : CblasNoTrans, b_trans ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta,
              c, ldc);
}

/// The lower triangle of c[n, n] = a·aᵀ for a[n, k], or aᵀ·a for a[k, n] when `trans`; row-major. The upper triangle is left as it is.
inline void dsyrk(bool trans, int n, int k, const double* a, int lda, double* c, int ldc) {
  cblas_dsyrk(CblasRowMajor, CblasLower, trans ? CblasTrans : CblasNoTrans, n, k, 1, a, lda, 0, c, ldc);
}

/// How many threads one call may use, for the whole process's share of this library. The backend has its own pool and sets 1.
inline void set_num_threads(int threads) { openblas_set_num_threads(threads); }

/// e.g. "OpenBLAS 0.3.21 Zen".
inline std::string description() {
  const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …"
  const size_t version_end = config.find(' ', config.find(' ') + 1);
  return config.substr(0, version_end) + " " + openblas_get_corename();
}

}  // namespace t2::blas
