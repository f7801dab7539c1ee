// Shared memory of the running block.
#pragma once

#include "pointers.hpp"

namespace enas_emulator {

// A declaration of shared memory. Like CUDA's arrays it exists once per block, however often it is reached.
struct SharedArray {
    Region region;
    uint64_t block;  // number of the block that it was last set up for
};

// Sizes of a launch, in bytes.
struct SharedSizes {
    unsigned dynamic;
    unsigned limit;
};
void set_shared_sizes(SharedSizes sizes);

// Every block begins with unwritten shared memory.
void begin_shared_memory();
// Records of earlier blocks mean nothing any more.
void forget_shared_memory();

void set_up_static(SharedArray& array, const char* name, size_t bytes, size_t count, Place place);
void set_up_dynamic(SharedArray& array, const char* name, size_t element_bytes);

template <class T>
Shared<T> static_array(SharedArray& array, const char* name, size_t count, const char* file, int line) {
    if (array.block != now.block) set_up_static(array, name, count * sizeof(T), count, {file, line});
    return {&array.region, 0};
}

template <class T> Shared<T> dynamic_array(SharedArray& array, const char* name) {
    if (array.block != now.block) set_up_dynamic(array, name, sizeof(T));
    return {&array.region, 0};
}

}  // namespace enas_emulator

#define SHARED(T, name, count)                           \
    static enas_emulator::SharedArray name##_array_{};   \
    const Shared<T> name = enas_emulator::static_array<T>(name##_array_, #name, (count), __FILE__, __LINE__)

#define DYNAMIC_SHARED(T, name)                          \
    static enas_emulator::SharedArray name##_array_{};   \
    const Shared<T> name = enas_emulator::dynamic_array<T>(name##_array_, #name)
