// The compression function of SHA-256 in its variants; sha256.cpp chooses one.
#pragma once
#include <cstddef>
#include <cstdint>

namespace t2 {

extern const uint32_t sha256_k[64];

/// state[8] absorbs `blocks` × 64 bytes.
void sha256_blocks_portable(uint32_t state[8], const uint8_t* data, size_t blocks);

#if defined(__x86_64__)
bool sha256_ni_available();
void sha256_blocks_ni(uint32_t state[8], const uint8_t* data, size_t blocks);
#endif

}  // namespace t2
