// What attention forward and backward share: tiles of queries and the walk over segments of keys.
#pragma once
#include <vector>

#include "t2/backend.h"

namespace t2::cpu {

/// Rows that are taken together: queries, or queries × the heads that share a key head.
constexpr int query_tile = 48;

/// Segment i of the layer that the call is about.
inline t2_segment at_layer(const t2_attention& a, int i) {
  t2_segment s = a.segments[i];
  s.k += a.segment_offset;
  s.v += a.segment_offset;
  if (s.dk) s.dk += a.segment_offset;
  if (s.dv) s.dv += a.segment_offset;
  return s;
}

/// Calls f(segment, first position, begin, end) for the parts [begin, end) of the sequence's segments that hold positions [lowest, keys).
template <class F>
void for_segments(const t2_attention& a, const t2_sequence& s, int lowest, int keys, F f) {
  int position = 0;
  for (int i = 0; i < s.segment_count && position < keys; i++) {
    t2_segment seg = at_layer(a, s.segment_begin + i);
    int begin = lowest > position ? lowest - position : 0;
    int end = keys - position < seg.count ? keys - position : seg.count;
    if (begin < end) f(seg, position + begin, begin, end);
    position += seg.count;
  }
}

}  // namespace t2::cpu
