// The kernels of the decomposition. All are bound by memory and small beside the products, so they are as plain as they can be: a block a
// row, or tiles where rows become columns.
#include "svd_kernels.h"

#include <cfloat>

#include "device.h"
#include "launch.h"

namespace t2::cuda::decomposition {

// kernels

namespace {

constexpr int tile = 32, tile_rows = 8, row_threads = 256;

struct min_op {
  __device__ int operator()(int a, int b) const { return b < a ? b : a; }
};

__device__ inline double to_double(double x) { return x; }
template <class T>
__device__ inline double to_double(T x) {
  return double(to_float(x));
}

/// Grid [tiles of columns, tiles of rows].
template <class T>
__global__ void widen_kernel(const T* w, int rows, int cols, bool transposed, double* a, int* bad) {
  T2_SHARED(double, block, tile*(tile + 1));
  const int x = int(threadIdx.x), row0 = int(blockIdx.y) * tile, col0 = int(blockIdx.x) * tile;
  for (int y = int(threadIdx.y); y < tile; y += tile_rows) {
    const int row = row0 + y, col = col0 + x;
    if (row >= rows || col >= cols) continue;
    const double value = to_double(w[int64_t(row) * cols + col]);
    if (bad && !(fabs(value) <= DBL_MAX)) atomicMax(bad, 1);
    if (transposed) block[y * (tile + 1) + x] = value;
    else a[int64_t(row) * cols + col] = value;
  }
  if (!transposed) return;
  __syncthreads();
  for (int y = int(threadIdx.y); y < tile; y += tile_rows) {
    const int row = row0 + x, col = col0 + y;
    if (row < rows && col < cols) a[int64_t(col) * rows + row] = block[x * (tile + 1) + y];
  }
}

__global__ void row_norms_kernel(const double* m, int cols, double* norms) {
  const double* row = m + int64_t(blockIdx.x) * cols;
  double sum = 0;
  for (int i = int(threadIdx.x); i < cols; i += row_threads) sum += row[i] * row[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) norms[blockIdx.x] = sqrt(sum);
}

__global__ void divide_and_round_kernel(double* m, int cols, const double* by) {
  double* row = m + int64_t(blockIdx.x) * cols;
  const double divisor = by ? by[blockIdx.x] : 1;
  for (int i = int(threadIdx.x); i < cols; i += row_threads) row[i] = double(float(row[i] / divisor));
}

__global__ void multiply_rows_kernel(double* m, int cols, const double* by) {
  double* row = m + int64_t(blockIdx.x) * cols;
  const double factor = by[blockIdx.x];
  for (int i = int(threadIdx.x); i < cols; i += row_threads) row[i] *= factor;
}

__global__ void deviations_kernel(const double* g, int n, double* worst) {
  const int row = int(blockIdx.x);
  double most = 0;
  for (int i = int(threadIdx.x); i < n; i += row_threads) {
    const double d = fabs(g[int64_t(row) * n + i] - (i == row ? 1 : 0));
    most = d <= most ? most : d <= DBL_MAX ? d : double(INFINITY);
  }
  most = block_max(most, 0.0);
  if (threadIdx.x == 0) worst[row] = most;
}

__global__ void newton_schulz_kernel(double* g, int n) {
  const int row = int(blockIdx.x);
  for (int i = int(threadIdx.x); i < n; i += row_threads) {
    double& x = g[int64_t(row) * n + i];
    x = (i == row ? 1.5 : 0) - 0.5 * x;
  }
}

__global__ void random_signs_kernel(double* x, int64_t count) {
  const int64_t i = int64_t(blockIdx.x) * row_threads + threadIdx.x;
  if (i >= count) return;
  // the finaliser of MurmurHash3
  uint64_t h = uint64_t(i) + 0x9e3779b97f4a7c15u;
  h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
  x[i] = (h ^ h >> 33) & 1 ? 1 : -1;
}

__global__ void row_signs_kernel(const double* m, int cols, float* sign) {
  const double* row = m + int64_t(blockIdx.x) * cols;
  double most = 0;
  int at = INT32_MAX;
  for (int i = int(threadIdx.x); i < cols; i += row_threads)
    if (fabs(row[i]) > most) {
      most = fabs(row[i]);
      at = i;
    }
  const double largest = block_max(most, 0.0);
  at = block_reduce(most == largest ? at : INT32_MAX, INT32_MAX, min_op{});
  if (threadIdx.x == 0) sign[blockIdx.x] = at < cols && row[at] < 0 ? -1.f : 1.f;
}

__global__ void store_rows_kernel(const double* m, int cols, const int* order, const float* sign, float* out) {
  const int from = order[blockIdx.x];
  const float s = sign[from];
  for (int i = int(threadIdx.x); i < cols; i += row_threads) out[int64_t(blockIdx.x) * cols + i] = s * float(m[int64_t(from) * cols + i]);
}

/// Grid [tiles of m's rows, tiles of its columns].
__global__ void store_columns_kernel(const double* m, int rows, int cols, const int* order, const float* sign, float* out) {
  T2_SHARED(float, block, tile*(tile + 1));
  const int x = int(threadIdx.x), row0 = int(blockIdx.x) * tile, col0 = int(blockIdx.y) * tile;
  for (int y = int(threadIdx.y); y < tile; y += tile_rows) {
    const int j = row0 + y, col = col0 + x;
    if (j >= rows || col >= cols) continue;
    const int from = order[j];
    block[y * (tile + 1) + x] = sign[from] * float(m[int64_t(from) * cols + col]);
  }
  __syncthreads();
  for (int y = int(threadIdx.y); y < tile; y += tile_rows) {
    const int j = row0 + x, col = col0 + y;
    if (j < rows && col < cols) out[int64_t(col) * rows + j] = block[x * (tile + 1) + y];
  }
}

}  // namespace

// launchers

int widen(t2_context* c, cudaStream_t stream, const void* w, int32_t dtype, int rows, int cols, bool transposed, double* a, int* bad) {
  const dim3 grid(blocks_for(cols, tile), blocks_for(rows, tile));
  return with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return launch_on(c, stream, widen_kernel<T>, grid, dim3(tile, tile_rows), 0, static_cast<const T*>(w), rows, cols, transposed, a, bad);
  });
}

