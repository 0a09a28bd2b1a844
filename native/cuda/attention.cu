// Attention forward: which sequences go to which kernel, and the staged tables of all attention kernels.
#include <algorithm>

#include "attention_common.h"
#include "operators.h"

namespace t2::cuda {

/// The count that all segments but the last have, when the last is no longer; else 0.
static int32_t common_block(const t2_attention& a, const t2_sequence& s) {
  const t2_segment* g = a.segments + s.segment_begin;
  for (int i = 1; i < s.segment_count; i++)
    if (i + 1 < s.segment_count ? g[i].count != g[0].count : g[i].count > g[0].count) return 0;
  return s.segment_count ? g[0].count : 1;
}

// The tables hold all segments of the call, as they lie, so their size stays in a graph while that of the caller's table does.
int attention_tables(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which, attention_view* view) {
  bool alike = !c->graphs.active();  // the launches of a graph must not depend on what the tables hold
  std::vector<attention_sequence> sequences;
  for (int32_t i : which) {
    const t2_sequence& s = a.sequences[i];
    const int32_t block = common_block(a, s);
    alike = alike && block;
    sequences.push_back({s.query_begin, s.query_count, s.position, s.segment_begin, s.segment_count, block});
  }
  bool vectors = (a.head_dim | a.q_stride | a.kv_stride | a.segment_offset) % 4 == 0 && is_aligned(a.q, 16) && is_aligned(a.out, 16) &&
                 is_aligned(a.dout, 16) && is_aligned(a.dq, 16);
  std::vector<attention_rows> table;
  std::vector<int32_t> starts;
  int32_t keys = 0;
  for (int32_t i = 0; i < a.segment_count; i++) {
    const t2_segment& g = a.segments[i];
    vectors = vectors && is_aligned(g.k, 16) && is_aligned(g.v, 16);
    if (g.k) table.push_back({g.k + a.segment_offset, g.v + a.segment_offset});
    else table.push_back({});  // fills up a caller's table
    starts.push_back(keys);
    keys += g.count;
  }
  attention_view& v = *view;
  v = {};
  v.q = a.q;
  v.out = a.out;
  v.lse = a.lse;
  v.dout = a.dout;
  v.dq = a.dq;
  v.q_stride = a.q_stride;
  v.kv_stride = a.kv_stride;
  v.heads = a.heads;
  v.kv_heads = a.kv_heads;
  v.per = a.heads / a.kv_heads;
  v.head_dim = a.head_dim;
  v.window = a.window > 1 << 30 ? 0 : a.window;  // so that a position and a window add up
  v.sequence_count = int32_t(which.size());
  v.scale = a.scale;
  v.vectors = vectors;
  T2_TRY(c->stage(sequences.data(), sequences.size(), &v.sequences));
  T2_TRY(c->stage(table.data(), table.size(), &v.table));
  if (!alike) T2_TRY(c->stage(starts.data(), starts.size(), &v.starts));
  return T2_OK;
}

int attention_tiles(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which, int rows, const attention_tile** tiles,
                    int* count) {
  struct item {
    attention_tile tile;
    int64_t keys;
  };
  const int per = a.heads / a.kv_heads;
  std::vector<item> items;
  for (size_t i = 0; i < which.size(); i++) {
    const t2_sequence& s = a.sequences[which[i]];
    for (int64_t r = 0; r < int64_t(s.query_count) * per; r += rows)
      items.push_back({{int32_t(i), int32_t(r)}, s.position + std::min<int64_t>(s.query_count, (r + rows - 1) / per + 1)});
  }
  std::stable_sort(items.begin(), items.end(), [](const item& x, const item& y) { return x.keys > y.keys; });
  std::vector<attention_tile> list;
  for (auto& i : items) list.push_back(i.tile);
  *count = int(list.size());
  return c->stage(list.data(), list.size(), tiles);
}

// One query at a time is bound by the reading of keys, so it has a kernel of its own. Its sums have another order than those of the kernel
// for many queries: where results must not depend on how a prompt was cut, the latter takes all.
int attention(t2_context* c, const t2_attention* a) {
  if (a->head_dim > 256) return c->fail(T2_ERROR_INVALID, "attention: heads of " + std::to_string(a->head_dim) + " are larger than 256");
  std::vector<int32_t> one, many;
  for (int32_t i = 0; i < a->sequence_count; i++)
    if (a->sequences[i].query_count > 0) (a->sequences[i].query_count == 1 && !c->deterministic ? one : many).push_back(i);
  if (!one.empty()) T2_TRY(attention_decode(c, *a, one));
  if (!many.empty()) T2_TRY(attention_prefill(c, *a, many));
  return T2_OK;
}

}  // namespace t2::cuda
