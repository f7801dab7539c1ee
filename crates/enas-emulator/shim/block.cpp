// Runs the threads of one block after another in turns, and blocks one after another.
#include "block.hpp"

#include <numeric>
#include <vector>

#include "fiber.hpp"
#include "shared.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace enas_emulator {

Now now;

namespace {

enum class State : unsigned char { ready, at_barrier, at_warp, ended };

struct Thread {
    State state;
    Place place;
    uint3 index;
};

struct Warp {
    unsigned lanes;      // threads of the warp
    unsigned arrived;    // of them at the pending exchange
    unsigned sync;       // sync count at its last barrier
    bool second;         // which half of `values` the pending exchange fills
    const char* what;    // what the first to arrive called, and where
    Place place;
    uint64_t values[2][32];  // lanes still read the last exchange while others begin the next
};

const char* const endless = "a block may cross at most 1048575 barriers here; does a loop never end?";

Thread threads[max_fibers];
Warp warps[max_fibers / 32];
unsigned order[max_fibers];
unsigned thread_count;
unsigned ended;
unsigned at_barrier;
unsigned sync_count;
Place last_barrier;
void (*kernel_body)();
std::vector<unsigned> block_order;
unsigned next_serial = 1;

// A small generator (splitmix64) for orders of execution.
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9e3779b97f4a7c15ull;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }
    void shuffle(unsigned* first, size_t count) {
        for (size_t i = count; i > 1; i--) {
            auto j = static_cast<size_t>((static_cast<unsigned __int128>(next()) * i) >> 64);
            std::swap(first[i - 1], first[j]);
        }
    }
};
Random random_order;
bool shuffled;

uint3 spread(uint64_t i, dim3 size) {
    return {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
            static_cast<unsigned>(i / size.x / size.y)};
}

std::string text(uint3 v) {
    return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

// Makes thread `i` the running one.
void select(unsigned i) {
    const Warp& warp = warps[i / 32];
    now.thread = i;
    now.warp_sync = warp.sync;
    now.record = make_record(now.serial, warp.sync, i);
    threadIdx = threads[i].index;
}

void thread_main() {
    kernel_body();
    threads[now.thread].state = State::ended;
    ended++;
    fiber_leave(now.thread);
}

void wait(State state, Place place) {
    unsigned self = now.thread;
    threads[self].state = state;
    threads[self].place = place;
    fiber_leave(self);
}

unsigned next_sync(Place place) {
    if (++sync_count >= sync_limit) fault(Fault::endless, place, endless);
    return sync_count;
}

void release_barrier() {
    last_barrier = threads[0].place;
    now.block_sync = sync_count;
    now.whole_block = make_record(now.serial, sync_count, block_code);
    for (unsigned w = 0; w * 32 < thread_count; w++) warps[w].sync = sync_count;
    for (unsigned i = 0; i < thread_count; i++) threads[i].state = State::ready;
    at_barrier = 0;
    if (shuffled) random_order.shuffle(order, thread_count);
}

std::string where(unsigned i) {
    const Thread& thread = threads[i];
    std::string subject = "thread " + text(thread.index);
    switch (thread.state) {
        case State::ended: return subject + " has ended";
        case State::at_barrier: return subject + " waits at __syncthreads at " + describe(thread.place);
        default: return subject + " waits at " + warps[i / 32].what + " at " + describe(thread.place);
    }
}

// Nobody can run: says which two threads wait for different things.
void report_divergence() {
    unsigned waiting = 0;
    while (threads[waiting].state == State::ended) waiting++;
    unsigned first = 0, last = thread_count;
    if (threads[waiting].state == State::at_warp) first = waiting / 32 * 32, last = std::min(first + 32, last);
    // Lanes of other warps may rightly wait elsewhere; for a warp only its own lanes count.
    for (unsigned i = waiting + 1; i < thread_count && threads[waiting].state == State::at_barrier; i++) {
        if (threads[i].state != State::at_warp) continue;
        waiting = i;
        first = i / 32 * 32, last = std::min(first + 32, thread_count);
    }
    const Thread& thread = threads[waiting];
    for (unsigned i = first; i < last; i++) {
        if (threads[i].state == thread.state && threads[i].place == thread.place) continue;
        bool warp = thread.state == State::at_warp;
        std::string call = warp ? warps[waiting / 32].what : "__syncthreads";
        select(waiting);
        set_fault(Fault::divergence, thread.place,
                  call + " is not reached by all threads of the " + (warp ? "warp: " : "block: ") + where(i));
        return;
    }
}

bool barrier_complete() {
    if (at_barrier != thread_count) return false;
    for (unsigned i = 1; i < thread_count; i++) {
        if (!(threads[i].place == threads[0].place)) return false;
    }
    return true;
}

void begin_block(unsigned block, uint64_t seed) {
    blockIdx = spread(block, gridDim);
    now.serial = next_serial++;
    now.block++;
    now.block_sync = sync_count = 0;
    now.whole_block = make_record(now.serial, 0, block_code);
    last_barrier = Place::none();
    ended = at_barrier = 0;
    for (unsigned w = 0; w * 32 < thread_count; w++) {
        warps[w].lanes = std::min(32u, thread_count - w * 32);
        warps[w].arrived = warps[w].sync = 0;
    }
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].state = State::ready;
        fiber_prepare(i, thread_main);
    }
    std::iota(order, order + thread_count, 0u);
    random_order.state = seed * 0x2545f4914f6cdd1dull + block;
    if (shuffled) random_order.shuffle(order, thread_count);
    begin_shared_memory();
}

