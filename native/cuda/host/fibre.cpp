// Host emulation: the runner of blocks. A thread runs until it waits or ends; then a ready one goes on, started on a free stack if it has
// not begun, in an order drawn from the seed. A thread that never waits costs no switch: the next one begins where it ended.
#include "fibre.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string>

#include "context_switch.h"
#include "faults.h"
#include "runtime.h"
#include "shared_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace t2::cuda::host {
namespace {

constexpr int max_threads = 1024;
enum class thread_state : unsigned char { ready, at_barrier, in_collective, ended };

struct thread {
  context at;  // null: not begun
  thread_state state;
};
struct lane_wait {
  const char* what;
  void (*complete)(void* const*, unsigned);
  unsigned mask;
};
struct warp {
  unsigned ready, arrived;
  lane_wait waits[32];
  void* slots[32];
};

/// The launch that runs. There is one at a time (one_kernel), so that kernels reach it without going through thread-local storage.
struct {
  const request* launch;
  context main;
  uint64_t blocks, block, first_block, block_stride;
  int threads, warps, current, left, at_barrier, current_stack;
  unsigned ready_warps;
  uint64_t random_state, random_step;
  size_t shared_limit;
  cudaError_t error;
  thread all[max_threads];
  warp of_warp[max_threads / 32];
  uint3 index[max_threads];
  dim3 index_of;  // the block shape that `index` is for
  stack_pool stacks;
  shared_memory shared;
} run;
std::mutex one_kernel;
std::atomic<uint64_t> launches = 0;

inline unsigned random_bits() {
  run.random_state = run.random_state * 6364136223846793005u + run.random_step;
  return unsigned(run.random_state >> 33);
}
/// One of the set bits.
inline int any_bit(unsigned bits, unsigned turn) {
  turn &= 31;
  return int((unsigned(std::countr_zero(std::rotr(bits, int(turn)))) + turn) & 31);
}
inline unsigned lanes_of(int w) { return run.threads - w * 32 >= 32 ? 0xffffffffu : (1u << (run.threads - w * 32)) - 1; }

/// A ready thread, which is no longer among the ready ones; -1: none. Mostly of the warp that runs, so that stacks stay in the cache.
inline int pick() {
  if (!run.ready_warps) return -1;
  const unsigned r = random_bits();
  int w = run.current / 32;
  if (!(run.ready_warps >> w & 1) || !(r & 0x7000)) w = any_bit(run.ready_warps, r >> 5);
  warp& of = run.of_warp[w];
  const int lane = any_bit(of.ready, r);
  of.ready &= ~(1u << lane);
  if (!of.ready) run.ready_warps &= ~(1u << w);
  return w * 32 + lane;
}
inline void make_ready(int w, unsigned lanes) {
  run.of_warp[w].ready |= lanes;
  if (run.of_warp[w].ready) run.ready_warps |= 1u << w;
}
inline void become(int t) {
  run.current = t;
  threadIdx = run.index[t];
}

// Reports

std::string name_of(uint3 v) { return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")"; }

std::string doing(int t) {
  const std::string who = "thread " + name_of(run.index[t]);
  switch (run.all[t].state) {
    case thread_state::ended:
      return who + " has ended";
    case thread_state::at_barrier:
      return who + " waits at __syncthreads";
    case thread_state::in_collective: {
      const lane_wait& wait = run.of_warp[t / 32].waits[t % 32];
      char mask[16];
      std::snprintf(mask, sizeof mask, "%08x", wait.mask);
      return who + " waits in " + wait.what + " with mask " + mask;
    }
    default:
      return who + " runs";
  }
}

[[noreturn]] void leave(cudaError_t error, int t, const std::string& reason) {
  run.error = error;
  report("kernel " + describe_code(run.launch->kernel, false) + ", block " + name_of(blockIdx) + ", thread " + name_of(run.index[t]) +
         ": " + reason);
  context none;
  t2_cuda_host_switch(&none, run.main);
  __builtin_unreachable();
}

/// No thread can go on, and not all have ended.
[[noreturn]] void stuck() {
  for (int t = 0; t < run.threads; t++) {
    if (run.all[t].state != thread_state::in_collective) continue;
    const unsigned mask = run.of_warp[t / 32].waits[t % 32].mask;
    for (int lane = 0; lane < 32; lane++) {
      const int other = t / 32 * 32 + lane;
      if (!(mask >> lane & 1)) continue;
      if (other >= run.threads)
        leave(cudaErrorLaunchFailure, t, doing(t) + ", which names lane " + std::to_string(lane) + ": the block has no such thread");
      if (run.all[other].state != thread_state::in_collective)
        leave(cudaErrorLaunchFailure, t, doing(t) + ", which names lane " + std::to_string(lane) + ", but " + doing(other));
    }
  }
  if (!run.at_barrier) leave(cudaErrorLaunchFailure, run.current, "lanes wait for each other with masks that do not agree");
  int waiting = 0, other = 0;
  for (int t = 0; t < run.threads; t++) (run.all[t].state == thread_state::at_barrier ? waiting : other) = t;
  leave(cudaErrorLaunchFailure, waiting,
        std::to_string(run.at_barrier) + " of " + std::to_string(run.threads) +
            " threads wait at __syncthreads, the others never come: " + doing(other));
}

// Blocks and threads

void begin_block() {
  // In a shuffled order: a stride that has no divisor in common with the number of blocks meets each of them once.
  uint64_t b = (run.first_block + run.block * run.block_stride) % run.blocks;
  blockIdx.x = unsigned(b % gridDim.x);
  b /= gridDim.x;
  blockIdx.y = unsigned(b % gridDim.y);
  blockIdx.z = unsigned(b / gridDim.y);
  run.left = run.threads;
  run.at_barrier = 0;
  run.ready_warps = 0;
  for (int t = 0; t < run.threads; t++) run.all[t] = {nullptr, thread_state::ready};
  for (int w = 0; w < run.warps; w++) {
    run.of_warp[w].ready = run.of_warp[w].arrived = 0;
    make_ready(w, lanes_of(w));
  }
  run.shared.begin_block();
}

void end_block() {
  if (std::string what = run.shared.end_block(); !what.empty())
    leave(cudaErrorIllegalAddress, run.current, "some thread of the block " + what);
}

/// What every stack begins with: runs threads until there is a begun one to go on with.
void run_threads() {
  const int stack = run.current_stack;
  for (;;) {
    run.launch->invoke(run.launch->call);
    run.all[run.current].state = thread_state::ended;
    run.left--;
    int next = pick();
    if (next < 0) {
      if (run.left) stuck();
      end_block();
      if (++run.block == run.blocks) {
        context none;
        t2_cuda_host_switch(&none, run.main);
      }
      begin_block();
      next = pick();
    }
    become(next);
    if (context at = run.all[next].at) {
      run.stacks.give_back(stack);
      context none;
      t2_cuda_host_switch(&none, at);
    }
  }
}

/// From the context that runs, kept in `from`, to thread t.
void go_on(context* from, int t) {
  become(t);
  context at = run.all[t].at;
  if (!at) {
    run.current_stack = run.stacks.take();
    auto s = run.stacks.at(run.current_stack);
    at = make_context(s.bottom, s.top, run_threads);
  }
  t2_cuda_host_switch(from, at);
}

void wait() {
  const int next = pick();
  if (next < 0) stuck();
  go_on(&run.all[run.current].at, next);
}

void on_fault(const fault& f) {
  std::string text = describe_fault(f);
  if (run.stacks.holds(f.address)) text += ": the thread has used up its stack of 64 KiB";
  else if (std::string shared = run.shared.describe(f.address); !shared.empty()) text += ": " + shared;
  leave(f.misaligned ? cudaErrorMisalignedAddress : cudaErrorIllegalAddress, run.current, text);
}

uint64_t mixed(uint64_t x) {
  x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return x ^ x >> 32;
}

void draw_order(uint64_t number) {
  const char* text = std::getenv("T2_CUDA_HOST_SEED");
  const uint64_t seed = text && *text ? std::strtoull(text, nullptr, 10) : 1;
  run.first_block = 0;
  run.block_stride = 1;
  run.random_state = run.random_step = 0;
  if (!seed) return;
  run.random_state = mixed(seed * 0x100000001b3u + number);
  run.random_step = mixed(run.random_state) | 1;
  run.first_block = random_bits() % run.blocks;
  run.block_stride = random_bits() % run.blocks | 1;
  while (std::gcd(run.block_stride, run.blocks) != 1) run.block_stride += 2;
}

}  // namespace

