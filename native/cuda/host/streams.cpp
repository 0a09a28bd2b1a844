// Host emulation: streams, events, captures and graphs. A stream runs its work at once; with T2_CUDA_HOST_STREAMS=late as late as the rules
// allow, when a stream, an event or the device is waited for, so that a wait that is missing shows in what is read too early or
// overwritten.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "runtime.h"

using work_list = std::vector<std::function<void()>>;

struct CUstream_st {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id owner;
  work_list captured;
  bool blocking = true;  // work of the null stream waits for this one's
  std::deque<std::function<void()>> waiting;
  uint64_t issued = 0, done = 0;
};
struct CUevent_st {
  bool timed = true, recorded = false;
  cudaStream_t captured_in = nullptr;
  cudaStream_t stream = nullptr;  // of the last record, while it is there
  uint64_t mark = 0;              // that stream's `issued` then
  std::chrono::steady_clock::time_point at;
};
struct CUgraph_st {
  work_list work;
};
struct CUgraphExec_st {
  work_list work;
};

namespace t2::cuda::host {
namespace {

struct {
  std::mutex mutex;
  std::unordered_set<cudaStream_t> all;
  std::unordered_set<cudaEvent_t> events;
  std::atomic<int> captures = 0;
  std::recursive_mutex running;  // of queues and their counters; held while work of a queue runs
} streams;

bool late() {
  static const bool value = [] {
    const char* text = std::getenv("T2_CUDA_HOST_STREAMS");
    return text && !std::strcmp(text, "late");
  }();
  return value;
}

/// Runs work of the stream, oldest first, until `mark` pieces of it have been run in all.
void advance(cudaStream_t s, uint64_t mark) {
  std::lock_guard lock(streams.running);
  while (s->done < mark && !s->waiting.empty()) {
    auto work = std::move(s->waiting.front());
    s->waiting.pop_front();
    work();
    s->done++;
  }
}
void finish(cudaStream_t s) { advance(s, UINT64_MAX); }
void finish_streams(bool blocking_only) {
  if (!late()) return;
  std::vector<cudaStream_t> all;
  {
    std::lock_guard lock(streams.mutex);
    for (cudaStream_t s : streams.all)
      if (s->blocking || !blocking_only) all.push_back(s);
  }
  for (cudaStream_t s : all) finish(s);
}
bool happened(cudaEvent_t e) {
  std::lock_guard lock(streams.running);
  return !e->stream || e->stream->done >= e->mark;
}

void invalidate(cudaStream_t s) {
  s->status = cudaStreamCaptureStatusInvalidated;
  s->captured.clear();
}
/// For calls that wait for a stream.
cudaError_t waits_for(cudaStream_t s) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(s)) return cudaErrorInvalidResourceHandle;
  if (capture_status(s) == cudaStreamCaptureStatusNone) return cudaSuccess;
  std::lock_guard lock(streams.mutex);
  invalidate(s);
  return cudaErrorStreamCaptureUnsupported;
}
bool is_event(cudaEvent_t e) {
  std::lock_guard lock(streams.mutex);
  return streams.events.contains(e);
}

}  // namespace

bool is_stream(cudaStream_t s) {
  if (!s) return true;
  std::lock_guard lock(streams.mutex);
  return streams.all.contains(s);
}
cudaStreamCaptureStatus capture_status(cudaStream_t s) {
  if (!s || !streams.captures) return cudaStreamCaptureStatusNone;
  std::lock_guard lock(streams.mutex);
  return s->status;
}
void record(cudaStream_t s, std::function<void()> work) {
  std::lock_guard lock(streams.mutex);
  s->captured.push_back(std::move(work));
}
cudaError_t dispatch(cudaStream_t s, std::function<void()> work) {
  if (late() && s) {
    std::lock_guard lock(streams.running);
    s->waiting.push_back(std::move(work));
    s->issued++;
    return cudaSuccess;
  }
  if (late()) finish_streams(true);
  work();
  return sticky();
}
void finish_stream(cudaStream_t s) {
  if (late() && s) finish(s);
}
void finish_device() { finish_streams(false); }
bool streams_are_late() { return late(); }

cudaError_t unsafe_call() {
  if (!streams.captures) return cudaSuccess;
  std::lock_guard lock(streams.mutex);
  for (cudaStream_t s : streams.all) {
    if (s->status == cudaStreamCaptureStatusNone || s->mode == cudaStreamCaptureModeRelaxed) continue;
    if (s->mode == cudaStreamCaptureModeThreadLocal && s->owner != std::this_thread::get_id()) continue;
    invalidate(s);
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(stream)) return noted(cudaErrorInvalidResourceHandle);
  switch (capture_status(stream)) {
    case cudaStreamCaptureStatusInvalidated:
      return noted(cudaErrorStreamCaptureInvalidated);
    case cudaStreamCaptureStatusActive:
      record(stream, [work] { run_host_code(work); });
      return cudaSuccess;
    default:
      return dispatch(stream, [work] { run_host_code(work); });
  }
}

}  // namespace t2::cuda::host

