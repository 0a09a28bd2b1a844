// A backend's library stays loaded until the process ends: its vendor's libraries keep threads and handlers that do not survive dlclose.
#include "backend_library.h"

#include <dlfcn.h>

#include <vector>

#include "json.h"
#include "t2/error.h"

namespace t2 {
namespace {

std::string attempt_of(const char* what, const std::string& path, const std::string& why) {
  return "{\"what\":" + json_quote(what) + ",\"path\":" + json_quote(path) + ",\"ok\":" + (why.empty() ? "true" : "false") +
         ",\"why\":" + json_quote(why) + "}";
}

std::string list_of(std::string first, const std::string& rest = {}) {
  first.insert(0, 1, '[');
  if (!rest.empty()) first.append(",").append(rest);
  return first.append("]");
}

/// The elements of a JSON array as text, empty for an empty one or for what is none.
std::string elements_of(const std::string& array) {
  size_t begin = array.find('['), end = array.rfind(']');
  return begin == std::string::npos || end == std::string::npos || end <= begin ? "" : array.substr(begin + 1, end - begin - 1);
}

}  // namespace

device_ptr try_backend_library(const library_wish& wish, std::string& attempts) {
  const char* what = "backend library";
  void* library = ::dlopen(wish.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = ::dlerror();
    attempts = list_of(attempt_of(what, wish.path, why ? why : "could not be loaded"));
    return nullptr;
  }
  auto create = reinterpret_cast<t2_backend_create_fn>(::dlsym(library, "t2_backend_create"));
  if (!create) {
    attempts = list_of(attempt_of(what, wish.path, "exports no t2_backend_create"));
    return nullptr;
  }
  t2_backend_options options{T2_BACKEND_ABI, wish.index, wish.deterministic ? 1 : 0,
                             wish.library_path.empty() ? nullptr : wish.library_path.c_str()};
  const t2_backend* table = nullptr;
  t2_context* context = nullptr;
  std::vector<char> report(1 << 16, '\0');
  int status = create(&options, &table, &context, report.data(), report.size());
  report.back() = '\0';
  std::string inside = elements_of(report.data());
  if (status == T2_OK && table && context && table->abi == T2_BACKEND_ABI) {
    attempts = list_of(attempt_of(what, wish.path, ""), inside);
    return std::make_shared<device>(table, context);
  }
  bool stale = table && table->abi != T2_BACKEND_ABI;
  if (status == T2_OK && table && context && !stale) table->destroy(context);
  std::string why =
      stale ? "has interface version " + std::to_string(table->abi) + ", this installation needs " + std::to_string(T2_BACKEND_ABI)
      : inside.empty() ? "refused with status " + std::to_string(status)
                       : "";
  attempts = list_of(attempt_of(what, wish.path, why), inside);
  return nullptr;
}

device_ptr open_backend_library(const library_wish& wish) {
  std::string attempts;
  device_ptr opened = try_backend_library(wish, attempts);
  if (!opened)
    throw error("ERR_T2_CUDA_UNAVAILABLE", "The device could not be opened: see detail.attempts for what was tried.",
                "{\"device\":" + std::to_string(wish.index) + ",\"attempts\":" + attempts + "}");
  return opened;
}

}  // namespace t2
