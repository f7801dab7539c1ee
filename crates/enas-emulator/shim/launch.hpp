// Buffers, and launches over them.
#pragma once

#include <unordered_map>
#include <vector>

#include "registry.hpp"

namespace enas_emulator {

// Memory of the emulated device.
struct Buffer {
    unsigned char* data = nullptr;
    unsigned char* defined = nullptr;  // a byte per byte, 0xff once written
    Cell* cells = nullptr;             // from the first launch on that may write the buffer
    uint64_t bytes = 0;
};
using Buffers = std::unordered_map<uint64_t, Buffer>;

// False if there is no memory.
bool allocate(Buffer& buffer, uint64_t bytes);
void release(Buffer& buffer);

struct Argument {
    Buffer* buffer;  // null for scalars and null pointers
    uint64_t first_byte, bytes;
    uint64_t bits;
};

struct Request {
    const Kernel* kernel;
    Shape shape;
    SharedSizes shared;
    unsigned seconds;
    std::vector<Argument> arguments;
};

enum class Outcome { done, fault, no_memory };
Outcome launch(const Request& request, Buffers& buffers);

}  // namespace enas_emulator
