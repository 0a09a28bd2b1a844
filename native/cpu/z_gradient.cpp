// q_i = Σ_t (g U)_ti (x Vhᵀ)_ti, by whichever of two exact ways is cheaper for n tokens: the two thin products, 2n(m+k)r, or one transient
// dW = gᵀ x, 2nmk, and then diag(Uᵀ dW V), 2mkr. The long side of the matrix is dealt out, so nothing of size m × k is ever kept.
#include "blas.h"
#include "linear_parts.h"

namespace t2::cpu {
namespace {

const float* as_fp32(t2_context* c, const t2_matrix& a, int slot) {
  if (dtype(a.dtype) == dtype::f32 && a.stride == a.cols) return static_cast<const float*>(a.data);
  float* copy = c->scratch(shared, slot, size_t(a.rows) * size_t(a.cols));
  c->ranges(a.rows, 16, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) c->k.convert(a.dtype, row_of(a, i), copy + i * a.cols, a.cols);
  });
  return copy;
}

int by_activations(t2_context* c, const float* g, int64_t gs, const float* x, int64_t xs, int n, int m, int k, int r, const float* u,
                   const float* vh, std::vector<double>& sums, int tasks) {
  return c->parallel(tasks, [&](int t, int thread) {
    double* q = sums.data() + int64_t(t) * r;
    int64_t begin = int64_t(n) * t / tasks, end = int64_t(n) * (t + 1) / tasks;
    constexpr int block = 64;
    float* p = c->scratch(thread, 1, size_t(block) * size_t(r));
    float* y = c->scratch(thread, 2, size_t(block) * size_t(r));
    for (int64_t t0 = begin; t0 < end; t0 += block) {
      if (c->stop()) return;
      int rows = int(std::min<int64_t>(block, end - t0));
      blas::sgemm(false, false, rows, r, m, 1.f, g + t0 * gs, int(gs), u, r, 0.f, p, r);
      blas::sgemm(false, true, rows, r, k, 1.f, x + t0 * xs, int(xs), vh, k, 0.f, y, r);
      for (int i = 0; i < rows; i++)
        for (int j = 0; j < r; j++) q[j] += double(p[int64_t(i) * r + j]) * y[int64_t(i) * r + j];
    }
  });
}

int by_outer_product(t2_context* c, const float* g, int64_t gs, const float* x, int64_t xs, int n, int m, int k, int r, const float* u,
                     const float* vh, std::vector<double>& sums, int tasks, int width) {
  bool tall = m > k;  // tiles of rows when tall (r = k), of columns when wide (r = m)
  return c->parallel(tasks, [&](int t, int thread) {
    double* q = sums.data() + int64_t(t) * r;
    int b = t * width, w = std::min(width, (tall ? m : k) - b);
    float* dw = c->scratch(thread, 1, size_t(width) * size_t(tall ? k : m));
    float* y = c->scratch(thread, 2, size_t(width) * size_t(r));
    // tokens in stretches, so that an abort is noticed
    int step = int(std::max<int64_t>(128, 600000000 / (2LL * w * (tall ? k : m))));
    for (int t0 = 0; t0 < n; t0 += step) {
      if (c->stop()) return;
      int tn = std::min(step, n - t0);
      if (tall) blas::sgemm(true, false, w, k, tn, 1.f, g + t0 * gs + b, int(gs), x + t0 * xs, int(xs), t0 ? 1.f : 0.f, dw, k);
      else blas::sgemm(true, false, m, w, tn, 1.f, g + t0 * gs, int(gs), x + t0 * xs + b, int(xs), t0 ? 1.f : 0.f, dw, w);
    }
    if (tall) {  // dW[tile, k] · V, then the column sums with U[tile, :]
      blas::sgemm(false, true, w, r, k, 1.f, dw, k, vh, k, 0.f, y, r);
      for (int i = 0; i < w; i++)
        for (int j = 0; j < r; j++) q[j] += double(u[int64_t(b + i) * r + j]) * y[int64_t(i) * r + j];
    } else {  // Uᵀ · dW[m, tile], then the row sums with Vh[:, tile]
      blas::sgemm(true, false, r, w, m, 1.f, u, r, dw, w, 0.f, y, w);
      for (int j = 0; j < r; j++) {
        double sum = 0;
        for (int i = 0; i < w; i++) sum += double(y[int64_t(j) * w + i]) * vh[int64_t(j) * k + b + i];
        q[j] += sum;
      }
    }
  });
}

/// The thin products on the matrix unit, for stretches of tokens.
int by_activations_on_unit(t2_context* c, const float* g, int64_t gs, const float* x, int64_t xs, int n, const t2_matrix& u,
                           const t2_matrix& vh, double* q) {
  constexpr int stretch = 512;
  int r = u.cols;
  float* p = c->scratch(shared, 1, size_t(std::min(n, stretch)) * size_t(r));
  float* y = c->scratch(shared, 2, size_t(std::min(n, stretch)) * size_t(r));
  for (int t0 = 0; t0 < n; t0 += stretch) {
    int tokens = std::min(stretch, n - t0);
    t2_linear by_vh{};
    by_vh.w = vh;
    by_vh.y = y;
    by_vh.y_stride = r;
    if (int status = linear_backward_on_unit(c, g + t0 * gs, gs, tokens, u, p, r, false)) return status;
    if (int status = linear_on_unit(c, x + t0 * xs, xs, tokens, &by_vh, 1)) return status;
    c->ranges(r, 64, [&](int64_t begin, int64_t end, int) {
      for (int i = 0; i < tokens; i++)
        for (int64_t j = begin; j < end; j++) q[j] += double(p[int64_t(i) * r + j]) * y[int64_t(i) * r + j];
    });
  }
  return T2_OK;
}

}  // namespace

int z_gradient(t2_context* c, const float* g, int64_t g_stride, const float* x, int64_t x_stride, int32_t n, const t2_matrix* u,
               const t2_matrix* vh, double* q) {
  int m = u->rows, r = u->cols, k = vh->cols;
  double activations = 2. * n * (double(m) + k) * r, outer = 2. * n * double(m) * k + 2. * double(m) * k * r;
  // the unit's products are more than twice as fast as sgemm (16-bit factors, measured; fp32 ones by their count of products)
  if (c->k.unit && activations <= 2 * outer) return by_activations_on_unit(c, g, g_stride, x, x_stride, n, *u, *vh, q);
  const float* uf = as_fp32(c, *u, 0);
  const float* vf = as_fp32(c, *vh, 1);
  std::vector<double> sums;
  int status, tasks;
  if (activations <= outer) {
    tasks = std::clamp(n / 16, 1, 8);
    sums.assign(size_t(tasks) * size_t(r), 0);
    status = by_activations(c, g, g_stride, x, x_stride, n, m, k, r, uf, vf, sums, tasks);
  } else {
    int side = std::max(m, k), width = std::clamp((side / 8 + 15) / 16 * 16, 16, 256);
    tasks = (side + width - 1) / width;
    sums.assign(size_t(tasks) * size_t(r), 0);
    status = by_outer_product(c, g, g_stride, x, x_stride, n, m, k, r, uf, vf, sums, tasks, width);
  }
  for (int t = 0; t < tasks; t++)  // in task order: the sum does not depend on the threads
    for (int j = 0; j < r; j++) q[j] += sums[size_t(t) * size_t(r) + size_t(j)];
  return status;
}

}  // namespace t2::cpu
