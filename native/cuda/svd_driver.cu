// The method. With r the short side and c the long one, A = W, or Wᵀ of a tall matrix, in fp64 [r, c]:
//
//   G = A Aᵀ = Eᵀ Λ E by Xsyevd;  B = E A;  σ_i = ‖B_i‖;  V_i = B_i / σ_i
//
// E is orthogonal to rounding, so EᵀΣV is A to rounding however good the eigenvectors are. V loses orthogonality with the square of the
// condition: Newton–Schulz repairs that up to about 1e7, Xgesvd does the rest. What is rounded to fp32 is rounded in place, so that all
// numbers are about the factors that go out. Rows of E and V stay in the solver's order until then.
//
// To be measured on a GPU before any of it is tuned: Xsyevd at r = 4096 and 8192, where nearly all the time should go (9 r³ operations, not
// 3 % of the peak), and what two or three streams gain; the share of the three products with r² c operations on cards whose fp64 is a 64th
// of their fp32, where V Vᵀ may be better off in fp32 in pieces; condition numbers of real projections, since all above 1e7 cost an Xgesvd.
#include "svd_driver.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "gemm.h"
#include "svd_kernels.h"
#include "svd_solvers.h"

namespace t2::cuda::decomposition {
namespace {

constexpr int probes = 32;

class decomposition {
 public:
  decomposition(lane& on, t2_svd& item, const std::atomic<bool>& stop)
      : on_(on),
        c(on.c),

        item_(item),
        stop_(stop),
        wide_(item.rows <= item.cols),
        r_(std::min(item.rows, item.cols)),
        c_(std::max(item.rows, item.cols)) {}
  ~decomposition() { cudaStreamSynchronize(on_.stream); }  // nothing is given back while it is in use

  int run();

 private:
  int load();
  int widened();
  int gram(bool* done);
  int repair();
  int direct(method which);
  int measure();
  int residual();
  int give();

  int stopped() const { return stop_ ? T2_ERROR_CANCELLED : T2_OK; }
  bool good() const { return item_.residual <= 1e-6 && item_.orthogonality_u <= 1e-5 && item_.orthogonality_v <= 1e-5; }
  std::string shape() const { return std::to_string(item_.rows) + " x " + std::to_string(item_.cols); }

  /// d[m, n] = alpha op(a) op(b) + beta d; rows of a and b are as long as their shape says.
  int product(int m, int n, int k, const double* a, bool a_transposed, const double* b, bool b_transposed, double* d, double alpha = 1,
              double beta = 0) {
    return gemm_on(c, on_.stream, on_.workspace, on_.workspace_bytes, m, n, k, alpha, {a, element::f64, a_transposed ? m : k, a_transposed},
                   {b, element::f64, b_transposed ? k : n, b_transposed}, beta, d, element::f64, n);
  }
  template <class T>
  int fetch(std::vector<T>& to, const T* from, int64_t count) {
    to.resize(size_t(count));
    return copy(to.data(), from, size_t(count) * sizeof(T), cudaMemcpyDeviceToHost);
  }
  template <class T>
  int send(array<T>& to, const std::vector<T>& from) {
    T2_TRY(to.make(int64_t(from.size())));
    return copy(to.get(), from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice);
  }
  /// Waits.
  int copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    T2_CUDA(cudaMemcpyAsync(to, from, bytes, kind, on_.stream));
    T2_CUDA(cudaStreamSynchronize(on_.stream));
    return T2_OK;
  }
  int worst(int n, double* out);

  lane& on_;
  t2_context* const c;
  t2_svd& item_;
  const std::atomic<bool>& stop_;
  const bool wide_;
  const int r_, c_;

