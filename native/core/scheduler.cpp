#include "scheduler.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace t2 {

void scheduler::add(int64_t id, std::vector<generate_row> rows, adapter_mode mode, events_fn on_events, call_done_fn on_done,
                    cancel_ptr stop) {
  const model_spec& spec = graph_.m().spec;
  for (auto& r : rows) {
    if (r.tokens.empty()) throw error("ERR_T2_INVALID_PROMPT", "A prompt has no tokens.");
    for (int32_t t : r.tokens)
      if (t < 0 || t >= spec.vocabulary) throw error("ERR_T2_INVALID_PROMPT", "Token " + std::to_string(t) + " is not in the vocabulary.");
    if (int64_t(r.tokens.size()) + r.max_tokens > spec.context)
      throw error("ERR_T2_PROMPT_TOO_LONG",
                  "Prompt of " + std::to_string(r.tokens.size()) + " tokens and " + std::to_string(r.max_tokens) +
                      " to write do not fit the context of " + std::to_string(spec.context) + ".",
                  "{\"promptTokens\":" + std::to_string(r.tokens.size()) + ",\"maxTokens\":" + std::to_string(r.max_tokens) +
                      ",\"contextLength\":" + std::to_string(spec.context) + "}");
  }
  auto c = std::make_shared<call>();
  c->id = id;
  c->rows = std::move(rows);
  c->on_events = std::move(on_events);
  c->on_done = std::move(on_done);
  c->stop = std::move(stop);
  c->automatic = mode == adapter_mode::automatic;
  c->merge = mode == adapter_mode::merged || (c->automatic && decide_merge(*c));
  bool any = false;
  for (auto& r : c->rows) any = any || (r.use && !r.use->is_base());
  c->stats.mode = !any ? "base" : c->merge ? "merged" : "factored";
  calls_.push_back(c);
  for (size_t i = 0; i < c->rows.size(); i++) {
    generate_row& r = c->rows[i];
    c->stats.prompt_tokens += int64_t(r.tokens.size());
    c->running += r.n;
    auto s = std::make_unique<sample>();
    s->of = c;
    s->row = int(i);
    s->index = 0;
    s->tokens = r.tokens;
    s->prompt = int(r.tokens.size());
    s->spawn = r.n - 1;
    s->merge = c->merge;
    if (r.max_tokens <= 0) {
      for (int j = 0; j < r.n; j++) {
        s->index = j;
        conclude(*s, finish::length);
      }
      continue;
    }
    waiting_.push_back(std::move(s));
  }
  flush(c);
  if (c->stop && c->stop->fired()) cancel(id, -1, -1);  // its cancel overtook it in the queue
}

bool scheduler::decide_merge(const call& c) {
  if (deterministic_) return false;
  std::vector<planned_group> groups;
  for (auto& r : c.rows) {
    const adapter* a = r.use && !r.use->is_base() ? r.use.get() : nullptr;
    auto g = std::find_if(groups.begin(), groups.end(), [&](auto& x) { return x.of == a; });
    if (g == groups.end()) g = groups.insert(groups.end(), planned_group{a});
    g->prefill_tokens += double(r.tokens.size());
    g->decode_rows += r.n;
    g->decode_steps = std::max(g->decode_steps, r.max_tokens * .5);  // most answers end before their limit
  }
  if (groups.size() == 1 && groups[0].of == nullptr) return false;
  if (groups.size() == 1 && groups[0].of == keeper_.merged_now()) return true;
  auto fits = [&](auto& g) { return !g.of || keeper_.can_merge(*g.of); };
  return plan(graph_.m(), keeper_.cost(), groups).merge && std::all_of(groups.begin(), groups.end(), fits);
}

void scheduler::cancel(int64_t id, int row, int index) {
  auto drop = [&](auto& list) {
    for (size_t i = 0; i < list.size();) {
      sample& s = *list[i];
      // a prompt that has not run yet stands for all its samples: it goes only when all are meant
      bool hit = s.of->id == id && (row < 0 || (s.row == row && (index < 0 || (s.index == index && s.spawn == 0))));
      if (!hit) {
        i++;
        continue;
      }
      call_ptr c = s.of;
      for (int j = 0; j <= s.spawn; j++) {
        conclude(s, finish::aborted);
        s.index++;
      }
      release(s);
      list.erase(list.begin() + long(i));
      flush(c);
    }
  };
  drop(waiting_);
  drop(active_);
}