using namespace t2::cuda::host;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* to, unsigned flags) {
  if (cudaError_t dead = sticky()) return dead;
  std::lock_guard lock(streams.mutex);
  streams.all.insert(*to = new CUstream_st);
  (*to)->blocking = !(flags & cudaStreamNonBlocking);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* to) { return cudaStreamCreateWithFlags(to, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* to, unsigned flags, int) { return cudaStreamCreateWithFlags(to, flags); }
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  if (s && is_stream(s)) finish_stream(s);  // a real device lets the work end
  {
    std::lock_guard lock(streams.mutex);
    if (!streams.all.erase(s)) return noted(cudaErrorInvalidResourceHandle);
    if (s->status != cudaStreamCaptureStatusNone) streams.captures--;
    for (cudaEvent_t e : streams.events)
      if (e->stream == s) e->stream = nullptr;
  }
  delete s;
  return sticky();
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (cudaError_t wrong = waits_for(s)) return noted(wrong);
  if (s) finish_stream(s);
  else finish_streams(true);
  return noted(sticky());
}
cudaError_t cudaStreamQuery(cudaStream_t s) {
  if (cudaError_t wrong = waits_for(s)) return noted(wrong);
  if (!late() || !s) return noted(sticky());
  std::lock_guard lock(streams.running);
  advance(s, s->done + 1);  // time passes
  return sticky() ? noted(sticky()) : s->waiting.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(s) || !is_event(e)) return noted(cudaErrorInvalidResourceHandle);
  const bool capturing = capture_status(s) != cudaStreamCaptureStatusNone;
  if (!capturing && !e->captured_in && e->recorded && late() && !happened(e))
    return dispatch(s, [of = e->stream, mark = e->mark] {
      if (is_stream(of)) advance(of, mark);
    });
  if (e->captured_in == s || (!capturing && !e->captured_in) || !e->recorded) return cudaSuccess;
  // A real device would let the capture grow into the other stream; the backend captures one.
  return noted(e->captured_in ? cudaErrorStreamCaptureUnsupported : cudaErrorStreamCaptureIsolation);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void* data) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(s)) return noted(cudaErrorInvalidResourceHandle);
  if (capture_status(s) != cudaStreamCaptureStatusActive) return noted(dispatch(s, [=] { f(data); }));
  record(s, [=] { f(data); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* to, unsigned flags) {
  if (cudaError_t dead = sticky()) return dead;
  std::lock_guard lock(streams.mutex);
  streams.events.insert(*to = new CUevent_st);
  (*to)->timed = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* to) { return cudaEventCreateWithFlags(to, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  {
    std::lock_guard lock(streams.mutex);
    if (!streams.events.erase(e)) return noted(cudaErrorInvalidResourceHandle);
  }
  delete e;
  return sticky();
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(s) || !is_event(e)) return noted(cudaErrorInvalidResourceHandle);
  const auto status = capture_status(s);
  if (status == cudaStreamCaptureStatusInvalidated) return noted(cudaErrorStreamCaptureInvalidated);
  e->recorded = true;
  e->captured_in = status == cudaStreamCaptureStatusActive ? s : nullptr;
  e->at = std::chrono::steady_clock::now();
  e->stream = nullptr;
  if (e->captured_in || !late() || !s) return cudaSuccess;
  std::lock_guard lock(streams.running);
  dispatch(s, [e] {
    if (is_event(e)) e->at = std::chrono::steady_clock::now();
  });
  e->stream = s;
  e->mark = s->issued;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_event(e)) return noted(cudaErrorInvalidResourceHandle);
  if (e->captured_in) return noted(cudaErrorCapturedEvent);
  if (!happened(e)) advance(e->stream, e->mark);
  return noted(sticky());
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  if (!late()) return cudaEventSynchronize(e);
  if (cudaError_t dead = sticky()) return dead;
  if (!is_event(e)) return noted(cudaErrorInvalidResourceHandle);
  if (e->captured_in) return noted(cudaErrorCapturedEvent);
  std::lock_guard lock(streams.running);
  if (!happened(e)) advance(e->stream, e->stream->done + 1);
  return sticky() ? noted(sticky()) : happened(e) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_event(start) || !is_event(end) || !start->recorded || !end->recorded || !start->timed || !end->timed)
    return noted(cudaErrorInvalidResourceHandle);
  if (start->captured_in || end->captured_in) return noted(cudaErrorCapturedEvent);
  if (!happened(start) || !happened(end)) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  if (cudaError_t dead = sticky()) return dead;
  if (!s) return noted(cudaErrorStreamCaptureUnsupported);
  if (!is_stream(s)) return noted(cudaErrorInvalidResourceHandle);
  std::lock_guard lock(streams.mutex);
  if (s->status != cudaStreamCaptureStatusNone) return noted(cudaErrorIllegalState);
  s->status = cudaStreamCaptureStatusActive;
  s->mode = mode;
  s->owner = std::this_thread::get_id();
  streams.captures++;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!is_stream(s) || !s) return noted(cudaErrorInvalidResourceHandle);
  std::lock_guard lock(streams.mutex);
  if (s->status == cudaStreamCaptureStatusNone) return noted(cudaErrorIllegalState);
  if (s->mode != cudaStreamCaptureModeRelaxed && s->owner != std::this_thread::get_id()) return noted(cudaErrorStreamCaptureWrongThread);
  const bool whole = s->status == cudaStreamCaptureStatusActive;
  s->status = cudaStreamCaptureStatusNone;
  streams.captures--;
  work_list work = std::move(s->captured);
  s->captured.clear();
  if (sticky()) return sticky();
  if (!whole) return noted(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{std::move(work)};
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* status) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(s)) return noted(cudaErrorInvalidResourceHandle);
  *status = capture_status(s);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (cudaError_t dead = sticky()) return dead;
  if (!graph) return noted(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t s) {
  if (cudaError_t dead = sticky()) return dead;
  return noted(exec && is_stream(s) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) {
  if (cudaError_t dead = sticky()) return dead;
  if (!exec) return noted(cudaErrorInvalidValue);
  if (!is_stream(s)) return noted(cudaErrorInvalidResourceHandle);
  if (capture_status(s) != cudaStreamCaptureStatusNone) return noted(cudaErrorStreamCaptureUnsupported);
  for (auto& work : exec->work)
    if (cudaError_t dead = dispatch(s, work)) return dead;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return sticky();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return sticky();
}
