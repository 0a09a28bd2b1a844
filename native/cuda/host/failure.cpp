// Host emulation: faults of kernels turned into errors of the device, and the words for them.
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime.h"

namespace t2::cuda::host {
namespace {

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t alternate_bytes = 128 * 1024;  // the reports are made on it

thread_local void (*handler_of_thread)(const fault&) = nullptr;
thread_local std::unique_ptr<char[]> alternate;
std::mutex installing;
int installed = 0;
struct sigaction before[std::size(signals)];

const void* program_counter(void* context) {
  [[maybe_unused]] auto& m = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(m.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(m.pc);
#else
  return nullptr;
#endif
}

void on_signal(int signal, siginfo_t* info, void* context) {
  if (handler_of_thread) {
    fault f{signal, info->si_addr, program_counter(context), false};
    // x86 does not tell the address of a misaligned vector access.
    if (signal == SIGSEGV && info->si_code == SI_KERNEL) f.misaligned = true;
    if (signal == SIGILL || (signal == SIGBUS && info->si_code == BUS_ADRALN)) f.misaligned = true;
    if (f.misaligned) f.address = nullptr;
    handler_of_thread(f);
  }
  // Another thread's: as if this handler were not there
  for (size_t i = 0; i < std::size(signals); i++) {
    if (signals[i] != signal) continue;
    if (before[i].sa_flags & SA_SIGINFO) return before[i].sa_sigaction(signal, info, context);
    if (before[i].sa_handler != SIG_DFL && before[i].sa_handler != SIG_IGN) return before[i].sa_handler(signal);
    sigaction(signal, &before[i], nullptr);
  }
}

class handlers {
 public:
  explicit handlers(void (*on_fault)(const fault&)) : outer_(handler_of_thread) {
    handler_of_thread = on_fault;
    if (!alternate) alternate.reset(new char[alternate_bytes]);
    stack_t mine{};
    mine.ss_sp = alternate.get();
    mine.ss_size = alternate_bytes;
    sigaltstack(&mine, &stack_before_);
    std::lock_guard lock(installing);
    if (installed++) return;
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // left by a jump: the mask must stay as it is
    for (size_t i = 0; i < std::size(signals); i++) sigaction(signals[i], &action, &before[i]);
  }
  handlers(const handlers&) = delete;
  ~handlers() {
    handler_of_thread = outer_;
    {
      std::lock_guard lock(installing);
      if (!--installed)
        for (size_t i = 0; i < std::size(signals); i++) sigaction(signals[i], &before[i], nullptr);
    }
    sigaltstack(&stack_before_, nullptr);
  }

 private:
  void (*outer_)(const fault&);
  stack_t stack_before_{};
};

/// The name of the function that holds `offset` in an ELF file, from its full symbol table: kernels are not exported.
std::string elf_name(const char* path, uintptr_t offset) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> file((std::istreambuf_iterator<char>(in)), {});
  if (file.size() < sizeof(ElfW(Ehdr)) || std::memcmp(file.data(), ELFMAG, SELFMAG)) return {};
  auto* header = reinterpret_cast<const ElfW(Ehdr)*>(file.data());
  auto* sections = reinterpret_cast<const ElfW(Shdr)*>(file.data() + header->e_shoff);
  for (int i = 0; i < header->e_shnum; i++) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    auto* symbols = reinterpret_cast<const ElfW(Sym)*>(file.data() + sections[i].sh_offset);
    const char* names = file.data() + sections[sections[i].sh_link].sh_offset;
    for (size_t s = 0; s < sections[i].sh_size / sizeof(ElfW(Sym)); s++)
      if ((symbols[s].st_info & 15) == STT_FUNC && offset >= symbols[s].st_value && offset < symbols[s].st_value + symbols[s].st_size)
        return names + symbols[s].st_name;
  }
  return {};
}

thread_local sigjmp_buf* host_code;
thread_local fault host_fault;

void on_host_fault(const fault& f) {
  host_fault = f;
  siglongjmp(*host_code, 1);
}

}  // namespace

void with_fault_handler(void (*on_fault)(const fault&), const std::function<void()>& work) {
  handlers here(on_fault);
  work();
}

void run_host_code(const std::function<void()>& work) {
  device_access access;
  sigjmp_buf back;
  auto* outer = host_code;
  host_code = &back;
  bool fell = false;
  with_fault_handler(on_host_fault, [&] {
    if (sigsetjmp(back, 0)) fell = true;
    else work();
  });
  host_code = outer;
  if (!fell) return;
  report("a library function: " + describe_fault(host_fault));
  set_sticky(cudaErrorIllegalAddress);
}

std::string describe_code(const void* pc, bool with_place) {
  Dl_info info{};
  char text[64];
  std::snprintf(text, sizeof text, "%p", pc);
  if (!pc || !dladdr(pc, &info) || !info.dli_fname) return text;
  const auto offset = reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  std::string name = elf_name(info.dli_fname, offset);
  if (name.empty()) name = info.dli_sname ? info.dli_sname : text;
  int status = 0;
  if (char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status)) {
    name = plain;
    std::free(plain);
  }
  if (with_place) {
    std::snprintf(text, sizeof text, "0x%zx", size_t(offset));
    return name + " (addr2line -Cife " + info.dli_fname + " " + text + ")";
  }
  // Without the parameters, which stand last, and without what it returns
  if (name.ends_with(')')) {
    int depth = 0;
    for (size_t i = name.size(); i-- > 0;) {
      depth += name[i] == ')' ? 1 : name[i] == '(' ? -1 : 0;
      if (!depth) {
        name.resize(i);
        break;
      }
    }
  }
  return name.starts_with("void ") ? name.substr(5) : name;
}

std::string describe_fault(const fault& f) {
  std::string what;
  if (f.misaligned) what = "misaligned access";
  else if (f.signal == SIGFPE) what = "integer division by zero";
  else {
    char text[64];
    std::snprintf(text, sizeof text, "access to %p, ", f.address);
    what = text + describe_address(f.address);
  }
  return what + ", in " + describe_code(f.pc, true);
}

}  // namespace t2::cuda::host
