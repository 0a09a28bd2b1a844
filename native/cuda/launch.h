// Launches: every kernel goes through launch(), which records or replays graphs, checks the launch, and on the host emulation calls the
// fibre runner. launch(c, kernel, grid, block, dynamic shared bytes, arguments…) → status. An empty grid is no launch.
#pragma once
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "context.h"

namespace t2::cuda {

/// On another stream than the context's, outside of graphs, from any thread: for svd.cu.
template <class... P, class... A>
int launch_on(t2_context* c, cudaStream_t stream, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A&&... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...));
  if (c->lost) return T2_ERROR_LOST;
  if (!grid.x || !grid.y || !grid.z) return T2_OK;
  std::tuple<P...> values{static_cast<P>(arguments)...};
#ifdef T2_CUDA_HOST
  const auto status = std::apply([&](auto&... v) { return host::launch(kernel, grid, block, shared, stream, v...); }, values);
#else
  const auto status = std::apply(
      [&](auto&... v) {
        void* pointers[] = {&v..., nullptr};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared, stream);
      },
      values);
#endif
  return c->check(status, "the launch of a kernel", __FILE__, __LINE__);
}

template <class... P, class... A>
int launch(t2_context* c, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A&&... arguments) {
  if (c->lost) return T2_ERROR_LOST;
  if (!grid.x || !grid.y || !grid.z) return T2_OK;
  if (c->graphs.active()) {
    std::tuple<P...> values{static_cast<P>(arguments)...};
    graph_hash h;
    h.add(reinterpret_cast<const void*>(kernel));
    h.add(grid);
    h.add(block);
    h.add(shared);
    std::apply([&](auto&... v) { (h.add(v), ...); }, values);
    if (!c->graphs.record(h)) return T2_OK;  // replaying: the recorded launch runs instead
  }
  if (shared > 48 * 1024) T2_CUDA(c->graphs.allow_shared(reinterpret_cast<const void*>(kernel), shared));
  return launch_on(c, c->stream, kernel, grid, block, shared, std::forward<A>(arguments)...);
}

inline unsigned blocks_for(int64_t count, int64_t per_block) { return unsigned((count + per_block - 1) / per_block); }

}  // namespace t2::cuda
