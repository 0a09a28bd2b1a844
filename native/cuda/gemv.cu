// y = x wᵀ for up to eight rows of x. A block makes a few rows of w: its warps take turns along k, every lane eight elements at a time, and
// what the lanes have is added up in one order: neither the number of rows of x nor the way of loading changes a bit.
#include "gemv.h"

#include <cstring>
#include <type_traits>

#include "device.h"
#include "launch.h"
#include "rounding.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int warps = 4, threads = warps * warp_size, group = 8, stretch = warp_size * group;
constexpr int most_items = 4;

struct gemv_item {
  const void* w;
  float* y;
  const float* bias;
  int64_t w_stride, y_stride;
  int32_t rows, first_block, accumulate, reserved;
};
struct gemv_items {
  gemv_item at[most_items];
};
// launches are compared byte by byte
static_assert(std::has_unique_object_representations_v<gemv_items>);

/// Rows of w per block: more of them where x is long, since every block reads all of x.
template <class T, int N>
constexpr int rows_per_block = sizeof(T) == 4 || N <= 2 ? 4 : 8;

/// Eight consecutive elements as they lie in memory.
template <class T>
struct octet {
  T at[group];
};

/// Elements [0, min(left, 8)) from p, then zeros. VECTOR: p is 16-byte aligned, and `left` a multiple of eight.
template <class T, bool VECTOR>
__device__ inline octet<T> load_octet(const T* p, int left) {
  constexpr int words = int(sizeof(octet<T>) / 4);
  alignas(16) unsigned raw[words] = {};
  if constexpr (VECTOR) {
    if (left > 0)
      for (int i = 0; i < words / 4; i++) {
        const uint4 v = __ldg(reinterpret_cast<const uint4*>(p) + i);
        raw[4 * i] = v.x, raw[4 * i + 1] = v.y, raw[4 * i + 2] = v.z, raw[4 * i + 3] = v.w;
      }
  } else {
    for (int i = 0; i < group; i++) {
      if (i >= left) continue;
      if constexpr (sizeof(T) == 4) raw[i] = __ldg(reinterpret_cast<const unsigned*>(p) + i);
      else raw[i / 2] |= unsigned(__ldg(reinterpret_cast<const unsigned short*>(p) + i)) << (i % 2 * 16);
    }
  }
  octet<T> out;
  memcpy(&out, raw, sizeof out);
  return out;
}

/// Four elements of x from p as a matrix of type T sees them; as above.
template <class T, class X, bool VECTOR>
__device__ inline void load_x(const X* p, int left, float* to) {
  if constexpr (VECTOR) {
    const float4 v = left > 0 ? load4(p) : make_float4(0, 0, 0, 0);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    for (int i = 0; i < 4; i++) to[i] = i < left ? load(p + i) : 0.f;
  }
  if constexpr (!std::is_same_v<T, X>)
    for (int i = 0; i < 4; i++) to[i] = rounded<T>(to[i]);
}

/// Adds V values over the lanes, halving what a lane still holds with every exchange; lane l ends with those from l · V / 32 on. Each value
/// is added up over the same tree whatever V is.
template <int V, int STEP = warp_size / 2>
__device__ inline void fold(float* a, int lane) {
  if constexpr (V > 1) {
    const bool upper = lane & STEP;
#pragma unroll
    for (int i = 0; i < V / 2; i++) {
      const float give = upper ? a[i] : a[i + V / 2], keep = upper ? a[i + V / 2] : a[i];
      a[i] = keep + __shfl_xor_sync(full_mask, give, STEP);
    }
  } else {
    a[0] += __shfl_xor_sync(full_mask, a[0], STEP);
  }
  if constexpr (STEP > 1) fold<(V > 1 ? V / 2 : 1), STEP / 2>(a, lane);
}

