// The backward's work list by keys: segments of different sequences may be the same memory, or begin in it and reach further. They are cut
// where any of them begins or ends, so that each piece of memory has one owner, which knows all sequences that see it, in order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "t2/backend.h"

namespace t2::cuda {

/// A sequence that sees a piece, whose first key stands at position `start` there.
struct piece_use {
  int32_t query_begin, query_count, position, start;
};

/// `count` keys from key `offset` of a piece on; its uses are [use_begin, use_end).
struct key_tile {
  const float *k, *v;
  float *dk, *dv;
  int32_t count, offset, use_begin, use_end;
};

struct key_pieces {
  std::vector<key_tile> tiles;  // those with the most queries first
  std::vector<piece_use> uses;

  key_pieces(const t2_attention& a, int tile) {
    // A row of memory: addresses that differ by whole rows have one residue. Segments are named by dk, which is what must have one owner.
    typedef std::pair<int64_t, int64_t> place;  // residue, row
    const auto place_of = [&](const float* dk, int32_t row) {
      const auto at = int64_t(reinterpret_cast<uintptr_t>(dk) / sizeof(float));
      return place{at % a.kv_stride, at / a.kv_stride + row};
    };
    std::vector<place> cuts;
    for_parts(a, [&](const t2_sequence&, const t2_segment& g, int32_t, int32_t count) {
      cuts.push_back(place_of(g.dk, 0));
      cuts.push_back(place_of(g.dk, count));
    });
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

    struct piece {
      t2_segment keys{};
      std::vector<piece_use> uses;
      int64_t queries = 0;
    };
    std::vector<piece> pieces(cuts.size());
    for_parts(a, [&](const t2_sequence& s, const t2_segment& g, int32_t start, int32_t count) {
      const place end = place_of(g.dk, count), begin = place_of(g.dk, 0);
      for (auto i = size_t(std::lower_bound(cuts.begin(), cuts.end(), begin) - cuts.begin()); cuts[i] < end; i++) {
        piece& p = pieces[i];
        const auto row = int32_t(cuts[i].second - begin.second), size = int32_t(cuts[i + 1].second - cuts[i].second);
        const int64_t o = row * a.kv_stride + a.segment_offset;
        p.keys = {g.k + o, g.v + o, g.dk + o, g.dv + o, size};
        p.uses.push_back({s.query_begin, s.query_count, s.position, start + row});
        p.queries += s.query_count;
      }
    });
    std::vector<const piece*> order;
    for (auto& p : pieces)
      if (!p.uses.empty()) order.push_back(&p);
    std::stable_sort(order.begin(), order.end(), [](const piece* x, const piece* y) { return x->queries > y->queries; });
    for (const piece* p : order) {
      const auto begin = int32_t(uses.size());
      uses.insert(uses.end(), p->uses.begin(), p->uses.end());
      for (int32_t o = 0; o < p->keys.count; o += tile) {
        const int64_t at = o * a.kv_stride;
        tiles.push_back({p->keys.k + at, p->keys.v + at, p->keys.dk + at, p->keys.dv + at, std::min(tile, p->keys.count - o), o, begin,
                         int32_t(uses.size())});
      }
    }
  }

 private:
  /// f(sequence, segment, its first position, how many of its keys any query sees), in order.
  template <class F>
  static void for_parts(const t2_attention& a, F f) {
    for (int i = 0; i < a.sequence_count; i++) {
      const t2_sequence& s = a.sequences[i];
      if (s.query_count <= 0) continue;
      const int32_t keys = s.position + s.query_count;
      int32_t start = 0;
      for (int j = 0; j < s.segment_count && start < keys; j++) {
        const t2_segment& g = a.segments[s.segment_begin + j];
        const int32_t count = std::min(g.count, keys - start);
        if (count > 0) f(s, g, start, count);
        start += g.count;
      }
    }
  }
};

}  // namespace t2::cuda
