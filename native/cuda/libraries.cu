// Finding and opening of cuBLASLt and cuSOLVER. (The host emulation has host/libraries.cpp in its place.)
#include "libraries.h"

#include <dlfcn.h>
#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace t2::cuda {
namespace {

namespace fs = std::filesystem;

// Where to look

/// What the pattern stands for, the last in order (the newest version) first.
std::vector<std::string> expand(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> paths;
  if (!glob(pattern.c_str(), 0, nullptr, &found)) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  std::reverse(paths.begin(), paths.end());
  return paths;
}

class folder_list {
 public:
  void add(const std::string& pattern) {
    for (auto& path : expand(pattern)) {
      std::error_code ignored;
      if (!fs::is_directory(path, ignored)) continue;
      auto canonical = fs::canonical(path, ignored).string();
      if (std::find(folders_.begin(), folders_.end(), canonical) == folders_.end()) folders_.push_back(canonical);
    }
  }
  /// A toolkit, a folder of libraries, or a Python environment.
  void add_tree(const std::string& root) {
    if (root.empty()) return;
    for (auto part : {"", "/lib64", "/lib", "/targets/*/lib", "/*/lib", "/nvidia/*/lib"}) add(root + part);
    add_python(root);
  }
  void add_python(const std::string& prefix) {
    for (auto part : {"/lib/python3*/site-packages", "/lib/python3*/dist-packages", "/lib/python3/dist-packages"})
      add(prefix + part + "/nvidia/*/lib");
  }
  const std::vector<std::string>& get() const { return folders_; }

