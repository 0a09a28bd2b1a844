// Recording, comparing and running of CUDA graphs.
#include "graph.h"

#include <utility>

#include "context.h"

namespace t2::cuda {
namespace {

// A decode step has a handful of keys (rows rounded up, kinds of adapters); more than this many means that keys are not what they should
// be.
constexpr size_t most_recordings = 64;

}  // namespace

graphs::graphs() = default;
graphs::~graphs() { clear(); }
graphs::recording::~recording() {
  if (graph) cudaGraphExecDestroy(graph);
}

bool graphs::record(const graph_hash& h) {
  if (!replaying_) {
    current_->hashes.push_back(h.value());
    return true;
  }
  if (at_ >= current_->hashes.size() || current_->hashes[at_] != h.value()) differs_ = true;
  ++at_;
  return false;
}

void graphs::download_at_end(void* to, const void* from, size_t bytes) { results_.push_back({to, from, bytes}); }

int graphs::begin(t2_context* c, uint64_t key) {
  if (active_) return c->fail(T2_ERROR_INVALID, "graph_begin inside a graph");
  bool moved = false;
  T2_TRY(c->staging.begin_block(c, &moved));
  if (moved || recordings_.size() > most_recordings) forget();
  key_ = key;
  at_ = 0;
  differs_ = failed_ = false;
  keep_ = true;
  results_.clear();
  auto known = recordings_.find(key);
  replaying_ = known != recordings_.end();
  if (replaying_) {
    current_ = std::move(known->second);
    recordings_.erase(known);
  } else {
    current_ = std::make_unique<recording>();
    // Relaxed: scratch may grow by cudaMalloc meanwhile, and other threads' calls are no concern of this capture.
    if (int status =
            c->check(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture", __FILE__, __LINE__)) {
      c->staging.end_block();
      current_.reset();
      return status;
    }
  }
  active_ = true;
  c->memory.hold(true);
  return T2_OK;
}

/// Ends the capture and makes it launchable.
int graphs::capture(t2_context* c) {
  cudaGraph_t graph = nullptr;
  T2_CUDA(cudaStreamEndCapture(c->stream, &graph));
  const auto status = failed_ ? cudaSuccess : cudaGraphInstantiate(&current_->graph, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  T2_CUDA(status);
  return T2_OK;
}

int graphs::end(t2_context* c) {
  if (!active_) return c->fail(T2_ERROR_INVALID, "graph_end without graph_begin");
  const bool fits = c->staging.end_block();
  int status = replaying_ ? T2_OK : capture(c);
  active_ = false;
  auto ended = std::move(current_);
  if (!status && failed_) status = c->fail(T2_ERROR_INVALID, "an operator of the graph failed: " + c->error);
  else if (!status && (!fits || (replaying_ && (differs_ || at_ != ended->hashes.size())))) status = T2_RETRY;
  else if (!status) status = run(c, *ended);
  c->memory.hold(false);
  // A replay that failed for another reason than its recording may go on: the recording is as good as before.
  if (keep_ && (!status || (replaying_ && failed_ && !differs_))) recordings_[key_] = std::move(ended);
  return status;
}

int graphs::run(t2_context* c, const recording& r) {
  T2_TRY(c->staging.send_block(c));
  T2_CUDA(cudaGraphLaunch(r.graph, c->stream));
  size_t bytes = 0;
  for (auto& result : results_) bytes += result.bytes;
  if (bytes > pinned_size_) {
    if (pinned_results_) cudaFreeHost(std::exchange(pinned_results_, nullptr));
    pinned_size_ = 0;
    T2_CUDA(cudaMallocHost(reinterpret_cast<void**>(&pinned_results_), bytes));
    pinned_size_ = bytes;
  }
  char* at = pinned_results_;
  for (auto& result : results_) {
    T2_CUDA(cudaMemcpyAsync(at, result.from, result.bytes, cudaMemcpyDeviceToHost, c->stream));
    at += result.bytes;
  }
  // Without results too: a recording that is dropped must not be running.
  T2_TRY(c->synchronize());
  at = pinned_results_;
  for (auto& result : results_) {
    std::memcpy(result.to, at, result.bytes);
    at += result.bytes;
  }
  return T2_OK;
}

void graphs::forget() {
  recordings_.clear();
  if (!active_) return;
  keep_ = false;
  if (replaying_) differs_ = true;
}

void graphs::clear() {
  recordings_.clear();
  current_.reset();
  if (pinned_results_) cudaFreeHost(std::exchange(pinned_results_, nullptr));
  pinned_size_ = 0;
}

cudaError_t graphs::allow_shared(const void* kernel, size_t bytes) {
  auto& allowed = shared_[kernel];
  if (allowed >= bytes) return cudaSuccess;
  const auto status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
  if (status == cudaSuccess) allowed = bytes;
  return status;
}

}  // namespace t2::cuda
