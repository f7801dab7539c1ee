// The messages of memory faults.
#include "memory.hpp"

namespace enas_emulator {
namespace {

std::string element(const Region& region, long long i) {
    std::string name = "`" + std::string(region.name) + "`";
    name += region.argument < 0 ? " (shared)" : " (argument " + std::to_string(region.argument) + ")";
    return "element " + std::to_string(i) + " of " + name;
}

std::string length(const Region& region) { return std::to_string(region.count); }

}  // namespace

void out_of_bounds(const Region& region, long long i, const char* verb, Place place) {
    fault(Fault::out_of_bounds, place,
          std::string(verb) + " of " + element(region, i) + ", which has " + length(region) + " elements");
}

void uninitialised(const Region& region, long long i, Place place) {
    fault(Fault::uninitialised, place,
          "read of " + element(region, i) + ", which was never written (length " + length(region) + ")");
}

void race(const Region& region, long long i, const char* verb, uint64_t other, const char* other_verb, Place place) {
    bool here = !(other & many_blocks) && serial_of(other) == now.serial;
    fault(Fault::race, place,
          std::string("race: ") + verb + " " + element(region, i) + ", which " + describe(other) + " " + other_verb +
              " " + (here ? since_barrier() : "in this launch") + " (length " + length(region) + ")");
}

void written_through_another(const Region& region, long long i, const char* verb, uint64_t other, Place place) {
    bool reads = std::strcmp(verb, "reads") == 0;
    fault(Fault::alias, place,
          std::string(verb) + " " + element(region, i) + ", which " + describe(other) +
              (reads ? " writes through another parameter" : " reads through an In parameter") +
              " in this launch; what is read through In must not change (length " + length(region) + ")");
}

void misaligned(const Region& region, long long i, unsigned bytes, Place place) {
    fault(Fault::misaligned, place,
          element(region, i) + " is not aligned to the " + std::to_string(bytes) + " bytes that are moved at once");
}

void no_memory(Place place) { fault(Fault::out_of_bounds, place, "access through a null pointer"); }

}  // namespace enas_emulator
