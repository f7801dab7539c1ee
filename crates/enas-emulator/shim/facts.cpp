// What must not compile, checked while the emulator is built.
#include "registry.hpp"

namespace {

template <class P, class V, class = void> struct HasAtomicAdd : std::false_type {};
template <class P, class V>
struct HasAtomicAdd<P, V, std::void_t<decltype(atomicAdd(std::declval<P>(), std::declval<V>()))>> : std::true_type {};

static_assert(HasAtomicAdd<InOut<unsigned>, unsigned>::value);
static_assert(!HasAtomicAdd<InOut<float>, float>::value, "sums of floats must not depend on the order of threads");
static_assert(!HasAtomicAdd<InOut<double>, double>::value);
static_assert(!HasAtomicAdd<Shared<float>, float>::value);
static_assert(!HasAtomicAdd<float*, float>::value);

static_assert(!std::is_assignable_v<decltype(std::declval<In<float>>()[0]), float>, "In is not written");
static_assert(std::is_assignable_v<decltype(std::declval<Out<float>>()[0]), float>);
static_assert(!std::is_copy_constructible_v<decltype(std::declval<InOut<float>>()[0])>, "elements are not kept");
static_assert(!std::is_convertible_v<enas_emulator::Element<float, enas_emulator::Mode::shared>&, float>,
              "an element that was kept is not read");
static_assert(!std::is_convertible_v<In<float>, Out<float>>, "read-only memory does not become writable");
static_assert(std::is_convertible_v<InOut<float>, In<float>> && std::is_convertible_v<InOut<float>, Out<float>>);
static_assert(sizeof(bf16) == 2 && sizeof(bf16x8) == 16 && sizeof(float4) == 16);

}  // namespace
