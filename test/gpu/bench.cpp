// The operators' speed at the sizes of Llama-3-8B on random numbers, beside the limits that the card shows in the same run: copying memory,
// and the fastest large product.
#include <chrono>

#include "gpu.h"

namespace t2::gpu {
namespace {

using clock = std::chrono::steady_clock;
double since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

struct table {
  const device& d;
  double bandwidth = 0, flops = 0;  // the limits, per second

  /// Median seconds of one call, each of five rounds long enough for the clock.
  template <class F>
  double seconds(F&& call) {
    call();
    d.wait();
    auto start = clock::now();
    call();
    d.wait();
    int count = std::clamp(int(0.05 / std::max(since(start), 1e-6)), 1, 1000);
    std::vector<double> rounds;
    for (int round = 0; round < 5; round++) {
      start = clock::now();
      for (int i = 0; i < count; i++) call();
      d.wait();
      rounds.push_back(since(start) / count);
    }
    std::sort(rounds.begin(), rounds.end());
    return rounds[2];
  }

  /// `work` FLOPs over `bytes` took `s`; the share is of the larger of the two limits' times.
  void row(const std::string& name, double s, double work, double bytes) {
    double least = std::max(bandwidth ? bytes / bandwidth : 0, flops ? work / flops : 0);
    std::printf("%-52s %11.1f µs %9.1f GB/s %9.2f TFLOP/s", name.c_str(), s * 1e6, bytes / s / 1e9, work / s / 1e12);
    if (least > 0) std::printf(" %5.0f %% of the limit", 100 * least / s);
    std::printf("\n");
    std::fflush(stdout);
  }
};

/// Random values in all of `bytes`, from one random block over and over. 16-bit codes and floats alike come out small and finite.
array<uint8_t> filled(const device& d, size_t bytes, dtype type) {
  random g(bytes);
  auto block = encoded(g.floats(size_t(1) << 20, 0.05f), type);
  array<uint8_t> out(d, bytes);
  for (size_t at = 0; at < bytes; at += block.size())
    d.ok(d.t->upload(d.c, static_cast<uint8_t*>(out) + at, block.data(), std::min(block.size(), bytes - at)), "upload");
  return out;
}

struct big {
  big(const device& d, int rows, int cols, dtype type = dtype::bf16)
      : data(filled(d, size_t(rows) * size_t(cols) * size_t(size_of(type)), type)),
        m{static_cast<uint8_t*>(data), int32_t(type), rows, cols, cols} {}
  array<uint8_t> data;
  t2_matrix m;
};

array<uint8_t> floats(const device& d, int64_t count) { return filled(d, size_t(count) * 4, dtype::f32); }
float* as_floats(const array<uint8_t>& a) { return reinterpret_cast<float*>(static_cast<uint8_t*>(a)); }

/// So many of them are taken in turn that none is still in a cache when its turn comes again.
int copies_of(double bytes, int scale) { return std::max(1, int(512e6 / double(scale * scale) / bytes)); }

void limits(table& t, int scale) {
  const device& d = t.d;
  const size_t bytes = (size_t(1) << 30) / size_t(scale * scale);
  auto from = filled(d, bytes, dtype::f32);
  array<uint8_t> to(d, bytes);
  double s = t.seconds([&] { d.ok(d.t->copy(d.c, to, from, bytes), "copy"); });
  t.row("limit: copy of " + std::to_string(bytes >> 20) + " MiB", s, 0, 2.0 * double(bytes));
  t.bandwidth = 2.0 * double(bytes) / s;
  const int m = 8192 / scale;
  big w(d, m, m);
  auto x = floats(d, int64_t(m) * m), y = floats(d, int64_t(m) * m);
  t2_linear item{w.m, as_floats(y), m, nullptr, 0};
  s = t.seconds([&] { d.ok(d.t->linear(d.c, as_floats(x), m, m, &item, 1), "linear"); });
  t.row("limit: linear, " + std::to_string(m) + " cubed, BF16", s, 2.0 * m * m * m, 10.0 * m * m);
  t.flops = 2.0 * m * m * m / s;
}

void linears(table& t, int scale) {
  const device& d = t.d;
  for (auto [m, k] : {std::pair{4096, 4096}, {1024, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}}) {
    m /= scale, k /= scale;
    const int copies = copies_of(2.0 * m * k, scale);
    big w(d, m * copies, k);
    for (int n : {1, 8, 32, 2048}) {
      if (m > 100000 / scale && n > 32) continue;
      auto x = floats(d, int64_t(n) * k), y = floats(d, int64_t(n) * m);
      t2_linear item{w.m, as_floats(y), m, nullptr, 0};
      item.w.rows = m;
      int turn = 0;
      double s = t.seconds([&] {
        item.w.data = static_cast<uint8_t*>(w.data) + size_t(turn++ % copies) * size_t(m) * size_t(k) * 2;
        d.ok(d.t->linear(d.c, as_floats(x), k, n, &item, 1), "linear");
      });
      t.row("linear BF16, " + std::to_string(n) + " rows, " + std::to_string(m) + " × " + std::to_string(k), s, 2.0 * n * m * k,
            2.0 * m * k + 4.0 * n * (m + k));
    }
  }
}

void merges(table& t, int scale) {
  const device& d = t.d;
  for (auto [m, k] : {std::pair{1024, 4096}, {4096, 4096}, {14336, 4096}}) {
    m /= scale, k /= scale;
    const int r = std::min(m, k);
    big w(d, m, k), u(d, m, r, dtype::f16), vh(d, r, k, dtype::f16);
    auto s = floats(d, r);
    array<uint8_t> out(d, size_t(m) * size_t(k) * 2);
    double time = t.seconds([&] { d.ok(d.t->merge(d.c, &w.m, &u.m, &vh.m, as_floats(s), out, int(dtype::bf16)), "merge"); });
    t.row("merge BF16, " + std::to_string(m) + " × " + std::to_string(k), time, 2.0 * m * k * r, 4.0 * m * k + 2.0 * r * (m + k));
  }
}

/// `batch` sequences of `context` tokens, of which the last `queries` ask, over blocks of 32 tokens.
void attention(table& t, const char* name, int batch, int context, int queries, int scale) {
  const device& d = t.d;
  const int heads = 32, kv_heads = 8, dim = 128, block = 32, kv = kv_heads * dim;
  const int64_t cache = int64_t(batch) * context * kv;
  const int copies = copies_of(8.0 * double(cache), scale);
  auto k = floats(d, cache * copies), v = floats(d, cache * copies);
  auto q = floats(d, int64_t(batch) * queries * heads * dim), out = floats(d, int64_t(batch) * queries * heads * dim);
  std::vector<t2_sequence> sequences;
  std::vector<t2_segment> segments;
  for (int b = 0; b < batch; b++) {
    sequences.push_back({b * queries, queries, context - queries, int(segments.size()), (context + block - 1) / block, b});
    for (int i = 0; i < context; i += block) {
      int64_t at = (int64_t(b) * context + i) * kv;
      segments.push_back({as_floats(k) + at, as_floats(v) + at, nullptr, nullptr, std::min(block, context - i)});
    }
  }
  t2_attention a{heads,
                 kv_heads,
                 dim,
                 heads * dim,
                 kv,
                 0.088388f,
                 0,
                 sequences.data(),
                 batch,
                 segments.data(),
                 int(segments.size()),
                 0,
                 as_floats(q),
                 as_floats(out),
                 nullptr,
                 nullptr,
                 nullptr};
  int turn = 0;
  double s = t.seconds([&] {
    a.segment_offset = cache * (turn++ % copies);
    d.ok(d.t->attention(d.c, &a), "attention");
  });
  double pairs = double(batch) * queries * (context - (queries - 1) / 2.0);
  t.row(std::string(name) + ", " + std::to_string(batch) + " × " + std::to_string(queries) + " of " + std::to_string(context), s,
        4 * pairs * heads * dim, 8.0 * batch * context * kv + 8.0 * batch * queries * heads * dim);
}

void decompositions(table& t, int scale, double seconds, clock::time_point start) {
  const device& d = t.d;
  for (auto [r, c] : {std::pair{1024, 4096}, {4096, 4096}, {4096, 14336}})
    for (const char* driver : {"auto", "gesvdp", "gesvdj", "gesvd"}) {
      if (since(start) > seconds) {
        std::printf("no time left for svd %d × %d, %s\n", r, c, driver);
        continue;
      }
      const int rows = r / scale, cols = c / scale;
      random g{uint64_t(r)};
      auto w = encoded(g.floats(size_t(rows) * size_t(cols), 0.05f), dtype::bf16);
      std::vector<float> u(size_t(rows) * size_t(rows)), sigma(static_cast<size_t>(rows)), vh(size_t(rows) * size_t(cols));
      t2_svd item{w.data(), int(dtype::bf16), rows, cols, driver, u.data(), sigma.data(), vh.data(), 0, 0, 0, 0, ""};
      auto begin = clock::now();
      if (d.t->svd(
              d.c, &item, 1, [](void*, int32_t) {}, nullptr)) {
        std::printf("svd %d × %d, %s: %s\n", rows, cols, driver, d.t->last_error(d.c));
        continue;
      }
      std::printf("svd %d × %d, %-7s → %-22s %8.3f s (on the device %.3f s), residual %.1e, U %.1e, Vh %.1e\n", rows, cols, driver,
                  item.driver_used, since(begin), item.milliseconds / 1e3, item.residual, item.orthogonality_u, item.orthogonality_v);
      std::fflush(stdout);
    }
}

}  // namespace

void bench(const device& d, int scale, double seconds) {
  auto start = clock::now();
  table t{d};
  limits(t, scale);
  linears(t, scale);
  merges(t, scale);
  for (int batch : {1, 8, 32}) attention(t, "attention, decode", batch, 1024 / scale, 1, scale);
  attention(t, "attention, prompt", 1, 2048 / scale, 2048 / scale, scale);
  decompositions(t, scale, seconds, start);
}

}  // namespace t2::gpu
