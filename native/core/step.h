// One step of generation: new tokens of cached sequences through the model, and draws of what follows. On devices with graphs a step in
// which every sequence has one token is recorded once per shape and then replayed. Engine thread only.
#pragma once
#include "forward.h"
#include "kv_cache.h"

namespace t2 {

/// A sequence that takes part: `count` tokens from `position`, the blocks that hold it all.
struct step_row {
  const int32_t* tokens;
  int32_t count, position;
  const std::vector<int>* blocks;
  const adapter* use;  // null: base, or what is merged
};

struct step_draw {
  int32_t token;  // of the packed batch: whose hidden state is drawn from
  t2_sample_row how;
};

struct step_request {
  std::vector<step_row> rows;
  std::vector<step_draw> draws;
  const merged_weights* merged = nullptr;
  bool free = false;  // how adapters are applied is the planner's choice
  bool logprobs = false;
};

class step_runner {
 public:
  step_runner(graph& g, kv_cache& kv, bool deterministic) : graph_(g), kv_(kv), deterministic_(deterministic) {}

  /// Tokens (and log-probs when asked for), one per draw. Whatever it throws, it may be run again.
  void run(const step_request& r, const cancel_check& cancel);
  const std::vector<int32_t>& ids() const { return ids_; }
  const std::vector<float>& logprobs() const { return logprobs_; }

 private:
  struct packed {
    batch in;
    weights w;
    kv_view view;
    std::vector<step_draw> draws;
    bool logprobs = false;
  };
  packed pack(const step_request& r) const;
  int bucket(const step_request& r) const;
  void pad(packed& p, int bucket);
  uint64_t key(const packed& p) const;
  bool replay(packed& p, const cancel_check& cancel);
  void pass(packed& p, size_t width, const cancel_check& cancel);

  graph& graph_;
  kv_cache& kv_;
  bool deterministic_;
  buffer idle_;  // the cache block of rows that only fill a recorded shape
  std::vector<int32_t> ids_;
  std::vector<float> logprobs_;
};

}  // namespace t2
