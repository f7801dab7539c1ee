// The dialect's pointers on the host: an array that checks each access, and a position in it.
#pragma once

#include "memory.hpp"

namespace enas_emulator {

template <class T, Mode M> class Pointer {
public:
    static constexpr bool readable = M != Mode::out;
    static constexpr bool writable = M != Mode::in;

    Pointer() = default;
    Pointer(std::nullptr_t) {}
    Pointer(const Region* region, long long at) : region_(region), at_(at) {}

    // What may be read and written may also be handed to what only does one of both.
    template <Mode Other, class = std::enable_if_t<Other == Mode::inout && (M == Mode::in || M == Mode::out)>>
    Pointer(Pointer<T, Other> other) : region_(other.region_), at_(other.at_) {}

    // The value if it may only be read; else an `Element`, which reads or writes when it is used.
    auto operator[](Index i) const {
        if constexpr (M == Mode::in) {
            return read(i);
        } else {
            return Element<T, M>(*this, i);
        }
    }
    auto operator*() const { return (*this)[Index(0)]; }

    Pointer operator+(Index i) const { return {region_, at_ + i.value}; }
    Pointer operator-(Index i) const { return {region_, at_ - i.value}; }
    Pointer& operator+=(Index i) { at_ += i.value; return *this; }
    Pointer& operator-=(Index i) { at_ -= i.value; return *this; }
    Pointer& operator++() { at_++; return *this; }
    explicit operator bool() const { return region_ != nullptr; }
    bool operator==(std::nullptr_t) const { return !region_; }
    bool operator!=(std::nullptr_t) const { return region_ != nullptr; }

    T read(Index i) const {
        static_assert(readable, "Out<T> is written, never read; a parameter that is both is InOut<T>");
        const Region& region = checked(i.place);
        long long at = at_ + i.value;
        check_read<T, M>(region, at, i.place);
        T value;
        std::memcpy(&value, region.data + at * static_cast<long long>(sizeof(T)), sizeof(T));
        return value;
    }

    void write(Index i, T value) const {
        static_assert(writable, "In<T> is read, never written");
        const Region& region = checked(i.place);
        long long at = at_ + i.value;
        check_write<T, M>(region, at, i.place);
        std::memcpy(region.data + at * static_cast<long long>(sizeof(T)), &value, sizeof(T));
    }

    T atomic_add(Index i, T value) const {
        const Region& region = checked(i.place);
        long long at = at_ + i.value;
        check_atomic<T, M>(region, at, i.place);
        T before;
        std::memcpy(&before, region.data + at * static_cast<long long>(sizeof(T)), sizeof(T));
        T after = before + value;
        std::memcpy(region.data + at * static_cast<long long>(sizeof(T)), &after, sizeof(T));
        return before;
    }

    // Refuses an address that is no multiple of `bytes`. Buffers and shared arrays themselves begin aligned.
    void check_alignment(Index i, unsigned bytes) const {
        const Region& region = checked(i.place);
        long long at = at_ + i.value;
        long long byte = static_cast<long long>(region.first_byte) + at * static_cast<long long>(sizeof(T));
        if (unlikely(byte % bytes != 0)) misaligned(region, at, bytes, i.place);
    }

private:
    template <class, Mode> friend class Pointer;

    const Region& checked(Place place) const {
        if (unlikely(!region_)) no_memory(place);
        return *region_;
    }

    const Region* region_ = nullptr;
    long long at_ = 0;
};

// An element that may be written. It cannot be kept: `auto x = p[i]` would read later than it seems.
template <class T, Mode M> class Element {
public:
    Element(Pointer<T, M> pointer, Index i) : pointer_(pointer), i_(i) {}
    Element(const Element&) = delete;

    operator T() && { return pointer_.read(i_); }
    T operator=(T value) && {
        pointer_.write(i_, value);
        return value;
    }
    T operator=(Element&& other) && { return std::move(*this) = static_cast<T>(std::move(other)); }

#define ENAS_ASSIGN(op)                                                                  \
    template <class U> T operator op##=(U value) && {                                    \
        T result = static_cast<T>(pointer_.read(i_) op static_cast<T>(value));           \
        return std::move(*this) = result;                                                \
    }                                                                                    \
    template <Mode N> T operator op##=(Element<T, N>&& value) && {                       \
        return std::move(*this) op##= static_cast<T>(std::move(value));                  \
    }
    ENAS_ASSIGN(+)
    ENAS_ASSIGN(-)
    ENAS_ASSIGN(*)
    ENAS_ASSIGN(/)
    ENAS_ASSIGN(&)
    ENAS_ASSIGN(|)
    ENAS_ASSIGN(^)
#undef ENAS_ASSIGN

private:
    Pointer<T, M> pointer_;
    Index i_;
};

template <class Wide, int N, class T, Mode M> Wide read_wide(Pointer<T, M> p, Index i) {
    static_assert(sizeof(Wide) == N * sizeof(T));
    p.check_alignment(i, sizeof(Wide));
    T values[N];
    for (int k = 0; k < N; k++) {
        values[k] = p.read(i);
        i.value++;
    }
    Wide wide;
    std::memcpy(&wide, values, sizeof wide);
    return wide;
}

template <class Wide, int N, class T, Mode M> void write_wide(Pointer<T, M> p, Index i, Wide wide) {
    static_assert(sizeof(Wide) == N * sizeof(T));
    p.check_alignment(i, sizeof(Wide));
    T values[N];
    std::memcpy(values, &wide, sizeof wide);
    for (int k = 0; k < N; k++) {
        p.write(i, values[k]);
        i.value++;
    }
}

}  // namespace enas_emulator

template <class T> using In = enas_emulator::Pointer<T, enas_emulator::Mode::in>;
template <class T> using Out = enas_emulator::Pointer<T, enas_emulator::Mode::out>;
template <class T> using InOut = enas_emulator::Pointer<T, enas_emulator::Mode::inout>;
template <class T> using Shared = enas_emulator::Pointer<T, enas_emulator::Mode::shared>;

template <class T, enas_emulator::Mode M> T __ldg(enas_emulator::Pointer<T, M> p, enas_emulator::Index i = 0) {
    static_assert(M == enas_emulator::Mode::in, "__ldg reads what nobody writes during the launch: an In<T>");
    return p.read(i);
}

template <enas_emulator::Mode M>
unsigned atomicAdd(enas_emulator::Pointer<unsigned, M> p, unsigned value, enas_emulator::Index i = 0) {
    static_assert(M == enas_emulator::Mode::inout || M == enas_emulator::Mode::shared, "atomicAdd reads and writes");
    return p.atomic_add(i, value);
}
