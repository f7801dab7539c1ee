// Kernels are compiled with -fsanitize=bounds,signed-integer-overflow,shift,integer-divide-by-zero. The compiler then
// calls the `__ubsan_handle_*` functions below, which report the line like any other fault; no sanitiser's library is
// linked. What remains, a wild pointer or a loop without end, arrives as a signal.
#include "traps.hpp"

#include <signal.h>
#include <sys/time.h>

#include <cstdint>
#include <cstdlib>

#include "block.hpp"
#include "fiber.hpp"
#include "wire.hpp"

namespace enas_emulator {
namespace {

struct SourceLocation {
    const char* file;
    uint32_t line, column;
};

[[noreturn]] void trap(Fault kind, const void* data, const char* message) {
    // Every record that the compiler passes begins with its place in the source.
    SourceLocation location;
    std::memcpy(&location, data, sizeof location);
    if (!now.running) std::abort();
    fault(kind, {location.file, static_cast<int>(location.line)}, message);
}

void last_words(Fault kind, const char* message) {
    set_fault(kind, Place::none(), message);
    answer(Status::last_words, encode(report));
    std::_Exit(1);
}

void on_signal(int signal, siginfo_t* info, void*) {
    if (signal == SIGPROF) last_words(Fault::endless, "the launch ran longer than its limit; does a loop never end?");
    if (signal == SIGSEGV && fiber_overflowed(info->si_addr)) {
        last_words(Fault::crash, "the thread's stack of 64 KiB overflowed");
    }
    const char* message = signal == SIGSEGV || signal == SIGBUS ? "access to memory that is not the program's"
                          : signal == SIGFPE                    ? "arithmetic the processor refuses"
                          : signal == SIGILL                    ? "an instruction the processor refuses"
                                                                : "the program aborted";
    last_words(Fault::crash, message);
}

}  // namespace

void catch_signals() {
    // The faulting stack may be the full one, so signals get their own.
    static unsigned char memory[128 << 10];
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = sizeof memory;
    sigaltstack(&stack, nullptr);
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPROF}) sigaction(signal, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
}

void limit_seconds(unsigned seconds) {
    itimerval timer{};
    timer.it_value.tv_sec = static_cast<time_t>(seconds);
    setitimer(ITIMER_PROF, &timer, nullptr);
}

}  // namespace enas_emulator

#define ENAS_TRAP(name, kind, message)                                     \
    extern "C" void __ubsan_handle_##name(void* data) {                    \
        enas_emulator::trap(enas_emulator::Fault::kind, data, message);    \
    }

ENAS_TRAP(out_of_bounds, out_of_bounds, "index outside of a thread's own array")
ENAS_TRAP(add_overflow, arithmetic, "overflow of a signed sum")
ENAS_TRAP(sub_overflow, arithmetic, "overflow of a signed difference")
ENAS_TRAP(mul_overflow, arithmetic, "overflow of a signed product")
ENAS_TRAP(negate_overflow, arithmetic, "overflow of a signed negation")
ENAS_TRAP(divrem_overflow, arithmetic, "division by zero, or its overflow")
ENAS_TRAP(shift_out_of_bounds, arithmetic, "shift by a negative or too large amount, or out of a signed number")
