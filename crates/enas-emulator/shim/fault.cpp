// Remembers the first fault of a launch.
#include "fault.hpp"

#include <cstdlib>

#include "block.hpp"
#include "fiber.hpp"

namespace enas_emulator {

Report report;

std::string describe(Place place) {
    if (!place.file) return "";
    std::string file = place.file;
    size_t slash = file.rfind('/');
    if (slash != std::string::npos && slash > 0) slash = file.rfind('/', slash - 1);
    return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" + std::to_string(place.line);
}

bool has_fault() { return report.kind != Fault::none; }
void clear_fault() { report = Report{}; }

void set_fault(Fault kind, Place place, const std::string& message) {
    if (has_fault()) return;
    report = {kind,
              {blockIdx.x, blockIdx.y, blockIdx.z},
              {threadIdx.x, threadIdx.y, threadIdx.z},
              describe(place),
              message};
}

void fault(Fault kind, Place place, const std::string& message) {
    set_fault(kind, place, message);
    fiber_leave(now.thread);
    std::abort();  // a thread with a fault is never resumed
}

}  // namespace enas_emulator
