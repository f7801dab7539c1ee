// Reading requests and writing answers.
#include "wire.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace enas_emulator {
namespace {

int output = 1;

void send(const void* bytes, size_t count) {
    const char* from = static_cast<const char*>(bytes);
    while (count > 0) {
        ssize_t sent = write(output, from, count);
        if (sent <= 0) std::_Exit(0);  // nobody listens any more
        from += sent;
        count -= static_cast<size_t>(sent);
    }
}

}  // namespace

void open_pipes() {
    output = dup(1);
    dup2(2, 1);
    std::setvbuf(stdin, nullptr, _IOFBF, 1 << 16);
}

bool receive(void* to, size_t count) { return std::fread(to, 1, count, stdin) == count; }

void answer(Status status, const void* payload, size_t count) {
    unsigned char head[9];
    head[0] = static_cast<unsigned char>(status);
    uint64_t length = count;
    std::memcpy(head + 1, &length, sizeof length);
    send(head, sizeof head);
    send(payload, count);
}

void answer(Status status, const Message& message) { answer(status, message.bytes().data(), message.bytes().size()); }

Message encode(const Report& report) {
    Message message;
    message.add(static_cast<unsigned char>(report.kind));
    for (unsigned v : report.block) message.add(static_cast<uint32_t>(v));
    for (unsigned v : report.thread) message.add(static_cast<uint32_t>(v));
    message.add(report.place);
    message.add(report.message);
    return message;
}

}  // namespace enas_emulator
