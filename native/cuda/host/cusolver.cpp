// Host emulation: the functions of cuSOLVER that the backend uses. They take and give what the library's own do (column-major, work space
// of the size that was asked for) and refuse what it refuses; a refusal says why on stderr. Matrices that are overwritten become NaN.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "dense_fp64.h"
#include "libraries.h"
#include "runtime.h"

namespace t2::cuda {

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
};
struct solver_params_opaque {
  int unused = 0;
};
struct gesvdj_info_opaque {
  int unused = 0;
};

namespace host {
namespace {

enum { success = 0, invalid_value = 3, execution_failed = 6, not_supported = 9 };  // cusolverStatus_t

int refuse(int status, const std::string& why) {
  report("cuSOLVER (host emulation): " + why);
  return status;
}

/// A column-major matrix or vector of the call.
struct matrix {
  const char* name;
  const void* data;
  int64_t rows, cols, ld;

  /// A text that says what is wrong, or none. Sizes are asked for before there is memory.
  std::string problem(bool data_needed) const {
    if (rows < 1 || cols < 1) return std::string(name) + " is empty";
    if (ld < rows)
      return std::string("the leading dimension of ") + name + " is " + std::to_string(ld) + ", its columns have " + std::to_string(rows);
    if (!data_needed) return "";
    if (!data || !is_device_pointer(data)) return std::string(name) + " is not device memory: " + describe_address(data);
    return reinterpret_cast<uintptr_t>(data) % sizeof(double) ? std::string(name) + " is not aligned" : "";
  }
  double* column(int64_t j) const { return static_cast<double*>(const_cast<void*>(data)) + j * ld; }
  std::vector<double> read() const {
    std::vector<double> out(size_t(rows * cols));
    for (int64_t j = 0; j < cols; ++j) std::copy_n(column(j), rows, out.data() + j * rows);
    return out;
  }
  /// from[rows, cols], or its transpose.
  void write(const double* from, bool transposed = false) const {
    for (int64_t j = 0; j < cols; ++j)
      for (int64_t i = 0; i < rows; ++i) column(j)[i] = transposed ? from[i * cols + j] : from[j * rows + i];
  }
  void destroy() const {
    for (int64_t j = 0; j < cols; ++j) std::fill_n(column(j), rows, std::numeric_limits<double>::quiet_NaN());
  }
};

int check(solver_handle handle, std::initializer_list<matrix> matrices, bool data_needed) {
  if (!handle) return refuse(1, "no handle");
  for (auto& m : matrices)
    if (auto problem = m.problem(data_needed); !problem.empty()) return refuse(invalid_value, problem);
  return success;
}
int check_types(solver_params params, std::initializer_list<int> types) {
  if (!params) return refuse(invalid_value, "no parameters");
  for (int type : types)
    if (type != lt_real_64f) return refuse(not_supported, "type " + std::to_string(type) + ": only fp64 is emulated");
  return success;
}

/// Sizes that nothing else has, so that callers who do not ask are found out.
size_t device_bytes(int64_t m, int64_t n) { return size_t(m + 2 * n + 13) * 24; }
size_t host_bytes(int64_t m, int64_t n) { return size_t(m + n + 5) * 8; }

/// Queues `work`, which returns the info, after every byte of the work spaces has been written.
template <class F>
int queue(solver_handle handle, void* device, size_t device_size, void* on_host, size_t host_size, int* info, F work) {
  if (!info || !is_device_pointer(info)) return refuse(invalid_value, "info is not device memory: " + describe_address(info));
  if (!device || !is_device_pointer(device))
    return refuse(invalid_value, "the work space is not device memory: " + describe_address(device));
  if (host_size && !on_host) return refuse(invalid_value, "no work space on the host");
  if (host_size) std::memset(on_host, 0xEE, host_size);
  const auto status = enqueue(handle->stream, [=] {
    std::memset(device, 0xEE, device_size);
    *info = work();
  });
  return status == cudaSuccess ? success : execution_failed;
}
int check_spaces(int64_t m, int64_t n, size_t device, size_t on_host) {
  if (device >= device_bytes(m, n) && on_host >= host_bytes(m, n)) return success;
  return refuse(invalid_value, "a work space of " + std::to_string(device) + " and " + std::to_string(on_host) + " bytes is too small");
}

int give_sizes(int status, int64_t m, int64_t n, size_t* device, size_t* on_host) {
  if (status) return status;
  if (!device || !on_host) return refuse(invalid_value, "nowhere to put the sizes");
  *device = device_bytes(m, n);
  *on_host = host_bytes(m, n);
  return success;
}

/// a = u diag(s) vᵀ for any shape; v transposed where `vt`.
int decompose_into(const matrix& a, const matrix& s, const matrix& u, const matrix& v, bool vt) {
  const auto values = a.read();
  const bool tall = a.rows >= a.cols;
  std::vector<double> turned;
  if (!tall) {
    turned.resize(values.size());
    for (int64_t j = 0; j < a.cols; ++j)
      for (int64_t i = 0; i < a.rows; ++i) turned[size_t(i * a.cols + j)] = values[size_t(j * a.rows + i)];
  }
  const auto d = decompose(int(std::max(a.rows, a.cols)), int(std::min(a.rows, a.cols)), tall ? values.data() : turned.data());
  a.destroy();
  s.write(d.s.data());
  u.write(tall ? d.u.data() : d.v.data());
  v.write(tall ? d.v.data() : d.u.data(), vt);
  return 0;
}

// The functions

int create(solver_handle* handle) {
  *handle = new cusolverDnContext;
  return success;
}
int destroy(solver_handle handle) {
  delete handle;
  return success;
}
int set_stream(solver_handle handle, cudaStream_t stream) {
  if (!handle || !is_stream(stream)) return refuse(invalid_value, "no handle, or no such stream");
  handle->stream = stream;
  return success;
}
int params_create(solver_params* params) {
  *params = new solver_params_opaque;
  return success;
}
int params_destroy(solver_params params) {
  delete params;
  return success;
}

int check_syevd(solver_handle handle, solver_params params, int jobz, int uplo, int64_t n, int type_a, const void* a, int64_t lda,
                int type_w, const void* w, int compute, bool data_needed) {
  if (int status = check(handle, {{"a", a, n, n, lda}, {"w", w, n, 1, n}}, data_needed)) return status;
  if (int status = check_types(params, {type_a, type_w, compute})) return status;
  if (jobz != solver_eig_vector || uplo != solver_fill_lower) return refuse(not_supported, "only vectors of lower triangles are emulated");
  return success;
}
int syevd_size(solver_handle handle, solver_params params, int jobz, int uplo, int64_t n, int type_a, const void* a, int64_t lda,
               int type_w, const void* w, int compute, size_t* device, size_t* on_host) {
  return give_sizes(check_syevd(handle, params, jobz, uplo, n, type_a, a, lda, type_w, w, compute, false), n, n, device, on_host);
}
int syevd(solver_handle handle, solver_params params, int jobz, int uplo, int64_t n, int type_a, void* a, int64_t lda, int type_w, void* w,
          int compute, void* device, size_t device_size, void* on_host, size_t host_size, int* info) {
  if (int status = check_syevd(handle, params, jobz, uplo, n, type_a, a, lda, type_w, w, compute, true)) return status;
  if (int status = check_spaces(n, n, device_size, host_size)) return status;
  return queue(handle, device, device_size, on_host, host_size, info, [=] {
    const matrix vectors{"a", a, n, n, lda};
    auto values = vectors.read();
    if (!symmetric_eigenvectors(int(n), values.data(), static_cast<double*>(w))) return 1;
    vectors.write(values.data());
    return 0;
  });
}

int check_gesvd(solver_handle handle, solver_params params, signed char jobu, signed char jobvt, int64_t m, int64_t n, const matrix& a,
                const matrix& s, const matrix& u, const matrix& vt, std::initializer_list<int> types, bool data_needed) {
  if (m < n) return refuse(invalid_value, "gesvd of a matrix with fewer rows than columns");
  if (int status = check(handle, {a, s, u, vt}, data_needed)) return status;
  if (int status = check_types(params, types)) return status;
  if (jobu != 'S' || jobvt != 'S') return refuse(not_supported, "gesvd is emulated with jobs S and S only");
  return success;
}
int gesvd_size(solver_handle handle, solver_params params, signed char jobu, signed char jobvt, int64_t m, int64_t n, int type_a,
               const void* a, int64_t lda, int type_s, const void* s, int type_u, const void* u, int64_t ldu, int type_vt, const void* vt,
               int64_t ldvt, int compute, size_t* device, size_t* on_host) {
  return give_sizes(check_gesvd(handle, params, jobu, jobvt, m, n, {"a", a, m, n, lda}, {"s", s, n, 1, n}, {"u", u, m, n, ldu},
                                {"vt", vt, n, n, ldvt}, {type_a, type_s, type_u, type_vt, compute}, false),
                    m, n, device, on_host);
}
int gesvd(solver_handle handle, solver_params params, signed char jobu, signed char jobvt, int64_t m, int64_t n, int type_a, void* a,
          int64_t lda, int type_s, void* s, int type_u, void* u, int64_t ldu, int type_vt, void* vt, int64_t ldvt, int compute,
          void* device, size_t device_size, void* on_host, size_t host_size, int* info) {
  const matrix ma{"a", a, m, n, lda}, ms{"s", s, n, 1, n}, mu{"u", u, m, n, ldu}, mv{"vt", vt, n, n, ldvt};
  if (int status = check_gesvd(handle, params, jobu, jobvt, m, n, ma, ms, mu, mv, {type_a, type_s, type_u, type_vt, compute}, true))
    return status;
  if (int status = check_spaces(m, n, device_size, host_size)) return status;
  return queue(handle, device, device_size, on_host, host_size, info, [=] { return decompose_into(ma, ms, mu, mv, true); });
}

int check_economic(int jobz, int econ) {
  return jobz == solver_eig_vector && econ == 1 ? int(success)
                                                : refuse(not_supported, "only economic decompositions with vectors are emulated");
}
int gesvdp_size(solver_handle handle, solver_params params, int jobz, int econ, int64_t m, int64_t n, int type_a, const void* a,
                int64_t lda, int type_s, const void* s, int type_u, const void* u, int64_t ldu, int type_v, const void* v, int64_t ldv,
                int compute, size_t* device, size_t* on_host) {
  const int64_t r = std::min(m, n);
  int status = check(handle, {{"a", a, m, n, lda}, {"s", s, r, 1, r}, {"u", u, m, r, ldu}, {"v", v, n, r, ldv}}, false);
  if (!status) status = check_types(params, {type_a, type_s, type_u, type_v, compute});
  if (!status) status = check_economic(jobz, econ);
  return give_sizes(status, m, n, device, on_host);
}
int gesvdp(solver_handle handle, solver_params params, int jobz, int econ, int64_t m, int64_t n, int type_a, void* a, int64_t lda,
           int type_s, void* s, int type_u, void* u, int64_t ldu, int type_v, void* v, int64_t ldv, int compute, void* device,
           size_t device_size, void* on_host, size_t host_size, int* info, double* perturbation) {
  const int64_t r = std::min(m, n);
  const matrix ma{"a", a, m, n, lda}, ms{"s", s, r, 1, r}, mu{"u", u, m, r, ldu}, mv{"v", v, n, r, ldv};
  if (int status = check(handle, {ma, ms, mu, mv}, true)) return status;
  if (int status = check_types(params, {type_a, type_s, type_u, type_v, compute})) return status;
  if (int status = check_economic(jobz, econ)) return status;
  if (int status = check_spaces(m, n, device_size, host_size)) return status;
  if (!perturbation || is_device_pointer(perturbation)) return refuse(invalid_value, "the perturbation goes to the host");
  *perturbation = 0;
  return queue(handle, device, device_size, on_host, host_size, info, [=] { return decompose_into(ma, ms, mu, mv, false); });
}

int gesvdj_info_create(solver_gesvdj_info* info) {
  *info = new gesvdj_info_opaque;
  return success;
}
int gesvdj_info_destroy(solver_gesvdj_info info) {
  delete info;
  return success;
}
int gesvdj_size(solver_handle handle, int jobz, int econ, int m, int n, const double* a, int lda, const double* s, const double* u, int ldu,
                const double* v, int ldv, int* lwork, solver_gesvdj_info parameters) {
  const int r = std::min(m, n);
  if (int status = check(handle, {{"a", a, m, n, lda}, {"s", s, r, 1, r}, {"u", u, m, r, ldu}, {"v", v, n, r, ldv}}, false)) return status;
  if (int status = check_economic(jobz, econ)) return status;
  if (!parameters || !lwork) return refuse(invalid_value, "no parameters of gesvdj, or nowhere to put the size");
  *lwork = int(device_bytes(m, n) / sizeof(double));
  return success;
}
int gesvdj(solver_handle handle, int jobz, int econ, int m, int n, double* a, int lda, double* s, double* u, int ldu, double* v, int ldv,
           double* work, int lwork, int* info, solver_gesvdj_info parameters) {
  const int r = std::min(m, n);
  const matrix ma{"a", a, m, n, lda}, ms{"s", s, r, 1, r}, mu{"u", u, m, r, ldu}, mv{"v", v, n, r, ldv};
  if (int status = check(handle, {ma, ms, mu, mv}, true)) return status;
  if (int status = check_economic(jobz, econ)) return status;
  if (!parameters) return refuse(invalid_value, "no parameters of gesvdj");
  const size_t bytes = lwork > 0 ? size_t(lwork) * sizeof(double) : 0;
  if (int status = check_spaces(m, n, bytes, host_bytes(m, n))) return status;
  return queue(handle, work, bytes, nullptr, 0, info, [=] { return decompose_into(ma, ms, mu, mv, false); });
}

}  // namespace

solver_table solver_functions() {
  return {create, destroy,     set_stream, params_create,      params_destroy,      syevd_size,  syevd, gesvd_size,
          gesvd,  gesvdp_size, gesvdp,     gesvdj_info_create, gesvdj_info_destroy, gesvdj_size, gesvdj};
}

}  // namespace host
}  // namespace t2::cuda
