#include "compute.h"

#include <algorithm>

namespace t2 {

void compute::check_tokens(const std::vector<int32_t>& tokens, size_t length) const {
  const model_spec& spec = graph_.m().spec;
  if (tokens.empty()) throw error("ERR_T2_INVALID_PROMPT", "A sequence has no tokens.");
  for (int32_t t : tokens)
    if (t < 0 || t >= spec.vocabulary) throw error("ERR_T2_INVALID_PROMPT", "Token " + std::to_string(t) + " is not in the vocabulary.");
  if (int64_t(length) > spec.context)
    throw error("ERR_T2_PROMPT_TOO_LONG",
                "A sequence of " + std::to_string(length) + " tokens does not fit the context of " + std::to_string(spec.context) + ".",
                "{\"tokens\":" + std::to_string(length) + ",\"contextLength\":" + std::to_string(spec.context) + "}");
}

bool compute::merges(const adapter_ptr& a, adapter_mode mode, double tokens) {
  if (!a || a->is_base()) return false;
  if (mode != adapter_mode::automatic) return mode == adapter_mode::merged;
  if (deterministic_) return false;
  if (keeper_.merged_now() == a.get()) return true;
  return plan(graph_.m(), keeper_.cost(), {{a.get(), tokens, 0, 0}}).merge && keeper_.can_merge(*a);
}

weights compute::weights_for(const adapter_ptr& a, bool merge, int32_t tokens, const cancel_check& cancel) {
  weights w;
  w.m = &graph_.m();
  if (!a || a->is_base()) return w;
  if (merge) {
    w.merged = keeper_.merged(a, cancel);
  } else {
    w.adapters = {a.get()};
    w.row_adapter.assign(size_t(tokens), 0);
  }
  return w;
}

// Items of one adapter go together when it is merged; otherwise all rows share batches, each with its own scale.
void compute::score(const std::vector<score_item>& items, adapter_mode mode, std::vector<std::vector<std::vector<float>>>& out,
                    const cancel_check& cancel) {
  const model& m = graph_.m();
  auto& d = *graph_.dev();
  out.assign(items.size(), {});
  std::vector<const adapter*> seen;
  std::vector<double> tokens_of;
  std::vector<int> adapter_index(items.size(), -1);
  for (size_t i = 0; i < items.size(); i++) {
    size_t longest = 0, all = items[i].tokens.size();
    for (auto& c : items[i].continuations) {
      check_tokens(c, 1);
      longest = std::max(longest, c.size());
      all += c.size();
      out[i].emplace_back(c.size());
    }
    check_tokens(items[i].tokens, items[i].tokens.size() + longest);
    const adapter* a = items[i].use && !items[i].use->is_base() ? items[i].use.get() : nullptr;
    if (!a) continue;
    auto f = std::find(seen.begin(), seen.end(), a);
    adapter_index[i] = int(f - seen.begin());
    if (f == seen.end()) {
      seen.push_back(a);
      tokens_of.push_back(0);
    }
    tokens_of[size_t(adapter_index[i])] += double(all);
  }
  std::vector<planned_group> groups;
  for (size_t a = 0; a < seen.size(); a++) groups.push_back({seen[a], tokens_of[a], 0, 0});
  bool merge = mode == adapter_mode::merged;
  if (mode == adapter_mode::automatic && !deterministic_ && !seen.empty())
    merge =
        (seen.size() == 1 && keeper_.merged_now() == seen[0]) ||
        (plan(m, keeper_.cost(), groups).merge && std::all_of(seen.begin(), seen.end(), [&](auto* a) { return keeper_.can_merge(*a); }));

  // which items run together
  std::vector<std::vector<int>> sets;
  if (merge) {
    sets.resize(seen.size() + 1);
    for (size_t i = 0; i < items.size(); i++) sets[size_t(adapter_index[i] + 1)].push_back(int(i));
  } else {
    sets.resize(1);
    for (size_t i = 0; i < items.size(); i++) sets[0].push_back(int(i));
  }
  for (auto& set : sets) {
    if (set.empty()) continue;
    auto tokens = [&](int g) -> const std::vector<int32_t>& { return items[size_t(set[size_t(g)])].tokens; };
    auto completion = [&](int g, int c) -> const std::vector<int32_t>& { return items[size_t(set[size_t(g)])].continuations[size_t(c)]; };
    auto count = [&](int g) { return int(items[size_t(set[size_t(g)])].continuations.size()); };
    for (auto& part : cut(int(set.size()), 1024, tokens, count, completion)) {
      cancel();
      packed_groups p = pack(part, tokens, completion);
      const score_item& first = items[size_t(set[size_t(part[0].group)])];
      weights w = merge ? weights_for(first.use, true, p.in.count(), cancel) : weights_for(nullptr, false, 0, cancel);
      if (!merge && !seen.empty()) {
        w.adapters = seen;
        for (int32_t g : p.token_group) w.row_adapter.push_back(adapter_index[size_t(set[size_t(g)])]);
        if (!deterministic_ && mode == adapter_mode::automatic) w.allow_replacement();
      }
      std::vector<int32_t> rows, targets;
      for (auto& r : p.rows) {
        rows.push_back(r.row);
        targets.push_back(r.target);
      }
      if (rows.empty()) continue;
      p.in.outputs = rows;
      const float* x = graph_.forward(p.in, w, p.packed_kv(m.kv_size()), nullptr, false, cancel);
      buffer hidden(graph_.dev(), rows.size() * size_t(m.spec.hidden) * 4);
      graph_.final_norm(x, int32_t(rows.size()), hidden.floats());
      std::vector<float> logprob(rows.size());
      t2_loss l{};
      l.hidden = hidden.floats();
      l.head = m.head;
      l.target = targets.data();
      l.n = int(rows.size());
      l.logprob = logprob.data();
      int status = d.table->loss(d.context, &l);
      if (status == T2_ERROR_CANCELLED) cancel();
      check(d, status);
      size_t at = 0;
      for (size_t i = 0; i < p.rows.size();) {
        auto& r = p.rows[i];
        auto& into = out[size_t(set[size_t(r.group)])][size_t(r.completion)];
        for (at = 0; at < into.size(); at++) into[at] = logprob[i++];
      }
    }
  }
}

void compute::logits(const std::vector<std::vector<int32_t>>& sequences, const adapter_ptr& use, adapter_mode mode,
                     std::vector<std::vector<float>>& out, const cancel_check& cancel) {
  const model& m = graph_.m();
  auto& d = *graph_.dev();
  out.assign(sequences.size(), {});
  double all = 0;
  for (auto& s : sequences) {
    check_tokens(s, s.size());
    all += double(s.size());
  }
  bool merge = merges(use, mode, all);
  static const std::vector<int32_t> none;
  for (size_t i = 0; i < sequences.size(); i++) {
    packed_groups p = pack(
        {{int(i), 0, 0}}, [&](int g) -> const std::vector<int32_t>& { return sequences[size_t(g)]; },
        [&](int, int) -> const std::vector<int32_t>& { return none; });
    weights w = weights_for(use, merge, p.in.count(), cancel);
    const float* x = graph_.forward(p.in, w, p.packed_kv(m.kv_size()), nullptr, false, cancel);
    out[i].resize(sequences[i].size() * size_t(m.spec.vocabulary));
    constexpr int width = 64;
    for (int b = 0; b < p.in.count(); b += width) {
      cancel();
      int n = std::min(width, p.in.count() - b);
      size_t h = size_t(m.spec.hidden), wide = size_t(n) * size_t(m.spec.vocabulary) * 4;
      buffer hidden(graph_.dev(), size_t(n) * h * 4), y(graph_.dev(), wide);
      graph_.final_norm(x + size_t(b) * h, n, hidden.floats());
      t2_linear item{m.head, y.floats(), m.spec.vocabulary, nullptr, 0};
      int status = d.table->linear(d.context, hidden.floats(), m.spec.hidden, n, &item, 1);
      if (status == T2_ERROR_CANCELLED) cancel();
      check(d, status);
      check(d, d.table->download(d.context, out[i].data() + size_t(b) * size_t(m.spec.vocabulary), y.data(), wide));
    }
  }
}

namespace {

/// The activations of one micro-batch: every layer's, or only their inputs and one layer's scratch.
struct activations {
  std::vector<saved_layer> layers;
  saved_layer scratch;
  std::vector<buffer> memory;
  int64_t bytes = 0;

