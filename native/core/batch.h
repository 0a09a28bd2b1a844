// A packed batch: sequences one after another, no padding. Keys and values live either in a cache (blocks) or in buffers of the batch
// itself.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "weights.h"

namespace t2 {

struct batch {
  std::vector<int32_t> tokens, positions;
  std::vector<t2_sequence> sequences;  // segment_begin/count index what `segments` returns
  /// The tokens whose state behind the last layer is wanted, in any order, repeats allowed; nothing: all of them, in order.
  std::optional<std::vector<int32_t>> outputs;
  int32_t count() const { return int32_t(tokens.size()); }
};

/// Where the keys and values of one layer are read, and (cache only) where the batch's own rows are written first.
struct kv_view {
  std::vector<t2_segment> segments;
  std::vector<float*> k_rows, v_rows;  // per token; empty: attention reads the packed k and v directly
  int64_t offset = 0;                  // floats to add to every pointer above
};

/// The view is valid until the next call.
typedef std::function<const kv_view&(int layer, const float* k, const float* v, float* dk, float* dv)> kv_source;

/// Prompts with their completions, packed so that a prompt is run once for all its completions.
struct packed_groups {
  struct loss_row {
    int32_t row;     // whose hidden state predicts …
    int32_t target;  // … this token
    int32_t group, completion;
  };
  batch in;
  std::vector<loss_row> rows;        // completion by completion, in order
  std::vector<int32_t> token_group;  // the item each token belongs to
  /// Segments as (token begin, count) pairs into the packed buffers.
  std::vector<std::pair<int32_t, int32_t>> segments;

  kv_source packed_kv(int64_t kv_stride) const;
};

struct packed_item {
  int group, first, last;  // completions [first, last) of the group
};

/// Packs the given parts. `tokens(group)` and `completion(group, i)` give the token lists.
packed_groups pack(const std::vector<packed_item>& items, const std::function<const std::vector<int32_t>&(int)>& tokens,
                   const std::function<const std::vector<int32_t>&(int, int)>& completion);

/// Cuts groups into batches of at most `budget` tokens, a group's completions together where they fit (else its prompt is repeated).
std::vector<std::vector<packed_item>> cut(int groups, int64_t budget, const std::function<const std::vector<int32_t>&(int)>& tokens,
                                          const std::function<int(int)>& completions,
                                          const std::function<const std::vector<int32_t>&(int, int)>& completion);

}  // namespace t2
