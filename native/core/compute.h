// Work over whole sequences without a cache: scores, logits, gradients. Engine thread only.
#pragma once
#include "scheduler.h"

namespace t2 {

class compute {
 public:
  compute(graph& g, weight_keeper& keeper, bool deterministic) : graph_(g), keeper_(keeper), deterministic_(deterministic) {}

  void score(const std::vector<score_item>& items, adapter_mode mode, std::vector<std::vector<std::vector<float>>>& out,
             const cancel_check& cancel);
  void logits(const std::vector<std::vector<int32_t>>& sequences, const adapter_ptr& use, adapter_mode mode,
              std::vector<std::vector<float>>& out, const cancel_check& cancel);
  void gradients(const gradient_request& r, gradient_result& out, const cancel_check& cancel, const progress_fn& progress);

 private:
  bool merges(const adapter_ptr& a, adapter_mode mode, double tokens);
  weights weights_for(const adapter_ptr& a, bool merge, int32_t tokens, const cancel_check& cancel);
  void check_tokens(const std::vector<int32_t>& tokens, size_t context_needed) const;

  graph& graph_;
  weight_keeper& keeper_;
  bool deterministic_;
};

}  // namespace t2
