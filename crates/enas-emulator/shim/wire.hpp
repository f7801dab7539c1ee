// Frames on the pipes between this program and the Rust library; src/wire.rs is the other end.
//
// Everything is little-endian. An answer is a status byte, the payload's length (8 bytes) and the payload.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "fault.hpp"

namespace enas_emulator {

enum class Status : unsigned char { ok = 0, fault = 1, last_words = 2, undefined = 3, refused = 4 };

// Takes the pipe for itself and leaves standard output, which kernels may print to, as standard error.
void open_pipes();

// Reads exactly `count` bytes; false at the end of the input.
bool receive(void* to, size_t count);

template <class T> bool receive(T& value) { return receive(&value, sizeof value); }

void answer(Status status, const void* payload, size_t count);

// An answer as it grows.
class Message {
public:
    template <class T> void add(T value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
    void add(const std::string& text) {
        add(static_cast<uint32_t>(text.size()));
        bytes_ += text;
    }
    const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

void answer(Status status, const Message& message);
Message encode(const Report& report);

}  // namespace enas_emulator