void scheduler::release(sample& s) {
  for (int b : s.blocks) kv_.release(b);
  s.blocks.clear();
  s.cached = 0;
}

void scheduler::conclude(sample& s, finish why) {
  s.of->events.push_back({s.row, s.index, std::move(s.fresh), std::move(s.fresh_logprobs), why});
  s.fresh.clear();
  s.fresh_logprobs.clear();
  s.of->running--;
}

void scheduler::flush(const call_ptr& c) {
  if (c->ended) return;
  if (!c->events.empty()) {
    auto events = std::move(c->events);
    c->events.clear();
    c->on_events(std::move(events));
  }
  if (c->running == 0) end(c, nullptr);
}

void scheduler::end(const call_ptr& c, std::exception_ptr why) {
  if (c->ended) return;
  c->ended = true;
  calls_.erase(std::remove(calls_.begin(), calls_.end(), c), calls_.end());
  c->on_done(why, c->stats);
}

void scheduler::fail_all(std::exception_ptr why) {
  for (auto& s : active_) release(*s);
  active_.clear();
  waiting_.clear();
  auto calls = calls_;
  for (auto& c : calls) end(c, why);
}

// Steps run with one set of weights: pristine (base and factored rows together) or merged for one adapter. Calls that were to be merged by
// our own choice give way when rows of other calls need other weights; within one call the sets are run one after another.
void scheduler::settle_conflicts() {
  std::set<const adapter*> sets;
  std::set<const call*> calls;
  auto look = [&](const sample& s) {
    sets.insert(s.exclusive());
    calls.insert(s.of.get());
  };
  for (auto& s : active_) look(*s);
  for (auto& s : waiting_) look(*s);
  if (sets.size() < 2 || calls.size() < 2) return;
  auto give_way = [&](sample& s) {
    if (!s.merge || !s.of->automatic) return;
    s.merge = false;
    s.of->stats.mode = "factored";
  };
  for (auto& s : active_) give_way(*s);
  for (auto& s : waiting_) give_way(*s);
}

void scheduler::admit() {
  settle_conflicts();
  if (waiting_.empty()) return;
  if (active_.empty()) kv_.settle_cap();
  const adapter* set = active_.empty() ? waiting_.front()->exclusive() : active_.front()->exclusive();
  int64_t promised = 0;  // blocks that rows admitted now will need for their prompts
  for (size_t i = 0; i < waiting_.size() && active_.size() < most_active;) {
    sample& s = *waiting_[i];
    if (s.exclusive() != set) {
      i++;
      continue;
    }
    int64_t need = (int64_t(s.tokens.size()) + 1) / kv_cache::block_tokens + 1;
    if (promised + need > kv_.available()) {
      if (active_.empty())
        throw error("ERR_T2_OUT_OF_MEMORY",
                    "The KV cache cannot hold one prompt of " + std::to_string(s.tokens.size()) + " tokens within maxMemory.",
                    "{\"blocksNeeded\":" + std::to_string(need) + ",\"blockBytes\":" + std::to_string(kv_.block_bytes()) + "}");
      break;
    }
    promised += need;
    active_.push_back(std::move(waiting_[i]));
    waiting_.erase(waiting_.begin() + long(i));
  }
}

// The row starts again later from all its tokens: nothing but time is lost.
void scheduler::preempt(size_t index) {
  release(*active_[index]);
  waiting_.push_front(std::move(active_[index]));
  active_.erase(active_.begin() + long(index));
}

/// Blocks for `tokens` more positions; takes them from the youngest other rows when the cap is reached. False: the row itself must wait.
bool scheduler::make_room(sample* s, int tokens) {
  size_t need = size_t((s->cached + tokens + kv_cache::block_tokens - 1) / kv_cache::block_tokens);
  while (s->blocks.size() < need) {
    if (int id = kv_.acquire(); id >= 0) {
      s->blocks.push_back(id);
      continue;
    }
    if (active_.size() > 1 && active_.back().get() != s) {
      preempt(active_.size() - 1);
      continue;
    }
    if (active_.size() == 1) throw error("ERR_T2_OUT_OF_MEMORY", "The KV cache is at its cap with a single row running; raise maxMemory.");
    return false;
  }
  return true;
}

