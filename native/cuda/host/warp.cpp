// Host emulation: shuffles and votes. The last lane to come computes what all of them get.
#include <bit>

#include "device_functions.h"

namespace t2::cuda::host {

uint64_t shuffle(shuffle_kind kind, unsigned mask, uint64_t bits, int operand, int width) {
  static constexpr const char* names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};
  shuffle_lane mine{bits, 0, operand, width};
  if (width < 1 || width > 32 || (width & (width - 1)))
    fail(cudaErrorLaunchFailure, "the width of a shuffle is not a power of two up to 32");
  // A value of a lane outside the mask is undefined: all ones.
  static constexpr auto deliver = [](void* const* of_lane, unsigned mask, auto source) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      auto& to = *static_cast<shuffle_lane*>(of_lane[lane]);
      const int base = lane & ~(to.width - 1), last = base + to.width - 1;
      int from = source(lane, to.operand, base, to.width);
      if (from < 0 || from > last) from = lane;
      to.result = mask >> from & 1 ? static_cast<shuffle_lane*>(of_lane[from])->value : ~uint64_t(0);
    }
  };
  static constexpr void (*complete[])(void* const*, unsigned) = {
      [](void* const* l, unsigned m) { deliver(l, m, [](int, int v, int base, int w) { return base + (v & (w - 1)); }); },
      [](void* const* l, unsigned m) { deliver(l, m, [](int lane, int v, int base, int) { return lane - v < base ? -1 : lane - v; }); },
      [](void* const* l, unsigned m) { deliver(l, m, [](int lane, int v, int, int) { return v > 31 ? -1 : lane + v; }); },
      [](void* const* l, unsigned m) { deliver(l, m, [](int lane, int v, int, int) { return lane ^ v; }); }};
  collective(names[int(kind)], mask, &mine, complete[int(kind)]);
  return mine.result;
}

unsigned ballot(const char* what, unsigned mask, bool predicate) {
  unsigned mine = predicate;
  collective(what, mask, &mine, [](void* const* of_lane, unsigned mask) {
    unsigned votes = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      votes |= *static_cast<unsigned*>(of_lane[lane]) << lane;
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) *static_cast<unsigned*>(of_lane[std::countr_zero(rest)]) = votes;
  });
  return mine;
}

}  // namespace t2::cuda::host
