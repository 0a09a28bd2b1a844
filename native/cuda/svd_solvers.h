// cuSOLVER as the decomposition sees it: a lane to call it on, memory for it, and its functions on fp64 matrices.
#pragma once
#include <string>
#include <utility>

#include "context.h"

namespace t2::cuda::decomposition {

/// What one decomposition at a time needs of its own. Belongs to the thread that opened it.
class lane {
 public:
  explicit lane(t2_context* context) : c(context), workspace_bytes(workspace_of(context)) {}
  lane(const lane&) = delete;
  ~lane();
  int open();

  t2_context* const c;
  cudaStream_t stream = nullptr;
  solver_handle solver = nullptr;
  solver_params params = nullptr;
  void* workspace = nullptr;  // of products
  const size_t workspace_bytes;
  /// As cuBLAS recommends.
  static size_t workspace_of(const t2_context* c) { return size_t(c->capability >= 90 ? 32 : 4) << 20; }
};

/// Device memory of a decomposition, given back to the context's lists.
template <class T>
class array {
 public:
  explicit array(t2_context* c) : c_(c) {}
  array(const array&) = delete;
  ~array() { clear(); }
  /// At least `count` elements; the contents are kept if there were as many before.
  int make(int64_t count) {
    if (count <= count_) return T2_OK;
    clear();
    data_ = static_cast<T*>(c_->memory.allocate(size_t(count) * sizeof(T)));
    if (!data_)
      return c_->fail(T2_ERROR_MEMORY, "no device memory for " + std::to_string(size_t(count) * sizeof(T)) + " bytes of a decomposition");
    count_ = count;
    return T2_OK;
  }
  void clear() {
    if (data_) c_->memory.release(data_);
    data_ = nullptr;
    count_ = 0;
  }
  void swap(array& other) {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }
  T* get() const { return data_; }

 private:
  t2_context* c_;
  T* data_ = nullptr;
  int64_t count_ = 0;
};

enum class method { gesvd, gesvdj, gesvdp };
const char* name_of(method which);
bool find(const char* name, method* which);

/// g[n, n], symmetric, becomes its eigenvectors, one a row, in ascending order of the eigenvalues, which go to `values`. Waits. `flag` is
/// one int of scratch on the device.
int eigenvectors(lane& on, int n, double* g, double* values, int* flag, bool* converged);

/// aᵀ = vᵀ diag(s) u for row-major a[n, m] with m ≥ n, which is destroyed: s[n], u[n, m] and v[n, n] have a vector a row. Waits. `scratch`
/// [n, n].
int singular_vectors(lane& on, method which, int m, int n, double* a, double* s, double* u, double* v, double* scratch, int* flag,
                     bool* converged);

}  // namespace t2::cuda::decomposition