 private:
  std::vector<std::string> folders_;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// Folders after `first` and the loader's own.
void add_usual(folder_list& list) {
  for (auto name : {"CUDA_HOME", "CUDA_PATH"})
    if (auto root = environment(name); !root.empty()) list.add_tree(root);
  list.add("/usr/local/cuda/lib64");
  list.add("/usr/local/cuda/targets/*/lib");
  list.add("/usr/local/cuda-*/lib64");
  list.add("/usr/local/cuda-*/targets/*/lib");
  list.add("/opt/cuda/lib64");
  for (auto name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (auto root = environment(name); !root.empty()) {
      list.add_python(root);
      list.add(root + "/lib");
    }
  // The Python that would run is where it lies, without its last two names: /usr/bin/python3
  auto path = environment("PATH");
  for (size_t at = 0; at < path.size();) {
    auto end = std::min(path.find(':', at), path.size());
    auto program = path.substr(at, end - at) + "/python3";
    std::error_code missing;
    if (fs::exists(program, missing)) {
      list.add_python(fs::path(program).parent_path().parent_path().string());
      auto real = fs::canonical(program, missing);
      if (!missing) list.add_python(real.parent_path().parent_path().string());
    }
    at = end + 1;
  }
  if (auto root = environment("PYENV_ROOT"); !root.empty()) list.add_python(root + "/versions/*");
  if (auto home = environment("HOME"); !home.empty()) list.add_python(home + "/.local");
  for (auto prefix : {"/usr/local", "/usr"}) list.add_python(prefix);
}

/// Folders of the same installation: a toolkit has all libraries in one, Python packages have one each.
std::vector<std::string> siblings(const std::string& folder) {
  folder_list list;
  list.add(folder);
  if (auto package = fs::path(folder).parent_path(); package.parent_path().filename() == "nvidia")
    list.add(package.parent_path().string() + "/*/lib");
  return list.get();
}

// Opening

std::string path_of(void* symbol, const std::string& otherwise) {
  Dl_info info{};
  return symbol && dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : otherwise;
}

/// What `library` needs and its folder may not tell the loader (copied trees have no RPATH): loaded by path, they are found by name.
void preload(const std::string& folder, std::initializer_list<std::string> names) {
  auto folders = siblings(folder);
  for (auto& name : names)
    for (auto& place : folders)
      if (dlopen((place + "/" + name).c_str(), RTLD_LAZY | RTLD_LOCAL)) break;
}

/// Fills the entries of a table; missing() is the first function that is not there.
class symbols {
 public:
  symbols(void* library, const char* prefix) : library_(library), prefix_(prefix) {}
  template <class F>
  symbols& get(const char* name, F& function) {
    auto full = prefix_ + name;
    void* p = dlsym(library_, full.c_str());
    if (!p && missing_.empty()) missing_ = full;
    function = reinterpret_cast<F>(p);
    return *this;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string prefix_, missing_;
};

std::string lt_symbols(void* library, lt_table& t) {
  return symbols(library, "cublasLt")
      .get("Create", t.create)
      .get("Destroy", t.destroy)
      .get("GetVersion", t.version)
      .get("MatmulDescCreate", t.desc_create)
      .get("MatmulDescDestroy", t.desc_destroy)
      .get("MatmulDescSetAttribute", t.desc_set)
      .get("MatrixLayoutCreate", t.layout_create)
      .get("MatrixLayoutDestroy", t.layout_destroy)
      .get("MatmulPreferenceCreate", t.preference_create)
      .get("MatmulPreferenceDestroy", t.preference_destroy)
      .get("MatmulPreferenceSetAttribute", t.preference_set)
      .get("MatmulAlgoGetHeuristic", t.heuristic)
      .get("Matmul", t.matmul)
      .missing();
}

std::string solver_symbols(void* library, solver_table& t) {
  return symbols(library, "cusolverDn")
      .get("Create", t.create)
      .get("Destroy", t.destroy)
      .get("SetStream", t.set_stream)
      .get("CreateParams", t.params_create)
      .get("DestroyParams", t.params_destroy)
      .get("Xsyevd_bufferSize", t.syevd_size)
      .get("Xsyevd", t.syevd)
      .get("Xgesvd_bufferSize", t.gesvd_size)
      .get("Xgesvd", t.gesvd)
      .get("Xgesvdp_bufferSize", t.gesvdp_size)
      .get("Xgesvdp", t.gesvdp)
      .get("CreateGesvdjInfo", t.gesvdj_info_create)
      .get("DestroyGesvdjInfo", t.gesvdj_info_destroy)
      .get("Dgesvdj_bufferSize", t.gesvdj_size)
      .get("Dgesvdj", t.gesvdj)
      .missing();
}

/// Goes through the places of one library until `use` says (with an empty text) that it will do.
class search {
 public:
  search(const char* what, std::vector<std::string> names, std::vector<attempt>& attempts)
      : what_(what), names_(std::move(names)), attempts_(attempts) {}

  template <class Use>
  bool in_memory(Use use) {
    for (auto& name : names_)
      if (void* library = dlopen(name.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL)) {
        if (finish(library, name, use)) return true;
      } else {
        attempts_.push_back({what_, name, "not loaded in this process"});
      }
    return false;
  }
  template <class Use>
  bool by_name(Use use) {
    for (auto& name : names_)
      if (open(name, use)) return true;
    return false;
  }
  template <class Use>
  bool in_folders(const std::vector<std::string>& folders, Use use) {
    for (auto& folder : folders) {
      bool any = false;
      for (auto& name : names_) {
        auto path = folder + "/" + name;
        std::error_code ignored;
        if (!fs::exists(path, ignored)) continue;
        any = true;
        if (before_) before_(folder, name);
        if (open(path, use)) return true;
      }
      if (!any) attempts_.push_back({what_, folder, "no " + names_.front() + (names_.size() > 1 ? " or " + names_.back() : "")});
    }
    return false;
  }
  /// Called with the folder and the name of what is opened next.
  void before(void (*f)(const std::string& folder, const std::string& name)) { before_ = f; }

 private:
  template <class Use>
  bool open(const std::string& path, Use use) {
    if (void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL)) return finish(library, path, use);
    const char* why = dlerror();
    attempts_.push_back({what_, path, why ? why : "dlopen failed"});
    return false;
  }
  /// A library that will do stays open: other contexts use it, and NVIDIA's libraries do not like to be unloaded.
  template <class Use>
  bool finish(void* library, const std::string& path, Use use) {
    auto why = use(library, path);
    attempts_.push_back({what_, path, why, why.empty()});
    if (!why.empty()) dlclose(library);
    return why.empty();
  }

  std::string what_;
  std::vector<std::string> names_;
  std::vector<attempt>& attempts_;
  void (*before_)(const std::string&, const std::string&) = nullptr;
};

}  // namespace

libraries::~libraries() {
  if (lt_context) lt.destroy(lt_context);
}

bool libraries::open(const char* first, std::vector<attempt>& attempts) {
  folder_list named, usual;
  const std::string root = first && *first ? first : environment("T2_CUDA_PATH");
  named.add_tree(root);
  if (!root.empty() && named.get().empty()) attempts.push_back({"folder", root, "there is no such folder"});
  add_usual(usual);

  auto use_lt = [&](void* library, const std::string& path) -> std::string {
    lt_table table{};
    if (auto missing = lt_symbols(library, table); !missing.empty()) return "has no " + missing;
    lt_version = int(table.version());
    lt_major = lt_version / 10000;
    if (lt_major < 12) return "version " + std::to_string(lt_version) + " is too old";
    if (int status = table.create(&lt_context)) {
      lt_context = nullptr;
      return "cublasLtCreate failed with status " + std::to_string(status);
    }
    lt = table;
    lt_path = path_of(reinterpret_cast<void*>(table.create), path);
    return "";
  };
  search lt_search("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"}, attempts);
  if (!lt_search.in_folders(named.get(), use_lt) && !lt_search.in_memory(use_lt) && !lt_search.by_name(use_lt) &&
      !lt_search.in_folders(usual.get(), use_lt)) {
    lt_version = lt_major = 0;
    return false;
  }

