// The operator: several decompositions at once, each on a thread with a stream and a solver of its own, as many as the device has memory
// for. The phases of one that leave multiprocessors idle (the reduction to tridiagonal form above all) are filled by another.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "operators.h"
#include "svd_driver.h"

namespace t2::cuda {
namespace {

constexpr int most_at_once = 3;

class decompositions {
 public:
  decompositions(t2_context* context, t2_svd* items, int count) : c(context), items_(items), waiting_(size_t(count)) {
    auto cost = [&](int i) {
      const double r = std::min(items[i].rows, items[i].cols), l = std::max(items[i].rows, items[i].cols);
      return r * r * (l + 3 * r);
    };
    std::iota(waiting_.begin(), waiting_.end(), 0);
    // The costly ones first, so that the threads end together.
    std::stable_sort(waiting_.begin(), waiting_.end(), [&](int i, int j) { return cost(i) > cost(j); });
  }

  int run(void (*done)(void*, int32_t), void* data) {
    size_t free_bytes = 0, total = 0;
    T2_TRY(c->synchronize());  // what the allocator gives away now is no longer in use
    T2_CUDA(cudaMemGetInfo(&free_bytes, &total));
    // A tenth stays for what estimates forget.
    const auto room = int64_t(free_bytes + c->memory.kept()) / 10 * 9, workspace = int64_t(decomposition::lane::workspace_of(c));
    int lanes = std::min(most_at_once, int(waiting_.size()));
    while (lanes > 1 && lanes * workspace + decomposition::bytes_for(items_[waiting_.front()]) > room) --lanes;
    room_ = room - lanes * workspace;
    std::vector<std::thread> threads;
    for (int i = 0; i < lanes; ++i) {
      std::lock_guard lock(mutex_);
      try {
        threads.emplace_back([this] { work(); });
        ++lanes_;
      } catch (const std::system_error& e) {
        if (threads.empty()) return c->fail(T2_ERROR_DEVICE, std::string("no thread for a decomposition: ") + e.what());
        break;
      }
    }
    hand_over(done, data);
    for (auto& t : threads) t.join();
    c->memory.trim();  // nobody else asks for blocks of these sizes
    return status_;
  }

 private:
  /// The calling thread: gives results away, and looks at the caller's wish to stop.
  void hand_over(void (*done)(void*, int32_t), void* data) {
    std::unique_lock lock(mutex_);
    while (!status_ && (lanes_ || !finished_.empty())) {
      if (c->stop()) {
        end(T2_ERROR_CANCELLED);
      } else if (!finished_.empty()) {
        const int i = finished_.front();
        finished_.pop_front();
        wake_.notify_all();
        lock.unlock();
        if (done) done(data, i);
        lock.lock();
      } else {
        wake_.wait_for(lock, std::chrono::milliseconds(5));
      }
    }
  }

  /// A thread of its own. One that finds no room for its lane leaves the work to the others.
  void work() {
    int status = T2_OK;
    {
      decomposition::lane lane(c);
      status = guarded([&] { return lane.open(); });
      std::unique_lock lock(mutex_);
      for (int i; !status && (i = take(lane, lock)) >= 0;) {
        const int64_t bytes = decomposition::bytes_for(items_[i]);
        room_ -= bytes;
        ++running_;
        lock.unlock();
        const int outcome = guarded([&] { return decomposition::decompose(lane, items_[i], stop_); });
        lock.lock();
        room_ += bytes;
        --running_;
        if (!outcome) {
          finished_.push_back(i);
        } else if (outcome == T2_ERROR_MEMORY && lanes_ > 1) {
          // The solvers take more than was thought: one lane does the rest.
          if (!alone_) alone_ = &lane;
          waiting_.push_front(i);
        } else {
          end(outcome);
        }
        wake_.notify_all();
      }
    }
    std::lock_guard lock(mutex_);
    if (--lanes_ == 0 && status && !waiting_.empty()) end(status);
    wake_.notify_all();
  }

  /// Waits for an item to be done now; −1: there is none left for this lane.
  int take(const decomposition::lane& lane, std::unique_lock<std::mutex>& lock) {
    for (;; wake_.wait(lock)) {
      if (stop_ || (waiting_.empty() && !running_) || (alone_ && alone_ != &lane)) return -1;
      if ((alone_ && lanes_ > 1) || int(finished_.size()) >= most_at_once) continue;
      for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
        if (running_ && decomposition::bytes_for(items_[*it]) > room_) continue;
        const int i = *it;
        waiting_.erase(it);
        return i;
      }
    }
  }

  template <class F>
  int guarded(F f) {
    try {
      return f();
    } catch (const std::bad_alloc&) {
      return c->fail(T2_ERROR_MEMORY, "no memory on the host for a decomposition");
    } catch (const std::exception& e) {
      return c->fail(T2_ERROR_DEVICE, e.what());
    }
  }

  /// The first error is what the caller hears of. Under the mutex.
  void end(int status) {
    if (!status_) status_ = status;
    stop_ = true;
    wake_.notify_all();
  }

  t2_context* const c;
  t2_svd* const items_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<int> waiting_, finished_;
  int lanes_ = 0, running_ = 0, status_ = T2_OK;
  const decomposition::lane* alone_ = nullptr;  // the one that goes on
  int64_t room_ = 0;
  std::atomic<bool> stop_{false};
};

}  // namespace

int svd(t2_context* c, t2_svd* items, int32_t count, void (*done)(void*, int32_t), void* data) {
  for (int i = 0; i < count; ++i)
    if (items[i].rows < 1 || items[i].cols < 1)
      return c->fail(T2_ERROR_INVALID, "a matrix of " + std::to_string(items[i].rows) + " x " + std::to_string(items[i].cols));
  return count > 0 ? decompositions(c, items, count).run(done, data) : T2_OK;
}

}  // namespace t2::cuda
