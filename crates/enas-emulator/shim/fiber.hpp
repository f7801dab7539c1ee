// Fibers: functions with a stack of their own that hand control to each other.
//
// On x86-64 the switch is ten instructions of our own. ucontext's swapcontext calls the kernel each time to save the
// signal mask, which is some twenty times slower, and a block of 256 threads switches 15 000 times for 30 barriers.
// Elsewhere ucontext serves.
#pragma once

#include <cstddef>

namespace enas_emulator {

constexpr unsigned max_fibers = 1024;

// Makes fiber `i` ready to run `entry` from its start. `entry` must never return.
void fiber_prepare(unsigned i, void (*entry)());
// Called by the main program: runs fiber `i` until it calls `fiber_leave`.
void fiber_enter(unsigned i);
// Called within fiber `i`: back to the main program.
void fiber_leave(unsigned i);
// True if the address lies in the guard page below some fiber's stack.
bool fiber_overflowed(const void* address);

}  // namespace enas_emulator