  activations(const device_ptr& d, const model& m, int32_t n, bool checkpoint) : layers(size_t(m.spec.layers)) {
    auto take = [&](int64_t per_token) {
      memory.emplace_back(d, size_t(n) * size_t(per_token) * 4);
      bytes += int64_t(memory.back().bytes());
      return memory.back().floats();
    };
    auto fill = [&](saved_layer& l, bool input) {
      if (input) l.x0 = take(m.spec.hidden);
      l.q = take(m.q_size());
      l.k = take(m.kv_size());
      l.v = take(m.kv_size());
      l.attention = take(m.q_size());
      l.lse = take(m.spec.heads);
      l.x1 = take(m.spec.hidden);
      l.gate = take(m.spec.intermediate);
      l.up = take(m.spec.intermediate);
    };
    for (auto& l : layers) {
      if (checkpoint) l.x0 = take(m.spec.hidden);
      else fill(l, true);
    }
    if (checkpoint) fill(scratch, false);
  }
};

/// Bytes that a micro-batch's activations may take: what was asked for, but no more than half of what a device has left.
int64_t activation_room(const device& d, int64_t wish) {
  if (!wish) wish = int64_t(1) << 30;
  if (d.table->host_memory) return wish;
  int64_t available = 0, total = 0;
  check(d, d.table->memory(d.context, &available, &total));
  return std::min(wish, available / 2);
}

}  // namespace

void compute::gradients(const gradient_request& r, gradient_result& out, const cancel_check& cancel, const progress_fn& progress) {
  const model& m = graph_.m();
  auto& d = *graph_.dev();
  double all = 0;
  out.logprobs.resize(r.groups.size());
  for (size_t g = 0; g < r.groups.size(); g++) {
    auto& group = r.groups[g];
    size_t longest = 0;
    all += double(group.tokens.size());
    for (auto& c : group.completions) {
      check_tokens(c, 1);
      longest = std::max(longest, c.size());
      all += double(c.size());
      out.logprobs[g].emplace_back(c.size());
    }
    check_tokens(group.tokens, group.tokens.size() + longest);
    if (group.weights.size() != group.completions.size())
      throw error("ERR_T2_INVALID_OPTION", "weights must have one number per completion.");
  }
  // the sums of all wanted matrices in one device vector, each at a place of its own
  std::vector<int64_t> place(m.matrices.size(), -1);
  int64_t doubles = 0;
  for (auto& name : r.names) {
    int i = m.require(name);
    if (!m.matrices[size_t(i)].factored)
      throw error("ERR_T2_INVALID_OPTION", "Matrix " + name + " has no factors attached: decompose the model first.");
    if (place[size_t(i)] >= 0) continue;
    place[size_t(i)] = doubles;
    doubles += (m.matrices[size_t(i)].rank() + 7) / 8 * 8;
  }
  buffer sums(graph_.dev(), size_t(doubles) * 8);
  check(d, d.table->zero(d.context, sums.data(), size_t(doubles) * 8));
  std::vector<double*> wanted(m.matrices.size(), nullptr);
  for (size_t i = 0; i < place.size(); i++)
    if (place[i] >= 0) wanted[i] = static_cast<double*>(sums.data()) + place[i];
  bool merge = merges(r.use, r.mode, all * 3);
  out.mode = !r.use || r.use->is_base() ? "base" : merge ? "merged" : "factored";

  int64_t per_token = saved_floats(m) * m.spec.layers * 4;
  int64_t budget = std::max<int64_t>(1, activation_room(d, r.activation_bytes) / per_token);
  auto tokens = [&](int g) -> const std::vector<int32_t>& { return r.groups[size_t(g)].tokens; };
  auto completion = [&](int g, int c) -> const std::vector<int32_t>& { return r.groups[size_t(g)].completions[size_t(c)]; };
  auto count = [&](int g) { return int(r.groups[size_t(g)].completions.size()); };
  auto parts = cut(int(r.groups.size()), budget, tokens, count, completion);
  int64_t done = 0;
  for (auto& part : parts) {
    cancel();
    packed_groups p = pack(part, tokens, completion);
    int32_t n = p.in.count();
    std::vector<int32_t> rows, targets;
    std::vector<float> weight, kl_weight;
    for (auto& x : p.rows) {
      rows.push_back(x.row);
      targets.push_back(x.target);
      weight.push_back(r.groups[size_t(x.group)].weights[size_t(x.completion)]);
      kl_weight.push_back(r.kl_weight);
    }
    if (rows.empty()) continue;
    bool checkpoint = n > budget;
    out.checkpointed = out.checkpointed || checkpoint;
    int h = m.spec.hidden;
    size_t bytes = rows.size() * size_t(h) * 4;
    buffer hidden(graph_.dev(), bytes), reference, dhidden(graph_.dev(), bytes);
    p.in.outputs = rows;
    kv_source kv = p.packed_kv(m.kv_size());
    if (r.kl_weight != 0) {  // the reference is the same engine with pristine weights
      reference = buffer(graph_.dev(), bytes);
      const float* x = graph_.forward(p.in, weights_for(nullptr, false, n, cancel), kv, nullptr, false, cancel);
      graph_.final_norm(x, int32_t(rows.size()), reference.floats());
    }
    activations a(graph_.dev(), m, n, checkpoint);
    weights w = weights_for(r.use, merge, n, cancel);
    const float* x = graph_.forward(p.in, w, kv, &a.layers, checkpoint, cancel);
    graph_.final_norm(x, int32_t(rows.size()), hidden.floats());
    std::vector<float> logprob(rows.size());
    std::vector<double> kl(rows.size());
    t2_loss l{};
    l.hidden = hidden.floats();
    l.reference = r.kl_weight != 0 ? reference.floats() : nullptr;
    l.head = m.head;
    l.target = targets.data();
    l.weight = weight.data();
    l.kl_weight = r.kl_weight != 0 ? kl_weight.data() : nullptr;
    l.kl_direction = r.kl_direction;
    l.n = int(rows.size());
    l.dhidden = dhidden.floats();
    l.logprob = logprob.data();
    l.kl = kl.data();
    int status = d.table->loss(d.context, &l);
    if (status == T2_ERROR_CANCELLED) cancel();
    check(d, status);
    for (size_t i = 0; i < p.rows.size();) {
      auto& into = out.logprobs[size_t(p.rows[i].group)][size_t(p.rows[i].completion)];
      for (size_t j = 0; j < into.size(); j++, i++) {
        into[j] = logprob[i];
        out.loss -= double(weight[i]) * logprob[i];
        if (r.kl_weight != 0) out.kl += kl[i];
      }
    }
    // through the final norm, back to the rows of the batch
    buffer dx(graph_.dev(), size_t(n) * size_t(h) * 4), dgathered(graph_.dev(), bytes);
    check(d, d.table->zero(d.context, dgathered.data(), bytes));
    check(d, d.table->rms_norm_backward(d.context, x, m.final_norm, dhidden.floats(), int(rows.size()), h, m.spec.rms_eps,
                                        dgathered.floats()));
    check(d, d.table->zero(d.context, dx.data(), size_t(n) * size_t(h) * 4));
    check(d, d.table->scatter_add_rows(d.context, dgathered.floats(), h, rows.data(), int(rows.size()), dx.floats()));
    out.peak_bytes = std::max(out.peak_bytes, a.bytes + int64_t(graph_.work().bytes()) + int64_t(bytes) * 4);
    graph_.backward(p.in, w, kv, a.layers, checkpoint, a.scratch, dx.floats(), wanted, cancel);
    out.peak_bytes = std::max(out.peak_bytes, a.bytes + int64_t(graph_.work().bytes()) + int64_t(bytes) * 4);
    out.micro_batches++;
    if (progress) progress(++done, int64_t(parts.size()), "micro-batch");
  }
  std::vector<double> host(size_t(doubles), 0.);
  check(d, d.table->download(d.context, host.data(), sums.data(), host.size() * 8));
  for (auto& name : r.names) {
    int i = m.require(name);
    const matrix& of = m.matrices[size_t(i)];
    std::vector<float> z(of.sigma.size());
    for (size_t j = 0; j < z.size(); j++) z[j] = float(double(of.sigma[j]) * host[size_t(place[size_t(i)]) + j]);
    out.vectors[name] = std::move(z);
  }
  graph_.work().clear();
}

}  // namespace t2
