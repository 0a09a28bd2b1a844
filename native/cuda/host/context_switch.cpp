// Host emulation: stacks of fibres and the step from one to another.
#include "context_switch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__x86_64__)
asm(R"(
  .text
  .globl t2_cuda_host_switch
  .hidden t2_cuda_host_switch
  .type t2_cuda_host_switch, @function
t2_cuda_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size t2_cuda_host_switch, .-t2_cuda_host_switch
)");
#elif defined(__aarch64__)
asm(R"(
  .text
  .globl t2_cuda_host_switch
  .hidden t2_cuda_host_switch
  .type t2_cuda_host_switch, %function
t2_cuda_host_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size t2_cuda_host_switch, .-t2_cuda_host_switch
)");
#else
#include <ucontext.h>
#endif

namespace t2::cuda::host {

#if defined(__x86_64__)
context make_context(char*, char* top, void (*entry)()) {
  // [six registers, entry, 0]: as after a call, the stack pointer stands 8 bytes below a multiple of 16 when entry begins.
  auto* sp = reinterpret_cast<uintptr_t*>(top) - 8;
  std::memset(sp, 0, 64);
  sp[6] = reinterpret_cast<uintptr_t>(entry);
  return sp;
}
#elif defined(__aarch64__)
context make_context(char*, char* top, void (*entry)()) {
  auto* sp = reinterpret_cast<uintptr_t*>(top) - 20;
  std::memset(sp, 0, 160);
  sp[11] = reinterpret_cast<uintptr_t>(entry);  // x30
  return sp;
}
#else
context make_context(char* bottom, char* top, void (*entry)()) {
  auto* c = new (bottom) ucontext_t;
  getcontext(c);
  c->uc_stack.ss_sp = bottom + sizeof(ucontext_t);
  c->uc_stack.ss_size = size_t(top - bottom) - sizeof(ucontext_t);
  c->uc_link = nullptr;
  makecontext(c, entry, 0);
  return c;
}
extern "C" void t2_cuda_host_switch(context* from, context to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}
#endif

void stack_pool::map() {
  page_ = size_t(sysconf(_SC_PAGESIZE));
  stride_ = size + page_;
  void* p = mmap(nullptr, stride_ * count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("host emulation of CUDA: no room for stacks");
    std::abort();
  }
  region_ = static_cast<char*>(p);
}

void stack_pool::all_are_free() {
  if (!region_) map();
  for (int i = 0; i < count; i++) free_[i] = count - 1 - i;
  free_count_ = count;
}

int stack_pool::take() {
  const int number = free_[--free_count_];
  if (!usable_[number]) {
    if (mprotect(region_ + size_t(number) * stride_ + page_, size, PROT_READ | PROT_WRITE)) {
      std::perror("host emulation of CUDA: no memory for stacks");
      std::abort();
    }
    usable_[number] = true;
  }
  return number;
}

stack_pool::stack stack_pool::at(int number) const {
  char* bottom = region_ + size_t(number) * stride_ + page_;
  // Tops at different places of a page: otherwise the stacks of a block would fight for the same lines of the cache.
  return {bottom, bottom + size - size_t(number) % 8 * 448};
}

bool stack_pool::holds(const void* address) const { return region_ && address >= region_ && address < region_ + stride_ * count; }

}  // namespace t2::cuda::host
