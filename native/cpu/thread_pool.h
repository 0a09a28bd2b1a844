// A pool for one engine: parallel_for hands out task numbers from a counter; the caller works too. Between calls the workers spin for some
// microseconds (an operator follows the last one closely), then sleep. Used by the engine thread only; never nested.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace t2::cpu {

class thread_pool {
 public:
  explicit thread_pool(int threads);
  ~thread_pool();
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }
  /// Calls f(task, thread) for every task in [0, tasks); returns when all are done. f must not throw.
  void parallel_for(int tasks, const std::function<void(int task, int thread)>& f);

 private:
  void work(int thread);
  void run(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  const std::function<void(int, int)>* job_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> next_{0};
  std::atomic<int> active_{0};
  std::atomic<bool> open_{false};
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace t2::cpu
