// Self-test of the host emulation: kernels that are right give the right result whatever the order of their threads.
#include <cmath>
#include <numeric>

#include "selftest.h"

namespace selftest {
namespace {

using namespace t2::cuda;
using namespace nvcuda;

// kernels

__global__ void reduce(const float* x, float* y, int n) {
  T2_SHARED(float, parts, 32);
  float sum = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) sum += x[size_t(blockIdx.x) * n + i];
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(full_mask, sum, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) sum += parts[w];
    y[blockIdx.x] = sum;
  }
}

__global__ void transpose(const float* x, float* y, int rows, int columns) {
  T2_SHARED(float, tile, 32 * 33);
  int r = int(blockIdx.y * 32 + threadIdx.y), c = int(blockIdx.x * 32 + threadIdx.x);
  for (int i = 0; i < 32; i += 8)
    if (r + i < rows && c < columns) tile[(threadIdx.y + i) * 33 + threadIdx.x] = x[size_t(r + i) * columns + c];
  __syncthreads();
  r = int(blockIdx.x * 32 + threadIdx.y), c = int(blockIdx.y * 32 + threadIdx.x);
  for (int i = 0; i < 32; i += 8)
    if (r + i < columns && c < rows) y[size_t(r + i) * rows + c] = tile[threadIdx.x * 33 + threadIdx.y + i];
}

__global__ void scan(const int* x, int* y, int width) {
  const unsigned t = threadIdx.x, at = blockIdx.x * blockDim.x + t;
  int sum = x[at];
  for (unsigned step = 1; step < unsigned(width); step *= 2) {
    const int before = __shfl_up_sync(full_mask, sum, step, width);
    if (t % unsigned(width) >= step) sum += before;
  }
  y[at] = sum;
}

/// Lanes of both halves with masks of their own; every kind of shuffle and vote.
__global__ void halves(double* sums, unsigned* votes, long long* ends) {
  const unsigned lane = threadIdx.x % 32, mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  double v = lane + 0.5;
  for (int step = 8; step; step /= 2) v += __shfl_down_sync(mask, v, unsigned(step), 16);
  v = __shfl_sync(mask, v, 0, 16);
  sums[lane] = v;
  votes[lane] = __ballot_sync(mask, lane % 3 == 0);
  __syncwarp(mask);
  if (__any_sync(mask, lane == 20)) votes[lane] |= 1u << 31;
  if (!__all_sync(mask, lane < 20)) votes[lane] |= 1u << 30;
  __syncwarp();
  ends[lane] = __shfl_down_sync(full_mask, (1ll << 40) + lane, 30);
}

template <class T, class LayoutA, class LayoutB>
__global__ void product(const T* a, const T* b, float* c, int k) {
  // c [32, 32] = 2 a [32, k] b [k, 32], a tile for each of four warps
  const unsigned warp = threadIdx.x / 32, row = warp / 2 * 16, column = warp % 2 * 16;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, T, LayoutA> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, T, LayoutB> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  constexpr bool row_a = std::is_same_v<LayoutA, wmma::row_major>, row_b = std::is_same_v<LayoutB, wmma::row_major>;
  for (int i = 0; i < k; i += 16) {
    wmma::load_matrix_sync(fa, row_a ? a + row * k + i : a + i * 32 + row, row_a ? unsigned(k) : 32);
    wmma::load_matrix_sync(fb, row_b ? b + i * 32 + column : b + column * k + i, row_b ? 32 : unsigned(k));
    wmma::mma_sync(sum, fa, fb, sum);
  }
  for (int i = 0; i < sum.num_elements; i++) sum.x[i] *= 2;
  wmma::store_matrix_sync(c + row * 32 + column, sum, 32, wmma::mem_row_major);
}

__global__ void reverse(const float* x, float* y, int n) {
  T2_SHARED_DYNAMIC(float, row);
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) row[i] = x[i];
  __syncthreads();
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) y[i] = row[n - 1 - i];
}

__global__ void histogram(const float* x, int* bins, double* sum, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  atomicAdd(&bins[int(x[i] + 50) % 8], 1);
  atomicAdd(sum, double(x[i]));
}

__global__ void where(int* seen) {
  const unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  seen[b * blockDim.x * blockDim.y * blockDim.z + t] += int(t + 1000 * b);
}

/// Two instantiations have two arrays, as with nvcc.
template <int n>
__device__ float twice(float v) {
  T2_SHARED(float, x, 32);
  x[threadIdx.x] = v * n;
  __syncwarp();
  return x[31 - threadIdx.x];
}
__global__ void two_arrays(float* y) {
  const float a = twice<2>(float(threadIdx.x)), b = twice<3>(float(threadIdx.x));
  y[threadIdx.x] = a + b;
}

