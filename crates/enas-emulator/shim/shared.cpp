// Shared memory: one arena for the running block, dynamic memory first.
#include "shared.hpp"

namespace enas_emulator {
namespace {

constexpr size_t arena_bytes = 256 << 10;
alignas(256) unsigned char arena[arena_bytes];
Cell cells[arena_bytes];  // four planes of arena_bytes / 4

SharedSizes sizes;
size_t used;

Region region_at(size_t first, size_t count, const char* name) {
    return {arena + first, nullptr, cells, first, arena_bytes / 4, count, name, -1};
}

}  // namespace

void set_shared_sizes(SharedSizes wanted) { sizes = wanted; }

void begin_shared_memory() { used = (sizes.dynamic + 15) / 16 * 16; }

void forget_shared_memory() { std::memset(cells, 0, sizeof cells); }

void set_up_static(SharedArray& array, const char* name, size_t bytes, size_t count, Place place) {
    size_t total = used + bytes;
    if (total > sizes.limit) {
        fault(Fault::shared_memory, place,
              "shared array `" + std::string(name) + "` brings the block's shared memory to " + std::to_string(total) +
                  " bytes; the launch allows " + std::to_string(sizes.limit));
    }
    array.region = region_at(used, count, name);
    array.block = now.block;
    used = (total + 15) / 16 * 16;
}

void set_up_dynamic(SharedArray& array, const char* name, size_t element_bytes) {
    array.region = region_at(0, sizes.dynamic / element_bytes, name);
    array.block = now.block;
}

}  // namespace enas_emulator
