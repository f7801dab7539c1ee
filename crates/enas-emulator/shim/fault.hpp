// What a kernel did wrong, and how a launch ends because of it.
#pragma once

#include <cstring>
#include <string>

namespace enas_emulator {

// A line of a kernel's source. Default arguments make it the caller's.
struct Place {
    const char* file;
    int line;
    static Place none() { return {nullptr, 0}; }
    bool operator==(Place other) const {
        return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
    }
};

// The numbers are those of `FaultKind` in src/error.rs.
enum class Fault : unsigned char {
    none = 0,
    out_of_bounds = 1,
    uninitialised = 2,
    race = 3,
    alias = 4,
    divergence = 5,
    misaligned = 6,
    shared_memory = 7,
    arithmetic = 8,
    endless = 9,
    crash = 10,
};

// "pool/forward.cu:12", or nothing: the last two components say enough.
std::string describe(Place place);

// Ends the launch with the running thread to blame. Does not return: the thread is never resumed.
[[noreturn]] void fault(Fault kind, Place place, const std::string& message);

// The same without leaving the thread, for what the scheduler finds. The first fault of a launch counts.
void set_fault(Fault kind, Place place, const std::string& message);
bool has_fault();
void clear_fault();

// The fault of this launch, with the thread to blame.
struct Report {
    Fault kind;
    unsigned block[3], thread[3];
    std::string place, message;
};
extern Report report;

}  // namespace enas_emulator
