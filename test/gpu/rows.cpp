// Operators on rows and vectors: embedding, norms, rotation, SwiGLU, gather and scatter, mix, axpy, cast, AdamW.
#include "gpu.h"

namespace t2::gpu {
namespace {

using doubles = std::vector<double>;

void norms(const device& d, results& r) {
  random g(1);
  for (auto [n, size] : {std::pair{1, 1}, {3, 33}, {7, 576}, {5, 4096}, {2, 5000}}) {
    auto x = g.floats(size_t(n) * size_t(size)), w = g.floats(size_t(size)), dy = g.floats(x.size()), dx = g.floats(x.size());
    array<float> dev_x(d, x), dev_w(d, w), dev_dy(d, dy), y(d, x.size()), dev_dx(d, dx);
    const float eps = 1e-5f;
    d.ok(d.t->rms_norm(d.c, dev_x, dev_w, n, size, eps, y), "rms_norm");
    d.ok(d.t->rms_norm_backward(d.c, dev_x, dev_w, dev_dy, n, size, eps, dev_dx), "rms_norm_backward");
    doubles want(x.size()), want_dx(x.size());
    for (int i = 0; i < n; i++) {
      const size_t o = size_t(i) * size_t(size);
      double squares = 0, inner = 0;
      for (int j = 0; j < size; j++) squares += double(x[o + j]) * x[o + j], inner += double(x[o + j]) * w[j] * dy[o + j];
      double scale = 1 / std::sqrt(squares / size + eps);
      for (int j = 0; j < size; j++) {
        want[o + j] = x[o + j] * scale * w[j];
        want_dx[o + j] = dx[o + j] + scale * (double(w[j]) * dy[o + j] - x[o + j] * inner * scale * scale / size);
      }
    }
    std::string shape = " " + std::to_string(n) + " × " + std::to_string(size);
    r.check("rms_norm" + shape, y.get(), want, 2e-6);
    r.check("rms_norm_backward" + shape, dev_dx.get(), want_dx, 4e-6);
  }
}

void rotation(const device& d, results& r) {
  random g(2);
  for (auto [n, heads, dim] : {std::tuple{1, 1, 2}, {5, 3, 16}, {7, 8, 80}, {3, 32, 128}}) {
    const int stride = heads * dim + 3;
    auto x = g.floats(size_t(n) * size_t(stride));
    std::vector<int32_t> positions;
    std::vector<float> frequencies;
    for (int i = 0; i < n; i++) positions.push_back(g.below(8000));
    for (int i = 0; i < dim / 2; i++) frequencies.push_back(float(std::pow(10000.0, -2.0 * i / dim)));
    array<float> y(d, x), f(d, frequencies);
    d.ok(d.t->rope(d.c, y, stride, n, heads, dim, positions.data(), f, 1.25f, 0), "rope");
    doubles want(x.begin(), x.end());
    for (int t = 0; t < n; t++)
      for (int h = 0; h < heads; h++)
        for (int i = 0; i < dim / 2; i++) {
          size_t a = size_t(t) * size_t(stride) + size_t(h * dim + i), b = a + size_t(dim / 2);
          // the angle is an fp32 product, as models were trained with
          double angle = float(positions[size_t(t)]) * frequencies[size_t(i)], co = 1.25 * std::cos(angle), si = 1.25 * std::sin(angle);
          want[a] = x[a] * co - x[b] * si;
          want[b] = x[b] * co + x[a] * si;
        }
    r.check("rope " + std::to_string(heads) + " heads of " + std::to_string(dim), y.get(), want, 2e-6);
  }
}

/// Against `rope` for what is turned, bit for bit; the copies of v are v.
void rotation_into_cache(const device& d, results& r) {
  random g(9);
  for (auto [n, heads, kv_heads, dim] : {std::tuple{1, 1, 1, 2}, {33, 9, 3, 64}, {5, 32, 8, 128}}) {
    const int size = kv_heads * dim, offset = 4;
    auto q = g.floats(size_t(n) * size_t(heads * dim)), k = g.floats(size_t(n) * size_t(size)), v = g.floats(k.size());
    std::vector<int32_t> positions;
    std::vector<float> frequencies;
    for (int i = 0; i < n; i++) positions.push_back(g.below(8000));
    for (int i = 0; i < dim / 2; i++) frequencies.push_back(float(std::pow(10000.0, -2.0 * i / dim)));
    array<float> f(d, frequencies), dev_q(d, q), dev_k(d, k), dev_v(d, v), want_q(d, q), want_k(d, k);
    std::vector<float> empty(size_t(n) * size_t(size) + offset, 7.f);
    array<float> k_cache(d, empty), v_cache(d, empty);
    std::vector<float*> k_rows, v_rows;
    for (int i = 0; i < n; i++) {
      k_rows.push_back(static_cast<float*>(k_cache) + (n - 1 - i) * size);
      v_rows.push_back(static_cast<float*>(v_cache) + (n - 1 - i) * size);
    }
    d.ok(d.t->rope(d.c, want_q, heads * dim, n, heads, dim, positions.data(), f, 1, 0), "rope");
    d.ok(d.t->rope(d.c, want_k, size, n, kv_heads, dim, positions.data(), f, 1, 0), "rope");
    t2_rope_write what{dev_q, dev_k, dev_v,         heads * dim,   size,  n, heads, kv_heads, dim, positions.data(),
                       f,     1,     k_rows.data(), v_rows.data(), offset};
    d.ok(d.t->rope_write(d.c, &what), "rope_write");
    auto turned_q = want_q.get(), turned_k = want_k.get();
    doubles in_k(empty.begin(), empty.end()), in_v(empty.begin(), empty.end());
    for (int i = 0; i < n; i++)
      for (int j = 0; j < size; j++) {
        size_t at = size_t(offset + (n - 1 - i) * size + j), from = size_t(i * size + j);
        in_k[at] = turned_k[from];
        in_v[at] = v[from];
      }
    std::string name = "rope_write " + std::to_string(heads) + " and " + std::to_string(kv_heads) + " heads of " + std::to_string(dim);
    r.check(name + ", q", dev_q.get(), doubles(turned_q.begin(), turned_q.end()), 0);
    r.check(name + ", keys of the cache", k_cache.get(), in_k, 0);
    r.check(name + ", values of the cache", v_cache.get(), in_v, 0);
  }
}

void moves(const device& d, results& r) {
  random g(3);
  const int vocabulary = 37;
  for (int size : {1, 33, 577})
    for (dtype type : all_types) {
      stored table(d, g, vocabulary, size, type);
      std::vector<int32_t> tokens{5, 0, 36, 5, 17};
      array<float> y(d, tokens.size() * size_t(size));
      d.ok(d.t->embed(d.c, &table.m, tokens.data(), int(tokens.size()), y), "embed");
      doubles want;
      for (int t : tokens)
        for (int j = 0; j < size; j++) want.push_back(table(t, j));
      r.check(std::string("embed ") + name_of(type) + " " + std::to_string(size), y.get(), want, 0);
    }
  const int n = 5, size = 67, stride = 70;
  auto x = g.floats(size_t(n) * stride), base = g.floats(11 * size);
  std::vector<int32_t> rows{7, 2, 9, 0, 4};
  array<float> room(d, base), gathered(d, size_t(n) * size);
  d.ok(d.t->gather_rows(d.c, room, size, rows.data(), n, gathered), "gather_rows");
  doubles want;
  for (int i : rows)
    for (int j = 0; j < size; j++) want.push_back(base[size_t(i * size + j)]);
  r.check("gather_rows", gathered.get(), want, 0);
  d.ok(d.t->scatter_add_rows(d.c, gathered, size, rows.data(), n, room), "scatter_add_rows");
  doubles sum(base.begin(), base.end());
  for (int i : rows)
    for (int j = 0; j < size; j++) sum[size_t(i * size + j)] *= 2;
  r.check("scatter_add_rows", room.get(), sum, 0);

  auto s0 = g.floats(size), s1 = g.floats(size);
  array<float> dev_s0(d, s0), dev_s1(d, s1), q(d, x);
  const float* scales[] = {dev_s0, nullptr, dev_s1};
  int32_t which[] = {2, -1, 0, 1, 2};
  d.ok(d.t->scale_rows(d.c, q, stride, n, size, scales, which), "scale_rows");
  doubles scaled(x.begin(), x.end());
  for (int i = 0; i < n; i++)
    for (int j = 0; j < size; j++) scaled[size_t(i * stride + j)] *= which[i] == 2 ? s1[size_t(j)] : which[i] == 0 ? s0[size_t(j)] : 0.f;
  r.check("scale_rows", q.get(), scaled, 1e-7);
}

void vectors(const device& d, results& r) {
  random g(4);
  for (int n : {1, 33, 100003}) {
    auto a = g.floats(size_t(n), 4), b = g.floats(size_t(n)), dy = g.floats(size_t(n));
    array<float> gate(d, a), up(d, b), dev_dy(d, dy), y(d, size_t(n)), dgate(d, size_t(n)), dup(d, size_t(n));
    d.ok(d.t->swiglu(d.c, gate, up, n, y), "swiglu");
    d.ok(d.t->swiglu_backward(d.c, gate, up, dev_dy, n, dgate, dup), "swiglu_backward");
    doubles want, want_gate, want_up, mixed, added, moved;
    for (size_t i = 0; i < size_t(n); i++) {
      double s = 1 / (1 + std::exp(-double(a[i])));
      want.push_back(a[i] * s * b[i]);
      want_gate.push_back(dy[i] * b[i] * s * (1 + a[i] * (1 - s)));
      want_up.push_back(dy[i] * a[i] * s);
      mixed.push_back(0.5 + 0.3 * (a[i] - 0.5) - 1.2 * (b[i] - 0.5));
      added.push_back(b[i] + 0.7 * a[i]);
    }
    std::string size = " " + std::to_string(n);
    r.check("swiglu" + size, y.get(), want, 2e-6);
    r.check("swiglu_backward: gate" + size, dgate.get(), want_gate, 4e-6);
    r.check("swiglu_backward: up" + size, dup.get(), want_up, 4e-6);
    const float* parts[] = {gate, up};
    float weights[] = {0.3f, -1.2f};
    d.ok(d.t->mix(d.c, parts, weights, 2, 0.5f, n, y), "mix");
    r.check("mix" + size, y.get(), mixed, 1e-6);
    array<float> sum(d, b);
    d.ok(d.t->axpy(d.c, 0.7f, gate, n, sum), "axpy");
    r.check("axpy" + size, sum.get(), added, 1e-6);
    for (dtype type : {dtype::f16, dtype::bf16}) {
      array<uint16_t> half(d, size_t(n));
      d.ok(d.t->cast(d.c, gate, 0, n, half, int(type)), "cast");
      d.ok(d.t->cast(d.c, half, int(type), n, y, 0), "cast");
      doubles exact;
      for (float v : a) exact.push_back(rounded(v, type));
      r.check(std::string("cast to ") + name_of(type) + " and back" + size, y.get(), exact, 0);
    }
    auto m = g.floats(size_t(n)), v = g.floats(size_t(n));
    for (auto& e : v) e = std::fabs(e);
    array<float> p(d, a), dev_m(d, m), dev_v(d, v);
    t2_adamw w{p, dev_dy, dev_m, dev_v, n, 0.01f, 0.9f, 0.99f, 1e-6f, 0.1f, 3};
    d.ok(d.t->adamw(d.c, &w), "adamw");
    for (size_t i = 0; i < size_t(n); i++) {
      double mi = 0.9 * m[i] + 0.1 * dy[i], vi = 0.99 * v[i] + 0.01 * dy[i] * dy[i];
      double step = mi / (1 - std::pow(0.9, 3)) / (std::sqrt(vi / (1 - std::pow(0.99, 3))) + 1e-6);
      moved.push_back(a[i] - 0.01 * (step + 0.1 * a[i]));
    }
    r.check("adamw" + size, p.get(), moved, 2e-6);
  }
}

}  // namespace

void check_rows(const device& d, results& r) {
  r.group("norms", [&] { norms(d, r); });
  r.group("rope", [&] { rotation(d, r); });
  r.group("rope_write", [&] { rotation_into_cache(d, r); });
  r.group("moves", [&] { moves(d, r); });
  r.group("vectors", [&] { vectors(d, r); });
}

}  // namespace t2::gpu
