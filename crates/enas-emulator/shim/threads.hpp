// CUDA's calls by which the threads of a block wait for each other and exchange values.
#pragma once

#include "block.hpp"

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    enas_emulator::barrier({file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    enas_emulator::warp_barrier(mask, {file, line});
}

namespace enas_emulator {

// The value of lane `from`, or the thread's own where `from` leaves the group of `width` lanes.
template <class T, class From>
T shuffle(const char* what, unsigned mask, T value, int width, Place place, From from) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move values of 4 or 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    Lanes lanes = exchange(what, mask, bits, place);
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
        fault(Fault::divergence, place, std::string(what) + ": width must be a power of two up to 32");
    }
    int first = static_cast<int>(lanes.lane) / width * width;
    int lane = from(static_cast<int>(lanes.lane), first);
    if (lane >= static_cast<int>(lanes.count)) {
        fault(Fault::divergence, place,
              std::string(what) + " reads lane " + std::to_string(lane) + " of a warp of " +
                  std::to_string(lanes.count) + " threads");
    }
    T result;
    std::memcpy(&result, &lanes.values[lane], sizeof result);
    return result;
}

}  // namespace enas_emulator

#define ENAS_SHUFFLE(name, by_type, by, choice)                                                          \
    template <class T>                                                                                   \
    T name(unsigned mask, T value, by_type by, int width = 32, const char* file = __builtin_FILE(),      \
           int line = __builtin_LINE()) {                                                                \
        return enas_emulator::shuffle(#name, mask, value, width, {file, line}, [=](int lane, int first) { \
            (void)lane, (void)first;                                                                     \
            return choice;                                                                               \
        });                                                                                              \
    }
ENAS_SHUFFLE(__shfl_sync, int, from, first + (from & (width - 1)))
ENAS_SHUFFLE(__shfl_up_sync, unsigned, by, lane - static_cast<int>(by) < first ? lane : lane - static_cast<int>(by))
ENAS_SHUFFLE(__shfl_down_sync, unsigned, by,
             lane + static_cast<int>(by) >= first + width ? lane : lane + static_cast<int>(by))
ENAS_SHUFFLE(__shfl_xor_sync, int, by, (lane ^ by) >= first + width ? lane : lane ^ by)
#undef ENAS_SHUFFLE
