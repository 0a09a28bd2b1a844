// Attention backward: from q, k, v, out, lse and dout to dq and, added into the segments, dk and dv. One task owns one key/value head of
// one group of sequences (those that share a prompt) and takes them in order, so sums have a fixed order.
#include <algorithm>
#include <cstring>

#include "attention_common.h"
#include "backend_cpu.h"

namespace t2::cpu {

int attention_backward(t2_context* c, const t2_attention* at) {
  const t2_attention& a = *at;
  int per = a.heads / a.kv_heads, hd = a.head_dim;
  struct task {
    int begin, end, kv_head;
  };
  std::vector<task> tasks;
  for (int b = 0, e; b < a.sequence_count; b = e) {
    for (e = b + 1; e < a.sequence_count && a.sequences[e].group == a.sequences[b].group; e++) {
    }
    for (int h = 0; h < a.kv_heads; h++) tasks.push_back({b, e, h});
  }
  return c->parallel(int(tasks.size()), [&](int i, int thread) {
    const task& job = tasks[size_t(i)];
    int64_t kv = int64_t(job.kv_head) * hd;
    for (int si = job.begin; si < job.end; si++) {
      const t2_sequence& s = a.sequences[si];
      for (int t0 = 0; t0 < s.query_count; t0 += query_tile) {
        if (c->stop()) return;
        int rows = std::min(query_tile, s.query_count - t0);
        int first = s.position + t0, keys = first + rows;
        int lowest = a.window ? std::max(0, first - a.window + 1) : 0;
        int stride = keys;
        float* p = c->scratch(thread, 1, size_t(rows) * size_t(stride));
        float* ds = c->scratch(thread, 2, size_t(rows) * size_t(stride));
        float* line = c->scratch(thread, 0, linear_scratch);
        for (int h = 0; h < per; h++) {
          int head = job.kv_head * per + h;
          int64_t at_query = int64_t(s.query_begin + t0) * a.q_stride + int64_t(head) * hd;
          const float *q = a.q + at_query, *out = a.out + at_query, *dout = a.dout + at_query;
          float* dq = a.dq + at_query;
          for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
            c->k.linear(0, seg.k + begin * a.kv_stride + kv, a.kv_stride, end - begin, hd, q, a.q_stride, rows, p + from, stride, false,
                        line);
            c->k.linear(0, seg.v + begin * a.kv_stride + kv, a.kv_stride, end - begin, hd, dout, a.q_stride, rows, ds + from, stride, false,
                        line);
          });
          for (int r = 0; r < rows; r++) {
            int position = first + r, lo = a.window ? std::max(0, position - a.window + 1) : 0;
            float *pr = p + int64_t(r) * stride, *dr = ds + int64_t(r) * stride;
            float d = c->k.dot(dout + r * a.q_stride, out + r * a.q_stride, hd);
            c->k.exp_minus(pr + lo, position + 1 - lo, a.scale, a.lse[int64_t(s.query_begin + t0 + r) * a.heads + head]);
            for (int k = lowest; k < lo; k++) pr[k] = dr[k] = 0;
            for (int k = lo; k <= position; k++) dr[k] = a.scale * pr[k] * (dr[k] - d);
            for (int k = position + 1; k < keys; k++) pr[k] = dr[k] = 0;
            std::memset(dq + r * a.q_stride, 0, size_t(hd) * 4);
          }
          for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
            int64_t o = begin * a.kv_stride + kv;
            c->k.weighted_rows(ds + from, stride, 1, rows, end - begin, seg.k + o, a.kv_stride, hd, dq, a.q_stride);
            c->k.weighted_rows(ds + from, 1, stride, end - begin, rows, q, a.q_stride, hd, seg.dk + o, a.kv_stride);
            c->k.weighted_rows(p + from, 1, stride, end - begin, rows, dout, a.q_stride, hd, seg.dv + o, a.kv_stride);
          });
        }
      }
    }
  });
}

}  // namespace t2::cpu
