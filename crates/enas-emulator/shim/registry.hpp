// The table of kernels: names, signatures deduced from the functions' types, and how to call them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dialect.cuh"

namespace enas_emulator {

// An argument as a thread receives it.
struct Value {
    const Region* region;
    uint64_t bits;
};

struct Parameter {
    std::string name;
    std::string type;   // "In<float>", "unsigned"
    unsigned element_bytes;  // of a pointer's elements; 0 for a scalar
    Mode mode;
};

struct Kernel {
    std::string name;
    std::string file;
    unsigned max_threads;
    std::vector<Parameter> parameters;
    void (*function)();
    void (*call)(void (*function)(), const Value* values);
};

std::vector<Kernel>& kernels();

template <class T> struct Name;
#define ENAS_NAME(T, text) template <> struct Name<T> { static constexpr const char* value = text; };
ENAS_NAME(float, "f32")
ENAS_NAME(double, "f64")
ENAS_NAME(int, "i32")
ENAS_NAME(unsigned, "u32")
ENAS_NAME(long long, "i64")
ENAS_NAME(unsigned long long, "u64")
ENAS_NAME(unsigned long, "u64")
ENAS_NAME(unsigned char, "u8")
ENAS_NAME(signed char, "i8")
ENAS_NAME(unsigned short, "u16")
ENAS_NAME(short, "i16")
ENAS_NAME(bf16, "bf16")
#undef ENAS_NAME

// How a parameter of type T is described and filled.
template <class T> struct Passing {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                      std::is_same_v<T, unsigned long> || std::is_same_v<T, unsigned long long>,
                  "a kernel takes In, Out, InOut, unsigned, int, float or unsigned long long");
    static Parameter describe(const char* name) { return {name, Name<T>::value, 0, Mode::in}; }
    static T unpack(const Value& value) {
        T scalar;
        std::memcpy(&scalar, &value.bits, sizeof scalar);
        return scalar;
    }
};

template <class T, Mode M> struct Passing<Pointer<T, M>> {
    static_assert(M != Mode::shared, "shared memory belongs to a block; it is no parameter of a kernel");
    static Parameter describe(const char* name) {
        const char* mode = M == Mode::in ? "In<" : M == Mode::out ? "Out<" : "InOut<";
        return {name, mode + std::string(Name<T>::value) + ">", sizeof(T), M};
    }
    static Pointer<T, M> unpack(const Value& value) { return {value.region, 0}; }
};

template <class... T> struct Caller {
    template <size_t... I> static void apply(void (*kernel)(T...), const Value* values, std::index_sequence<I...>) {
        kernel(Passing<T>::unpack(values[I])...);
    }
    static void call(void (*function)(), const Value* values) {
        apply(reinterpret_cast<void (*)(T...)>(function), values, std::index_sequence_for<T...>{});
    }
};

// Enters a kernel into the table; the build generates one per kernel.
struct Register {
    template <class... T>
    Register(const char* name, const char* file, unsigned max_threads, std::vector<const char*> names,
             void (*kernel)(T...)) {
        std::vector<Parameter> parameters;
        size_t i = 0;
        ((parameters.push_back(Passing<T>::describe(i < names.size() ? names[i] : "?")), i++), ...);
        kernels().push_back({name, file, max_threads, std::move(parameters), reinterpret_cast<void (*)()>(kernel),
                             Caller<T...>::call});
    }
};

}  // namespace enas_emulator
