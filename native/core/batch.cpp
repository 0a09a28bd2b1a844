#include "batch.h"

#include <algorithm>

namespace t2 {

kv_source packed_groups::packed_kv(int64_t kv_stride) const {
  return [this, kv_stride, out = kv_view()](int, const float* k, const float* v, float* dk, float* dv) mutable -> const kv_view& {
    out.segments.clear();
    for (auto [begin, count] : segments) {
      int64_t o = begin * kv_stride;
      out.segments.push_back({k + o, v + o, dk ? dk + o : nullptr, dv ? dv + o : nullptr, count});
    }
    return out;
  };
}

packed_groups pack(const std::vector<packed_item>& items, const std::function<const std::vector<int32_t>&(int)>& tokens,
                   const std::function<const std::vector<int32_t>&(int, int)>& completion) {
  packed_groups p;
  auto add = [&](const std::vector<int32_t>& list, size_t count, int32_t position, int32_t group,
                 std::vector<std::pair<int32_t, int32_t>> before) {
    int32_t begin = p.in.count();
    for (size_t i = 0; i < count; i++) {
      p.in.tokens.push_back(list[i]);
      p.in.positions.push_back(position + int32_t(i));
      p.token_group.push_back(group);
    }
    before.push_back({begin, int32_t(count)});
    p.in.sequences.push_back({begin, int32_t(count), position, int32_t(p.segments.size()), int32_t(before.size()), 0});
    p.segments.insert(p.segments.end(), before.begin(), before.end());
    return begin;
  };
  int32_t attention_group = 0;
  for (auto& item : items) {
    const auto& prompt = tokens(item.group);
    int32_t n = int32_t(prompt.size());
    size_t first_sequence = p.in.sequences.size();
    int32_t begin = add(prompt, prompt.size(), 0, item.group, {});
    for (int c = item.first; c < item.last; c++) {
      const auto& y = completion(item.group, c);
      if (y.empty()) continue;
      p.rows.push_back({begin + n - 1, y[0], item.group, c});
      if (y.size() == 1) continue;  // the last token predicts nothing
      int32_t own = add(y, y.size() - 1, n, item.group, {{begin, n}});
      for (size_t i = 1; i < y.size(); i++) p.rows.push_back({own + int32_t(i) - 1, y[i], item.group, c});
    }
    for (size_t s = first_sequence; s < p.in.sequences.size(); s++) p.in.sequences[s].group = attention_group;
    attention_group++;
  }
  return p;
}

std::vector<std::vector<packed_item>> cut(int groups, int64_t budget, const std::function<const std::vector<int32_t>&(int)>& tokens,
                                          const std::function<int(int)>& completions,
                                          const std::function<const std::vector<int32_t>&(int, int)>& completion) {
  std::vector<std::vector<packed_item>> out;
  std::vector<packed_item> current;
  int64_t used = 0;
  auto close = [&] {
    if (!current.empty()) out.push_back(std::move(current));
    current.clear();
    used = 0;
  };
  for (int g = 0; g < groups; g++) {
    int64_t prompt = int64_t(tokens(g).size()), whole = prompt;
    int n = completions(g);
    for (int c = 0; c < n; c++) whole += std::max<int64_t>(0, int64_t(completion(g, c).size()) - 1);
    if (used + whole > budget && used > 0) close();
    if (whole <= budget || n == 0) {
      current.push_back({g, 0, n});
      used += whole;
      continue;
    }
    // too long for one batch: its completions in several, the prompt run in each
    for (int c = 0; c < n;) {
      int64_t size = prompt;
      int e = c;
      while (e < n) {
        int64_t more = std::max<int64_t>(0, int64_t(completion(g, e).size()) - 1);
        if (e > c && size + more > budget) break;
        size += more;
        e++;
      }
      current.push_back({g, c, e});
      close();
      c = e;
    }
  }
  close();
  return out;
}

}  // namespace t2
