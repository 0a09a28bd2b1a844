// Self-test of the host emulation: streams that run as late as the rules allow. Every wait is left out once, which must show, and made
// once.
#include "selftest.h"

namespace selftest {
namespace {

using namespace t2::cuda;

__global__ void set_to(float* y, float value) { y[threadIdx.x] = value; }
__global__ void copy_of(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

struct stream {
  stream() { EXPECT_STATUS(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess); }
  stream(const stream&) = delete;
  ~stream() { EXPECT_STATUS(cudaStreamDestroy(s), cudaSuccess); }
  void synchronize() const { EXPECT_STATUS(cudaStreamSynchronize(s), cudaSuccess); }
  cudaStream_t s = nullptr;
};
struct event {
  event() { EXPECT_STATUS(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), cudaSuccess); }
  event(const event&) = delete;
  ~event() { EXPECT_STATUS(cudaEventDestroy(e), cudaSuccess); }
  cudaEvent_t e = nullptr;
};
struct pinned {
  pinned() {
    EXPECT_STATUS(cudaMallocHost(&p, 32 * sizeof(float)), cudaSuccess);
    for (int i = 0; i < 32; i++) p[i] = 1;
  }
  pinned(const pinned&) = delete;
  ~pinned() { EXPECT_STATUS(cudaFreeHost(p), cudaSuccess); }
  float* p = nullptr;
};
constexpr size_t bytes = 32 * sizeof(float);

void results_read_too_early() {
  stream s;
  array<float> y(32);
  pinned to;
  EXPECT_STATUS(host::launch(set_to, 1, 32, 0, s.s, y.p, 5.0f), cudaSuccess);
  EXPECT_STATUS(cudaMemcpyAsync(to.p, y.p, bytes, cudaMemcpyDeviceToHost, s.s), cudaSuccess);
  EXPECT(to.p[7] == 1);
  s.synchronize();
  EXPECT(to.p[7] == 5);
}

void sources_overwritten() {
  stream s;
  event sent;
  array<float> y(32);
  pinned from;
  EXPECT_STATUS(cudaMemcpyAsync(y.p, from.p, bytes, cudaMemcpyHostToDevice, s.s), cudaSuccess);
  from.p[3] = 2;
  s.synchronize();
  EXPECT(y.values()[3] == 2);
  EXPECT_STATUS(cudaMemcpyAsync(y.p, from.p, bytes, cudaMemcpyHostToDevice, s.s), cudaSuccess);
  EXPECT_STATUS(cudaEventRecord(sent.e, s.s), cudaSuccess);
  EXPECT_STATUS(cudaEventSynchronize(sent.e), cudaSuccess);
  from.p[3] = 3;
  s.synchronize();
  EXPECT(y.values()[3] == 2);
  // other host memory is copied aside by the call
  std::vector<float> pageable(32, 4);
  EXPECT_STATUS(cudaMemcpyAsync(y.p, pageable.data(), bytes, cudaMemcpyHostToDevice, s.s), cudaSuccess);
  pageable.assign(32, 9);
  EXPECT_STATUS(cudaMemcpyAsync(pageable.data(), y.p, bytes, cudaMemcpyDeviceToHost, s.s), cudaSuccess);
  EXPECT(pageable[31] == 4);
}

void one_stream_behind_another() {
  stream a, b;
  event made;
  array<float> x(ramp(32)), y(32);
  EXPECT_STATUS(host::launch(set_to, 1, 32, 0, a.s, x.p, 5.0f), cudaSuccess);
  EXPECT_STATUS(host::launch(copy_of, 1, 32, 0, b.s, x.p, y.p), cudaSuccess);
  b.synchronize();
  EXPECT(y.values()[1] != 5);
  EXPECT_STATUS(cudaEventRecord(made.e, a.s), cudaSuccess);
  EXPECT_STATUS(cudaStreamWaitEvent(b.s, made.e), cudaSuccess);
  EXPECT_STATUS(host::launch(copy_of, 1, 32, 0, b.s, x.p, y.p), cudaSuccess);
  b.synchronize();
  EXPECT(y.values()[1] == 5);
}

void memory_freed() {
  stream s;
  array<float> y(32);
  auto* x = new array<float>(ramp(32));
  EXPECT_STATUS(host::launch(copy_of, 1, 32, 0, s.s, x->p, y.p), cudaSuccess);
  delete x;  // waits for the device
  EXPECT(y.values()[1] == ramp(32)[1]);
}

void events_and_graphs() {
  stream s;
  event done;
  array<float> y(32);
  EXPECT_STATUS(host::launch(set_to, 1, 32, 0, s.s, y.p, 6.0f), cudaSuccess);
  EXPECT_STATUS(cudaEventRecord(done.e, s.s), cudaSuccess);
  EXPECT_STATUS(cudaEventQuery(done.e), cudaErrorNotReady);
  int asked = 0;
  while (cudaEventQuery(done.e) == cudaErrorNotReady) asked++;
  EXPECT(asked < 3 && y.values()[0] == 6);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  EXPECT_STATUS(cudaStreamBeginCapture(s.s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_STATUS(host::launch(set_to, 1, 32, 0, s.s, y.p, 8.0f), cudaSuccess);
  EXPECT_STATUS(cudaStreamEndCapture(s.s, &graph), cudaSuccess);
  EXPECT_STATUS(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_STATUS(cudaGraphLaunch(exec, s.s), cudaSuccess);
  EXPECT(y.values()[0] == 6);
  s.synchronize();
  EXPECT(y.values()[0] == 8);
  EXPECT_STATUS(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_STATUS(cudaGraphDestroy(graph), cudaSuccess);
}

}  // namespace

int late_streams() {
  results_read_too_early();
  sources_overwritten();
  one_stream_behind_another();
  memory_freed();
  events_and_graphs();
  return wrong_in_check;
}

}  // namespace selftest
