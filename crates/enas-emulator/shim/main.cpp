// The emulator's program: answers requests of the Rust library, one at a time, until its input ends.
//
// The library checks what it sends (buffers exist, ranges lie within, arguments fit), so this end does not.
#include <algorithm>

#include "launch.hpp"
#include "traps.hpp"
#include "wire.hpp"

namespace enas_emulator {
namespace {

Buffers buffers;

void greet() {
    auto& table = kernels();
    std::sort(table.begin(), table.end(), [](const Kernel& a, const Kernel& b) { return a.name < b.name; });
    Message message;
    message.add(static_cast<uint32_t>(table.size()));
    for (const Kernel& kernel : table) {
        message.add(kernel.name);
        message.add(describe(Place{kernel.file.c_str(), 0}));
        message.add(static_cast<uint32_t>(kernel.max_threads));
        message.add(static_cast<uint32_t>(kernel.parameters.size()));
        for (const Parameter& parameter : kernel.parameters) {
            message.add(parameter.name);
            message.add(parameter.type);
            message.add(static_cast<uint32_t>(parameter.element_bytes));
        }
    }
    answer(Status::ok, message);
}

void answer_ok() { answer(Status::ok, nullptr, 0); }

void refuse(const std::string& why) { answer(Status::refused, why.data(), why.size()); }

template <class T> T take() {
    T value{};
    if (!receive(value)) std::exit(0);
    return value;
}

void on_allocate() {
    auto id = take<uint64_t>();
    auto bytes = take<uint64_t>();
    Buffer buffer;
    if (!allocate(buffer, bytes)) return refuse("no memory for a buffer of " + std::to_string(bytes) + " bytes");
    buffers[id] = buffer;
    answer_ok();
}

void on_free() {
    auto found = buffers.find(take<uint64_t>());
    release(found->second);
    buffers.erase(found);
    answer_ok();
}

struct Range {
    Buffer& buffer;
    uint64_t first, bytes;
};

Range take_range() {
    Buffer& buffer = buffers.at(take<uint64_t>());
    auto first = take<uint64_t>();
    return {buffer, first, take<uint64_t>()};
}

void on_write() {
    Range to = take_range();
    if (!receive(to.buffer.data + to.first, to.bytes)) std::exit(0);
    std::memset(to.buffer.defined + to.first, 0xff, to.bytes);
    answer_ok();
}

void on_read() {
    Range from = take_range();
    const unsigned char* defined = from.buffer.defined + from.first;
    const unsigned char* hole = std::find(defined, defined + from.bytes, 0);
    if (hole != defined + from.bytes) {
        auto offset = from.first + static_cast<uint64_t>(hole - defined);
        return answer(Status::undefined, &offset, sizeof offset);
    }
    answer(Status::ok, from.buffer.data + from.first, from.bytes);
}

void on_fill() {
    Range to = take_range();
    std::memset(to.buffer.data + to.first, take<unsigned char>(), to.bytes);
    std::memset(to.buffer.defined + to.first, 0xff, to.bytes);
    answer_ok();
}

void on_undefine() {
    Range range = take_range();
    std::memset(range.buffer.defined + range.first, 0, range.bytes);
    answer_ok();
}

void on_copy() {
    Range from = take_range();
    Range to = take_range();
    std::memmove(to.buffer.data + to.first, from.buffer.data + from.first, to.bytes);
    std::memmove(to.buffer.defined + to.first, from.buffer.defined + from.first, to.bytes);
    answer_ok();
}

dim3 take_size() {
    dim3 size;
    size.x = take<uint32_t>();
    size.y = take<uint32_t>();
    size.z = take<uint32_t>();
    return size;
}

Argument take_argument() {
    enum : unsigned char { scalar, null, buffer };
    switch (take<unsigned char>()) {
        case scalar: return {nullptr, 0, 0, take<uint64_t>()};
        case null: return {};
        default: {
            Range range = take_range();
            return {&range.buffer, range.first, range.bytes, 0};
        }
    }
}

void on_launch() {
    Request request;
    request.kernel = &kernels().at(take<uint32_t>());
    request.shape.grid = take_size();
    request.shape.block = take_size();
    request.shape.seed = take<uint64_t>();
    request.shared.dynamic = take<uint32_t>();
    request.shared.limit = take<uint32_t>();
    request.seconds = take<uint32_t>();
    for (auto left = take<uint32_t>(); left > 0; left--) request.arguments.push_back(take_argument());
    switch (launch(request, buffers)) {
        case Outcome::done: return answer_ok();
        case Outcome::fault: return answer(Status::fault, encode(report));
        case Outcome::no_memory: return refuse("no memory to watch the buffers of this launch");
    }
}

void serve() {
    // The order is that of `Request` in src/wire.rs.
    void (*const handlers[])() = {on_allocate, on_free, on_write, on_read, on_fill, on_undefine, on_copy, on_launch};
    unsigned char request;
    while (receive(request)) handlers[request]();
}

}  // namespace
}  // namespace enas_emulator

int main() {
    enas_emulator::open_pipes();
    enas_emulator::catch_signals();
    enas_emulator::greet();
    enas_emulator::serve();
}
