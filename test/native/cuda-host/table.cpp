// The table of a CUDA backend from outside, without Node: opening and its reports, memory, transfers, staged arrays, graphs, a dead device.
// Run by table.test.ts with the library's path; prints "ok …" or "not ok …" lines.
#include <dlfcn.h>
#include <t2/backend.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

t2_backend_create_fn create = nullptr;
int (*fault)(const char*) = nullptr;

void ok(bool passed, const std::string& what) { std::printf("%sok %s\n", passed ? "" : "not ", what.c_str()); }

struct opened {
  const t2_backend* b = nullptr;
  t2_context* c = nullptr;
  int status = 0;
  std::string report;
  explicit opened(t2_backend_options options = {T2_BACKEND_ABI, 0, 0, nullptr}, size_t report_size = 8192) {
    std::vector<char> text(report_size, 'x');
    status = create(&options, &b, &c, text.data(), text.size());
    report.assign(text.data(), strnlen(text.data(), text.size()));
  }
  opened(const opened&) = delete;
  ~opened() {
    if (c) b->destroy(c);
  }
  float* floats(size_t n) { return static_cast<float*>(b->allocate(c, n * 4)); }
  std::vector<float> read(const float* p, size_t n) {
    std::vector<float> out(n, -1);
    if (b->download(c, out.data(), p, n * 4)) out.assign(n, NAN);
    return out;
  }
};

