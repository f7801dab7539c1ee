// Memory that knows who touched each element and whether it was ever written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "block.hpp"
#include "fault.hpp"

namespace enas_emulator {

enum class Mode { in, out, inout, shared };

// The last writer and the last readers of an element; records as in block.hpp.
struct Cell {
    uint64_t writer;
    uint64_t reader;
};

// A run of elements that a pointer of a kernel may touch: a parameter's buffer or an array of shared memory.
struct Region {
    unsigned char* data;     // first element
    unsigned char* defined;  // a byte per byte, 0xff once written; null for shared memory, where the cells tell
    Cell* cells;             // of the whole memory; null if the launch only reads the buffer
    size_t first_byte;       // of `data`, within the memory `cells` describes
    size_t words;            // 4-byte words in that memory
    uint64_t count;          // elements
    const char* name;        // of the parameter or array
    int argument;            // position of the parameter; -1: shared

    // The cell of element `i`. One per word; elements that begin within a word have cells in further planes, which
    // cost nothing (zero pages) unless small elements are used.
    template <size_t Size> Cell& cell(uint64_t i) const {
        size_t byte = first_byte + i * Size;
        if constexpr (Size % 4 == 0) return cells[byte >> 2];
        return cells[(byte & 3) * words + (byte >> 2)];
    }
};

template <class T, Mode M> class Element;

// An index with the line of source that used it.
struct Index {
    long long value;
    Place place;
    template <class I, class = std::enable_if_t<std::is_integral_v<I>>>
    Index(I i, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : value(static_cast<long long>(i)), place{file, line} {}
    template <class T, Mode M>
    Index(Element<T, M>&& i, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : value(static_cast<long long>(static_cast<T>(std::move(i)))), place{file, line} {}
};

// The slow paths, out of line. Each ends the launch.
[[noreturn]] void out_of_bounds(const Region& region, long long i, const char* verb, Place place);
[[noreturn]] void uninitialised(const Region& region, long long i, Place place);
[[noreturn]] void race(const Region& region, long long i, const char* verb, uint64_t other, const char* other_verb,
                       Place place);
[[noreturn]] void written_through_another(const Region& region, long long i, const char* verb, uint64_t other,
                                          Place place);
[[noreturn]] void misaligned(const Region& region, long long i, unsigned bytes, Place place);
[[noreturn]] void no_memory(Place place);

inline bool unlikely(bool condition) { return __builtin_expect(condition, false); }

// True if `record` was made in this launch; for shared memory, in this block.
template <Mode M> bool valid(uint64_t record) {
    return serial_of(record) >= (M == Mode::shared ? now.serial : now.first_serial);
}

template <Mode M> void note_read(Cell& cell, const Region& region, long long i, Place place) {
    uint64_t writer = cell.writer;
    if constexpr (M == Mode::in) {
        if (unlikely(valid<M>(writer))) written_through_another(region, i, "reads", writer, place);
    } else if (writer != now.record && valid<M>(writer) && unlikely(!ordered(writer))) {
        race(region, i, "reads", writer, "wrote", place);
    }
    constexpr uint64_t flag = M == Mode::in ? through_in : 0;
    uint64_t reader = cell.reader;
    if (reader == (now.record | flag) || reader == (now.whole_block | flag)) return;
    cell.reader = (valid<M>(reader) ? merge(reader) : now.record) | flag;
}

template <Mode M> void note_write(Cell& cell, const Region& region, long long i, Place place) {
    uint64_t writer = cell.writer, reader = cell.reader;
    if (unlikely(writer != now.record && valid<M>(writer) && !ordered(writer))) {
        race(region, i, "writes", writer, "wrote", place);
    }
    if (reader != now.record && valid<M>(reader)) {
        if (unlikely(reader & through_in)) written_through_another(region, i, "writes", reader, place);
        if (unlikely(!ordered(reader))) race(region, i, "writes", reader, "read", place);
    }
    cell.writer = now.record;
}

// Checks that the element exists, has a value and may be read now.
template <class T, Mode M> void check_read(const Region& region, long long i, Place place) {
    if (unlikely(static_cast<uint64_t>(i) >= region.count)) out_of_bounds(region, i, "read", place);
    if constexpr (M == Mode::shared) {
        Cell& cell = region.cell<sizeof(T)>(static_cast<uint64_t>(i));
        if (unlikely(serial_of(cell.writer) != now.serial)) uninitialised(region, i, place);
        note_read<M>(cell, region, i, place);
    } else {
        static constexpr auto all = [] {
            struct Ones {
                unsigned char bytes[sizeof(T)];
            } ones{};
            for (auto& byte : ones.bytes) byte = 0xff;
            return ones;
        }();
        if (unlikely(std::memcmp(region.defined + i * sizeof(T), all.bytes, sizeof(T)) != 0)) {
            uninitialised(region, i, place);
        }
        if (region.cells) note_read<M>(region.cell<sizeof(T)>(static_cast<uint64_t>(i)), region, i, place);
    }
}

// Checks that the element exists and may be written now; it has a value from now on.
template <class T, Mode M> void check_write(const Region& region, long long i, Place place) {
    if (unlikely(static_cast<uint64_t>(i) >= region.count)) out_of_bounds(region, i, "write", place);
    note_write<M>(region.cell<sizeof(T)>(static_cast<uint64_t>(i)), region, i, place);
    if constexpr (M != Mode::shared) std::memset(region.defined + i * sizeof(T), 0xff, sizeof(T));
}

// An atomic operation: does not race with other atomic ones.
template <class T, Mode M> void check_atomic(const Region& region, long long i, Place place) {
    if (unlikely(static_cast<uint64_t>(i) >= region.count)) out_of_bounds(region, i, "atomic operation", place);
    Cell& cell = region.cell<sizeof(T)>(static_cast<uint64_t>(i));
    if (M == Mode::shared && unlikely(serial_of(cell.writer) != now.serial)) uninitialised(region, i, place);
    if (M != Mode::shared && unlikely(region.defined[i * sizeof(T)] != 0xff)) uninitialised(region, i, place);
    uint64_t writer = cell.writer, reader = cell.reader;
    if (valid<M>(writer) && !(writer & atomic_bit) && unlikely(!ordered(writer))) {
        race(region, i, "updates", writer, "wrote", place);
    }
    if (valid<M>(reader)) {
        if (unlikely(reader & through_in)) written_through_another(region, i, "updates", reader, place);
        if (unlikely(!ordered(reader))) race(region, i, "updates", reader, "read", place);
    }
    cell.writer = (valid<M>(writer) ? merge(writer) : now.record) | atomic_bit;
}

}  // namespace enas_emulator