template <class T, class X, int N, bool VECTOR>
__global__ void T2_LAUNCH_BOUNDS(threads, N <= 2 ? 4 : 2)
    gemv_kernel(const X* x, int64_t x_stride, const float* inverse, int n, int k, gemv_items items, int count) {
  constexpr int R = rows_per_block<T, N>, V = R * N;
  const int lane = int(threadIdx.x) % warp_size, warp = int(threadIdx.x) / warp_size;
  int which = 0;
  while (which + 1 < count && int(blockIdx.x) >= items.at[which + 1].first_block) which++;
  const gemv_item item = items.at[which];
  const int first = (int(blockIdx.x) - item.first_block) * R;

  int at = warp * stretch + lane * group;  // of k
  const T* w[R];
#pragma unroll
  for (int r = 0; r < R; r++)  // rows beyond the last are read as the last, and not written
    w[r] = static_cast<const T*>(item.w) + min(first + r, item.rows - 1) * item.w_stride + at;
  float sum[V] = {};
  octet<T> next[R];
#pragma unroll
  for (int r = 0; r < R; r++) next[r] = load_octet<T, VECTOR>(w[r], k - at);
  for (int from = warp * stretch; from < k; from += warps * stretch) {
    octet<T> now[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
      now[r] = next[r];
      w[r] += warps * stretch;
      next[r] = load_octet<T, VECTOR>(w[r], k - at - warps * stretch);
    }
#pragma unroll
    for (int half = 0; half < group; half += 4) {
      float part[N][4];
#pragma unroll
      for (int i = 0; i < N; i++) load_x<T, X, VECTOR>(x + min(i, n - 1) * x_stride + at + half, k - at - half, part[i]);
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float weight = to_float(now[r].at[half + e]);
#pragma unroll
          for (int i = 0; i < N; i++) sum[r * N + i] = fmaf(weight, part[i][e], sum[r * N + i]);
        }
    }
    at += warps * stretch;
  }

  fold<V>(sum, lane);
  T2_SHARED(float, parts, warps* V);
  constexpr int kept = V > warp_size ? V / warp_size : 1, spread = V > warp_size ? 1 : warp_size / V;
  if (lane % spread == 0)
    for (int i = 0; i < kept; i++) parts[warp * V + lane / spread * kept + i] = sum[i];
  __syncthreads();
  const int row = first + int(threadIdx.x) / N, i = int(threadIdx.x) % N;
  if (int(threadIdx.x) >= V || row >= item.rows || i >= n) return;
  float value = 0;
  for (int p = 0; p < warps; p++) value += parts[p * V + int(threadIdx.x)];
  if (inverse) value *= inverse[i];
  if (item.bias) value += item.bias[row];
  float* y = item.y + i * item.y_stride + row;
  *y = item.accumulate ? *y + value : value;
}

// launchers

/// One launch of at most most_items items.
template <class T, class X, int N>
int launch_items(t2_context* c, const X* x, int64_t x_stride, const float* inverse, int n, const t2_linear* items, int count) {
  const int k = items[0].w.cols;
  gemv_items table{};
  int blocks = 0;
  bool vector = k % group == 0 && is_aligned(x, 16) && x_stride * int64_t(sizeof(X)) % 16 == 0;
  for (int i = 0; i < count; i++) {
    const t2_linear& it = items[i];
    table.at[i] = {it.w.data, it.y, it.bias, it.w.stride, it.y_stride, it.w.rows, blocks, it.accumulate != 0, 0};
    blocks += int(blocks_for(it.w.rows, rows_per_block<T, N>));
    vector = vector && is_aligned(it.w.data, 16) && it.w.stride * int64_t(sizeof(T)) % 16 == 0;
  }
  auto kernel = vector ? gemv_kernel<T, X, N, true> : gemv_kernel<T, X, N, false>;
  return launch(c, kernel, unsigned(blocks), threads, 0, x, x_stride, inverse, n, k, table, count);
}

}  // namespace

int gemv(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= 0 || count <= 0) return T2_OK;
  const int32_t type = items[0].w.dtype, k = items[0].w.cols;
  // the kernel itself rounds one or two rows to BF16: cheaper than another launch
  const bool as_it_is = type == 0 || (type == 2 && n <= 2);
  rounded_rows r;
  if (!as_it_is) {
    void* to = c->scratch(scratch_cast_a, rounded_bytes(n, k, type));
    if (!to) return c->fail(T2_ERROR_MEMORY, "no device memory for rounded rows");
    T2_SCRATCH(inverse, scratch_row_scales, gemv_rows);
    T2_TRY(round_rows(c, x, x_stride, n, k, type, to, inverse, &r));
  }
  for (int32_t begin = 0; begin < count; begin += most_items) {
    const t2_linear* some = items + begin;
    const int many = std::min(count - begin, most_items);
    auto go = [&]<int N>(std::integral_constant<int, N>) {
      if (type == 0) return launch_items<float, float, N>(c, x, x_stride, nullptr, n, some, many);
      if (type == 1) return launch_items<__half, __half, N>(c, static_cast<const __half*>(r.data), r.stride, r.inverse, n, some, many);
      if constexpr (N <= 2) return launch_items<__nv_bfloat16, float, N>(c, x, x_stride, nullptr, n, some, many);
      else
        return launch_items<__nv_bfloat16, __nv_bfloat16, N>(c, static_cast<const __nv_bfloat16*>(r.data), r.stride, nullptr, n, some,
                                                             many);
    };
    T2_TRY(n == 1   ? go(std::integral_constant<int, 1>{})
           : n == 2 ? go(std::integral_constant<int, 2>{})
           : n <= 4 ? go(std::integral_constant<int, 4>{})
                    : go(std::integral_constant<int, 8>{}));
  }
  return T2_OK;
}

}  // namespace t2::cuda