cudaError_t run_launch(const request& r) {
  if (cudaError_t dead = sticky()) return dead;
  std::lock_guard lock(one_kernel);
  if (launch_fails()) {
    report("kernel " + describe_code(r.kernel, false) + ": fails as a test asked");
    set_sticky(cudaErrorIllegalAddress);
    return cudaErrorIllegalAddress;
  }
  run.launch = &r;
  run.error = cudaSuccess;
  run.blocks = uint64_t(r.grid.x) * r.grid.y * r.grid.z;
  run.block = 0;
  run.threads = int(r.block.x * r.block.y * r.block.z);
  run.warps = (run.threads + 31) / 32;
  run.current = 0;
  run.shared_limit = allowed_shared(r.kernel) > shared_default ? shared_most : shared_default;
  draw_order(launches++);
  blockDim = r.block;
  gridDim = r.grid;
  if (std::memcmp(&run.index_of, &r.block, sizeof(dim3))) {
    run.index_of = r.block;
    for (int t = 0; t < run.threads; t++)
      run.index[t] = {unsigned(t) % r.block.x, unsigned(t) / r.block.x % r.block.y, unsigned(t) / r.block.x / r.block.y};
  }
  run.stacks.all_are_free();
  device_access access;
  with_fault_handler(on_fault, [] {
    run.shared.begin_launch(run.launch->shared);
    begin_block();
    go_on(&run.main, pick());
  });
  // Too much static shared memory is an error of this launch; everything else kills the device, as on a real one.
  if (run.error && run.error != cudaErrorInvalidValue) set_sticky(run.error);
  return run.error;
}

