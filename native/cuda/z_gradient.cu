// q_i += Σ_t (g U)_ti (x Vhᵀ)_ti by whichever of two ways takes fewer operations for n tokens: the two thin products, 2n(m + k)r, or one
// transient dW = gᵀ x, 2nmk, and then Σ_j U_ji (dW Vhᵀ)_ji, 2mkr. Both end in sums down the columns of two arrays, in fp64.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "operators.h"
#include "rounding.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int columns = 32, lines = 8;  // of a block

/// part[slice, i] = Σ a[j, i] · b[j, i] · (the factors of row j), over the rows of slice blockIdx.y.
template <class A>
__global__ void T2_LAUNCH_BOUNDS(columns* lines, 4)
    column_dot_kernel(const A* a, int64_t a_stride, const float* b, int64_t b_stride, const float* a_factor, int a_step,
                      const float* b_factor, int b_step, const float* common, int n, int per_slice, int r, double* part) {
  const int x = int(threadIdx.x) % columns, y = int(threadIdx.x) / columns, i = int(blockIdx.x) * columns + x;
  const int begin = int(blockIdx.y) * per_slice, end = min(n, begin + per_slice);
  double sum = 0;
  if (i < r)
    for (int j = begin + y; j < end; j += lines) {
      double v = double(load(a + j * a_stride + i)) * b[j * b_stride + i];
      if (a_factor) v *= a_factor[j * a_step];
      if (b_factor) v *= b_factor[j * b_step];
      sum += v;
    }
  T2_SHARED(double, sums, columns* lines);
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (y || i >= r) return;
  for (int l = 1; l < lines; l++) sum += sums[l * columns + x];
  if (common) sum *= double(common[0]) * common[1];
  part[int64_t(blockIdx.y) * r + i] = sum;
}

__global__ void add_slices_kernel(const double* part, int slices, int r, double* q) {
  const int i = int(blockIdx.x) * int(blockDim.x) + int(threadIdx.x);
  if (i >= r) return;
  double sum = 0;
  for (int s = 0; s < slices; s++) sum += part[int64_t(s) * r + i];
  q[i] += sum;
}

}  // namespace

// launchers

