// Attention forward over segments of keys (cache blocks or packed buffers). A query's result depends on its own keys alone, in the order of
// their positions: neither chunking nor batching changes a bit of it.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention_common.h"
#include "backend_cpu.h"

namespace t2::cpu {

namespace {

struct attention_task {
  int sequence, kv_head, begin, count;  // queries [begin, begin + count) of the sequence
};

std::vector<attention_task> attention_tasks(const t2_attention& a, int tokens) {
  std::vector<attention_task> tasks;
  for (int s = 0; s < a.sequence_count; s++)
    for (int t = 0; t < a.sequences[s].query_count; t += tokens)
      for (int h = 0; h < a.kv_heads; h++) tasks.push_back({s, h, t, std::min(tokens, a.sequences[s].query_count - t)});
  return tasks;
}

}  // namespace

int attention(t2_context* c, const t2_attention* at) {
  const t2_attention& a = *at;
  int group = a.heads / a.kv_heads, hd = a.head_dim;
  auto tasks = attention_tasks(a, std::max(1, query_tile / group));
  return c->parallel(int(tasks.size()), [&](int i, int thread) {
    const attention_task& task = tasks[size_t(i)];
    const t2_sequence& s = a.sequences[task.sequence];
    int first = s.position + task.begin;  // position of the tile's first query
    int keys = first + task.count;        // positions 0 … keys − 1 can be seen
    int lowest = a.window ? std::max(0, first - a.window + 1) : 0;
    int stride = keys, rows = task.count * group;  // token by token, in each the heads of the group
    auto at_row = [&](int r) {
      return int64_t(s.query_begin + task.begin + r / group) * a.q_stride + int64_t(task.kv_head * group + r % group) * hd;
    };
    int64_t head = int64_t(task.kv_head) * hd;
    float* scores = c->scratch(thread, 1, size_t(rows) * size_t(stride));
    float* x = c->scratch(thread, 2, size_t(rows) * size_t(hd));  // queries, then the outputs
    for (int r = 0; r < rows; r++) std::memcpy(x + r * hd, a.q + at_row(r), size_t(hd) * 4);
    bool many = rows >= c->k.panel_from;
    float* line = c->scratch(thread, 0, many ? panel_scratch : linear_scratch);
    float* packed = many ? c->scratch(thread, 3, size_t(rows) * size_t((hd + 15) / 16 * 16)) : nullptr;
    if (many) c->k.pack_tokens(x, hd, rows, 0, rows, hd, packed);
    for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
      const float* k = seg.k + begin * a.kv_stride + head;
      if (many) c->k.linear_panels(0, k, a.kv_stride, end - begin, hd, packed, rows, scores + from, stride, false, line);
      else c->k.linear(0, k, a.kv_stride, end - begin, hd, x, hd, rows, scores + from, stride, false, line);
    });
    float* sums = c->scratch(thread, 4, size_t(rows));
    for (int r = 0; r < rows; r++) {
      int position = first + r / group;
      int lo = a.window ? std::max(0, position - a.window + 1) : 0;
      float* p = scores + int64_t(r) * stride;
      float maximum;
      sums[r] = c->k.softmax(p + lo, position + 1 - lo, a.scale, &maximum);
      std::memset(p + lowest, 0, size_t(lo - lowest) * 4);
      std::memset(p + position + 1, 0, size_t(keys - position - 1) * 4);
      if (a.lse)
        a.lse[int64_t(s.query_begin + task.begin + r / group) * a.heads + task.kv_head * group + r % group] = maximum + std::log(sums[r]);
    }
    std::memset(x, 0, size_t(rows) * size_t(hd) * 4);
    for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
      c->k.weighted_rows(scores + from, stride, 1, rows, end - begin, seg.v + begin * a.kv_stride + head, a.kv_stride, hd, x, hd);
    });
    for (int r = 0; r < rows; r++) {
      float inv = 1.f / sums[r];
      float* out = a.out + at_row(r);
      for (int d = 0; d < hd; d++) out[d] = x[r * hd + d] * inv;
    }
  });
}

}  // namespace t2::cpu
