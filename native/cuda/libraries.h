// cuBLASLt and cuSOLVER as function tables, opened at run time. The declarations below are the part of NVIDIA's C interfaces that is used
// (stable between majors 12 and 13 of cuBLASLt, 11 and 12 of cuSOLVER); nothing of NVIDIA's headers is needed to build.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "platform.h"

namespace t2::cuda {

// cuBLASLt: opaque handles and the enumeration values used
typedef struct cublasLtContext* lt_handle;
typedef struct lt_matmul_desc_opaque* lt_matmul_desc;
typedef struct lt_layout_opaque* lt_layout;
typedef struct lt_preference_opaque* lt_preference;
struct lt_algo {
  uint64_t data[8];
};
struct lt_heuristic {
  lt_algo algo;
  size_t workspace_size;
  int state;  // 0: usable
  float waves;
  int reserved[4];
};
enum { lt_compute_32f = 68, lt_compute_64f = 70 };                              // cublasComputeType_t
enum { lt_real_32f = 0, lt_real_64f = 1, lt_real_16f = 2, lt_real_16bf = 14 };  // cudaDataType
enum { lt_desc_transa = 3, lt_desc_transb = 4 };                                // cublasLtMatmulDescAttributes_t
// cublasLtMatmulPreferenceAttributes_t: size_t, uint32_t, and four uint32_t that a heuristic takes to be 256 unless it is told
enum {
  lt_preference_max_workspace = 1,
  lt_preference_reduction_schemes = 3,
  lt_preference_alignment_a = 5,
  lt_preference_alignment_b = 6,
  lt_preference_alignment_c = 7,
  lt_preference_alignment_d = 8
};
enum { lt_reduction_compute_type = 2 };  // cublasLtReductionScheme_t
enum { lt_op_n = 0, lt_op_t = 1 };       // cublasOperation_t

struct lt_table {
  int (*create)(lt_handle*);
  int (*destroy)(lt_handle);
  size_t (*version)();
  int (*desc_create)(lt_matmul_desc*, int compute, int scale_type);
  int (*desc_destroy)(lt_matmul_desc);
  int (*desc_set)(lt_matmul_desc, int attribute, const void* value, size_t size);
  int (*layout_create)(lt_layout*, int type, uint64_t rows, uint64_t cols, int64_t ld);  // column-major
  int (*layout_destroy)(lt_layout);
  int (*preference_create)(lt_preference*);
  int (*preference_destroy)(lt_preference);
  int (*preference_set)(lt_preference, int attribute, const void* value, size_t size);
  int (*heuristic)(lt_handle, lt_matmul_desc, lt_layout a, lt_layout b, lt_layout c, lt_layout d, lt_preference, int wanted,
                   lt_heuristic* results, int* found);
  int (*matmul)(lt_handle, lt_matmul_desc, const void* alpha, const void* a, lt_layout, const void* b, lt_layout, const void* beta,
                const void* c, lt_layout, void* d, lt_layout, const lt_algo*, void* workspace, size_t workspace_size, cudaStream_t);
};

// cuSOLVER
typedef struct cusolverDnContext* solver_handle;
typedef struct solver_params_opaque* solver_params;
typedef struct gesvdj_info_opaque* solver_gesvdj_info;
enum { solver_eig_vector = 1, solver_eig_novector = 0, solver_fill_lower = 0 };  // cusolverEigMode_t, cublasFillMode_t

struct solver_table {
  int (*create)(solver_handle*);
  int (*destroy)(solver_handle);
  int (*set_stream)(solver_handle, cudaStream_t);
  int (*params_create)(solver_params*);
  int (*params_destroy)(solver_params);
  int (*syevd_size)(solver_handle, solver_params, int jobz, int uplo, int64_t n, int type_a, const void* a, int64_t lda, int type_w,
                    const void* w, int compute, size_t* device, size_t* host);
  int (*syevd)(solver_handle, solver_params, int jobz, int uplo, int64_t n, int type_a, void* a, int64_t lda, int type_w, void* w,
               int compute, void* device, size_t device_size, void* host, size_t host_size, int* info);
  int (*gesvd_size)(solver_handle, solver_params, signed char jobu, signed char jobvt, int64_t m, int64_t n, int type_a, const void* a,
                    int64_t lda, int type_s, const void* s, int type_u, const void* u, int64_t ldu, int type_vt, const void* vt,
                    int64_t ldvt, int compute, size_t* device, size_t* host);
  int (*gesvd)(solver_handle, solver_params, signed char jobu, signed char jobvt, int64_t m, int64_t n, int type_a, void* a, int64_t lda,
               int type_s, void* s, int type_u, void* u, int64_t ldu, int type_vt, void* vt, int64_t ldvt, int compute, void* device,
               size_t device_size, void* host, size_t host_size, int* info);
  int (*gesvdp_size)(solver_handle, solver_params, int jobz, int econ, int64_t m, int64_t n, int type_a, const void* a, int64_t lda,
                     int type_s, const void* s, int type_u, const void* u, int64_t ldu, int type_v, const void* v, int64_t ldv, int compute,
                     size_t* device, size_t* host);
  int (*gesvdp)(solver_handle, solver_params, int jobz, int econ, int64_t m, int64_t n, int type_a, void* a, int64_t lda, int type_s,
                void* s, int type_u, void* u, int64_t ldu, int type_v, void* v, int64_t ldv, int compute, void* device, size_t device_size,
                void* host, size_t host_size, int* info, double* h_err_sigma);
  int (*gesvdj_info_create)(solver_gesvdj_info*);
  int (*gesvdj_info_destroy)(solver_gesvdj_info);
  int (*gesvdj_size)(solver_handle, int jobz, int econ, int m, int n, const double* a, int lda, const double* s, const double* u, int ldu,
                     const double* v, int ldv, int* lwork, solver_gesvdj_info);
  int (*gesvdj)(solver_handle, int jobz, int econ, int m, int n, double* a, int lda, double* s, double* u, int ldu, double* v, int ldv,
                double* work, int lwork, int* info, solver_gesvdj_info);
};

#ifdef T2_CUDA_HOST
namespace host {
lt_table lt_functions();          // host/cublaslt.cpp
solver_table solver_functions();  // host/cusolver.cpp
}  // namespace host
#endif

/// One thing that was tried: for reports.
struct attempt {
  std::string what, path, why;
  bool ok = false;
};

class libraries {
 public:
  libraries() = default;
  libraries(const libraries&) = delete;
  ~libraries();
  /// Opens cuBLASLt (13, else 12) and makes its handle for the current device, then cuSOLVER (12 or 11, the one that goes with it first),
  /// of the same tree where possible. Searched in: `first` (or T2_CUDA_PATH), libraries that are loaded already, plain names, CUDA_HOME,
  /// /usr/local/cuda*, nvidia/* folders of Python environments. False: no cuBLASLt; `attempts` says what was tried in any case. Without
  /// cuSOLVER `solver.create` is null and solver_missing says why. The host emulation fills the tables with its own functions.
  bool open(const char* first, std::vector<attempt>& attempts);

  lt_table lt{};
  solver_table solver{};
  lt_handle lt_context = nullptr;
  std::string lt_path, solver_path, solver_missing;
  int lt_version = 0, solver_version = 0;  // as the libraries give them: 130100, 12004
  int lt_major = 0, solver_major = 0;
  /// gemm.cu: the algorithm chosen for each kind of product.
  std::map<std::array<int64_t, 16>, lt_algo> algorithms;
  std::mutex algorithms_mutex;  // svd.cu asks for products from several threads
};

}  // namespace t2::cuda
