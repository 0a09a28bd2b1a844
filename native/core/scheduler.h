// Continuous batching: rows join when there is room, every step runs one token of each decoding row and a chunk of prompts, rows leave when
// they end. Samples of one prompt share its blocks. Engine thread only; `cancel` is queued by the engine.
#pragma once
#include <deque>
#include <list>
#include <memory>

#include "step.h"

namespace t2 {

/// What the scheduler needs from the engine: merged weights on demand and the machine's speeds.
struct weight_keeper {
  virtual ~weight_keeper() = default;
  /// The merged weights of `a`, made now if they are not there.
  virtual const merged_weights* merged(const adapter_ptr& a, const cancel_check& cancel) = 0;
  virtual const adapter* merged_now() const = 0;
  virtual const cost_model& cost() = 0;
  /// Whether the device has room for an adapter's merged weights, in place of those that are there.
  virtual bool can_merge(const adapter& a) = 0;
};

typedef std::function<void(std::vector<generate_event>&&)> events_fn;
typedef std::function<void(std::exception_ptr, const generate_stats&)> call_done_fn;

class scheduler {
 public:
  scheduler(graph& g, weight_keeper& keeper, bool deterministic, int64_t kv_bytes)
      : graph_(g), keeper_(keeper), deterministic_(deterministic), kv_(g.dev(), g.m(), kv_bytes), runner_(g, kv_, deterministic) {}

  /// Throws ERR_T2_INVALID_PROMPT / ERR_T2_PROMPT_TOO_LONG before anything is queued. `stop`, or null: fired, from any thread, before
  /// `cancel` for the whole call is queued; a step that runs for this call alone then ends at its next tile.
  void add(int64_t id, std::vector<generate_row> rows, adapter_mode mode, events_fn on_events, call_done_fn on_done, cancel_ptr stop);
  void cancel(int64_t id, int row, int sample);
  bool busy() const { return !active_.empty() || !waiting_.empty(); }
  /// One step. Errors end the calls that take part in it.
  void step(const cancel_check& closing);
  /// Ends every call with the error.
  void fail_all(std::exception_ptr why);
  int64_t kv_bytes() const { return kv_.bytes(); }

 private:
  struct call {
    int64_t id;
    std::vector<generate_row> rows;
    events_fn on_events;
    call_done_fn on_done;
    cancel_ptr stop;
    generate_stats stats;
    int running = 0;  // samples not yet ended
    bool ended = false;
    bool automatic = false;
    bool merge = false;
    std::vector<generate_event> events;
  };
  typedef std::shared_ptr<call> call_ptr;
  struct sample {
    call_ptr of;
    int row, index;
    std::vector<int32_t> tokens;  // prompt and what was written
    int prompt = 0, cached = 0, written = 0;
    int spawn = 0;  // samples to make from this prompt once it has run
    bool ended = false;
    bool merge = false;  // wants merged weights of its adapter
    std::vector<int> blocks;
    std::vector<int32_t> fresh;  // written since the last event
    std::vector<float> fresh_logprobs;
    const generate_row& request() const { return of->rows[size_t(row)]; }
    const adapter* use() const { return request().use.get() && !request().use->is_base() ? request().use.get() : nullptr; }
    const adapter* exclusive() const { return merge ? use() : nullptr; }
  };
  typedef std::unique_ptr<sample> sample_ptr;
  struct planned {
    sample* s;
    int count;
    bool ends;  // its last token's logits are wanted
  };

  bool decide_merge(const call& c);
  void admit();
  void settle_conflicts();
  bool make_room(sample* for_sample, int tokens);
  void release(sample& s);
  void preempt(size_t index);
  void conclude(sample& s, finish why);
  void flush(const call_ptr& c);
  void end(const call_ptr& c, std::exception_ptr why);
  std::vector<planned> plan_step();
  /// What the device looks at between tiles.
  void watch(const cancel_check& check);
  void sibling(const sample& from, int index, int32_t token, float logprob, std::vector<sample_ptr>& born);
  void take(sample& s, int32_t token, float logprob);
  /// One draw per sample: a prompt that has just run gives the first token of all its samples from the same row.
  struct draw_of {
    sample* s;
    int index;
  };
  step_request request(const std::vector<planned>& plan, std::vector<draw_of>& draws) const;
  void hand_out(const std::vector<draw_of>& draws, std::vector<sample_ptr>& born);

  static constexpr int chunk = 512;        // prompt tokens of one step
  static constexpr int most_active = 512;  // rows of one step

  graph& graph_;
  weight_keeper& keeper_;
  bool deterministic_;
  kv_cache kv_;
  step_runner runner_;
  std::deque<sample_ptr> waiting_;
  std::vector<sample_ptr> active_;
  std::vector<call_ptr> calls_;
};

}  // namespace t2
