#include "forward.h"

#include <algorithm>

namespace t2 {

int64_t saved_floats(const model& m) {
  return 2 * int64_t(m.spec.hidden) + 2 * m.q_size() + 2 * m.kv_size() + m.spec.heads + 2 * int64_t(m.spec.intermediate);
}

void graph::ok(int status, const cancel_check* cancel) {
  if (status == T2_ERROR_CANCELLED && cancel) (*cancel)();
  check(*device_, status);
}

graph::scratch_set graph::take_scratch(int32_t n, const weights& w, bool) {
  int rank = 0;
  if (!w.adapters.empty())
    for (auto& x : m_.matrices) rank = std::max(rank, x.rank());
  scratch_set s;
  size_t t = size_t(n);
  s.h = work_.take(t * size_t(m_.spec.hidden));
  s.q = work_.take(t * size_t(m_.q_size()));
  s.k = work_.take(t * size_t(m_.kv_size()));
  s.v = work_.take(t * size_t(m_.kv_size()));
  s.attention = work_.take(t * size_t(m_.q_size()));
  s.gate = work_.take(t * size_t(m_.spec.intermediate));
  s.up = work_.take(t * size_t(m_.spec.intermediate));
  s.act = work_.take(t * size_t(m_.spec.intermediate));
  for (auto& low : s.low) low = work_.take(t * size_t(rank));
  return s;
}

// y (+)= x W'ᵀ for matrices that share x: one dense call, and for rows with adapters y += ((x Vhᵀ) ⊙ s[row]) Uᵀ behind it; or, where the
// factors stand for W, y (+)= ((x Vhᵀ) ⊙ (sigma z)[row]) Uᵀ alone.
void graph::products(const weights& w, const float* x, int64_t x_stride, int32_t n, const std::vector<output>& outputs, scratch_set& s) {
  auto* t = device_->table;
  auto* c = device_->context;
  t2_linear items[3];
  std::vector<const float*> scales[3];
  bool replaced[3] = {};
  int dense = 0;
  for (size_t i = 0; i < outputs.size(); i++) {
    auto& o = outputs[i];
    replaced[i] = w.replace && w.factored(o.matrix, scales[i]);
    if (!replaced[i]) items[dense++] = {w.at(o.matrix), o.y, o.stride, o.bias, o.accumulate ? 1 : 0};
  }
  if (dense) ok(t->linear(c, x, x_stride, n, items, dense), cancel_);
  if (w.adapters.empty()) return;
  int low_count = 0;
  size_t which[3];
  for (size_t i = 0; i < outputs.size(); i++) {
    if (!replaced[i] && !w.scales(outputs[i].matrix, scales[i])) continue;
    const matrix& m = m_.matrices[size_t(outputs[i].matrix)];
    items[low_count] = {m_.factors(outputs[i].matrix).vh, s.low[i], m.rank(), nullptr, 0};
    which[low_count++] = i;
  }
  if (!low_count) return;
  ok(t->linear(c, x, x_stride, n, items, low_count), cancel_);
  for (int j = 0; j < low_count; j++) {
    auto& o = outputs[which[j]];
    const matrix& m = m_.matrices[size_t(o.matrix)];
    int r = m.rank();
    ok(t->scale_rows(c, s.low[which[j]], r, n, r, scales[which[j]].data(), w.row_adapter.data()));
    bool alone = replaced[which[j]];
    t2_linear up{m_.factors(o.matrix).u, o.y, o.stride, alone ? o.bias : nullptr, !alone || o.accumulate ? 1 : 0};
    ok(t->linear(c, s.low[which[j]], r, n, &up, 1), cancel_);
  }
}

// dx (+)= g W' , the same two parts
void graph::product_backward(const weights& w, int matrix_index, const float* g, int32_t n, float* dx, bool accumulate, scratch_set& s) {
  auto* t = device_->table;
  auto* c = device_->context;
  const t2_matrix& m = w.at(matrix_index);
  ok(t->linear_backward(c, g, m.rows, n, &m, dx, m.cols, accumulate ? 1 : 0), cancel_);
  std::vector<const float*> scales;
  if (w.adapters.empty() || !w.scales(matrix_index, scales)) return;
  factor_views f = m_.factors(matrix_index);
  int r = m_.matrices[size_t(matrix_index)].rank();
  ok(t->linear_backward(c, g, m.rows, n, &f.u, s.low[0], r, 0), cancel_);
  ok(t->scale_rows(c, s.low[0], r, n, r, scales.data(), w.row_adapter.data()));
  ok(t->linear_backward(c, s.low[0], r, n, &f.vh, dx, m.cols, 1), cancel_);
}

static t2_attention attention_of(const model& m, const batch& in, int layer, const kv_view& kv) {
  t2_attention a{};
  a.heads = m.spec.heads;
  a.kv_heads = m.spec.kv_heads;
  a.head_dim = m.spec.head_dim;
  a.q_stride = m.q_size();
  a.kv_stride = m.kv_size();
  a.scale = 1.f / __builtin_sqrtf(float(m.spec.head_dim));
  a.window = m.spec.window.empty() ? 0 : m.spec.window[size_t(layer)];
  a.sequences = in.sequences.data();
  a.sequence_count = int(in.sequences.size());
  a.segments = kv.segments.data();
  a.segment_count = int(kv.segments.size());
  a.segment_offset = kv.offset;
  return a;
}

// Up to the heads' outputs. With `keep` the layer's activations go where its pointers say.
void graph::attention_forward(int l, const batch& in, const weights& w, const kv_source& kv, float* x, saved_layer* keep, scratch_set& s) {
  auto* t = device_->table;
  auto* c = device_->context;
  const layer& y = m_.layers[size_t(l)];
  int32_t n = in.count();
  int h = m_.spec.hidden, qs = m_.q_size(), ks = m_.kv_size();
  float *q = keep ? keep->q : s.q, *k = keep ? keep->k : s.k, *v = keep ? keep->v : s.v;
  if (keep && keep->x0 != x) ok(t->copy(c, keep->x0, x, size_t(n) * size_t(h) * 4));

  ok(t->rms_norm(c, x, y.norm1, n, h, m_.spec.rms_eps, s.h));
  products(w, s.h, h, n,
           {{y.at[role_q], q, qs, false, y.bias[0]}, {y.at[role_k], k, ks, false, y.bias[1]}, {y.at[role_v], v, ks, false, y.bias[2]}}, s);
  const kv_view& view = kv(l, k, v, nullptr, nullptr);
  t2_rope_write turn{};
  turn.q = q, turn.k = k, turn.v = v;
  turn.q_stride = qs, turn.kv_stride = ks;
  turn.n = n, turn.heads = m_.spec.heads, turn.kv_heads = m_.spec.kv_heads, turn.head_dim = m_.spec.head_dim;
  turn.positions = in.positions.data();
  turn.inverse_frequencies = m_.rope;
  turn.factor = m_.spec.rope_factor;
  if (!view.k_rows.empty()) turn.k_rows = view.k_rows.data(), turn.v_rows = view.v_rows.data(), turn.offset = view.offset;
  ok(t->rope_write(c, &turn));
  t2_attention a = attention_of(m_, in, l, view);
  a.q = q;
  a.out = keep ? keep->attention : s.attention;
  a.lse = keep ? keep->lse : nullptr;
  ok(t->attention(c, &a), cancel_);
}

// From the heads' outputs to the end of the layer; x [n, hidden] is updated in place.
void graph::mlp_forward(int l, int32_t n, const weights& w, const float* attention, float* x, saved_layer* keep, scratch_set& s) {
  auto* t = device_->table;
  auto* c = device_->context;
  const layer& y = m_.layers[size_t(l)];
  int h = m_.spec.hidden, f = m_.spec.intermediate, qs = m_.q_size();
  float *gate = keep ? keep->gate : s.gate, *up = keep ? keep->up : s.up;
  products(w, attention, qs, n, {{y.at[role_o], x, h, true, nullptr}}, s);
  if (keep) ok(t->copy(c, keep->x1, x, size_t(n) * size_t(h) * 4));

  ok(t->rms_norm(c, x, y.norm2, n, h, m_.spec.rms_eps, s.h));
  products(w, s.h, h, n, {{y.at[role_gate], gate, f, false, nullptr}, {y.at[role_up], up, f, false, nullptr}}, s);
  ok(t->swiglu(c, gate, up, int64_t(n) * f, s.act));
  products(w, s.act, f, n, {{y.at[role_down], x, h, true, nullptr}}, s);
}

void graph::layer_forward(int l, const batch& in, const weights& w, const kv_source& kv, float* x, saved_layer* keep, scratch_set& s) {
  attention_forward(l, in, w, kv, x, keep, s);
  mlp_forward(l, in.count(), w, keep ? keep->attention : s.attention, x, keep, s);
}

float* graph::forward(const batch& in, const weights& w, const kv_source& kv, std::vector<saved_layer>* saved, bool checkpoint,
                      const cancel_check& cancel) {
  cancel_ = &cancel;
  work_.reset();
  auto* t = device_->table;
  auto* c = device_->context;
  int32_t n = in.count(), wanted = in.outputs ? int32_t(in.outputs->size()) : n;
  int h = m_.spec.hidden;
  float* x = work_.take(size_t(n) * size_t(h));
  float* out = in.outputs ? work_.take(size_t(wanted) * size_t(h)) : x;
  scratch_set s = take_scratch(n, w, false);
  ok(t->embed(c, &m_.embedding, in.tokens.data(), n, x));
  // behind the last layer's attention no token looks at another: only those go on that are asked for
  bool fewer = !saved && wanted < n;
  for (int l = 0; l < m_.spec.layers - (fewer ? 1 : 0); l++) {
    cancel();
    saved_layer* keep = saved ? &(*saved)[size_t(l)] : nullptr;
    if (keep && checkpoint) {
      ok(t->copy(c, keep->x0, x, size_t(n) * size_t(h) * 4));
      keep = nullptr;
    }
    layer_forward(l, in, w, kv, x, keep, s);
  }
  if (fewer) {
    cancel();
    attention_forward(m_.spec.layers - 1, in, w, kv, x, nullptr, s);
  }
  if (in.outputs && wanted) ok(t->gather_rows(c, x, h, in.outputs->data(), wanted, out));
  if (fewer && wanted) {
    float* attention = s.q;  // the queries have been used
    ok(t->gather_rows(c, s.attention, m_.q_size(), in.outputs->data(), wanted, attention));
    weights of = w;
    if (!w.row_adapter.empty())
      for (int32_t i = 0; i < wanted; i++) of.row_adapter[size_t(i)] = w.row_adapter[size_t((*in.outputs)[size_t(i)])];
    mlp_forward(m_.spec.layers - 1, wanted, of, attention, out, nullptr, s);
  }
  cancel_ = nullptr;
  return out;
}

void graph::final_norm(const float* x, int32_t n, float* out) {
  ok(device_->table->rms_norm(device_->context, x, m_.final_norm, n, m_.spec.hidden, m_.spec.rms_eps, out));
}

void graph::backward(const batch& in, const weights& w, const kv_source& kv, std::vector<saved_layer>& saved, bool checkpoint,
                     saved_layer& scratch, float* dx, const std::vector<double*>& wanted, const cancel_check& cancel) {
  cancel_ = &cancel;
  auto* t = device_->table;
  auto* c = device_->context;
  int32_t n = in.count();
  int h = m_.spec.hidden, f = m_.spec.intermediate, qs = m_.q_size(), ks = m_.kv_size();
  work_.reset();
  float* x = work_.take(size_t(n) * size_t(h));
  scratch_set s = take_scratch(n, w, true);
  float* dgate = work_.take(size_t(n) * size_t(f));
  float* dup = work_.take(size_t(n) * size_t(f));
  float* dh = work_.take(size_t(n) * size_t(h));
  float* dk = work_.take(size_t(n) * size_t(ks));
  float* dv = work_.take(size_t(n) * size_t(ks));
  float* dq = work_.take(size_t(n) * size_t(qs));

  int lowest = m_.spec.layers;
  for (size_t i = 0; i < wanted.size(); i++)
    if (wanted[i]) lowest = std::min(lowest, m_.matrices[i].layer);
  auto gradient = [&](int matrix_index, const float* g, const float* input) {
    double* q = wanted[size_t(matrix_index)];
    if (!q) return;
    factor_views f = m_.factors(matrix_index);
    ok(t->z_gradient(c, g, f.u.rows, input, f.vh.cols, n, &f.u, &f.vh, q), cancel_);
  };
  for (int l = m_.spec.layers - 1; l >= lowest; l--) {
    cancel();
    const layer& y = m_.layers[size_t(l)];
    saved_layer& a = checkpoint ? scratch : saved[size_t(l)];
    if (checkpoint) {
      a.x0 = saved[size_t(l)].x0;
      ok(t->copy(c, x, a.x0, size_t(n) * size_t(h) * 4));
      layer_forward(l, in, w, kv, x, &a, s);
    }
    // the MLP: x2 = x1 + down(silu(gate) · up)
    ok(t->swiglu(c, a.gate, a.up, int64_t(n) * f, s.act));
    gradient(y.at[role_down], dx, s.act);
    product_backward(w, y.at[role_down], dx, n, s.act, false, s);
    ok(t->swiglu_backward(c, a.gate, a.up, s.act, int64_t(n) * f, dgate, dup));
    ok(t->rms_norm(c, a.x1, y.norm2, n, h, m_.spec.rms_eps, s.h));
    gradient(y.at[role_gate], dgate, s.h);
    gradient(y.at[role_up], dup, s.h);
    product_backward(w, y.at[role_gate], dgate, n, dh, false, s);
    product_backward(w, y.at[role_up], dup, n, dh, true, s);
    ok(t->rms_norm_backward(c, a.x1, y.norm2, dh, n, h, m_.spec.rms_eps, dx));
    // attention: x1 = x0 + o(attention(q, k, v))
    cancel();
    gradient(y.at[role_o], dx, a.attention);
    product_backward(w, y.at[role_o], dx, n, s.attention, false, s);
    ok(t->zero(c, dk, size_t(n) * size_t(ks) * 4));
    ok(t->zero(c, dv, size_t(n) * size_t(ks) * 4));
    t2_attention at = attention_of(m_, in, l, kv(l, a.k, a.v, dk, dv));
    at.q = a.q;
    at.out = a.attention;
    at.lse = a.lse;
    at.dout = s.attention;
    at.dq = dq;
    ok(t->attention_backward(c, &at), cancel_);
    ok(t->rope(c, dq, qs, n, m_.spec.heads, m_.spec.head_dim, in.positions.data(), m_.rope, m_.spec.rope_factor, 1));
    ok(t->rope(c, dk, ks, n, m_.spec.kv_heads, m_.spec.head_dim, in.positions.data(), m_.rope, m_.spec.rope_factor, 1));
    ok(t->rms_norm(c, a.x0, y.norm1, n, h, m_.spec.rms_eps, s.h));
    gradient(y.at[role_q], dq, s.h);
    gradient(y.at[role_k], dk, s.h);
    gradient(y.at[role_v], dv, s.h);
    if (l == lowest) break;  // nothing below asks for dx
    product_backward(w, y.at[role_q], dq, n, dh, false, s);
    product_backward(w, y.at[role_k], dk, n, dh, true, s);
    product_backward(w, y.at[role_v], dv, n, dh, true, s);
    ok(t->rms_norm_backward(c, a.x0, y.norm1, dh, n, h, m_.spec.rms_eps, dx));
  }
  cancel_ = nullptr;
}

}  // namespace t2
