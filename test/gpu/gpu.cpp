// t2_gpu_check: tries libt2_cuda.so on a GPU, without Node: every operator at awkward sizes against fp64 loops, or, with --bench, its speed
// at the sizes of Llama-3-8B.
//
//   t2_gpu_check [--bench] [--library FILE] [--device N] [--libraries FOLDER] [--only NAME] [--scale N] [--seconds N]
#include "gpu.h"

#include <dlfcn.h>

namespace t2::gpu {

device::device(const std::string& library, int index, bool deterministic, const char* vendor_libraries) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error(dlerror());
  auto create = reinterpret_cast<t2_backend_create_fn>(dlsym(handle, "t2_backend_create"));
  if (!create) throw std::runtime_error(library + " exports no t2_backend_create");
  t2_backend_options options{T2_BACKEND_ABI, index, deterministic ? 1 : 0, vendor_libraries};
  std::vector<char> report(1 << 16);
  int status = create(&options, &t, &c, report.data(), report.size());
  if (status) throw std::runtime_error("no device (status " + std::to_string(status) + "): " + report.data());
  probe_ = t->allocate(c, sizeof(float));
}

device::~device() {
  if (probe_) t->release(c, probe_);
  t->destroy(c);
}

void device::wait() const {
  float one;
  ok(t->download(c, &one, probe_, sizeof one), "download");
}

float rounded(float x, dtype type) {
  if (type == dtype::f32) return x;
  return type == dtype::f16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x));
}

std::vector<float> rounded(std::vector<float> x, dtype type) {
  for (auto& v : x) v = rounded(v, type);
  return x;
}

std::vector<uint8_t> encoded(const std::vector<float>& values, dtype type) {
  std::vector<uint8_t> bytes(values.size() * size_t(size_of(type)));
  for (size_t i = 0; i < values.size(); i++) {
    uint16_t code = type == dtype::f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    if (type == dtype::f32) std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    else std::memcpy(bytes.data() + 2 * i, &code, 2);
  }
  return bytes;
}

stored::stored(const device& d, random& r, int rows, int cols, dtype type, float scale)
    : values(rounded(r.floats(size_t(rows) * size_t(cols), scale), type)),
      data(d, encoded(values, type)),
      m{static_cast<uint8_t*>(data), int32_t(type), rows, cols, cols} {}

void results::check(const std::string& name, const std::vector<float>& actual, const std::vector<double>& expected, double tolerance) {
  double worst = actual.size() == expected.size() ? 0 : INFINITY, largest = 1e-30;
  for (size_t i = 0; i < expected.size() && worst < INFINITY; i++) {
    double e = std::fabs(double(actual[i]) - expected[i]);
    worst = std::isnan(e) ? INFINITY : std::max(worst, e);
    largest = std::max(largest, std::fabs(expected[i]));
  }
  check(name, worst / largest, tolerance);
}

void results::check(const std::string& name, double error, double tolerance) {
  bool fine = error <= tolerance;
  (fine ? passed_ : failed_)++;
  std::printf("%-6s %-64s %9.2e  (at most %.0e)\n", fine ? "ok" : "FAILED", name.c_str(), error, tolerance);
}

void results::group(const char* name, const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception& e) {
    failed_++;
    std::printf("FAILED %s: %s\n", name, e.what());
  }
  std::fflush(stdout);
}

}  // namespace t2::gpu

int main(int count, char** arguments) {
  using namespace t2::gpu;
  auto option = [&](const char* name, const char* otherwise) {
    for (int i = 1; i + 1 < count; i++)
      if (!std::strcmp(arguments[i], name)) return static_cast<const char*>(arguments[i + 1]);
    return otherwise;
  };
  bool bench_wanted = false;
  for (int i = 1; i < count; i++) bench_wanted |= !std::strcmp(arguments[i], "--bench");
  std::string self = arguments[0];
  size_t slash = self.rfind('/');
  std::string beside = (slash == std::string::npos ? std::string(".") : self.substr(0, slash)) + "/libt2_cuda.so";
  std::string only = option("--only", "");
  try {
    device d(option("--library", beside.c_str()), std::atoi(option("--device", "0")), false, option("--libraries", nullptr));
    int64_t available = 0, total = 0;
    d.ok(d.t->memory(d.c, &available, &total), "memory");
    std::printf("%s\n%.1f of %.1f GB free\n", d.t->describe(d.c), double(available) / 1e9, double(total) / 1e9);
    if (bench_wanted) {
      bench(d, std::atoi(option("--scale", "1")), std::atof(option("--seconds", "540")));
      return 0;
    }
    results r;
    struct {
      const char* name;
      void (*run)(const device&, results&);
    } groups[] = {{"rows", check_rows},       {"products", check_products}, {"attention", check_attention},
                  {"outputs", check_outputs}, {"graph", check_graph},       {"svd", check_svd}};
    for (auto& g : groups)
      if (only.empty() || only == g.name) r.group(g.name, [&] { g.run(d, r); });
    std::printf("\n%d passed, %d failed\n", r.passed(), r.failed());
    return r.failed() ? 1 : 0;
  } catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    return 2;
  }
}