bool run_block() {
    while (ended < thread_count) {
        bool progress = false;
        for (unsigned k = 0; k < thread_count; k++) {
            unsigned i = order[k];
            if (threads[i].state != State::ready) continue;
            progress = true;
            select(i);
            now.running = true;
            fiber_enter(i);
            now.running = false;
            if (has_fault()) return false;
        }
        if (progress && at_barrier < thread_count) continue;
        if (!barrier_complete()) {
            if (ended < thread_count) report_divergence();
            return !has_fault();
        }
        if (++sync_count >= sync_limit) {
            set_fault(Fault::endless, threads[0].place, endless);
            return false;
        }
        release_barrier();
    }
    return true;
}

}  // namespace

bool ordered(uint64_t record) {
    if ((record & many_blocks) || serial_of(record) != now.serial) return false;
    unsigned who = who_of(record);
    if (who == now.thread) return true;
    unsigned warp = who < warp_code ? who / 32 : who - warp_code;
    bool mine = who != block_code && warp == now.thread / 32;
    return sync_of(record) < (mine ? now.warp_sync : now.block_sync);
}

uint64_t merge(uint64_t record) {
    uint64_t kept = record & (through_in | many_blocks | atomic_bit);
    if ((record & many_blocks) || serial_of(record) != now.serial) return now.record | kept | many_blocks;
    if (ordered(record)) return now.record | kept;
    unsigned who = who_of(record);
    unsigned warp = who < warp_code ? who / 32 : who - warp_code;
    if (who != block_code && warp == now.thread / 32) {
        return make_record(now.serial, now.warp_sync, warp_code + warp) | kept;
    }
    return now.whole_block | kept;
}

std::string describe(uint64_t record) {
    unsigned who = who_of(record);
    std::string threads_text = who < warp_code    ? "thread " + text(spread(who, blockDim))
                               : who < block_code ? "several threads of warp " + std::to_string(who - warp_code)
                                                  : "threads of several warps";
    if (record & many_blocks) return "several blocks";
    if (serial_of(record) == now.serial) return threads_text;
    unsigned position = serial_of(record) - now.first_serial;
    unsigned block = block_order.empty() ? position : block_order[position];
    return threads_text + " of block " + text(spread(block, gridDim));
}

std::string since_barrier() {
    return last_barrier.file ? "since the barrier at " + describe(last_barrier) : "since the block began";
}

void barrier(Place place) {
    at_barrier++;
    wait(State::at_barrier, place);
}

Lanes exchange(const char* what, unsigned mask, uint64_t value, Place place) {
    if (mask != 0xffffffffu) {
        fault(Fault::divergence, place, std::string(what) + " needs the full mask 0xffffffff in this dialect");
    }
    Warp& warp = warps[now.thread / 32];
    unsigned lane = now.thread % 32;
    if (warp.arrived == 0) {
        warp.what = what;
        warp.place = place;
    } else if (!(warp.place == place) || warp.what != what) {
        fault(Fault::divergence, place,
              std::string(what) + " is not reached by all threads of the warp: others wait at " + warp.what + " at " +
                  describe(warp.place));
    }
    uint64_t* values = warp.values[warp.second];
    values[lane] = value;
    if (++warp.arrived < warp.lanes) {
        wait(State::at_warp, place);
    } else {
        warp.arrived = 0;
        warp.second = !warp.second;
        unsigned first = now.thread - lane;
        for (unsigned i = first; i < first + warp.lanes; i++) threads[i].state = State::ready;
    }
    return {values, lane, warp.lanes};
}

void warp_barrier(unsigned mask, Place place) {
    Warp& warp = warps[now.thread / 32];
    bool last = warp.arrived + 1 == warp.lanes;
    exchange("__syncwarp", mask, 0, place);
    if (!last) return;
    warp.sync = next_sync(place);
    select(now.thread);
}

bool serials_left(uint64_t blocks) { return blocks < serial_limit - next_serial; }
void restart_serials() { next_serial = 1; }

bool run_blocks(const Shape& shape, void (*body)()) {
    gridDim = shape.grid;
    blockDim = shape.block;
    kernel_body = body;
    thread_count = shape.block.x * shape.block.y * shape.block.z;
    for (unsigned i = 0; i < thread_count; i++) threads[i].index = spread(i, shape.block);
    shuffled = shape.seed != 0;
    auto blocks = static_cast<unsigned>(uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z);
    block_order.clear();
    if (shuffled) {
        block_order.resize(blocks);
        std::iota(block_order.begin(), block_order.end(), 0u);
        random_order.state = shape.seed;
        random_order.shuffle(block_order.data(), blocks);
    }
    now.first_serial = next_serial;
    for (unsigned b = 0; b < blocks; b++) {
        begin_block(shuffled ? block_order[b] : b, shape.seed);
        if (!run_block()) return false;
    }
    return true;
}

}  // namespace enas_emulator
