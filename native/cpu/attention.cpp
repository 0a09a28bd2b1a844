// Attention forward over segments of keys (cache blocks or packed buffers). A query's result depends on its own keys alone, in the order of
// their positions: neither chunking nor batching changes a bit of it.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention_common.h"
#include "backend_cpu.h"

namespace t2::cpu {

std::vector<attention_task> attention_tasks(const t2_attention& a) {
  std::vector<attention_task> tasks;
  for (int s = 0; s < a.sequence_count; s++)
    for (int t = 0; t < a.sequences[s].query_count; t += query_tile)
      for (int h = 0; h < a.kv_heads; h++) tasks.push_back({s, h, t, std::min(query_tile, a.sequences[s].query_count - t)});
  return tasks;
}

int attention(t2_context* c, const t2_attention* at) {
  const t2_attention& a = *at;
  int group = a.heads / a.kv_heads, hd = a.head_dim;
  auto tasks = attention_tasks(a);
  return c->parallel(int(tasks.size()), [&](int i, int thread) {
    const attention_task& task = tasks[size_t(i)];
    const t2_sequence& s = a.sequences[task.sequence];
    int first = s.position + task.begin;  // position of the tile's first query
    int keys = first + task.count;        // positions 0 … keys − 1 can be seen
    int lowest = a.window ? std::max(0, first - a.window + 1) : 0;
    int stride = keys;
    // one query: all heads of the group are the rows; more: head by head, tokens are the rows
    bool single = task.count == 1;
    int rows = single ? group : task.count;
    int64_t x_stride = single ? hd : a.q_stride;
    float* scores = c->scratch(thread, 1, size_t(rows) * size_t(stride));
    float* line = c->scratch(thread, 0, linear_scratch);
    for (int pass = 0; pass < (single ? 1 : group); pass++) {
      int head = task.kv_head * group + pass;
      int64_t at_query = int64_t(s.query_begin + task.begin) * a.q_stride + int64_t(head) * hd;
      const float* q = a.q + at_query;
      for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
        c->k.linear(0, seg.k + int64_t(begin) * a.kv_stride + int64_t(task.kv_head) * hd, a.kv_stride, end - begin, hd, q, x_stride, rows,
                    scores + from, stride, false, line);
      });
      float* sums = c->scratch(thread, 2, size_t(rows));  // a query tile, or all heads of a group: any number
      for (int r = 0; r < rows; r++) {
        int position = single ? first : first + r;
        int lo = a.window ? std::max(0, position - a.window + 1) : 0;
        float* p = scores + int64_t(r) * stride;
        float maximum;
        sums[r] = c->k.softmax(p + lo, position + 1 - lo, a.scale, &maximum);
        std::memset(p + lowest, 0, size_t(lo - lowest) * 4);
        std::memset(p + position + 1, 0, size_t(keys - position - 1) * 4);
        if (a.lse) {
          int64_t token = s.query_begin + task.begin + (single ? 0 : r);
          a.lse[token * a.heads + (single ? task.kv_head * group + r : head)] = maximum + std::log(sums[r]);
        }
      }
      float* out = a.out + at_query;
      for (int r = 0; r < rows; r++) std::memset(out + r * x_stride, 0, size_t(hd) * 4);
      for_segments(a, s, lowest, keys, [&](const t2_segment& seg, int from, int begin, int end) {
        c->k.weighted_rows(scores + from, stride, 1, rows, end - begin, seg.v + int64_t(begin) * a.kv_stride + int64_t(task.kv_head) * hd,
                           a.kv_stride, hd, out, x_stride);
      });
      for (int r = 0; r < rows; r++) {
        float inv = 1.f / sums[r];
        float* o = out + r * x_stride;
        for (int d = 0; d < hd; d++) o[d] *= inv;
      }
    }
  });
}

}  // namespace t2::cpu
