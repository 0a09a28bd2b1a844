// Calls of cuSOLVER. It thinks in columns: a row-major a[n, m] is its a[m, n], with at least as many rows as columns, as Xgesvd wants it,
// and vectors that it leaves in columns lie in our rows.
#include "svd_solvers.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <vector>

#include "svd_kernels.h"

namespace t2::cuda::decomposition {
namespace {

constexpr const char* names[] = {"gesvd", "gesvdj", "gesvdp"};
constexpr int real = lt_real_64f;

/// The status of one of its functions.
int solved(t2_context* c, const char* what, int status, int m, int n) {
  T2_CUDA(cudaGetLastError());  // a device that is lost shows here
  if (!status) return T2_OK;
  return c->fail(status == 2 /* CUSOLVER_STATUS_ALLOC_FAILED */ ? T2_ERROR_MEMORY : T2_ERROR_DEVICE,
                 std::string("cuSOLVER's ") + what + " failed with status " + std::to_string(status) + " for a matrix of " +
                     std::to_string(m) + " x " + std::to_string(n));
}

/// Work space of one call, on both sides.
class work_space {
 public:
  explicit work_space(lane& on) : on_(on), device_(on.c) {}
  int reserve() {
    host_.resize(host_bytes);
    return device_.make(int64_t(std::max<size_t>(device_bytes, 1)));
  }
  /// Waits for the call that had `status` and looks at its info. In any case it has ended when this returns, and the space may go.
  int finish(const char* what, int status, int m, int n, const int* flag, bool* converged) {
    t2_context* c = on_.c;
    int info = 0;
    const auto copied = cudaMemcpyAsync(&info, flag, sizeof info, cudaMemcpyDeviceToHost, on_.stream);
    const auto ended = cudaStreamSynchronize(on_.stream);
    T2_TRY(solved(c, what, status, m, n));
    T2_CUDA(copied);
    T2_CUDA(ended);
    if (info < 0) return c->fail(T2_ERROR_DEVICE, std::string("cuSOLVER's ") + what + " refuses its argument " + std::to_string(-info));
    *converged = info == 0;
    return T2_OK;
  }
  char* device() const { return device_.get(); }
  char* host() { return host_.data(); }

  size_t device_bytes = 0, host_bytes = 0;

 private:
  lane& on_;
  array<char> device_;
  std::vector<char> host_;
};

struct jacobi_info {
  const solver_table& solver;
  solver_gesvdj_info handle = nullptr;
  ~jacobi_info() {
    if (handle) solver.gesvdj_info_destroy(handle);
  }
};

}  // namespace

const char* name_of(method which) { return names[int(which)]; }

bool find(const char* name, method* which) {
  for (int i = 0; i < 3; ++i)
    if (!std::strcmp(name, names[i])) {
      *which = method(i);
      return true;
    }
  return false;
}

int lane::open() {
  T2_TRY(c->enter());
  T2_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const solver_table& table = c->libraries.solver;
  int status = table.create(&solver);
  if (!status) status = table.set_stream(solver, stream);
  if (!status) status = table.params_create(&params);
  if (status)
    return c->fail(status == 2 ? T2_ERROR_MEMORY : T2_ERROR_DEVICE, "cusolverDnCreate failed with status " + std::to_string(status));
  workspace = c->memory.allocate(workspace_bytes);
  return workspace ? T2_OK : c->fail(T2_ERROR_MEMORY, "no device memory for the workspace of a decomposition's products");
}

lane::~lane() {
  if (stream) cudaStreamSynchronize(stream);
  if (workspace) c->memory.release(workspace);
  if (params) c->libraries.solver.params_destroy(params);
  if (solver) c->libraries.solver.destroy(solver);
  if (stream) cudaStreamDestroy(stream);
}

int eigenvectors(lane& on, int n, double* g, double* values, int* flag, bool* converged) {
  const solver_table& f = on.c->libraries.solver;
  work_space work(on);
  T2_TRY(solved(on.c, "Xsyevd_bufferSize",
                f.syevd_size(on.solver, on.params, solver_eig_vector, solver_fill_lower, n, real, g, n, real, values, real,
                             &work.device_bytes, &work.host_bytes),
                n, n));
  T2_TRY(work.reserve());
  const int status = f.syevd(on.solver, on.params, solver_eig_vector, solver_fill_lower, n, real, g, n, real, values, real, work.device(),
                             work.device_bytes, work.host(), work.host_bytes, flag);
  return work.finish("Xsyevd", status, n, n, flag, converged);
}

int singular_vectors(lane& on, method which, int m, int n, double* a, double* s, double* u, double* v, double* scratch, int* flag,
                     bool* converged) {
  t2_context* c = on.c;
  const solver_table& f = c->libraries.solver;
  auto done = [&](int status) { return solved(c, name_of(which), status, m, n); };
  work_space work(on);
  int status = 0;
  switch (which) {
    case method::gesvd:
      T2_TRY(done(f.gesvd_size(on.solver, on.params, 'S', 'S', m, n, real, a, m, real, s, real, u, m, real, scratch, n, real,
                               &work.device_bytes, &work.host_bytes)));
      T2_TRY(work.reserve());
      status = f.gesvd(on.solver, on.params, 'S', 'S', m, n, real, a, m, real, s, real, u, m, real, scratch, n, real, work.device(),
                       work.device_bytes, work.host(), work.host_bytes, flag);
      T2_TRY(work.finish(name_of(which), status, m, n, flag, converged));
      // This one returns the transpose of what the others do.
      return transpose(c, on.stream, scratch, n, n, v);
    case method::gesvdp: {
      double perturbation = 0;  // of a, where a singular value is nearly zero: the residual will show it
      T2_TRY(done(f.gesvdp_size(on.solver, on.params, solver_eig_vector, 1, m, n, real, a, m, real, s, real, u, m, real, v, n, real,
                                &work.device_bytes, &work.host_bytes)));
      T2_TRY(work.reserve());
      status = f.gesvdp(on.solver, on.params, solver_eig_vector, 1, m, n, real, a, m, real, s, real, u, m, real, v, n, real, work.device(),
                        work.device_bytes, work.host(), work.host_bytes, flag, &perturbation);
      break;
    }
    case method::gesvdj: {
      // The one interface with sizes of 32 bits.
      if (int64_t(m) * n > INT_MAX) return c->fail(T2_ERROR_INVALID, "driver \"gesvdj\" takes matrices of up to 2^31 elements");
      jacobi_info info{f};
      int elements = 0;
      T2_TRY(done(f.gesvdj_info_create(&info.handle)));
      T2_TRY(done(f.gesvdj_size(on.solver, solver_eig_vector, 1, m, n, a, m, s, u, m, v, n, &elements, info.handle)));
      work.device_bytes = size_t(elements) * sizeof(double);
      T2_TRY(work.reserve());
      status = f.gesvdj(on.solver, solver_eig_vector, 1, m, n, a, m, s, u, m, v, n, reinterpret_cast<double*>(work.device()), elements,
                        flag, info.handle);
      return work.finish(name_of(which), status, m, n, flag, converged);
    }
  }
  return work.finish(name_of(which), status, m, n, flag, converged);
}

}  // namespace t2::cuda::decomposition