// checks

void reductions() {
  const int n = 1000;
  auto x = ramp(n * 7);
  array<float> dx(x), dy(7);
  for (int s = 0; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(reduce, 7, 256, 0, dx.p, dy.p, n), cudaSuccess);
    auto y = dy.values();
    for (int b = 0; b < 7; b++) EXPECT(y[size_t(b)] == std::accumulate(&x[size_t(b * n)], &x[size_t(b * n)] + n, 0.0f));
  }
}

void transposes() {
  const int rows = 45, columns = 70;
  auto x = ramp(rows * columns);
  array<float> dx(x), dy(x.size());
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(transpose, dim3(3, 2), dim3(32, 8), 0, dx.p, dy.p, rows, columns), cudaSuccess);
    auto y = dy.values();
    bool same = true;
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < columns; c++) same = same && y[size_t(c * rows + r)] == x[size_t(r * columns + c)];
    EXPECT(same);
  }
}

void scans() {
  std::vector<int> x(256);
  for (size_t i = 0; i < x.size(); i++) x[i] = int(i * 7 % 13);
  array<int> dx(x), dy(x.size());
  for (int s = 1; s <= seeds; s++)
    for (int width : {32, 16, 4}) {
      seed(s);
      EXPECT_STATUS(go(scan, 2, 128, 0, dx.p, dy.p, width), cudaSuccess);
      auto y = dy.values();
      int sum = 0, bad = 0;
      for (size_t i = 0; i < x.size(); i++) {
        sum = i % size_t(width) ? sum + x[i] : x[i];
        bad += y[i] != sum;
      }
      EXPECT(!bad);
    }
}

void masks() {
  array<double> sums(32);
  array<unsigned> votes(32);
  array<long long> ends(32);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(halves, 1, 32, 0, sums.p, votes.p, ends.p), cudaSuccess);
    auto sum = sums.values();
    auto vote = votes.values();
    auto end = ends.values();
    for (unsigned lane = 0; lane < 32; lane++) {
      EXPECT(sum[lane] == (lane < 16 ? 128.0 : 384.0));
      EXPECT(vote[lane] == (lane < 16 ? 0x00009249u : 0x09240000u | 1u << 30 | 1u << 31 | (0x49240000u & 1u << 30)));
      EXPECT(end[lane] == (1ll << 40) + (lane < 2 ? lane + 30 : lane));
    }
  }
}

template <class T, class LayoutA, class LayoutB>
void product_of() {
  const int k = 48;
  constexpr bool row_a = std::is_same_v<LayoutA, wmma::row_major>, row_b = std::is_same_v<LayoutB, wmma::row_major>;
  auto a = ramp(32 * k, 0.25f), b = ramp(k * 32, 0.5f);
  std::vector<T> ta(a.size()), tb(b.size());
  for (int i = 0; i < 32; i++)
    for (int j = 0; j < k; j++) {
      ta[size_t(row_a ? i * k + j : j * 32 + i)] = T(a[size_t(i * k + j)]);
      tb[size_t(row_b ? j * 32 + i : i * k + j)] = T(b[size_t(j * 32 + i)]);
    }
  array<T> da(ta), db(tb);
  array<float> dc(32 * 32);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(product<T, LayoutA, LayoutB>, 1, 128, 0, da.p, db.p, dc.p, k), cudaSuccess);
    auto c = dc.values();
    int bad = 0;
    for (int i = 0; i < 32; i++)
      for (int j = 0; j < 32; j++) {
        float sum = 0;
        for (int l = 0; l < k; l++) sum += float(T(a[size_t(i * k + l)])) * float(T(b[size_t(l * 32 + j)]));
        bad += c[size_t(i * 32 + j)] != 2 * sum;
      }
    EXPECT(!bad);
  }
}

void products() {
  product_of<__half, wmma::row_major, wmma::row_major>();
  product_of<__half, wmma::col_major, wmma::row_major>();
  product_of<__nv_bfloat16, wmma::row_major, wmma::col_major>();
  product_of<__nv_bfloat16, wmma::col_major, wmma::col_major>();
}

void dynamic() {
  const int n = 15000;
  auto x = ramp(n);
  array<float> dx(x), dy(n);
  EXPECT_STATUS(cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, n * 4), cudaSuccess);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(reverse, 1, 512, n * 4, dx.p, dy.p, n), cudaSuccess);
    EXPECT(dy.values() == std::vector<float>(x.rbegin(), x.rend()));
  }
}

