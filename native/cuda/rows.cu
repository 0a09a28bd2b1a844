// Rows of tables and batches: embedding, scale by a row's own vector, gather and scatter-add. All of them move memory; a thread takes one
// column.
#include <algorithm>
#include <numeric>
#include <vector>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;

/// A grid of (rows, stretches of columns): the row is blockIdx.x, since only that dimension reaches beyond 65535.
__device__ int column() { return int(blockIdx.y) * threads + int(threadIdx.x); }

template <class T>
__global__ void embed_rows(const T* table, int64_t stride, const int32_t* tokens, int cols, float* y) {
  int j = column();
  if (j < cols) y[int64_t(blockIdx.x) * cols + j] = load(table + tokens[blockIdx.x] * stride + j);
}

/// scales [n]: of every row, or null.
__global__ void scale_each_row(float* q, int64_t stride, int r, const float* const* scales) {
  int j = column();
  if (j >= r) return;
  float* at = q + blockIdx.x * stride + j;
  const float* s = scales[blockIdx.x];
  *at = s ? *at * s[j] : 0.f;
}

__global__ void gather_each_row(const float* x, int64_t size, const int32_t* rows, float* y) {
  int j = column();
  if (j < size) y[blockIdx.x * size + j] = x[rows[blockIdx.x] * size + j];
}

/// Group g is the rows order[begin[g]] … order[begin[g + 1] − 1] of x, all of which go to the same row of y, in that order.
__global__ void add_groups(const float* x, int64_t size, const int32_t* rows, const int32_t* order, const int32_t* begin, float* y) {
  int j = column();
  if (j >= size) return;
  int first = begin[blockIdx.x], last = begin[blockIdx.x + 1];
  float* at = y + rows[order[first]] * size + j;
  float sum = *at;
  for (int i = first; i < last; i++) sum += x[order[i] * size + j];
  *at = sum;
}

dim3 grid_of(int n, int64_t columns) { return dim3(unsigned(n), blocks_for(columns, threads)); }

}  // namespace

// launchers

int embed(t2_context* c, const t2_matrix* table, const int32_t* tokens, int32_t n, float* y) {
  const int32_t* staged = nullptr;
  T2_TRY(c->stage(tokens, size_t(n), &staged));
  return with_dtype(table->dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return launch(c, embed_rows<T>, grid_of(n, table->cols), threads, 0, static_cast<const T*>(table->data), table->stride, staged,
                  table->cols, y);
  });
}

int scale_rows(t2_context* c, float* q, int64_t q_stride, int32_t n, int32_t r, const float* const* scales, const int32_t* row_scale) {
  // One pointer per row rather than the table: its length is the same at every step of a graph.
  std::vector<const float*> of_row(size_t(n), nullptr);
  for (int32_t i = 0; i < n; i++)
    if (row_scale[i] >= 0) of_row[size_t(i)] = scales[row_scale[i]];
  const float* const* staged = nullptr;
  T2_TRY(c->stage(of_row.data(), of_row.size(), &staged));
  return launch(c, scale_each_row, grid_of(n, r), threads, 0, q, q_stride, r, staged);
}

int gather_rows(t2_context* c, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y) {
  const int32_t* staged = nullptr;
  T2_TRY(c->stage(rows, size_t(n), &staged));
  return launch(c, gather_each_row, grid_of(n, size), threads, 0, x, size, staged, y);
}

int scatter_add_rows(t2_context* c, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y) {
  if (n <= 0) return T2_OK;
  std::vector<int32_t> order(size_t(n), 0), begin;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return rows[a] < rows[b]; });
  for (int32_t i = 0; i < n; i++)
    if (i == 0 || rows[order[size_t(i)]] != rows[order[size_t(i) - 1]]) begin.push_back(i);
  int groups = int(begin.size());
  begin.push_back(n);
  const int32_t *staged_rows = nullptr, *staged_order = nullptr, *staged_begin = nullptr;
  T2_TRY(c->stage(rows, size_t(n), &staged_rows));
  T2_TRY(c->stage(order.data(), order.size(), &staged_order));
  T2_TRY(c->stage(begin.data(), begin.size(), &staged_begin));
  return launch(c, add_groups, grid_of(groups, size), threads, 0, x, size, staged_rows, staged_order, staged_begin, y);
}

}  // namespace t2::cuda
