// The CUDA backend's table: memory, copies, description, and the entries around the operators; how a context comes to be.
#include <cstdio>
#include <exception>
#include <memory>
#include <new>

#include "operators.h"

namespace t2::cuda {
namespace {

// Entries: every call finds its device, a lost context answers without trying, and no exception leaves the library

template <auto operation>
struct entry;
template <class... A, int (*operation)(t2_context*, A...)>
struct entry<operation> {
  static int call(t2_context* c, A... arguments) noexcept {
    int status = T2_OK;
    try {
      status = c->enter();
      if (!status) status = operation(c, arguments...);
    } catch (const std::bad_alloc&) {
      status = c->fail(T2_ERROR_MEMORY, "no memory on the host");
    } catch (const std::exception& e) {
      status = c->fail(T2_ERROR_DEVICE, e.what());
    }
    if (status && c->graphs.active()) c->graphs.fail();
    return status;
  }
};

/// Operators whose results or sources are ordinary memory, at once: they cannot be part of a graph.
template <auto operation>
struct eager;
template <class... A, int (*operation)(t2_context*, A...)>
struct eager<operation> {
  static int run(t2_context* c, A... arguments) {
    if (c->graphs.active()) return c->fail(T2_ERROR_INVALID, "upload, download, loss and svd cannot be called inside a graph");
    return operation(c, arguments...);
  }
  static constexpr auto call = entry<run>::call;
};

// Memory

void* allocate(t2_context* c, size_t bytes) noexcept {
  void* p = c->enter() ? nullptr : c->memory.allocate(bytes);
  if (!p && c->graphs.active()) c->graphs.fail();
  return p;
}
void release(t2_context* c, void* p) noexcept { c->memory.release(p); }

int upload(t2_context* c, void* to, const void* from, size_t bytes) { return c->staging.upload(c, to, from, bytes); }

int download(t2_context* c, void* to, const void* from, size_t bytes) {
  if (!bytes) return T2_OK;
  T2_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, c->stream));
  return c->synchronize();
}

/// Whether the call with these arguments is to be made, or a graph that is replayed makes it.
template <class... A>
bool made_now(t2_context* c, const char* what, A... arguments) {
  if (!c->graphs.active()) return true;
  graph_hash h;
  for (; *what; ++what) h.add(*what);
  (h.add(arguments), ...);
  return c->graphs.record(h);
}

int copy(t2_context* c, void* to, const void* from, size_t bytes) {
  if (bytes && made_now(c, "copy", to, from, bytes)) T2_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, c->stream));
  return T2_OK;
}
int zero(t2_context* c, void* p, size_t bytes) {
  if (bytes && made_now(c, "zero", p, bytes)) T2_CUDA(cudaMemsetAsync(p, 0, bytes, c->stream));
  return T2_OK;
}

int memory(t2_context* c, int64_t* available, int64_t* total) {
  size_t free_bytes = 0, total_bytes = 0;
  T2_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  *available = int64_t(free_bytes + c->memory.kept());
  *total = int64_t(total_bytes);
  return T2_OK;
}

// Reports

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char ch : text) {
    char escape[8];
    if (ch == '"' || ch == '\\') out += '\\', out += ch;
    else if (static_cast<unsigned char>(ch) < 0x20) out += (std::snprintf(escape, sizeof escape, "\\u%04x", ch), escape);
    else out += ch;
  }
  return out + "\"";
}

std::string json(const attempt& a) {
  return "{\"what\":" + quoted(a.what) + ",\"path\":" + quoted(a.path) + ",\"ok\":" + (a.ok ? "true" : "false") +
         ",\"why\":" + quoted(a.why) + "}";
}

/// As many whole attempts as fit; the last ones tell the most.
void write_report(const std::vector<attempt>& attempts, char* report, size_t size) {
  if (!report || size < 3) {
    if (report && size) *report = 0;
    return;
  }
  std::string text;
  for (auto it = attempts.rbegin(); it != attempts.rend(); ++it) {
    auto one = json(*it);
    if (text.size() + one.size() + 4 > size) break;
    text = text.empty() ? one : one + "," + text;
  }
  std::snprintf(report, size, "[%s]", text.c_str());
}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

std::string capability(const cudaDeviceProp& p) { return std::to_string(p.major) + "." + std::to_string(p.minor); }

const char* describe(t2_context* c) noexcept { return c->description.c_str(); }

/// All that is said about the device is known when it is opened.
std::string description(t2_context* c, const cudaDeviceProp& properties) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  std::string text = "{\"name\":\"cuda\",\"device\":" + quoted(properties.name) + ",\"index\":" + std::to_string(c->device);
  text += ",\"capability\":" + quoted(capability(properties));
  text += ",\"multiprocessors\":" + std::to_string(c->multiprocessors);
  text += ",\"memory\":" + std::to_string(properties.totalGlobalMem);
  text += ",\"driver\":\"" + version(driver) + "\",\"runtime\":\"" + version(runtime) + "\"";
  text += ",\"cublaslt\":{\"version\":" + std::to_string(c->libraries.lt_version) + ",\"path\":" + quoted(c->libraries.lt_path) + "}";
  if (c->libraries.solver.create)
    text +=
        ",\"cusolver\":{\"version\":" + std::to_string(c->libraries.solver_version) + ",\"path\":" + quoted(c->libraries.solver_path) + "}";
  else text += ",\"cusolver\":null";
  return text + ",\"deterministic\":" + (c->deterministic ? "true" : "false") + "}";
}

