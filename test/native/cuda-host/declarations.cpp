// Holds the declarations of native/cuda/libraries.h against NVIDIA's headers: compiles, or does not. Run by npm run build:cuda where they
// are:
//   g++ -std=c++20 -fsyntax-only -I native/cuda -I native/include -I <CUDA>/include test/native/cuda-host/declarations.cpp
#include <cublasLt.h>
#include <cusolverDn.h>

#include <type_traits>

#include "libraries.h"

namespace {

using t2::cuda::lt_table;
using t2::cuda::solver_table;

/// What a parameter is to the calling convention: enumerations are int, handles and other pointers are pointers.
template <class T>
struct passed {
  using type = T;
};
template <class T>
  requires std::is_enum_v<T>
struct passed<T> {
  static_assert(sizeof(T) == sizeof(int));
  using type = int;
};
template <class T>
struct passed<T*> {
  using type = void*;
};

template <class F>
struct signature;
template <class R, class... A>
struct signature<R (*)(A...)> {
  using type = typename passed<R>::type (*)(typename passed<std::remove_cv_t<A>>::type...);
};
template <class Ours, class Theirs>
constexpr bool alike = std::is_same_v<typename signature<Ours>::type, typename signature<Theirs>::type>;

#define T2_ALIKE(ours, theirs) static_assert(alike<decltype(ours), decltype(&theirs)>, #theirs)

T2_ALIKE(lt_table::create, cublasLtCreate);
T2_ALIKE(lt_table::destroy, cublasLtDestroy);
T2_ALIKE(lt_table::version, cublasLtGetVersion);
T2_ALIKE(lt_table::desc_create, cublasLtMatmulDescCreate);
T2_ALIKE(lt_table::desc_destroy, cublasLtMatmulDescDestroy);
T2_ALIKE(lt_table::desc_set, cublasLtMatmulDescSetAttribute);
T2_ALIKE(lt_table::layout_create, cublasLtMatrixLayoutCreate);
T2_ALIKE(lt_table::layout_destroy, cublasLtMatrixLayoutDestroy);
T2_ALIKE(lt_table::preference_create, cublasLtMatmulPreferenceCreate);
T2_ALIKE(lt_table::preference_destroy, cublasLtMatmulPreferenceDestroy);
T2_ALIKE(lt_table::preference_set, cublasLtMatmulPreferenceSetAttribute);
T2_ALIKE(lt_table::heuristic, cublasLtMatmulAlgoGetHeuristic);
T2_ALIKE(lt_table::matmul, cublasLtMatmul);

T2_ALIKE(solver_table::create, cusolverDnCreate);
T2_ALIKE(solver_table::destroy, cusolverDnDestroy);
T2_ALIKE(solver_table::set_stream, cusolverDnSetStream);
T2_ALIKE(solver_table::params_create, cusolverDnCreateParams);
T2_ALIKE(solver_table::params_destroy, cusolverDnDestroyParams);
T2_ALIKE(solver_table::syevd_size, cusolverDnXsyevd_bufferSize);
T2_ALIKE(solver_table::syevd, cusolverDnXsyevd);
T2_ALIKE(solver_table::gesvd_size, cusolverDnXgesvd_bufferSize);
T2_ALIKE(solver_table::gesvd, cusolverDnXgesvd);
T2_ALIKE(solver_table::gesvdp_size, cusolverDnXgesvdp_bufferSize);
T2_ALIKE(solver_table::gesvdp, cusolverDnXgesvdp);
T2_ALIKE(solver_table::gesvdj_info_create, cusolverDnCreateGesvdjInfo);
T2_ALIKE(solver_table::gesvdj_info_destroy, cusolverDnDestroyGesvdjInfo);
T2_ALIKE(solver_table::gesvdj_size, cusolverDnDgesvdj_bufferSize);
T2_ALIKE(solver_table::gesvdj, cusolverDnDgesvdj);
static_assert(alike<int (*)(int*), decltype(&cusolverGetVersion)>);

using namespace t2::cuda;

static_assert(sizeof(lt_algo) == sizeof(cublasLtMatmulAlgo_t) && alignof(lt_algo) == alignof(cublasLtMatmulAlgo_t));
static_assert(sizeof(lt_heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(lt_heuristic, workspace_size) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(lt_heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(offsetof(lt_heuristic, waves) == offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

static_assert(int(lt_compute_32f) == int(CUBLAS_COMPUTE_32F) && int(lt_compute_64f) == int(CUBLAS_COMPUTE_64F));
static_assert(int(lt_real_32f) == int(CUDA_R_32F) && int(lt_real_64f) == int(CUDA_R_64F));
static_assert(int(lt_real_16f) == int(CUDA_R_16F) && int(lt_real_16bf) == int(CUDA_R_16BF));
static_assert(int(lt_desc_transa) == int(CUBLASLT_MATMUL_DESC_TRANSA) && int(lt_desc_transb) == int(CUBLASLT_MATMUL_DESC_TRANSB));
static_assert(int(lt_op_n) == int(CUBLAS_OP_N) && int(lt_op_t) == int(CUBLAS_OP_T));
static_assert(int(lt_preference_max_workspace) == int(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
static_assert(int(lt_preference_reduction_schemes) == int(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK));
static_assert(int(lt_preference_alignment_a) == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES));
static_assert(int(lt_preference_alignment_b) == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES));
static_assert(int(lt_preference_alignment_c) == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES));
static_assert(int(lt_preference_alignment_d) == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
static_assert(int(solver_eig_vector) == int(CUSOLVER_EIG_MODE_VECTOR) && int(solver_eig_novector) == int(CUSOLVER_EIG_MODE_NOVECTOR));
static_assert(int(solver_fill_lower) == int(CUBLAS_FILL_MODE_LOWER));

}  // namespace
