// Attention and its gradient over packed sequences whose keys lie in segments, against the plain formula in fp64.
#include "gpu.h"

namespace t2::gpu {
namespace {

using doubles = std::vector<double>;

struct sequence {
  int position, count;  // tokens before, and queries
};

/// Keys of every sequence in blocks of `block` tokens, as a cache has them, in an order of their own.
struct packed {
  packed(random& g, int heads, int kv_heads, int head_dim, int block, const std::vector<sequence>& all)
      : heads(heads), kv_heads(kv_heads), head_dim(head_dim), kv_stride(kv_heads * head_dim + 4) {
    for (auto& s : all) {
      t2_sequence x{queries, s.count, s.position, int(blocks.size()), 0, int(sequences.size())};
      for (int left = s.position + s.count; left > 0; left -= block, x.segment_count++) blocks.push_back({0, std::min(block, left)});
      sequences.push_back(x);
      queries += s.count;
    }
    std::vector<int> order(blocks.size());
    for (size_t i = 0; i < order.size(); i++) order[i] = int(i);
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[size_t(g.below(int(i)))]);
    for (size_t i = 0; i < blocks.size(); i++) blocks[size_t(order[i])].first = int(i) * block;
    rows = int(blocks.size()) * block;
    k = g.floats(size_t(rows) * size_t(kv_stride)), v = g.floats(k.size());
    q = g.floats(size_t(queries) * size_t(heads * head_dim)), dout = g.floats(q.size());
  }
  /// The row of `sequence`'s key at a position.
  size_t row(const t2_sequence& s, int position, int block) const {
    return size_t(blocks[size_t(s.segment_begin + position / block)].first + position % block);
  }

