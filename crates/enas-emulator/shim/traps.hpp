// Faults that the processor or the compiler's checks notice.
#pragma once

namespace enas_emulator {

// Signals become last words: an answer that says what happened, before the program ends.
void catch_signals();

// Ends the program with last words if the launch uses more processor time than this. Zero: no limit.
void limit_seconds(unsigned seconds);

}  // namespace enas_emulator