namespace {

constexpr int64_t megabyte = int64_t(1) << 20;
constexpr int most_slices = 64;

/// Rows of a chunk that costs `bytes` a row, of `available` bytes: multiples of 64, so that the same rows make the same sums.
int32_t chunk_of(int64_t n, int64_t bytes, int64_t available) {
  return int32_t(std::min(n, std::max<int64_t>(64, available / std::max<int64_t>(bytes, 1) / 64 * 64)));
}

/// q += the column sums of a · b over n rows. `common`: two factors of all rows, or null.
int column_dot(t2_context* c, const rounded_rows& a, const float* b, int64_t b_stride, const rounded_rows* b_factors, const float* common,
               int32_t n, int32_t r, double* part, double* q) {
  const unsigned across = blocks_for(r, columns);
  const int wanted = std::clamp(int(8 * std::max(1, c->multiprocessors) / int(across)), 1, most_slices);
  const int per_slice = std::max(lines * 4, (n + wanted - 1) / wanted), slices = (n + per_slice - 1) / per_slice;
  T2_TRY(with_dtype(int32_t(a.type), [&](auto tag) {
    using A = typename decltype(tag)::type;
    return launch(c, column_dot_kernel<A>, dim3(across, unsigned(slices)), columns * lines, 0, static_cast<const A*>(a.data), a.stride, b,
                  b_stride, a.inverse, a.inverse_step, b_factors ? b_factors->inverse : nullptr, b_factors ? b_factors->inverse_step : 0,
                  common, n, per_slice, r, part);
  }));
  return launch(c, add_slices_kernel, blocks_for(r, 128), 128, 0, part, slices, r, q);
}

struct inputs {
  const float *g, *x;
  int64_t g_stride, x_stride;
  int32_t n, m, k, r, type;
  operand u, vh;
};

int no_memory(t2_context* c) { return c->fail(T2_ERROR_MEMORY, "no device memory for the gradient of z"); }

int by_activations(t2_context* c, const inputs& in, double* q) {
  const int64_t row = int64_t(rounded_bytes(1, in.m, in.type) + rounded_bytes(1, in.k, in.type)) + 8 * int64_t(in.r);
  const int32_t chunk = chunk_of(in.n, row, 256 * megabyte);
  void *g_copy = nullptr, *x_copy = nullptr;
  if (in.type != 0) {
    g_copy = c->scratch(scratch_cast_a, rounded_bytes(chunk, in.m, in.type));
    x_copy = c->scratch(scratch_cast_b, rounded_bytes(chunk, in.k, in.type));
    if (!g_copy || !x_copy) return no_memory(c);
  }
  T2_SCRATCH(factors, scratch_row_scales, 2 * int64_t(chunk));
  T2_SCRATCH(p, scratch_product_a, int64_t(chunk) * in.r);
  // partial sums, then the other product
  T2_SCRATCH(sums, scratch_product_b, (2 * most_slices + int64_t(chunk)) * in.r);
  float* y = sums + 2 * most_slices * int64_t(in.r);
  for (int32_t begin = 0; begin < in.n; begin += chunk) {
    T2_TRY(c->stop());
    const int32_t n = std::min(chunk, in.n - begin);
    rounded_rows g, x;
    T2_TRY(round_rows(c, in.g + begin * in.g_stride, in.g_stride, n, in.m, in.type, g_copy, factors, &g));
    T2_TRY(round_rows(c, in.x + begin * in.x_stride, in.x_stride, n, in.k, in.type, x_copy, factors + chunk, &x));
    operand vt = in.vh;
    vt.transposed = true;
    T2_TRY(gemm(c, n, in.r, in.m, 1, g.as_operand(), in.u, 0, p, element::f32, in.r));
    T2_TRY(gemm(c, n, in.r, in.k, 1, x.as_operand(), vt, 0, y, element::f32, in.r));
    const rounded_rows product{p, in.r, element::f32, g.inverse};
    T2_TRY(column_dot(c, product, y, in.r, &x, nullptr, n, in.r, reinterpret_cast<double*>(sums), q));
  }
  return T2_OK;
}

/// dW in tiles of rows. In F16 all of g and all of x have one factor each, since their rows are added up.
int by_outer_product(t2_context* c, const inputs& in, double* q) {
  // of a row of a tile: dW, dW rounded, dW Vhᵀ
  const int32_t tile = chunk_of(in.m, 4 * int64_t(in.k) + int64_t(rounded_bytes(1, in.k, in.type)) + 4 * int64_t(in.r), 128 * megabyte);
  const int64_t row = int64_t(rounded_bytes(1, tile, in.type) + rounded_bytes(1, in.k, in.type));
  const int32_t chunk = in.type == 0 ? in.n : chunk_of(in.n, row, 128 * megabyte);
  void *g_copy = nullptr, *x_copy = nullptr, *dw_copy = nullptr;
  if (in.type != 0) {
    g_copy = c->scratch(scratch_cast_a, rounded_bytes(chunk, tile, in.type));
    x_copy = c->scratch(scratch_cast_b, rounded_bytes(std::max(chunk, tile), in.k, in.type));
    dw_copy = x_copy;  // one after the other
    if (!g_copy || !x_copy) return no_memory(c);
  }
  // the two common factors, the two magnitudes they come from, and those of the rows of dW
  T2_SCRATCH(factors, scratch_row_scales, 4 + int64_t(tile));
  unsigned* largest = reinterpret_cast<unsigned*>(factors + 2);
  if (in.type == 1) {
    T2_TRY(magnitude(c, in.g, in.g_stride, in.n, in.m, largest));
    T2_TRY(magnitude(c, in.x, in.x_stride, in.n, in.k, largest + 1));
  }
  T2_SCRATCH(dw, scratch_product_a, int64_t(tile) * in.k);
  T2_SCRATCH(sums, scratch_product_b, (2 * most_slices + int64_t(tile)) * in.r);
  float* y = sums + 2 * most_slices * int64_t(in.r);
  for (int32_t top = 0; top < in.m; top += tile) {
    const int32_t rows = std::min(tile, in.m - top);
    for (int32_t begin = 0; begin < in.n; begin += chunk) {
      T2_TRY(c->stop());
      const int32_t n = std::min(chunk, in.n - begin);
      rounded_rows g, x;
      T2_TRY(round_rows(c, in.g + begin * in.g_stride + top, in.g_stride, n, rows, in.type, g_copy, factors, &g, largest));
      T2_TRY(round_rows(c, in.x + begin * in.x_stride, in.x_stride, n, in.k, in.type, x_copy, factors + 1, &x, largest + 1));
      T2_TRY(gemm(c, rows, in.k, n, 1, g.as_operand(true), x.as_operand(), begin ? 1 : 0, dw, element::f32, in.k));
    }
    rounded_rows d;
    T2_TRY(round_rows(c, dw, in.k, rows, in.k, in.type, dw_copy, factors + 4, &d));
    operand vt = in.vh;
    vt.transposed = true;
    T2_TRY(gemm(c, rows, in.r, in.k, 1, d.as_operand(), vt, 0, y, element::f32, in.r));
    const char* u = static_cast<const char*>(in.u.data) + top * in.u.stride * (in.type == 0 ? 4 : 2);
    const rounded_rows u_rows{u, in.u.stride, in.u.type, nullptr};
    const float* common = in.type == 1 ? factors : nullptr;
    T2_TRY(column_dot(c, u_rows, y, in.r, &d, common, rows, in.r, reinterpret_cast<double*>(sums), q));
  }
  return T2_OK;
}

}  // namespace

int z_gradient(t2_context* c, const float* g, int64_t g_stride, const float* x, int64_t x_stride, int32_t n, const t2_matrix* u,
               const t2_matrix* vh, double* q) {
  if (n <= 0) return T2_OK;
  if (u->dtype != vh->dtype) return c->fail(T2_ERROR_INVALID, "the factors of a matrix have two dtypes");
  const inputs in{g,
                  x,
                  g_stride,
                  x_stride,
                  n,
                  u->rows,
                  vh->cols,
                  u->cols,
                  u->dtype,
                  {u->data, element(u->dtype), u->stride},
                  {vh->data, element(vh->dtype), vh->stride}};
  const double m = in.m, k = in.k, r = in.r;
  return n * (m + k) * r <= n * m * k + m * k * r ? by_activations(c, in, q) : by_outer_product(c, in, q);
}

}  // namespace t2::cuda
