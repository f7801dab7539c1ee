// The dialect's words when kernels run on the host. Included by dialect.cuh under -DENAS_EMULATOR.
#pragma once

#include "words.hpp"
#include "pointers.hpp"
#include "shared.hpp"
#include "threads.hpp"
