// The threads of the running block: who runs now, what orders their accesses, where they wait for each other.
//
// Each thread is a fiber. Blocks run one after another, the threads of one in turns: each until it waits or ends.
#pragma once

#include <cstdint>
#include <string>

#include "fault.hpp"
#include "words.hpp"

namespace enas_emulator {

// A *record* packs who touched an element and when into 64 bits:
//   63     threads of several blocks
//   62     a read through In
//   61..32 serial number of the block
//   31..12 sync count of the thread's warp at that time
//   11     an atomic operation
//   10..0  thread; 1024 + w: several threads of warp w; 1056: threads of several warps
// Zero is no record: serial numbers start at 1.
constexpr uint64_t many_blocks = 1ull << 63;
constexpr uint64_t through_in = 1ull << 62;
constexpr uint64_t atomic_bit = 1ull << 11;
constexpr unsigned serial_limit = 1u << 30;
constexpr unsigned sync_limit = 1u << 20;
constexpr unsigned warp_code = 1024;
constexpr unsigned block_code = 1056;

constexpr unsigned serial_of(uint64_t record) { return static_cast<unsigned>(record >> 32) & (serial_limit - 1); }
constexpr unsigned sync_of(uint64_t record) { return static_cast<unsigned>(record) >> 12; }
constexpr unsigned who_of(uint64_t record) { return static_cast<unsigned>(record) & 0x7ff; }
constexpr uint64_t make_record(unsigned serial, unsigned sync, unsigned who) {
    return static_cast<uint64_t>(serial) << 32 | static_cast<uint64_t>(sync) << 12 | who;
}

// What every access needs to know.
struct Now {
    uint64_t record;          // of the running thread
    uint64_t whole_block;     // the record "threads of several warps, since the last barrier"
    uint64_t block;           // number of the running block since the program began
    unsigned serial;          // the same, until numbers start again
    unsigned first_serial;    // of the first block of this launch; older records are void
    unsigned thread;          // within the block
    unsigned block_sync;      // sync count at the last barrier of the block
    unsigned warp_sync;       // sync count at the last barrier of the thread's warp
    bool running;             // a kernel's code runs at the moment
};
extern Now now __attribute__((visibility("hidden")));

// True if the access of `record` happens before whatever the running thread does next.
bool ordered(uint64_t record);

// The record of the accesses of `record` and one more by the running thread.
uint64_t merge(uint64_t record);

// "thread (3,0,0) of block (1,0,0)", "several threads of warp 2", for messages.
std::string describe(uint64_t record);

// "since the barrier at a.cu:12" or "since the block began".
std::string since_barrier();

// Waits for all threads of the block.
void barrier(Place place);

// Waits for all lanes of the warp and hands each lane's value to the others. The result stays valid until the next
// call of the same thread.
struct Lanes {
    const uint64_t* values;
    unsigned lane;
    unsigned count;
};
Lanes exchange(const char* what, unsigned mask, uint64_t value, Place place);

// Waits for all lanes of the warp and orders their accesses.
void warp_barrier(unsigned mask, Place place);

// Runs all blocks of a launch; false if one had a fault.
struct Shape {
    dim3 grid, block;
    uint64_t seed;
};
bool run_blocks(const Shape& shape, void (*body)());

// Serial numbers for `blocks` more blocks are left.
bool serials_left(uint64_t blocks);
void restart_serials();

}  // namespace enas_emulator

// CUDA's own variables: those of the running thread.
extern uint3 threadIdx __attribute__((visibility("hidden")));
extern uint3 blockIdx __attribute__((visibility("hidden")));
extern dim3 blockDim __attribute__((visibility("hidden")));
extern dim3 gridDim __attribute__((visibility("hidden")));
