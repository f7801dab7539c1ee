// Fibers: stacks with guard pages, and the switch between them.
#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace enas_emulator {
namespace {

constexpr size_t stack_bytes = 64 << 10;
constexpr size_t guard_bytes = 16 << 10;
constexpr size_t stride = stack_bytes + guard_bytes;

char* reserve_stacks() {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void* memory = mmap(nullptr, max_fibers * stride, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("no memory for the stacks of 1024 threads");
        std::exit(1);
    }
    char* stacks = static_cast<char*>(memory);
    for (unsigned i = 0; i < max_fibers; i++) mprotect(stacks + i * stride, guard_bytes, PROT_NONE);
    return stacks;
}

char* const stacks = reserve_stacks();

// Stacks at equal distances would all use the same few sets of the caches; each starts a little elsewhere.
char* top_of(unsigned i) { return stacks + (i + 1) * stride - 64 - (i % 32) * 448; }

}  // namespace

bool fiber_overflowed(const void* address) {
    const char* p = static_cast<const char*>(address);
    return p >= stacks && p < stacks + max_fibers * stride && static_cast<size_t>(p - stacks) % stride < guard_bytes;
}

}  // namespace enas_emulator

#if defined(__x86_64__) && !defined(ENAS_UCONTEXT)

// Saves the registers a called function must keep, changes the stack, restores them. The jump at the end is a return
// that leaves the processor's stack of expected returns alone, which would be wrong here every time.
extern "C" void enas_switch(void** save, void* load) asm("enas_switch");
asm(R"(
.text
.globl enas_switch
enas_switch:
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
    popq %rcx
    jmp *%rcx
)");

namespace enas_emulator {
namespace {
void* saved[max_fibers];
void* saved_main;
}  // namespace

void fiber_prepare(unsigned i, void (*entry)()) {
    // The switch pops six registers and returns into `entry`, whose stack must then be 8 off a multiple of 16.
    auto top = reinterpret_cast<uintptr_t>(top_of(i)) & ~uintptr_t{15};
    auto* frame = reinterpret_cast<uintptr_t*>(top) - 8;
    for (int slot = 0; slot < 8; slot++) frame[slot] = 0;
    frame[6] = reinterpret_cast<uintptr_t>(entry);
    saved[i] = frame;
}

void fiber_enter(unsigned i) { enas_switch(&saved_main, saved[i]); }
void fiber_leave(unsigned i) { enas_switch(&saved[i], saved_main); }

}  // namespace enas_emulator

#else

#include <ucontext.h>

namespace enas_emulator {
namespace {
ucontext_t saved[max_fibers];
ucontext_t saved_main;
}  // namespace

void fiber_prepare(unsigned i, void (*entry)()) {
    getcontext(&saved[i]);
    saved[i].uc_stack.ss_sp = stacks + i * stride + guard_bytes;
    saved[i].uc_stack.ss_size = static_cast<size_t>(top_of(i) - (stacks + i * stride + guard_bytes));
    saved[i].uc_link = nullptr;
    makecontext(&saved[i], entry, 0);
}

void fiber_enter(unsigned i) { swapcontext(&saved_main, &saved[i]); }
void fiber_leave(unsigned i) { swapcontext(&saved[i], &saved_main); }

}  // namespace enas_emulator

#endif