  array<char> w_{c};                       // as stored; later the long factor in fp32
  array<double> a_{c}, v_{c};              // [r, c]
  array<double> e_{c}, square_{c};         // [r, r]: vectors of the short side in rows; scratch
  array<double> values_{c}, sigma_on_{c};  // [r]
  array<int> flag_{c};
  std::vector<double> sigma_;   // [r], not sorted; fp32 values
  double long_deviation_ = -1;  // of V, where it is known
  int steps_ = 0;               // of Newton–Schulz
};

int decomposition::run() {
  const char* wish = item_.driver ? item_.driver : "auto";
  const bool automatic = !std::strcmp(wish, "auto"), only_gram = !std::strcmp(wish, "gram");
  method which = method::gesvd;
  if (!automatic && !only_gram && !find(wish, &which))
    return c->fail(T2_ERROR_INVALID, std::string("this device has no driver \"") + wish +
                                         "\" for singular value decompositions; it has auto, gram, gesvd, gesvdj and gesvdp");

  T2_TRY(load());
  std::string used = name_of(which);
  bool done = false;
  if (automatic || only_gram) {
    T2_TRY(gram(&done));
    if (done) {
      T2_TRY(measure());
      used = steps_ ? "gram+newton-schulz" : "gram";
      done = only_gram || good();
    }
    if (!done && only_gram)
      return c->fail(T2_ERROR_INVALID, "driver \"gram\" cannot decompose this matrix of " + shape() +
                                           ": its smallest singular value is zero to working precision; use \"auto\" or \"gesvd\"");
  }
  if (!done) {
    used = name_of(which);
    T2_TRY(direct(which));
    T2_TRY(measure());
  }
  std::snprintf(item_.driver_used, sizeof item_.driver_used, "%s", used.c_str());
  return give();
}

int decomposition::load() {
  const int64_t count = int64_t(r_) * c_;
  const size_t bytes = size_t(count) * (item_.dtype == int32_t(dtype::f32) ? 4 : 2);
  T2_TRY(w_.make(count * 4));
  T2_TRY(a_.make(count));
  T2_TRY(flag_.make(1));
  T2_CUDA(cudaMemcpyAsync(w_.get(), item_.w, bytes, cudaMemcpyHostToDevice, on_.stream));
  T2_CUDA(cudaMemsetAsync(flag_.get(), 0, sizeof(int), on_.stream));
  T2_TRY(widened());
  std::vector<int> bad;
  T2_TRY(fetch(bad, flag_.get(), 1));
  if (bad[0]) return c->fail(T2_ERROR_INVALID, "the matrix of " + shape() + " has an entry that is not finite");
  return stopped();
}

int decomposition::widened() { return widen(c, on_.stream, w_.get(), item_.dtype, item_.rows, item_.cols, !wide_, a_.get(), flag_.get()); }

int decomposition::worst(int n, double* out) {
  std::vector<double> of_row;
  T2_TRY(values_.make(n));
  T2_TRY(deviations(c, on_.stream, square_.get(), n, values_.get()));
  T2_TRY(fetch(of_row, values_.get(), n));
  *out = *std::max_element(of_row.begin(), of_row.end());
  return stopped();
}

// The Gram route

/// Not done: the eigenvalues did not converge, or a singular value is zero to the precision of the Gram matrix.
int decomposition::gram(bool* done) {
  const int64_t count = int64_t(r_) * c_, square = int64_t(r_) * r_;
  T2_TRY(e_.make(square));
  T2_TRY(product(r_, r_, c_, a_.get(), false, a_.get(), true, e_.get()));
  T2_TRY(values_.make(r_));
  T2_TRY(eigenvectors(on_, r_, e_.get(), values_.get(), flag_.get(), done));
  if (!*done) return stopped();
  T2_TRY(stopped());

  T2_TRY(v_.make(count));
  T2_TRY(product(r_, c_, r_, e_.get(), false, a_.get(), false, v_.get()));
  T2_TRY(row_norms(c, on_.stream, v_.get(), r_, c_, values_.get()));
  T2_TRY(fetch(sigma_, values_.get(), r_));
  const auto [least, most] = std::minmax_element(sigma_.begin(), sigma_.end());
  // Below this the small directions are noise of the Gram matrix and no repair of V would be true to W.
  *done = *least > 2e-8 * *most;
  if (!*done) return stopped();
  T2_TRY(divide_and_round(c, on_.stream, v_.get(), r_, c_, values_.get()));
  T2_TRY(divide_and_round(c, on_.stream, e_.get(), r_, r_, nullptr));
  T2_TRY(square_.make(square));
  return repair();
}

/// v = (1.5 I − 0.5 v vᵀ) v: rows towards orthonormality, quadratic near it.
int decomposition::repair() {
  for (steps_ = 0;; ++steps_) {
    T2_TRY(product(r_, r_, c_, v_.get(), false, v_.get(), true, square_.get()));
    T2_TRY(worst(r_, &long_deviation_));
    if (steps_ == 3 || !(long_deviation_ > 1e-6)) return T2_OK;
    array<double> better(c);
    T2_TRY(better.make(int64_t(r_) * c_));
    T2_TRY(newton_schulz_factor(c, on_.stream, square_.get(), r_));
    T2_TRY(product(r_, c_, r_, square_.get(), false, v_.get(), false, better.get()));
    T2_TRY(divide_and_round(c, on_.stream, better.get(), r_, c_, nullptr));
    T2_CUDA(cudaStreamSynchronize(on_.stream));
    v_.swap(better);
  }
}

// cuSOLVER's own decompositions. A[r, c] row-major is Aᵀ[c, r] column-major, with at least as many rows as columns, as Xgesvd wants it

int decomposition::direct(method which) {
  const int64_t count = int64_t(r_) * c_, square = int64_t(r_) * r_;
  if (which == method::gesvdj && count > INT_MAX)
    return c->fail(T2_ERROR_INVALID, "driver \"gesvdj\" takes matrices of up to 2^31 elements; this one has " + shape());
  T2_TRY(v_.make(count));
  T2_TRY(e_.make(square));
  T2_TRY(square_.make(square));
  T2_TRY(values_.make(r_));
  bool converged = false;
  T2_TRY(singular_vectors(on_, which, c_, r_, a_.get(), values_.get(), v_.get(), e_.get(), square_.get(), flag_.get(), &converged));
  if (!converged)
    return c->fail(T2_ERROR_DEVICE, std::string("driver \"") + name_of(which) + "\" did not converge for a matrix of " + shape());
  T2_TRY(stopped());
  T2_TRY(widened());
  T2_TRY(fetch(sigma_, values_.get(), r_));
  T2_TRY(divide_and_round(c, on_.stream, v_.get(), r_, c_, nullptr));
  T2_TRY(divide_and_round(c, on_.stream, e_.get(), r_, r_, nullptr));
  steps_ = 0;
  long_deviation_ = -1;
  return stopped();
}

// What comes out

int decomposition::measure() {
  if (long_deviation_ < 0) {
    T2_TRY(product(r_, r_, c_, v_.get(), false, v_.get(), true, square_.get()));
    T2_TRY(worst(r_, &long_deviation_));
  }
  double short_deviation = 0;
  T2_TRY(product(r_, r_, r_, e_.get(), false, e_.get(), true, square_.get()));
  T2_TRY(worst(r_, &short_deviation));
  item_.orthogonality_u = wide_ ? short_deviation : long_deviation_;
  item_.orthogonality_v = wide_ ? long_deviation_ : short_deviation;
  return residual();
}

/// ‖A − EᵀΣV‖F / ‖A‖F: for x of random signs the expectation of ‖D x‖² is ‖D‖F². The mean over 32 of them is within 12 per cent at one
/// standard deviation or better and costs next to nothing.
int decomposition::residual() {
  array<double> x(c), y(c), z(c);
  T2_TRY(x.make(int64_t(c_) * probes));
  T2_TRY(y.make(int64_t(r_) * probes));
  T2_TRY(z.make(int64_t(r_) * probes));
  for (double& s : sigma_) s = double(float(s));
  T2_TRY(send(sigma_on_, sigma_));
  T2_TRY(random_signs(c, on_.stream, x.get(), int64_t(c_) * probes));
  T2_TRY(product(r_, probes, c_, a_.get(), false, x.get(), false, y.get()));
  T2_TRY(product(r_, probes, c_, v_.get(), false, x.get(), false, z.get()));
  T2_TRY(multiply_rows(c, on_.stream, z.get(), r_, probes, sigma_on_.get()));
  T2_TRY(product(r_, probes, r_, e_.get(), true, z.get(), false, y.get(), -1, 1));
  auto norm = [&](const double* m, int cols, double* out) -> int {
    std::vector<double> of_row;
    T2_TRY(row_norms(c, on_.stream, m, r_, cols, values_.get()));
    T2_TRY(fetch(of_row, values_.get(), r_));
    *out = std::sqrt(std::inner_product(of_row.begin(), of_row.end(), of_row.begin(), 0.0));
    return T2_OK;
  };
  double difference = 0, whole = 0;
  T2_TRY(norm(y.get(), probes, &difference));
  T2_TRY(norm(a_.get(), c_, &whole));
  item_.residual = difference / std::sqrt(double(probes)) / (whole > 0 ? whole : 1);
  return stopped();
}

/// Sorted, with signs, in fp32, to the host.
int decomposition::give() {
  std::vector<int> order(r_);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return sigma_[i] > sigma_[j]; });
  for (int j = 0; j < r_; ++j) item_.sigma[j] = float(sigma_[order[j]]);
  array<int> order_on(c);
  array<float> signs(c);
  T2_TRY(send(order_on, order));
  T2_TRY(signs.make(r_));
  float *const long_out = reinterpret_cast<float*>(w_.get()), *const short_out = reinterpret_cast<float*>(square_.get());
  if (wide_) {
    T2_TRY(row_signs(c, on_.stream, e_.get(), r_, r_, signs.get()));
    T2_TRY(store_columns(c, on_.stream, e_.get(), r_, r_, order_on.get(), signs.get(), short_out));
    T2_TRY(store_rows(c, on_.stream, v_.get(), r_, c_, order_on.get(), signs.get(), long_out));
  } else {
    T2_TRY(row_signs(c, on_.stream, v_.get(), r_, c_, signs.get()));
    T2_TRY(store_columns(c, on_.stream, v_.get(), r_, c_, order_on.get(), signs.get(), long_out));
    T2_TRY(store_rows(c, on_.stream, e_.get(), r_, r_, order_on.get(), signs.get(), short_out));
  }
  T2_TRY(copy(wide_ ? item_.vh : item_.u, long_out, size_t(r_) * c_ * 4, cudaMemcpyDeviceToHost));
  return copy(wide_ ? item_.u : item_.vh, short_out, size_t(r_) * r_ * 4, cudaMemcpyDeviceToHost);
}

}  // namespace

int64_t bytes_for(const t2_svd& item) {
  const int64_t r = std::min(item.rows, item.cols), count = int64_t(item.rows) * item.cols;
  const bool gram = !item.driver || !std::strcmp(item.driver, "auto") || !std::strcmp(item.driver, "gram");
  // A, V and W; E, G and the solver's work. The solvers of whole matrices want about as much again.
  return (gram ? 20 : 40) * count + 8 * (gram ? 4 : 8) * r * r + (int64_t(4) << 20);
}

int decompose(lane& on, t2_svd& item, const std::atomic<bool>& stop) {
  const auto start = std::chrono::steady_clock::now();
  const int status = decomposition(on, item, stop).run();
  item.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return status;
}

}  // namespace t2::cuda::decomposition