std::vector<float> counting(size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = float(i % 1000003);
  return x;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void opening() {
  opened wrong({T2_BACKEND_ABI - 1, 0, 0, nullptr});
  ok(wrong.status == T2_ERROR_INVALID && !wrong.c && contains(wrong.report, "operator table"), "another version of the table is refused");
  opened far({T2_BACKEND_ABI, 99, 0, nullptr});
  ok(far.status == T2_ERROR_DEVICE && contains(far.report, "devices"), "there is no device 99");
  for (auto [text, part] : {std::pair{"device:none", "no CUDA-capable device"}, {"library:cublaslt", "cuBLASLt"}, {"memory:1", "memory"}}) {
    fault(text);
    opened none;
    ok(none.status && !none.c && contains(none.report, part) && contains(none.report, "\"ok\":false"), std::string("refused: ") + text);
    fault("reset");
  }
  opened small({T2_BACKEND_ABI, 0, 0, nullptr}, 100);
  ok(!small.status && small.report.size() < 100 && small.report.front() == '[' && small.report.back() == ']', "a short report is whole");
  fault("library:cusolver");
  opened unsolved;
  t2_svd item{};
  ok(!unsolved.status && unsolved.b->svd(unsolved.c, &item, 1, nullptr, nullptr) == T2_ERROR_DEVICE, "without cuSOLVER only svd fails");
  ok(contains(unsolved.b->last_error(unsolved.c), "cuSOLVER"), "and says so");
  fault("reset");
}

void memory_and_transfers() {
  opened o;
  const size_t n = 5 << 20;  // 20 MiB: several of the buffers that uploads go through
  const auto x = counting(n);
  float *p = o.floats(n), *q = o.floats(n);
  ok(p && !o.b->upload(o.c, p, x.data(), n * 4) && o.read(p, n) == x, "upload, download");
  ok(!o.b->copy(o.c, q, p, n * 4) && o.read(q, n) == x, "copy");
  ok(!o.b->zero(o.c, q, n * 4) && o.read(q, n) == std::vector<float>(n), "zero");
  ok(!o.b->allocate(o.c, size_t(1) << 50), "no petabyte");
  int64_t before = 0, after = 0, total = 0;
  o.b->memory(o.c, &before, &total);
  float* round[3][2];
  for (int i = 0; i < 3; ++i) {
    for (auto& block : round[i]) block = o.floats(100);
    for (int j : {i % 2, 1 - i % 2}) o.b->release(o.c, round[i][j]);
  }
  ok(round[1][0] == round[2][0] && round[1][1] == round[2][1], "the same sizes get the same addresses, however they were released");
  o.b->memory(o.c, &after, &total);
  ok(std::abs(before - after) < 65536 && after < total, "released memory counts as available");
}

/// A sum of `count` elements of p of which only the one at `chosen` counts: large staged arrays, little work.
int pick(opened& o, const float* p, int count, int chosen, float* out) {
  std::vector<const float*> vectors(static_cast<size_t>(count));
  std::vector<float> weights(vectors.size());
  for (int i = 0; i < count; ++i) vectors[size_t(i)] = p + i % 1000;
  weights[size_t(chosen)] = 1;
  return o.b->mix(o.c, vectors.data(), weights.data(), count, 0, 1, out);
}

/// The rows tokens[i] of a table of one column, at each of many calls, without waiting in between.
void staged_arrays() {
  opened o;
  const auto x = counting(1000);
  float* p = o.floats(1000);
  o.b->upload(o.c, p, x.data(), 4000);
  const t2_matrix table{p, 0, 1000, 1, 1};
  for (int rows : {3, 2500}) {
    const int calls = 200;
    std::vector<float*> out;
    std::vector<int32_t> tokens(static_cast<size_t>(rows));
    auto fill = [&](int call) {
      for (int i = 0; i < rows; ++i) tokens[size_t(i)] = (i * 7 + call / 2) % 1000;  // every second array is like the one before
    };
    for (int call = 0; call < calls; ++call) {
      fill(call);
      out.push_back(o.floats(size_t(rows)));
      o.b->embed(o.c, &table, tokens.data(), rows, out.back());
    }
    bool right = true;
    for (int call = 0; call < calls; ++call) {
      fill(call);
      const auto got = o.read(out[size_t(call)], size_t(rows));
      for (int i = 0; i < rows; ++i) right = right && got[size_t(i)] == x[size_t(tokens[size_t(i)])];
      o.b->release(o.c, out[size_t(call)]);
    }
    ok(right, std::to_string(calls) + " staged arrays of " + std::to_string(rows));
  }
  float* out = o.floats(3);
  for (int i = 0; i < 3; ++i) pick(o, p, 100000 << i, 98765 + i, out + i);
  ok(o.read(out, 3) == std::vector<float>{765, 766, 767}, "arrays that the ring grows for, twice in each call");
}

void graphs() {
  opened o;
  const auto x = counting(1000);
  float* p = o.floats(1000);
  o.b->upload(o.c, p, x.data(), 4000);
  const t2_matrix table{p, 0, 1000, 1, 1};
  int status = 0, retries = 0;
  /// One step of a graph, as often as it wants: embeds `rows` tokens and copies the result.
  auto step = [&](uint64_t key, int rows, int shift, float* embedded, float* copied) {
    std::vector<int32_t> tokens(static_cast<size_t>(rows));
    for (int i = 0; i < rows; ++i) tokens[size_t(i)] = (i * 3 + shift * 7) % 1000;
    do {
      o.b->graph_begin(o.c, key);
      o.b->zero(o.c, copied, size_t(rows) * 4);
      o.b->embed(o.c, &table, tokens.data(), rows, embedded);
      o.b->copy(o.c, copied, embedded, size_t(rows) * 4);
      status = o.b->graph_end(o.c);
      retries += status == T2_RETRY;
    } while (status == T2_RETRY);
    if (status) return false;
    const auto got = o.read(copied, size_t(rows));
    for (int i = 0; i < rows; ++i)
      if (got[size_t(i)] != x[size_t(tokens[size_t(i)])]) return false;
    return true;
  };
  float *a = o.floats(100), *b = o.floats(100);
  bool right = true;
  for (int i = 0; i < 20; ++i) right = step(uint64_t(i % 2), 50 + i % 2, i, a, b) && right;
  ok(right && !retries, "two graphs in turn, with other tokens every time");
  ok(step(0, 50, 1, b, a) && retries == 1, "other addresses: recorded anew");
  ok(step(0, 40, 1, b, a) && retries == 2, "other sizes: recorded anew");
  ok(step(0, 40, 2, b, a) && retries == 2, "and replayed");

  float value = 0;
  o.b->graph_begin(o.c, 0);
  ok(o.b->download(o.c, &value, a, 4) == T2_ERROR_INVALID, "no download inside a graph");
  ok(o.b->graph_end(o.c) == T2_ERROR_INVALID, "after an error nothing runs");
  o.b->graph_begin(o.c, 77);
  o.b->upload(o.c, a, &value, 4);
  ok(o.b->graph_end(o.c) == T2_ERROR_INVALID, "nor after one in a new graph");
  ok(o.b->graph_end(o.c) == T2_ERROR_INVALID, "an end without a beginning");
  retries = 0;
  ok(step(0, 40, 3, b, a) && step(77, 40, 4, b, a) && !retries, "graphs go on after errors");

  // More than the block of staged arrays has room for
  std::vector<int> statuses;
  for (int i = 0; i < 3; ++i) {
    o.b->graph_begin(o.c, 5);
    pick(o, p, 600000, 123456 + i, a);
    statuses.push_back(o.b->graph_end(o.c));
  }
  ok(statuses == std::vector<int>{T2_RETRY, T2_OK, T2_OK} && o.read(a, 1)[0] == 458, "the block of staged arrays grows");
  ok(step(0, 40, 5, b, a), "graphs that knew the old one are recorded anew");
}

void dead_device() {
  opened o;
  float* p = o.floats(16);
  const t2_matrix table{p, 0, 4, 4, 4};
  const int32_t token = 1;
  fault("launch:1");
  float value = 0;
  int status = o.b->embed(o.c, &table, &token, 1, p);  // at once, or, where streams are late as on a device, with what waits for it
  if (status == T2_OK) status = o.b->download(o.c, &value, p, 4);
  ok(status == T2_ERROR_LOST, "a kernel that fails loses the device");
  const std::string first = o.b->last_error(o.c);
  ok(o.b->download(o.c, &value, p, 4) == T2_ERROR_LOST && !o.b->allocate(o.c, 4) && o.b->graph_begin(o.c, 1) == T2_ERROR_LOST,
     "every later call says so");
  ok(first == o.b->last_error(o.c) && contains(first, "cudaErrorIllegalAddress"), "with the first text");
  fault("reset");
}

}  // namespace

int main(int, char** arguments) {
  void* library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::printf("not ok %s\n", dlerror()), 1;
  create = reinterpret_cast<t2_backend_create_fn>(dlsym(library, "t2_backend_create"));
  fault = reinterpret_cast<int (*)(const char*)>(dlsym(library, "t2_cuda_host_fault"));
  opening();
  memory_and_transfers();
  staged_arrays();
  graphs();
  dead_device();
  return 0;
}
