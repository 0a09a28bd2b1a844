// The one function of the Fortran run-time library that LAPACK's drivers call (they join two option letters, e.g. "L" // "N", to look up
// block sizes). With it a static OpenBLAS needs no libgfortran. Weak and hidden: where that library is linked, this copy is not used.
#include <cstddef>
#include <cstring>

extern "C" __attribute__((weak, visibility("hidden"))) void _gfortran_concat_string(size_t length, char* out, size_t a_length,
                                                                                    const char* a, size_t b_length, const char* b) {
  const size_t from_a = a_length < length ? a_length : length;
  std::memcpy(out, a, from_a);
  const size_t from_b = b_length < length - from_a ? b_length : length - from_a;
  std::memcpy(out + from_a, b, from_b);
  std::memset(out + from_a + from_b, ' ', length - from_a - from_b);
}
