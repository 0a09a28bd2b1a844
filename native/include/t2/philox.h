// Philox 4x32-10: a function of (key, counter), the same on every device. The same constants as lib/util/random.ts.
#pragma once
#include <cstdint>

namespace t2 {

/// Uniform in [0, 1) with 53 bits; key = seed, counter = (position, sequence).
inline double philox_uniform(uint64_t seed, uint64_t sequence, uint32_t position) {
  uint32_t c[4] = {position, uint32_t(sequence), uint32_t(sequence >> 32), 0};
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
    uint32_t n0 = uint32_t(b >> 32) ^ c[1] ^ k0, n2 = uint32_t(a >> 32) ^ c[3] ^ k1;
    c[1] = uint32_t(b);
    c[3] = uint32_t(a);
    c[0] = n0;
    c[2] = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return double((uint64_t(c[0]) << 21) ^ (c[1] >> 11)) * (1.0 / 9007199254740992.0);
}

}  // namespace t2