  auto use_solver = [&](void* library, const std::string& path) -> std::string {
    solver_table table{};
    int (*version)(int*) = nullptr;
    if (auto missing = solver_symbols(library, table); !missing.empty()) return "has no " + missing;
    if (auto missing = symbols(library, "cusolver").get("GetVersion", version).missing(); !missing.empty()) return "has no " + missing;
    if (int status = version(&solver_version)) return "cusolverGetVersion failed with status " + std::to_string(status);
    solver_major = solver_version / 1000;
    if (solver_major < 11) return "version " + std::to_string(solver_version) + " is too old";
    solver = table;
    solver_path = path_of(reinterpret_cast<void*>(table.create), path);
    return "";
  };
  // The cuSOLVER of the same CUDA first. It needs cuBLAS, cuSPARSE and nvJitLink of its own tree.
  std::vector<std::string> names = {"libcusolver.so.12", "libcusolver.so.11"};
  if (lt_major == 12) std::reverse(names.begin(), names.end());
  search solver_search("cuSOLVER", names, attempts);
  solver_search.before([](const std::string& folder, const std::string& name) {
    const std::string major = name == "libcusolver.so.11" ? "12" : "13";
    preload(folder, {"libnvJitLink.so." + major, "libcublasLt.so." + major, "libcublas.so." + major, "libcusparse.so.12"});
  });
  std::error_code ignored;
  auto tree = siblings(fs::canonical(lt_path, ignored).parent_path().string());
  if (!solver_search.in_folders(tree, use_solver) && !solver_search.in_folders(named.get(), use_solver) &&
      !solver_search.in_memory(use_solver) && !solver_search.by_name(use_solver) && !solver_search.in_folders(usual.get(), use_solver))
    solver_missing =
        "no cuSOLVER was found that can be used (libcusolver.so.12 or .11); the report of the device says where it was looked for";
  return true;
}

}  // namespace t2::cuda