std::vector<scheduler::planned> scheduler::plan_step() {
  std::vector<planned> plan;
  int budget = chunk;
  for (size_t i = 0; i < active_.size(); i++) {
    sample* s = active_[i].get();
    int left = int(s->tokens.size()) - s->cached;
    int count = left == 1 ? 1 : std::min(left, budget);
    if (count <= 0) continue;
    if (!make_room(s, count)) {
      preempt(i);
      break;
    }
    if (left > 1) budget -= count;
    plan.push_back({s, count, count == left});
  }
  // a row planned early may have been preempted by a later one
  plan.erase(std::remove_if(
                 plan.begin(), plan.end(),
                 [&](const planned& p) { return std::none_of(active_.begin(), active_.end(), [&](auto& a) { return a.get() == p.s; }); }),
             plan.end());
  return plan;
}

void scheduler::watch(const cancel_check& check) {
  auto fired = [](void* data) -> int { return static_cast<const cancel_check*>(data)->fired(); };
  graph_.dev()->table->set_cancel(graph_.dev()->context, fired, const_cast<cancel_check*>(&check));
}

void scheduler::step(const cancel_check& closing) {
  try {
    admit();
  } catch (...) {
    call_ptr c = waiting_.front()->of;
    auto why = std::current_exception();
    for (size_t i = 0; i < waiting_.size();) {
      if (waiting_[i]->of == c) waiting_.erase(waiting_.begin() + long(i));
      else i++;
    }
    end(c, why);
    return;
  }
  if (active_.empty()) return;
  auto begin = std::chrono::steady_clock::now();
  std::vector<sample_ptr> born;
  std::vector<planned> plan;
  int64_t prompt_tokens = 0, decode_tokens = 0;
  cancel_check check = closing;
  bool running = false;  // the graph is: nothing has been advanced yet
  try {
    plan = plan_step();
    if (plan.empty()) return;
    const call_ptr& of = plan.front().s->of;
    if (std::all_of(plan.begin(), plan.end(), [&](auto& p) { return p.s->of == of; })) check.own = of->stop.get();
    const sample& first = *plan.front().s;
    bool same = std::all_of(plan.begin(), plan.end(), [&](auto& p) { return p.s->use() == first.use(); });
    bool use_merged = first.exclusive() != nullptr ||
                      (!deterministic_ && same && first.use() && keeper_.merged_now() == first.use() && first.of->automatic);
    for (auto& p : plan) (p.count > 1 || p.s->written == 0 ? prompt_tokens : decode_tokens) += p.count;
    std::vector<draw_of> draws;
    step_request r = request(plan, draws);
    r.free = std::all_of(plan.begin(), plan.end(), [](auto& p) { return p.s->of->automatic; });
    if (use_merged) r.merged = keeper_.merged(first.request().use, closing);
    running = true;
    watch(check);
    runner_.run(r, check);
    watch(closing);
    running = false;
    for (auto& p : plan) p.s->cached += p.count;
    hand_out(draws, born);
  } catch (...) {
    watch(closing);
    if (running && check.own && check.own->fired() && !closing.fired()) return;  // the queued cancel ends the rows
    // the step's calls end; others (waiting) go on
    auto why = std::current_exception();
    std::set<call_ptr> hit;
    for (auto& s : active_) hit.insert(s->of);
    auto drop = [&](auto& list) {
      for (size_t i = 0; i < list.size();) {
        if (hit.count(list[i]->of)) {
          release(*list[i]);
          list.erase(list.begin() + long(i));
        } else {
          i++;
        }
      }
    };
    for (auto& s : born) release(*s);
    drop(active_);
    drop(waiting_);
    for (auto& c : hit) end(c, why);
    return;
  }
  double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  double share = ms / double(prompt_tokens + decode_tokens);
  std::set<call_ptr> touched;
  for (auto& p : plan) {
    (p.count > 1 || p.s->written <= 1 ? p.s->of->stats.prefill_ms : p.s->of->stats.decode_ms) += share * p.count;
    touched.insert(p.s->of);
  }
  for (auto& b : born) active_.push_back(std::move(b));
  for (size_t i = 0; i < active_.size();) {
    if (active_[i]->ended) {
      release(*active_[i]);
      active_.erase(active_.begin() + long(i));
    } else {
      i++;
    }
  }
  for (auto& c : touched) flush(c);
  if (!busy()) kv_.trim();
}

