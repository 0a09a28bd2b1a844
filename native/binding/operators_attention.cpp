// Single operators of attention. Keys and values are pools of rows; segments (row, count) say which rows a sequence sees, so packed and
// paged layouts are the same call.
#include "operators.h"

namespace t2::binding {

/// The inputs of both directions: heads, kv_heads, head_dim, window, scale, q [n, heads·head_dim], k and v [rows, kv_heads·head_dim],
/// segments (row, count)…, segment_offset_rows (added to every row, default 0), sequences (query_begin, query_count, position,
/// segment_begin, segment_count, group)….
struct attention_inputs {
  t2_attention a{};
  std::vector<t2_sequence> sequences;
  std::vector<t2_segment> segments;
  int64_t tokens = 0, kv_rows = 0;
  float *dk = nullptr, *dv = nullptr;

  explicit attention_inputs(operator_call& op, bool backward) {
    a.heads = op.integer("heads", 1, 1 << 16);
    a.kv_heads = op.integer("kv_heads", 1, a.heads);
    a.head_dim = op.integer("head_dim", 1, 1 << 16);
    if (a.heads % a.kv_heads) op.input("kv_heads").reject("a divisor of heads");
    a.scale = op.number("scale");
    a.window = op.integer_or("window", 0, max_int32, 0);
    int64_t row = elements({a.heads, a.head_dim}), kv_row = elements({a.kv_heads, a.head_dim});
    a.q_stride = op.integer_or("q_stride", row, max_int32, int(row));
    a.kv_stride = op.integer_or("kv_stride", kv_row, max_int32, int(kv_row));
    tokens = op.integer("n", 0, max_int32);
    kv_rows = op.integer("kv_rows", 0, max_int32);
    int64_t q_count = elements({tokens, a.q_stride}), kv_count = elements({kv_rows, a.kv_stride});
    a.q = op.upload("q", q_count);
    float *k = op.upload("k", kv_count), *v = op.upload("v", kv_count);
    if (backward) {
      dk = op.upload("dk", kv_count);
      dv = op.upload("dv", kv_count);
    }
    a.out = op.room(q_count);
    a.lse = op.room(elements({tokens, a.heads}));
    if (backward) {
      a.dout = op.upload("dout", q_count);
      a.dq = op.room(q_count);
    }

    // rows of k and v before the layer's own, as a cache of several layers has them
    int64_t before = op.integer_or("segment_offset_rows", 0, kv_rows, 0);
    a.segment_offset = before * a.kv_stride;
    argument given = op.input("segments");
    std::vector<int32_t> s = given.int32s();
    if (s.size() % 2) given.reject("an Int32Array of pairs");
    for (size_t i = 0; i + 1 < s.size(); i += 2) {
      if (s[i] < 0 || s[i + 1] < 1 || before + s[i] + s[i + 1] > kv_rows) given.reject("an Int32Array of rows within k and v");
      int64_t at = int64_t(s[i]) * a.kv_stride;
      segments.push_back({k + at, v + at, dk ? dk + at : nullptr, dv ? dv + at : nullptr, s[i + 1]});
    }
    add_sequences(op.input("sequences"));
    a.segments = segments.data();
    a.segment_count = int32_t(segments.size());
    a.sequences = sequences.data();
    a.sequence_count = int32_t(sequences.size());
  }

  void add_sequences(const argument& given) {
    std::vector<int32_t> s = given.int32s();
    if (s.size() % 6) given.reject("an Int32Array of six values per sequence");
    for (size_t i = 0; i + 5 < s.size(); i += 6) {
      t2_sequence q = {s[i], s[i + 1], s[i + 2], s[i + 3], s[i + 4], s[i + 5]};
      if (q.query_begin < 0 || q.query_count < 1 || int64_t(q.query_begin) + q.query_count > tokens)
        given.reject("an Int32Array of queries within q");
      if (q.segment_begin < 0 || q.segment_count < 0 || int64_t(q.segment_begin) + q.segment_count > int64_t(segments.size()))
        given.reject("an Int32Array of known segments");
      int64_t keys = 0;
      for (int j = 0; j < q.segment_count; j++) keys += segments[size_t(q.segment_begin + j)].count;
      if (q.position < 0 || int64_t(q.position) + q.query_count > keys) given.reject("an Int32Array of sequences whose keys all exist");
      sequences.push_back(q);
    }
  }
};

static void attention(operator_call& op) {
  attention_inputs in(op, false);
  op.run([&] { return op.backend->attention(op.context, &in.a); });
  op.give("out", in.a.out, in.tokens * in.a.q_stride);
  op.give("lse", in.a.lse, in.tokens * in.a.heads);
}

/// Runs the forward first for out and lse; dk and dv are added to.
static void attention_backward(operator_call& op) {
  attention_inputs in(op, true);
  op.check(op.backend->attention(op.context, &in.a));
  op.run([&] { return op.backend->attention_backward(op.context, &in.a); });
  op.give("dq", in.a.dq, in.tokens * in.a.q_stride);
  op.give("dk", in.dk, in.kv_rows * in.a.kv_stride);
  op.give("dv", in.dv, in.kv_rows * in.a.kv_stride);
}

const std::vector<named_operator> attention_operators = {{"attention", attention}, {"attention_backward", attention_backward}};

}  // namespace t2::binding
