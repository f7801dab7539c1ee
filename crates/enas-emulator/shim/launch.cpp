// Binds arguments to parameters and runs the blocks.
#include "launch.hpp"

#include <cstdlib>

#include "traps.hpp"

namespace enas_emulator {
namespace {

const Kernel* running_kernel;
std::vector<Value> values;

void body() { running_kernel->call(running_kernel->function, values.data()); }

bool writes(const Parameter& parameter) { return parameter.element_bytes != 0 && parameter.mode != Mode::in; }

uint64_t words_of(const Buffer& buffer) { return (buffer.bytes + 3) / 4; }

// Buffers that the launch may write need to know who touches what.
bool track_written(const Request& request) {
    for (size_t i = 0; i < request.arguments.size(); i++) {
        Buffer* buffer = request.arguments[i].buffer;
        if (!buffer || buffer->cells || !writes(request.kernel->parameters[i])) continue;
        // Pages that nobody touches stay virtual: a plane is used only by elements that begin at its byte of a word.
        buffer->cells = static_cast<Cell*>(std::calloc(4 * words_of(*buffer) + 1, sizeof(Cell)));
        if (!buffer->cells) return false;
    }
    return true;
}

bool is_written(const Request& request, const Buffer* buffer) {
    for (size_t i = 0; i < request.arguments.size(); i++) {
        if (request.arguments[i].buffer == buffer && writes(request.kernel->parameters[i])) return true;
    }
    return false;
}

Region bind(const Request& request, size_t i) {
    const Parameter& parameter = request.kernel->parameters[i];
    const Argument& argument = request.arguments[i];
    const Buffer& buffer = *argument.buffer;
    return {buffer.data + argument.first_byte,
            buffer.defined + argument.first_byte,
            is_written(request, &buffer) ? buffer.cells : nullptr,
            argument.first_byte,
            words_of(buffer),
            argument.bytes / parameter.element_bytes,
            parameter.name.c_str(),
            static_cast<int>(i)};
}

void renew_serials(uint64_t blocks, Buffers& buffers) {
    if (serials_left(blocks)) return;
    for (auto& [id, buffer] : buffers) {
        if (buffer.cells) std::memset(buffer.cells, 0, 4 * words_of(buffer) * sizeof(Cell));
    }
    forget_shared_memory();
    restart_serials();
}

}  // namespace

std::vector<Kernel>& kernels() {
    static std::vector<Kernel> table;
    return table;
}

bool allocate(Buffer& buffer, uint64_t bytes) {
    if (bytes > uint64_t{1} << 40) return false;
    buffer.bytes = bytes;
    buffer.data = static_cast<unsigned char*>(std::calloc(bytes + 1, 1));
    buffer.defined = static_cast<unsigned char*>(std::calloc(bytes + 1, 1));
    if (buffer.data && buffer.defined) return true;
    release(buffer);
    return false;
}

void release(Buffer& buffer) {
    std::free(buffer.data);
    std::free(buffer.defined);
    std::free(buffer.cells);
    buffer = Buffer{};
}

Outcome launch(const Request& request, Buffers& buffers) {
    if (!track_written(request)) return Outcome::no_memory;
    dim3 grid = request.shape.grid;
    renew_serials(uint64_t{grid.x} * grid.y * grid.z, buffers);
    size_t count = request.arguments.size();
    std::vector<Region> regions(count);
    values.assign(count, Value{});
    for (size_t i = 0; i < count; i++) {
        values[i].bits = request.arguments[i].bits;
        if (!request.arguments[i].buffer) continue;
        regions[i] = bind(request, i);
        values[i].region = &regions[i];
    }
    running_kernel = request.kernel;
    set_shared_sizes(request.shared);
    clear_fault();
    limit_seconds(request.seconds);
    bool done = run_blocks(request.shape, body);
    limit_seconds(0);
    return done ? Outcome::done : Outcome::fault;
}

}  // namespace enas_emulator