step_request scheduler::request(const std::vector<planned>& plan, std::vector<draw_of>& draws) const {
  step_request r;
  int32_t at = 0;
  for (auto& p : plan) {
    sample& s = *p.s;
    r.rows.push_back({s.tokens.data() + s.cached, p.count, s.cached, &s.blocks, s.use()});
    at += p.count;
    if (!p.ends) continue;
    const generate_row& from = s.request();
    for (int j = 0; j <= s.spawn; j++) {
      t2_sample_row how{};
      how.temperature = from.temperature;
      how.top_p = from.top_p;
      how.min_p = from.min_p;
      how.repetition_penalty = from.repetition_penalty;
      how.top_k = from.top_k;
      how.seed = from.seed;
      how.sequence = from.sequence + uint64_t(s.index + j);
      how.position = int32_t(s.tokens.size());
      if (from.repetition_penalty != 1) {
        how.seen = s.tokens.data();
        how.seen_count = int32_t(s.tokens.size());
      }
      r.logprobs = r.logprobs || from.logprobs;
      r.draws.push_back({at - 1, how});
      draws.push_back({&s, s.index + j});
    }
  }
  return r;
}

void scheduler::hand_out(const std::vector<draw_of>& draws, std::vector<sample_ptr>& born) {
  const auto& ids = runner_.ids();
  const auto& logprobs = runner_.logprobs();
  for (size_t i = 0; i < draws.size(); i++)
    if (draws[i].index != draws[i].s->index) sibling(*draws[i].s, draws[i].index, ids[i], logprobs[i], born);
  // the row that ran the prompt goes on as the first sample, once nothing copies from it any more
  for (size_t i = 0; i < draws.size(); i++)
    if (draws[i].index == draws[i].s->index) {
      draws[i].s->spawn = 0;
      take(*draws[i].s, ids[i], logprobs[i]);
    }
}

void scheduler::sibling(const sample& from, int index, int32_t token, float logprob, std::vector<sample_ptr>& born) {
  auto s = std::make_unique<sample>();
  s->of = from.of;
  s->row = from.row;
  s->index = index;
  s->tokens = from.tokens;
  s->prompt = from.prompt;
  s->merge = from.merge;
  s->cached = from.cached;
  // full blocks are shared, the one that will be written to is copied
  for (size_t k = 0; k < from.blocks.size(); k++) {
    if (int(k + 1) * kv_cache::block_tokens <= s->cached) {
      kv_.retain(from.blocks[k]);
      s->blocks.push_back(from.blocks[k]);
    } else if (int copy = kv_.acquire(); copy >= 0) {
      kv_.copy(copy, from.blocks[k]);
      s->blocks.push_back(copy);
    } else {  // no room: this sample starts over later
      release(*s);
      break;
    }
  }
  take(*s, token, logprob);
  if (s->blocks.empty() && !s->ended) waiting_.push_front(std::move(s));
  else born.push_back(std::move(s));
}

void scheduler::take(sample& s, int32_t token, float logprob) {
  const generate_row& r = s.request();
  s.tokens.push_back(token);
  s.fresh.push_back(token);
  if (r.logprobs) s.fresh_logprobs.push_back(logprob);
  s.written++;
  s.of->stats.completion_tokens++;
  bool stop = std::find(r.stop_ids.begin(), r.stop_ids.end(), token) != r.stop_ids.end();
  if (stop || s.written >= r.max_tokens) {
    conclude(s, stop ? finish::stop : finish::length);
    s.ended = true;
  } else if (r.stream) {
    s.of->events.push_back({s.row, s.index, std::move(s.fresh), std::move(s.fresh_logprobs), finish::none});
    s.fresh.clear();
    s.fresh_logprobs.clear();
  }
}

}  // namespace t2