// Contexts

void destroy(t2_context* c) noexcept { delete c; }
const char* last_error(t2_context* c) noexcept { return c->error.c_str(); }
void set_cancel(t2_context* c, t2_cancelled f, void* data) noexcept {
  c->cancelled = f;
  c->cancel_data = data;
}

int graph_begin(t2_context* c, uint64_t key) { return c->graphs.begin(c, key); }
int graph_end(t2_context* c) { return c->graphs.end(c); }

int svd_with_solver(t2_context* c, t2_svd* items, int32_t count, void (*done)(void*, int32_t), void* data) {
  if (!c->libraries.solver.create) return c->fail(T2_ERROR_DEVICE, c->libraries.solver_missing);
  return svd(c, items, count, done, data);
}

const t2_backend table = {T2_BACKEND_ABI,
                          "cuda",
                          0,
                          destroy,
                          last_error,
                          set_cancel,
                          allocate,
                          release,
                          eager<upload>::call,
                          eager<download>::call,
                          entry<copy>::call,
                          entry<zero>::call,
                          entry<memory>::call,
                          describe,
                          entry<graph_begin>::call,
                          entry<graph_end>::call,
                          entry<embed>::call,
                          entry<rms_norm>::call,
                          entry<rms_norm_backward>::call,
                          entry<linear>::call,
                          entry<linear_backward>::call,
                          entry<scale_rows>::call,
                          entry<rope>::call,
                          entry<rope_write>::call,
                          entry<gather_rows>::call,
                          entry<scatter_add_rows>::call,
                          entry<attention>::call,
                          entry<attention_backward>::call,
                          entry<swiglu>::call,
                          entry<swiglu_backward>::call,
                          entry<z_gradient>::call,
                          entry<merge>::call,
                          eager<loss>::call,
                          entry<sample>::call,
                          entry<mix>::call,
                          entry<axpy>::call,
                          entry<cast>::call,
                          entry<adamw>::call,
                          eager<svd_with_solver>::call};

/// Opens device and libraries; every step that matters is an attempt.
int open(t2_context* c, const t2_backend_options& options, std::vector<attempt>& attempts) {
  auto step = [&](const char* what, const std::string& path, cudaError_t status) {
    std::string why;
    if (status != cudaSuccess) why = std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
    attempts.push_back({what, path, why, status == cudaSuccess});
    if (status != cudaSuccess) cudaGetLastError();
    return status == cudaSuccess;
  };
  int devices = 0, driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {  // what the runtime calls "insufficient"
    attempts.push_back({"driver", "libcuda.so.1", "no NVIDIA driver is installed on this machine"});
    return T2_ERROR_DEVICE;
  }
  if (!step("driver", "libcuda.so.1", cudaGetDeviceCount(&devices))) return T2_ERROR_DEVICE;
  const std::string index = std::to_string(options.device);
  if (options.device < 0 || options.device >= devices) {
    attempts.push_back({"device", index, "there are " + std::to_string(devices) + " devices"});
    return T2_ERROR_DEVICE;
  }
  cudaDeviceProp properties{};
  c->device = options.device;
  if (!step("device", index, cudaGetDeviceProperties(&properties, c->device))) return T2_ERROR_DEVICE;
  c->deterministic = options.deterministic != 0;
  c->capability = properties.major * 10 + properties.minor;
  c->multiprocessors = properties.multiProcessorCount;
  if (c->capability < 75) {
    attempts.push_back({"device", properties.name, capability(properties) + " is below compute capability 7.5"});
    return T2_ERROR_DEVICE;
  }
  int status = c->enter();
  if (!status) status = c->check(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "cudaStreamCreate", __FILE__, __LINE__);
  if (!status) status = c->staging.open(c);
  attempts.push_back({"device", properties.name, c->error, status == T2_OK});
  if (status) return status;
  if (!c->libraries.open(options.library_path, attempts)) return T2_ERROR_DEVICE;
  c->description = description(c, properties);
  return T2_OK;
}

}  // namespace
}  // namespace t2::cuda

extern "C" __attribute__((visibility("default"))) int t2_backend_create(const t2_backend_options* options, const t2_backend** backend,
                                                                        t2_context** context, char* report, size_t size) {
  using namespace t2::cuda;
  std::vector<attempt> attempts;
  int status = T2_ERROR_INVALID;
  *backend = nullptr;
  *context = nullptr;
  try {
    if (options->abi == T2_BACKEND_ABI) {
      auto c = std::make_unique<t2_context>();
      status = open(c.get(), *options, attempts);
      if (!status) {
        *backend = &table;
        *context = c.release();
      }
    } else {
      attempts.push_back(
          {"backend", "",
           "made for version " + std::to_string(T2_BACKEND_ABI) + " of the operator table, asked for " + std::to_string(options->abi)});
    }
  } catch (const std::exception& e) {
    status = T2_ERROR_MEMORY;
    attempts.push_back({"backend", "", e.what()});
  }
  write_report(attempts, report, size);
  return status;
}