int transpose(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, double* out) {
  return launch_on(c, stream, widen_kernel<double>, dim3(blocks_for(cols, tile), blocks_for(rows, tile)), dim3(tile, tile_rows), 0, m, rows,
                   cols, true, out, nullptr);
}

int row_norms(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, double* norms) {
  return launch_on(c, stream, row_norms_kernel, dim3(rows), dim3(row_threads), 0, m, cols, norms);
}

int divide_and_round(t2_context* c, cudaStream_t stream, double* m, int rows, int cols, const double* by) {
  return launch_on(c, stream, divide_and_round_kernel, dim3(rows), dim3(row_threads), 0, m, cols, by);
}

int multiply_rows(t2_context* c, cudaStream_t stream, double* m, int rows, int cols, const double* by) {
  return launch_on(c, stream, multiply_rows_kernel, dim3(rows), dim3(row_threads), 0, m, cols, by);
}

int deviations(t2_context* c, cudaStream_t stream, const double* g, int n, double* worst) {
  return launch_on(c, stream, deviations_kernel, dim3(n), dim3(row_threads), 0, g, n, worst);
}

int newton_schulz_factor(t2_context* c, cudaStream_t stream, double* g, int n) {
  return launch_on(c, stream, newton_schulz_kernel, dim3(n), dim3(row_threads), 0, g, n);
}

int random_signs(t2_context* c, cudaStream_t stream, double* x, int64_t count) {
  return launch_on(c, stream, random_signs_kernel, dim3(blocks_for(count, row_threads)), dim3(row_threads), 0, x, count);
}

int row_signs(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, float* sign) {
  return launch_on(c, stream, row_signs_kernel, dim3(rows), dim3(row_threads), 0, m, cols, sign);
}

int store_rows(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, const int* order, const float* sign, float* out) {
  return launch_on(c, stream, store_rows_kernel, dim3(rows), dim3(row_threads), 0, m, cols, order, sign, out);
}

int store_columns(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, const int* order, const float* sign,
                  float* out) {
  return launch_on(c, stream, store_columns_kernel, dim3(blocks_for(rows, tile), blocks_for(cols, tile)), dim3(tile, tile_rows), 0, m, rows,
                   cols, order, sign, out);
}

}  // namespace t2::cuda::decomposition