void atomics() {
  const int n = 5000;
  auto x = ramp(n);
  array<float> dx(x);
  array<int> bins(std::vector<int>(8));
  array<double> sum(std::vector<double>(1));
  EXPECT_STATUS(go(histogram, 20, 256, 0, dx.p, bins.p, sum.p, n), cudaSuccess);
  std::vector<int> wanted(8);
  for (float v : x) wanted[size_t(int(v + 50) % 8)]++;
  EXPECT(bins.values() == wanted);
  EXPECT(sum.values()[0] == std::accumulate(x.begin(), x.end(), 0.0));
}

void indices() {
  for (dim3 block : {dim3(5, 3, 2), dim3(1024), dim3(7, 9)})
    for (int s = 0; s <= seeds; s++) {
      const dim3 grid(3, 2, 4);
      const size_t threads = block.x * block.y * block.z;
      array<int> seen(std::vector<int>(24 * threads));
      seed(s);
      EXPECT_STATUS(go(where, grid, block, 0, seen.p), cudaSuccess);
      auto v = seen.values();
      int bad = 0;
      for (size_t i = 0; i < v.size(); i++) bad += v[i] != int(i % threads + 1000 * (i / threads));
      EXPECT(!bad);
    }
}

void instantiations() {
  array<float> y(32);
  EXPECT_STATUS(go(two_arrays, 1, 32, 0, y.p), cudaSuccess);
  auto v = y.values();
  for (size_t t = 0; t < 32; t++) EXPECT(v[t] == 5.0f * float(31 - t));
}

/// Every half, and around every half: the nearest, ties to even.
void conversions() {
  int bad = 0;
  for (unsigned h = 0; h < 0x7c00; h++) {
    const float f = __half2float(__ushort_as_half((unsigned short)h)), next = __half2float(__ushort_as_half((unsigned short)(h + 1)));
    const double exact = h < 0x400 ? h * 0x1p-24 : std::ldexp(1024 + h % 1024, int(h / 1024) - 25);
    bad += f != float(exact);
    const float middle = h == 0x7bff ? 65520.0f : (f + next) / 2;
    bad += __half_as_ushort(__float2half_rn(f)) != h || __half_as_ushort(__float2half_rn(-f)) != (h | 0x8000);
    bad += __half_as_ushort(__float2half_rn(middle)) != (h % 2 ? h + 1 : h);
    bad += __half_as_ushort(__float2half_rn(std::nextafter(middle, INFINITY))) != h + 1;
    bad += __half_as_ushort(__float2half_rn(std::nextafter(middle, 0.0f))) != h;
  }
  EXPECT(!bad);
  EXPECT(__half_as_ushort(__float2half_rn(NAN)) == 0x7fff && std::isnan(__half2float(__ushort_as_half(0xfe00))));
  EXPECT(__half_as_ushort(__float2half_rn(-INFINITY)) == 0xfc00 && __half2float(__ushort_as_half(0x7c00)) == INFINITY);
  for (unsigned b = 0; b < 0x7f80; b++) {
    const float f = __uint_as_float(b << 16), middle = __uint_as_float(b << 16 | 0x8000);
    bad += __bfloat162float(__ushort_as_bfloat16((unsigned short)b)) != f || __bfloat16_as_ushort(__float2bfloat16_rn(f)) != b;
    bad += __bfloat16_as_ushort(__float2bfloat16_rn(middle)) != (b % 2 ? b + 1 : b);
    bad += __bfloat16_as_ushort(__float2bfloat16_rn(__uint_as_float((b << 16) + 0x8001))) != b + 1;
    bad += __bfloat16_as_ushort(__float2bfloat16_rn(__uint_as_float((b << 16) + 0x7fff))) != b;
  }
  EXPECT(!bad);
  EXPECT(__bfloat16_as_ushort(__float2bfloat16_rn(NAN)) == 0x7fff && __bfloat16_as_ushort(__float2bfloat16_rn(-INFINITY)) == 0xff80);
  EXPECT(__brev(1) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u && __ffs(8) == 4 && __clz(1) == 31 && __popc(0xff) == 8);
}

}  // namespace

void correct_kernels() {
  check("kernel: reduction over a block", reductions);
  check("kernel: transpose through shared memory", transposes);
  check("kernel: scan of a warp", scans);
  check("kernel: shuffles and votes of half warps", masks);
  check("kernel: wmma product, half and bf16, every layout", products);
  check("kernel: dynamic shared memory beyond 48 KiB", dynamic);
  check("kernel: atomics", atomics);
  check("kernel: three-dimensional grids and blocks", indices);
  check("kernel: shared arrays of template instantiations", instantiations);
  check("conversions of half and bf16", conversions);
}

}  // namespace selftest
