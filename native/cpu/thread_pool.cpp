#include "thread_pool.h"

#include <chrono>

namespace t2::cpu {

static inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

thread_pool::thread_pool(int threads) {
  for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
}

thread_pool::~thread_pool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_++;
  }
  wake_.notify_all();
  for (auto& w : workers_) w.join();
}

void thread_pool::run(int thread) {
  const auto& f = *job_;
  int tasks = tasks_;
  for (int i = next_.fetch_add(1); i < tasks; i = next_.fetch_add(1)) f(i, thread);
}

void thread_pool::parallel_for(int tasks, const std::function<void(int, int)>& f) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int i = 0; i < tasks; i++) f(i, 0);
    return;
  }
  job_ = &f;
  tasks_ = tasks;
  next_.store(0);
  open_.store(true);
  generation_.fetch_add(1);
  if (sleeping_.load()) {
    std::lock_guard lock(mutex_);  // a worker between its last look and its wait holds the mutex: it can't miss this
    wake_.notify_all();
  }
  run(0);
  // a worker that comes too late finds the job closed; those inside must leave before the closure dies
  open_.store(false);
  for (int spins = 0; active_.load(); spins++) {
    if (spins < 4096) pause_cpu();
    else std::this_thread::yield();
  }
}

void thread_pool::work(int thread) {
  uint64_t seen = 0;
  while (true) {
    auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(60);
    bool spin = true;
    while (generation_.load() == seen) {
      if (spin) {
        for (int i = 0; i < 64 && generation_.load() == seen; i++) pause_cpu();
        spin = std::chrono::steady_clock::now() < until;
      } else {
        std::unique_lock lock(mutex_);
        sleeping_++;
        wake_.wait(lock, [&] { return generation_.load() != seen; });
        sleeping_--;
      }
    }
    seen = generation_.load();
    if (stop_) return;
    active_.fetch_add(1);
    if (open_.load()) run(thread);
    active_.fetch_sub(1);
  }
}

}  // namespace t2::cpu
