#include "step.h"

#include <algorithm>

namespace t2 {
namespace {

// Row counts that steps are recorded for. Neighbours are less than a cache block apart, so one block holds all that are only filling.
constexpr int buckets[] = {1, 2, 4, 8, 16, 32, 64, 96, 128};
static_assert(kv_cache::block_tokens >= 32);

/// Between graph_begin and graph_end. Left by an exception, it ends the recording, whatever comes of it.
class recording {
 public:
  recording(const device& d, uint64_t key) : device_(d) { check(d, d.table->graph_begin(d.context, key)); }
  recording(const recording&) = delete;
  ~recording() {
    if (open_) device_.table->graph_end(device_.context);
  }
  int end() {
    open_ = false;
    return device_.table->graph_end(device_.context);
  }

 private:
  const device& device_;
  bool open_ = true;
};

}  // namespace

step_runner::packed step_runner::pack(const step_request& r) const {
  packed p;
  p.w.m = &graph_.m();
  p.w.merged = r.merged;
  p.draws = r.draws;
  p.logprobs = r.logprobs;
  int64_t size = graph_.m().kv_size();
  for (auto& row : r.rows) {
    int end = row.position + row.count, blocks = (end + kv_cache::block_tokens - 1) / kv_cache::block_tokens;
    p.in.sequences.push_back({p.in.count(), row.count, row.position, int32_t(p.view.segments.size()), blocks, 0});
    int32_t index = -1;
    if (row.use && !r.merged) {
      auto known = std::find(p.w.adapters.begin(), p.w.adapters.end(), row.use);
      index = int32_t(known - p.w.adapters.begin());
      if (known == p.w.adapters.end()) p.w.adapters.push_back(row.use);
    }
    for (int b = 0; b < blocks; b++) {
      int id = (*row.blocks)[size_t(b)], held = std::min(kv_cache::block_tokens, end - b * kv_cache::block_tokens);
      p.view.segments.push_back({kv_.k(id, 0), kv_.v(id, 0), nullptr, nullptr, held});
    }
    for (int j = 0; j < row.count; j++) {
      int at = row.position + j, id = (*row.blocks)[size_t(at / kv_cache::block_tokens)];
      p.in.tokens.push_back(row.tokens[j]);
      p.in.positions.push_back(at);
      p.w.row_adapter.push_back(index);
      p.view.k_rows.push_back(kv_.k(id, 0) + at % kv_cache::block_tokens * size);
      p.view.v_rows.push_back(kv_.v(id, 0) + at % kv_cache::block_tokens * size);
    }
  }
  if (r.free && !deterministic_) p.w.allow_replacement();
  return p;
}

/// Rows of the recorded shape for this step, 0 where it is none to record.
int step_runner::bucket(const step_request& r) const {
  auto* t = graph_.dev()->table;
  if (!t->graph_begin || deterministic_ || r.draws.size() != r.rows.size()) return 0;
  for (size_t i = 0; i < r.rows.size(); i++) {
    bool steady = r.rows[i].count == 1 && r.draws[i].token == int32_t(i) && !r.draws[i].how.seen;
    // factors that come and go have no fixed address
    if (!steady || (r.rows[i].use && !r.merged && !graph_.m().factors_stay())) return 0;
  }
  auto fits = std::find_if(std::begin(buckets), std::end(buckets), [&](int b) { return size_t(b) >= r.rows.size(); });
  return fits == std::end(buckets) ? 0 : *fits;
}

// Rows of token 0 at position 0, each in a place of its own, and segments that no sequence names: what varies from step to step keeps its
// size, and with it every address of the recording.
void step_runner::pad(packed& p, int bucket) {
  int64_t size = graph_.m().kv_size();
  if (!idle_.data()) idle_ = buffer(graph_.dev(), size_t(kv_.block_bytes()));
  float *k = idle_.floats(), *v = k + kv_.layer_floats() / 2;
  for (int64_t i = 0; p.in.count() < bucket; i++, k += size, v += size) {
    p.in.sequences.push_back({p.in.count(), 1, 0, int32_t(p.view.segments.size()), 1, 0});
    p.view.segments.push_back({k, v, nullptr, nullptr, 1});
    p.in.tokens.push_back(0);
    p.in.positions.push_back(0);
    p.w.row_adapter.push_back(p.w.replace ? 0 : -1);
    p.view.k_rows.push_back(k);
    p.view.v_rows.push_back(v);
    step_draw greedy{p.in.count() - 1, {}};
    greedy.how.top_p = greedy.how.repetition_penalty = 1;
    p.draws.push_back(greedy);
  }
  size_t room = 16;
  while (room < p.view.segments.size()) room *= 2;
  p.view.segments.resize(room, t2_segment{});
}

uint64_t step_runner::key(const packed& p) const {
  uint64_t h = 0xcbf29ce484222325ull;  // FNV-1a, a number at a time
  for (uint64_t part : {uint64_t(p.in.count()), uint64_t(p.view.segments.size()), uint64_t(p.w.adapters.size()),
                        uint64_t(p.w.merged != nullptr), uint64_t(p.w.replace), uint64_t(p.logprobs)})
    h = (h ^ part) * 0x100000001b3ull;
  return h;
}

/// False: the device dropped the recording of another course of calls, and nothing has run.
bool step_runner::replay(packed& p, const cancel_check& cancel) {
  auto& d = *graph_.dev();
  recording r(d, key(p));
  pass(p, p.draws.size(), cancel);
  int status = r.end();
  if (status == T2_RETRY) return false;
  check(d, status);
  return true;
}

void step_runner::pass(packed& p, size_t width, const cancel_check& cancel) {
  const model& m = graph_.m();
  auto& d = *graph_.dev();
  kv_source cache = [&](int layer, const float*, const float*, float*, float*) -> const kv_view& {
    p.view.offset = layer * kv_.layer_floats();
    return p.view;
  };
  std::vector<int32_t> drawn;
  for (auto& draw : p.draws) drawn.push_back(draw.token);
  bool every = drawn.size() == size_t(p.in.count());
  for (size_t i = 0; every && i < drawn.size(); i++) every = drawn[i] == int32_t(i);
  if (!every) p.in.outputs = std::move(drawn);
  const float* x = graph_.forward(p.in, p.w, cache, nullptr, false, cancel);
  ids_.resize(p.draws.size());
  logprobs_.resize(p.draws.size());
  size_t most = std::min(width, p.draws.size());
  float* hidden = graph_.work().take(most * size_t(m.spec.hidden));
  float* logits = graph_.work().take(most * size_t(m.spec.vocabulary));
  auto ok = [&](int status) {
    if (status == T2_ERROR_CANCELLED) cancel();
    check(d, status);
  };
  for (size_t b = 0; b < p.draws.size(); b += width) {
    size_t n = std::min(width, p.draws.size() - b);
    std::vector<t2_sample_row> how;
    for (size_t i = b; i < b + n; i++) how.push_back(p.draws[i].how);
    graph_.final_norm(x + b * size_t(m.spec.hidden), int32_t(n), hidden);
    t2_linear item{m.head, logits, m.spec.vocabulary, nullptr, 0};
    ok(d.table->linear(d.context, hidden, m.spec.hidden, int(n), &item, 1));
    ok(d.table->sample(d.context, logits, int(n), m.spec.vocabulary, how.data(), ids_.data() + b,
                       p.logprobs ? logprobs_.data() + b : nullptr));
  }
}

void step_runner::run(const step_request& r, const cancel_check& cancel) {
  packed p = pack(r);
  for (const adapter* a : p.w.adapters) a->bring();
  if (int rows = bucket(r)) {
    packed padded = p;
    pad(padded, rows);
    if (replay(padded, cancel) || replay(padded, cancel)) return;
  }
  constexpr size_t width = 64;  // rows of logits that are held at once
  pass(p, width, cancel);
}

}  // namespace t2