// What kernels call

void barrier() {
  if (++run.at_barrier < run.threads) {
    run.all[run.current].state = thread_state::at_barrier;
    wait();
    return;
  }
  run.at_barrier = 0;
  for (int t = 0; t < run.threads; t++) run.all[t].state = thread_state::ready;
  for (int w = 0; w < run.warps; w++) make_ready(w, w == run.current / 32 ? lanes_of(w) & ~(1u << run.current % 32) : lanes_of(w));
}

void collective(const char* what, unsigned mask, void* mine, void (*complete)(void* const*, unsigned)) {
  const int t = run.current, w = t / 32, lane = t % 32;
  warp& of = run.of_warp[w];
  if (!(mask >> lane & 1))
    leave(cudaErrorLaunchFailure, t, std::string(what) + ": the mask does not name the lane that calls (" + std::to_string(lane) + ")");
  of.waits[lane] = {what, complete, mask};
  of.slots[lane] = mine;
  of.arrived |= 1u << lane;
  if ((of.arrived & mask) != mask) {
    run.all[t].state = thread_state::in_collective;
    wait();
    return;
  }
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int other = std::countr_zero(rest);
    const lane_wait& theirs = of.waits[other];
    if (theirs.mask != mask || theirs.complete != complete || (theirs.what != what && std::strcmp(theirs.what, what)))
      leave(cudaErrorLaunchFailure, t,
            std::string(what) + ": lanes of one mask came with different functions or masks: " + doing(w * 32 + other));
  }
  complete(of.slots, mask);
  of.arrived &= ~mask;
  for (unsigned rest = mask; rest; rest &= rest - 1) run.all[w * 32 + std::countr_zero(rest)].state = thread_state::ready;
  make_ready(w, mask & ~(1u << lane));
}

void* dynamic_shared() { return run.shared.dynamic(); }

void* shared_bytes(const void* tag, size_t bytes, const std::source_location& where) {
  const char* why = "more shared memory than a block may have";
  void* p = run.shared.array(tag, bytes, where, run.shared_limit, &why);
  if (!p) fail(cudaErrorInvalidValue, why);
  return p;
}

void fail(cudaError_t error, const char* reason) { leave(error, run.current, reason); }

}  // namespace t2::cuda::host