  int heads, kv_heads, head_dim, kv_stride, queries = 0, rows = 0;
  std::vector<t2_sequence> sequences;
  std::vector<std::pair<int, int>> blocks;  // first row, tokens
  std::vector<float> k, v, q, dout;
};

void run(const device& d, results& r, const char* what, int heads, int kv_heads, int dim, int window, int block,
         const std::vector<sequence>& all, bool backward) {
  random g(uint64_t(heads * 1000 + dim * 7 + window + block));
  packed p(g, heads, kv_heads, dim, block, all);
  const int64_t offset = 24;  // as if the segments named another layer
  auto shifted = [&](const std::vector<float>& x) {
    std::vector<float> out(size_t(offset), NAN);
    out.insert(out.end(), x.begin(), x.end());
    return out;
  };
  array<float> k(d, shifted(p.k)), v(d, shifted(p.v)), q(d, p.q), dout(d, p.dout), out(d, p.q.size()), lse(d, size_t(p.queries * heads));
  array<float> dk(d, std::vector<float>(k.size(), 0.25f)), dv(d, std::vector<float>(k.size(), 0.f)), dq(d, p.q.size());
  std::vector<t2_segment> segments;
  for (auto [first, count] : p.blocks) {
    int64_t o = int64_t(first) * p.kv_stride;
    segments.push_back(
        {static_cast<float*>(k) + o, static_cast<float*>(v) + o, static_cast<float*>(dk) + o, static_cast<float*>(dv) + o, count});
  }
  t2_attention a{heads,
                 kv_heads,
                 dim,
                 heads * dim,
                 p.kv_stride,
                 1.f / std::sqrt(float(dim)),
                 window,
                 p.sequences.data(),
                 int(p.sequences.size()),
                 segments.data(),
                 int(segments.size()),
                 offset,
                 q,
                 out,
                 lse,
                 dout,
                 dq};
  d.ok(d.t->attention(d.c, &a), "attention");

  const int group = heads / kv_heads;
  doubles want(p.q.size()), want_lse(size_t(p.queries * heads)), want_dq(p.q.size()), want_dk(p.k.size(), 0.25), want_dv(p.k.size(), 0.0);
  for (auto& s : p.sequences)
    for (int i = 0; i < s.query_count; i++)
      for (int h = 0; h < heads; h++) {
        const int last = s.position + i, first = window ? std::max(0, last - window + 1) : 0;
        const size_t o = (size_t(s.query_begin + i) * size_t(heads) + size_t(h)) * size_t(dim);
        auto key = [&](int j) { return p.row(s, j, block) * size_t(p.kv_stride) + size_t(h / group * dim); };
        doubles weight;
        double largest = -INFINITY, total = 0, inner = 0;
        for (int j = first; j <= last; j++) {
          double dot = 0;
          for (int e = 0; e < dim; e++) dot += double(p.q[o + size_t(e)]) * p.k[key(j) + size_t(e)];
          weight.push_back(dot * a.scale);
          largest = std::max(largest, weight.back());
        }
        for (auto& w : weight) total += w = std::exp(w - largest);
        want_lse[size_t((s.query_begin + i) * heads + h)] = largest + std::log(total);
        doubles slope;
        for (int j = first; j <= last; j++) {
          double& w = weight[size_t(j - first)];
          w /= total;
          double dot = 0;
          for (int e = 0; e < dim; e++) {
            want[o + size_t(e)] += w * p.v[key(j) + size_t(e)];
            dot += double(p.dout[o + size_t(e)]) * p.v[key(j) + size_t(e)];
            want_dv[key(j) + size_t(e)] += w * p.dout[o + size_t(e)];
          }
          slope.push_back(dot);
          inner += w * dot;
        }
        for (int j = first; j <= last; j++) {
          double ds = weight[size_t(j - first)] * (slope[size_t(j - first)] - inner) * a.scale;
          for (int e = 0; e < dim; e++) {
            want_dq[o + size_t(e)] += ds * p.k[key(j) + size_t(e)];
            want_dk[key(j) + size_t(e)] += ds * p.q[o + size_t(e)];
          }
        }
      }
  std::string name = std::string(what) + ", " + std::to_string(heads) + "/" + std::to_string(kv_heads) + " heads of " +
                     std::to_string(dim) + (window ? ", window " + std::to_string(window) : "") + ", blocks of " + std::to_string(block);
  // fp32 operands in two 16-bit parts: some 2⁻¹⁶
  r.check("attention: " + name, out.get(), want, 5e-5);
  r.check("log-sum-exp: " + name, lse.get(), want_lse, 5e-5);
  if (!backward) return;
  d.ok(d.t->attention_backward(d.c, &a), "attention_backward");
  auto tail = [&](const array<float>& x) {
    auto values = x.get();
    return std::vector<float>(values.begin() + offset, values.end());
  };
  r.check("attention_backward, dq: " + name, dq.get(), want_dq, 1e-4);
  r.check("attention_backward, dk: " + name, tail(dk), want_dk, 1e-4);
  r.check("attention_backward, dv: " + name, tail(dv), want_dv, 1e-4);
}

}  // namespace

void check_attention(const device& d, results& r) {
  struct {
    int heads, kv_heads, dim;
  } shapes[] = {{1, 1, 16}, {4, 2, 32}, {3, 1, 64}, {4, 4, 80}, {8, 2, 128}, {2, 1, 256}};
  for (auto& s : shapes)
    for (int window : {0, 13}) {
      r.group("prefill", [&] { run(d, r, "prompts", s.heads, s.kv_heads, s.dim, window, 1000, {{0, 1}, {0, 67}, {0, 130}}, true); });
      r.group("chunks", [&] { run(d, r, "chunks", s.heads, s.kv_heads, s.dim, window, 32, {{70, 33}, {31, 65}, {5, 1}}, true); });
      r.group("decode", [&] {
        run(d, r, "decode", s.heads, s.kv_heads, s.dim, window, 32, {{0, 1}, {31, 1}, {32, 1}, {300, 1}, {777, 1}}, false);
      });
    }
}

}  // namespace t2::gpu
