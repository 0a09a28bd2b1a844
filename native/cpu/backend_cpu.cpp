// The CPU backend's table, its memory and its scratch buffers.
#include "backend_cpu.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "blas.h"

t2_context::t2_context(int threads) : pool(threads), k(t2::cpu::select_kernels()), buffers_(size_t(threads + 1) * slots) {}

float* t2_context::scratch(int thread, int slot, size_t floats) {
  if (thread < 0) thread = pool.threads();
  auto& b = buffers_[size_t(thread) * slots + size_t(slot)];
  constexpr size_t line = 16;  // floats of a cache line
  if (b.size() < floats + line) {
    b.clear();
    b.shrink_to_fit();
    b.resize(floats + line);
  }
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(b.data()) + 63) & ~uintptr_t(63));
}

int t2_context::parallel(int tasks, const std::function<void(int, int)>& f) {
  std::atomic<bool> stopped{false};
  pool.parallel_for(tasks, [&](int task, int thread) {
    if (stopped.load(std::memory_order_relaxed)) return;
    if (stop()) stopped = true;
    else f(task, thread);
  });
  return stopped ? T2_ERROR_CANCELLED : T2_OK;
}

int t2_context::ranges(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t, int)>& f) {
  int64_t chunks = (n + grain - 1) / grain, most = int64_t(pool.threads()) * 4;
  if (chunks > most) chunks = most;
  if (chunks <= 1) {
    if (n > 0) f(0, n, 0);
    return T2_OK;
  }
  pool.parallel_for(int(chunks), [&](int c, int thread) { f(n * c / chunks, n * (c + 1) / chunks, thread); });
  return T2_OK;
}

namespace t2::cpu {
namespace {

void destroy(t2_context* c) { delete c; }
const char* last_error(t2_context* c) { return c->error.c_str(); }
void set_cancel(t2_context* c, t2_cancelled f, void* data) {
  c->cancelled = f;
  c->cancel_data = data;
}
void* allocate(t2_context*, size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
void release(t2_context*, void* p) { std::free(p); }
int copy(t2_context*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return T2_OK;
}
int zero(t2_context*, void* p, size_t bytes) {
  std::memset(p, 0, bytes);
  return T2_OK;
}

// What the system could still give, page cache included; where it does not say, all there is.
int memory(t2_context*, int64_t* available, int64_t* total) {
  *total = *available = int64_t(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  if (FILE* f = std::fopen("/proc/meminfo", "r")) {
    char line[128];
    long long kilobytes;
    while (std::fgets(line, sizeof line, f))
      if (std::sscanf(line, "MemAvailable: %lld kB", &kilobytes) == 1) *available = int64_t(kilobytes) * 1024;
    std::fclose(f);
  }
  return T2_OK;
}
const char* describe(t2_context*) { return "{\"name\":\"cpu\"}"; }

const t2_backend table = {T2_BACKEND_ABI,
                          "cpu",
                          1,
                          destroy,
                          last_error,
                          set_cancel,
                          allocate,
                          release,
                          copy,
                          copy,
                          copy,
                          zero,
                          memory,
                          describe,
                          nullptr,
                          nullptr,
                          embed,
                          rms_norm,
                          rms_norm_backward,
                          linear,
                          linear_backward,
                          scale_rows,
                          rope,
                          rope_write,
                          gather_rows,
                          scatter_add_rows,
                          attention,
                          attention_backward,
                          swiglu,
                          swiglu_backward,
                          z_gradient,
                          merge,
                          loss,
                          sample,
                          mix,
                          axpy,
                          cast,
                          adamw,
                          nullptr};

}  // namespace
}  // namespace t2::cpu

const t2_backend* t2_cpu_backend() { return &t2::cpu::table; }

t2_context* t2_cpu_create(int threads) {
  // every BLAS call below comes from a thread of ours and works alone
  t2::blas::set_num_threads(1);
  if (threads <= 0) threads = int(std::thread::hardware_concurrency());
  return new t2_context(threads < 1 ? 1 : threads);
}
